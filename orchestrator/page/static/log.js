// The log of a job, which follows what the job writes.

import {html, useEffect, useLayoutEffect, useRef, useState} from "./vendor/preact-htm.js";
import {fetchText, onChange, studyPath} from "./api.js";
import {size} from "./format.js";
import {Empty, Loading, Problem} from "./parts.js";

const TAIL_BYTES = 65536;
const SHOWN_CHARACTERS = 500000;
const LOOK_EVERY_MS = 2000;
const END_PX = 40;

/** The text of a log from its last 64 KiB on; `more` loads the part before. */
function useLog(study, id) {
  const [log, setLog] = useState(null);
  const [error, setError] = useState(null);
  const at = useRef({start: 0, end: null, busy: false});
  const read = async (offset) => JSON.parse(await fetchText(studyPath(study, ["jobs", id, "log"], {offset})));
  const look = async () => {
    if (at.current.busy) return;
    at.current.busy = true;
    try {
      const found = await read(at.current.end ?? -TAIL_BYTES);
      const isNew = at.current.end === null || found.size < at.current.end;
      const begin = found.offset;
      if (isNew) at.current.start = begin;
      at.current.end = found.next ?? begin + new TextEncoder().encode(found.text).length;
      if (isNew) setLog({text: found.text, start: begin, size: found.size});
      else if (found.text) setLog((old) => ({text: (old.text + found.text).slice(-SHOWN_CHARACTERS), start: old.start, size: found.size}));
      setError(null);
    } catch (problem) {
      setError(problem);
    }
    at.current.busy = false;
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
    look();
    const forget = onChange(study, look);
    const timer = setInterval(() => document.hidden || look(), LOOK_EVERY_MS);
    return () => {
      forget();
      clearInterval(timer);
    };
  }, [study, id]);
  return {log, error, more};
}

export function Log({study, id}) {
  const {log, error, more} = useLog(study, id);
  const box = useRef(null);
  const [follows, setFollows] = useState(true);
  useLayoutEffect(() => {
    if (follows && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [log, follows]);
  // Who scrolls up wants to read: the log stays there until one goes back to its end.
  const onScroll = ({currentTarget: {scrollHeight, scrollTop, clientHeight}}) => setFollows(scrollHeight - scrollTop - clientHeight < END_PX);
  if (!log) return error ? (error.status === 404 ? html`<${Empty}>There is no log so far.<//>` : html`<${Problem} error=${error} />`) : html`<${Loading} />`;
  return html`<section aria-labelledby="log"><h2 id="log" class="hidden">Log</h2>${error && html`<${Problem} error=${error} />`}
    <div class="above">${log.start > 0 && html`<button type="button" onClick=${more}>Show what was before (${size(log.start)})</button>`}
      <label class="check"><input type="checkbox" checked=${follows} onChange=${(event) => setFollows(event.currentTarget.checked)} /> follow the end</label>
      <span class="small soft">${size(log.size)}</span></div>
    ${log.text ? html`<pre ref=${box} class="log follow" tabindex="0" aria-label="Log" onScroll=${onScroll}>${log.text}</pre>` : html`<${Empty}>The log is empty so far.<//>`}</section>`;
}
