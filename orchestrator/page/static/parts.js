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

export function StateCounts({states}) {
  return html`<ul class="states">${STATES.filter((state) => states[state]).map((state) => html`<li key=${state} class=${state}>
    <span aria-hidden="true">${SIGNS[state]}</span> <b>${count(states[state])}</b> ${state}</li>`)}</ul>`;
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

/** A text that is used when Enter is pressed or the field is left. */
export function TextField({label, value, placeholder, hint, onChoose}) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  const use = () => typed.trim() !== value && onChoose(typed.trim());
  return html`<form class="field wide" role="search" onSubmit=${(event) => {
    event.preventDefault();
    use();
  }}><label><span>${label}</span><input type="text" value=${typed} placeholder=${placeholder} spellcheck=${false}
    autocomplete="off" autocapitalize="off" onInput=${(event) => setTyped(event.currentTarget.value)} onBlur=${use}/></label>
    ${hint && html`<small class="soft">${hint}</small>`}</form>`;
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

/** Rows of plain values; `isNumber` says of a column whether it is set to the right. */
export function PlainTable({label, columns, rows, isNumber = () => false, tall, cell = (value) => value}) {
  return html`<${Scroll} label=${label} tall=${tall}><table><thead><tr>${columns.map((name, index) => html`<th key=${index}
    scope="col" class=${isNumber(index) ? "n" : ""}>${name}</th>`)}</tr></thead><tbody>${rows.map((row, place) => html`<tr
    key=${place}>${row.map((value, index) => html`<td key=${index} class=${isNumber(index) ? "n" : ""}>${cell(value, index, row)}
    </td>`)}</tr>`)}</tbody></table><//>`;
}
