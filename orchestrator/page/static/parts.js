// Small pieces that several views share.

import {html, useEffect, useRef, useState} from "./vendor/preact-htm.js";
import {SIGNS, STATES, count, counts, total} from "./format.js";

export function Loading() {
  return html`<p class="loading soft" role="status">Loading …</p>`;
}

export function Problem({error}) {
  return html`<p class="problem" role="alert">${error.message}</p>`;
}

export function Empty({children}) {
  return html`<p class="empty soft">${children}</p>`;
}

/** Show an answer of `useApi`: what is missing, what went wrong, or what `children` makes of it. */
export function Answer({answer, children}) {
  if (answer.data === undefined) return answer.error ? html`<${Problem} error=${answer.error} />` : html`<${Loading} />`;
  return html`<div class=${answer.loading ? "busy" : ""} aria-busy=${answer.loading ? "true" : "false"}>
    ${answer.error && html`<${Problem} error=${answer.error} />`}${children(answer.data)}</div>`;
}

export function State({state}) {
  return html`<span class=${`state ${state}`}><span aria-hidden="true">${SIGNS[state] || "·"}</span> ${state}</span>`;
}

/** The states of jobs as one stacked bar. Its text alternative is the same in words. */
export function StateBar({states}) {
  const sum = total(states);
  return html`<div class="bar" role="img" aria-label=${sum ? counts(states) : "no jobs"} title=${counts(states)}>
    ${STATES.filter((state) => states[state]).map((state) => html`<span key=${state} class=${`part ${state}`}
      style=${{flexGrow: states[state]}}></span>`)}</div>`;
}

/** How many jobs are in each state; `link(state)` is where these jobs are listed. */
export function StateCounts({states, link}) {
  return html`<ul class="states">${STATES.filter((state) => states[state]).map((state) => html`<li key=${state}><a class=${state}
    href=${link(state)}><span aria-hidden="true">${SIGNS[state]}</span> <b>${count(states[state])}</b> ${state}</a></li>`)}</ul>`;
}

/** A region that scrolls sideways by itself, so that the page does not; the keyboard reaches it. */
export function Scroll({label, tall, children}) {
  return html`<div class=${`scroll${tall ? " tall" : ""}`} role="region" aria-label=${label} tabindex="0">${children}</div>`;
}

export function Tabs({label, tabs, current}) {
  const bar = useRef(null);
  useEffect(() => {
    const open = bar.current.querySelector("[aria-current]");
    // Where not all tabs fit, the one that is open is in sight.
    if (open) bar.current.scrollLeft = open.offsetLeft - bar.current.offsetLeft - (bar.current.clientWidth - open.offsetWidth) / 2;
  }, [current]);
  return html`<nav class="tabs" ref=${bar} aria-label=${label}>${tabs.map(([name, title, link, note]) => html`<a key=${name} href=${link}
    aria-current=${name === current ? "page" : null}>${title}${note ? html` <span class="note">${note}</span>` : null}</a>`)}</nav>`;
}

/** A choice of one value; `options` are texts, or pairs of value and text. */
export function Choice({label, value, options, onChoose}) {
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  return html`<label class="field"><span>${label}</span><select value=${value}
    onChange=${(event) => onChoose(event.currentTarget.value)}>${pairs.map(([key, title]) => html`<option key=${key}
    value=${key} selected=${key === value}>${title}</option>`)}</select></label>`;
}

/** A text that is used when Enter is pressed or the field is left; `onTyping` hears whether there is one not used yet. */
export function TextField({label, value, placeholder, hint, onChoose, onTyping}) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  const isTyping = typed.trim() !== value;
  useEffect(() => onTyping?.(isTyping), [isTyping]);
  const use = () => isTyping && onChoose(typed.trim());
  return html`<form class="field wide" role="search" onSubmit=${(event) => {
    event.preventDefault();
    use();
  }}><label><span>${label}</span><input type="text" value=${typed} placeholder=${placeholder} spellcheck=${false}
    autocomplete="off" autocapitalize="off" onInput=${(event) => setTyped(event.currentTarget.value)} onBlur=${use}/></label>
    ${isTyping && html`<button class="apply">Apply</button>`}
    ${hint && html`<small class="soft">${hint}</small>`}</form>`;
}

/** The head of a column that sorts the table by it; `next(descending)` is called with the order that is wanted. */
export function SortHead({title, hint, isNumber, isMetric, isSorted, descending, onSort}) {
  const order = isSorted ? (descending ? "descending" : "ascending") : null;
  // Of a metric one wants to see the largest first.
  const next = isSorted ? (descending ? "" : "1") : isMetric ? "1" : "";
  return html`<th scope="col" class=${isNumber ? "n" : ""} aria-sort=${order}><button type="button" class="sort" title=${hint}
    onClick=${() => onSort(next)}>${title}<span class="order" aria-hidden="true">${isSorted ? (descending ? "↓" : "↑") : "↕"}</span></button></th>`;
}

/** A command line with a button that copies it. */
export function Command({what, command}) {
  const [copied, setCopied] = useState(false);
  const line = useRef(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(command);
      setCopied(true);
      setTimeout(() => setCopied(false), 2000);
    } catch {
      // Over plain http from another host there is no clipboard: the line is marked, and Ctrl-C copies it.
      getSelection().selectAllChildren(line.current);
    }
  };
  return html`<div class="command">${what && html`<span class="what soft">${what}</span>`}
    <code ref=${line} tabindex="0">${command}</code>
    <button type="button" onClick=${copy} aria-label=${`Copy: ${command}`}>${copied ? "Copied" : "Copy"}</button></div>`;
}

/** Rows of plain values; `isNumber` says of a column whether it is set to the right, `head` what stands above it. */
export function PlainTable({label, columns, rows, isNumber = () => false, tall, head, cell = (value) => value}) {
  return html`<${Scroll} label=${label} tall=${tall}><table><thead><tr>${columns.map((name, index) => (head ? head(name, index)
    : html`<th key=${index} scope="col" class=${isNumber(index) ? "n" : ""}>${name}</th>`))}</tr></thead><tbody>${rows.map((row, place) => html`<tr
    key=${place}>${row.map((value, index) => html`<td key=${index} class=${isNumber(index) ? "n" : ""}>${cell(value, index, row)}
    </td>`)}</tr>`)}</tbody></table><//>`;
}
