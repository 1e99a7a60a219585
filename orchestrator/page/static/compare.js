// Two or more jobs side by side.

import {html} from "./vendor/preact-htm.js";
import {useApi} from "./api.js";
import {address} from "./routes.js";
import {number, shortId, text} from "./format.js";
import {Answer, Empty, Scroll} from "./parts.js";

export function CompareView({route}) {
  const jobs = route.chosen.jobs || "";
  const answer = useApi(jobs ? `/api/compare?${new URLSearchParams({jobs})}` : null);
  return html`<h1>Comparison of jobs</h1>${jobs ? html`<${Answer} answer=${answer}>${(data) => html`<${Comparison} names=${jobs.split(",")} data=${data} />`}<//>`
    : html`<${Empty}>Select two or more jobs in the table of jobs of a study.<//>`}`;
}

function Comparison({names, data}) {
  return html`<section aria-labelledby="metrics"><h2 id="metrics">Metrics</h2><${Side} label="Metrics" names=${names} rows=${data.metrics} isMetric empty="None of them has published a metric so far." /></section>
    <section aria-labelledby="configuration"><h2 id="configuration">Settings that differ</h2>
      <${Side} label="Settings" names=${names} rows=${data.configuration} empty="They have the same configuration." /></section>`;
}

function Side({label, names, rows, isMetric, empty}) {
  if (rows.length === 0) return html`<${Empty}>${empty}<//>`;
  return html`<${Scroll} label=${label} tall=${rows.length > 25}><table><thead><tr><th scope="col">${isMetric ? "metric" : "setting"}</th>
    ${names.map((name) => html`<th key=${name} scope="col" class=${isMetric ? "n" : ""}><${Name} name=${name} names=${names} /></th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.key}><th scope="row">${isMetric ? row.key.replaceAll("_", " ") : html`<code>${row.key}</code>`}</th>
      ${row.values.map((value, place) => html`<td key=${place} class=${isMetric ? "n" : "value"}>${isMetric ? number(value) : text(value)}</td>`)}</tr>`)}</tbody></table><//>`;
}

/** A job by the beginning of its id, and by its study where there are several. */
function Name({name, names}) {
  const [study, id] = name.split("/");
  const several = new Set(names.map((each) => each.split("/")[0])).size > 1;
  return html`${several && html`<small>${study}</small><br />`}<a href=${address(["studies", study, "jobs", id])}><code>${shortId(id)}</code></a>`;
}
