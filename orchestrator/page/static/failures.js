// Why jobs failed: equal failures are one group, with the settings that fail so.

import {html} from "./vendor/preact-htm.js";
import {address} from "./routes.js";
import {axes, count, plural, shortId, text} from "./format.js";
import {Command, Empty} from "./parts.js";

const SHOWN = 12;

export function Failures({study, data: {failures}}) {
  if (failures.length === 0) return html`<${Empty}>No job has failed.<//>`;
  return html`<section class="failures"><h2 class="hidden">Failures</h2>
    <p><a href=${address(["studies", study, "jobs"], {state: "failed"})}>All failed jobs as a table</a></p>
    ${failures.map((group, place) => html`<${Group} key=${group.reason} study=${study} group=${group} isOpen=${place === 0} />`)}</section>`;
}

function Group({study, group, isOpen}) {
  return html`<details open=${isOpen}><summary><b>${plural(group.count, "job")}</b> ${group.reason}</summary>
    <p>${which(group)}</p>
    <ul class="list">${group.jobs.slice(0, SHOWN).map((id, place) => html`<li key=${id}><a
      href=${address(["studies", study, "jobs", id])} title=${shortId(id)}>${axes(group.axes[place]) || shortId(id)}</a></li>`)}
      ${group.count > SHOWN && html`<li class="soft">and ${count(group.count - SHOWN)} more</li>`}</ul>
    ${group.log_end ? html`<p class="small soft">The end of the log of the first of them:</p>
      <pre class="log" tabindex="0" aria-label="End of the log">${group.log_end}</pre>` : html`<${Empty}>It left no log.<//>`}
    ${group.command && html`<p class="small soft">When the reason is mended, run ${group.count === 1 ? "it" : "them"} again:</p><${Command} command=${group.command} />`}</details>`;
}

/** Which settings fail so. */
function which({condition, settings}) {
  if (condition) return html`Every job with <b>${condition}</b> that has ended failed so, and no other.`;
  if (settings.length === 0) return "They have many different settings.";
  return html`Their settings: ${settings.map(({key, name, values}, place) => html`${place > 0 && ", "}<span key=${key}><b>${name.replaceAll("_", " ")}=${values.map(text).join(",")}</b></span>`)}. Other jobs that have some of these values are done.`;
}
