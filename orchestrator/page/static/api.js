// What the server says: answers, news of changes, and whether it is there at all.

import {useEffect, useState} from "./vendor/preact-htm.js";

const RETRY_MS = 3000;
// After an answer that took long, rest for several times as long: a page that is left open must not keep the server busy.
const REST_PER_LOOK = 4;
const KEPT_ANSWERS = 60;

const answers = new Map();
const listeners = new Set();
const connectionListeners = new Set();
let connection = "live";
let source = null;

function setConnection(next) {
  if (next === connection) return;
  connection = next;
  for (const listener of connectionListeners) listener(next);
}

/** Whether the server answers: `live`, `lost` or `unauthorised`. */
export function useConnection() {
  const [state, setState] = useState(connection);
  useEffect(() => {
    connectionListeners.add(setState);
    setState(connection);
    return () => connectionListeners.delete(setState);
  }, []);
  return state;
}

/** The address of an answer about a study. */
export function studyPath(study, parts = [], parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) {
      if (each !== "" && each !== null && each !== undefined) query.append(key, each);
    }
  }
  const path = ["/api/studies", ...[study, ...parts].map(encodeURIComponent)].join("/");
  return query.size ? `${path}?${query}` : path;
}

/** Fetch an answer as text; raises an Error with one line for people and, from the server, a `status`. */
export async function fetchText(path) {
  let response;
  try {
    response = await fetch(path, {headers: {Accept: "application/json"}, credentials: "same-origin"});
  } catch {
    setConnection("lost");
    throw new Error("The server does not answer.");
  }
  const body = await response.text();
  if (response.status === 401) setConnection("unauthorised");
  else if (connection === "lost" && source?.readyState === EventSource.OPEN) setConnection("live");
  if (!response.ok) throw Object.assign(new Error(errorLine(body, response)), {status: response.status});
  return body;
}

function errorLine(body, response) {
  try {
    return JSON.parse(body).error || `The server answered ${response.status}.`;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

function concerns(path, study) {
  if (study === null || path === "/api/studies" || path.startsWith("/api/compare")) return true;
  const own = studyPath(study);
  return path === own || path.startsWith(`${own}/`) || path.startsWith(`${own}?`);
}

/**
 * The answer at `path`, asked for again whenever its study changes. While a new answer is on its way the old one stays,
 * and an answer that says the same is not drawn again. `path` null asks nothing.
 */
export function useApi(path) {
  const [state, setState] = useState({path, data: answers.get(path)?.data, error: null});
  useEffect(() => {
    if (!path) return undefined;
    let closed = false;
    let busy = false;
    let again = false;
    let isWrong = false;
    const load = async () => {
      again = busy;
      // A wrong question stays wrong, whatever happens in the study.
      if (busy || isWrong) return;
      busy = true;
      const began = performance.now();
      try {
        const body = await fetchText(path);
        const data = answers.get(path)?.body === body ? answers.get(path).data : JSON.parse(body);
        keep(path, body, data);
        if (!closed) setState((old) => (old.path === path && old.data === data && !old.error ? old : {path, data, error: null}));
      } catch (error) {
        isWrong = error.status === 400;
        if (!closed) setState((old) => ({path, data: old.path === path ? old.data : undefined, error}));
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(30000, REST_PER_LOOK * (performance.now() - began))));
      busy = false;
      if (again && !closed) load();
    };
    const listener = (study) => concerns(path, study) && load();
    listeners.add(listener);
    if (answers.has(path)) setState({path, data: answers.get(path).data, error: null});
    load();
    return () => {
      closed = true;
      listeners.delete(listener);
    };
  }, [path]);
  return {...state, loading: Boolean(path) && (state.path !== path || (state.data === undefined && !state.error))};
}

function keep(path, body, data) {
  answers.delete(path);
  answers.set(path, {body, data});
  if (answers.size > KEPT_ANSWERS) answers.delete(answers.keys().next().value);
}

/** Call `listener` whenever this study may have changed. */
export function onChange(study, listener) {
  const own = (changed) => (changed === null || changed === study) && listener();
  listeners.add(own);
  return () => listeners.delete(own);
}

function listen() {
  source?.close();
  source = new EventSource("/api/changes");
  source.addEventListener("open", () => {
    setConnection("live");
    tell(null);
  });
  source.addEventListener("changed", (event) => tell(JSON.parse(event.data).study));
  source.addEventListener("error", () => {
    if (connection !== "unauthorised") setConnection("lost");
    if (source.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || listen(), RETRY_MS);
  });
}

function tell(study) {
  for (const listener of [...listeners]) listener(study);
}

/** Hear of changes as long as somebody looks: a browser has few connections to one server, and tabs share them. */
export function start() {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) source?.close();
    else listen();
  });
  if (!document.hidden) listen();
}
