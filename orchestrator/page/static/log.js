// The log of a job, which follows what the job writes.

import {html, useEffect, useLayoutEffect, useRef, useState} from "./vendor/preact-htm.js";
import {fetchText, onChange, studyPath} from "./api.js";
import {choose} from "./routes.js";
import {size} from "./format.js";
import {Choice, Empty, Loading, Problem} from "./parts.js";

const TAIL_BYTES = 65536;
const SHOWN_CHARACTERS = 500000;
const LOOK_EVERY_MS = 2000;
const END_PX = 40;

/** The text of an attempt's log from its last 64 KiB on; `more` loads the part before. Without an attempt, the last one. */
function useLog(study, id, attempt) {
  const [log, setLog] = useState(null);
  const [error, setError] = useState(null);
  const at = useRef(null);
  const read = async (offset) => JSON.parse(await fetchText(studyPath(study, ["jobs", id, "log"], {offset, attempt})));
  const look = async (place) => {
    if (place.busy) return;
    place.busy = true;
    try {
      let found = await read(place.end ?? -TAIL_BYTES);
      // A new attempt has begun: its log is another file.
      if (place.end !== null && found.attempt !== place.attempt) found = await read(-TAIL_BYTES);
      if (place !== at.current) return;
      const isNew = place.end === null || found.attempt !== place.attempt;
      if (isNew) Object.assign(place, {start: found.offset, attempt: found.attempt});
      place.end = found.next;
      const {size: bytes, attempt: number, attempts} = found;
      if (isNew) setLog({text: found.text, start: found.offset, bytes, number, attempts});
      else if (found.text) setLog((old) => ({...old, text: (old.text + found.text).slice(-SHOWN_CHARACTERS), bytes, attempts}));
      setError(null);
    } catch (problem) {
      setError(problem);
    } finally {
      place.busy = false;
    }
  };
  const more = async () => {
    const begin = Math.max(0, at.current.start - TAIL_BYTES);
    try {
      const found = await read(begin);
      const bytes = new TextEncoder().encode(found.text).slice(0, at.current.start - begin);
      at.current.start = begin;
      setLog((old) => ({...old, text: new TextDecoder().decode(bytes) + old.text, start: begin}));
    } catch (problem) {
      setError(problem);
    }
  };
  useEffect(() => {
    const place = {start: 0, end: null, busy: false};
    at.current = place;
    setLog(null);
    look(place);
    const forget = onChange(study, () => look(place));
    const timer = setInterval(() => document.hidden || look(place), LOOK_EVERY_MS);
    return () => {
      forget();
      clearInterval(timer);
    };
  }, [study, id, attempt]);
  return {log, error, more};
}

export function Log({route, study, id}) {
  const {attempt = ""} = route.chosen;
  const {log, error, more} = useLog(study, id, attempt);
  const box = useRef(null);
  const [follows, setFollows] = useState(true);
  useLayoutEffect(() => {
    if (follows && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [log, follows]);
  // Who scrolls up wants to read: the log stays there until one goes back to its end.
  const onScroll = ({currentTarget: {scrollHeight, scrollTop, clientHeight}}) => setFollows(scrollHeight - scrollTop - clientHeight < END_PX);
  if (!log) return error ? (error.status === 404 ? html`<${Empty}>There is no log so far.<//>` : html`<${Problem} error=${error} />`) : html`<${Loading} />`;
  return html`<section aria-labelledby="log"><h2 id="log" class="hidden">Log</h2>${error && html`<${Problem} error=${error} />`}
    <div class="above">${log.attempts.length > 1 && html`<${Choice} label="attempt" value=${String(attempt || log.number)} options=${log.attempts.map(String)}
      onChoose=${(value) => choose(route, {attempt: value})} />`}
      ${log.start > 0 && html`<button type="button" onClick=${more}>Show what was before (${size(log.start)})</button>`}
      <label class="check"><input type="checkbox" checked=${follows} onChange=${(event) => setFollows(event.currentTarget.checked)} /> follow the end</label>
      <span class="small soft">${size(log.bytes)}</span></div>
    ${log.text ? html`<pre ref=${box} class="log follow" tabindex="0" aria-label="Log" onScroll=${onScroll}>${log.text}</pre>` : html`<${Empty}>The log is empty${log.running ? " so far" : ": it printed nothing"}.<//>`}</section>`;
}
