// Two or more jobs side by side.

import {html} from "./vendor/preact-htm.js";
import {useApi} from "./api.js";
import {address} from "./routes.js";
import {metric, shortId, text} from "./format.js";
import {Answer, Empty, Scroll, State} from "./parts.js";

export function CompareView({route}) {
  const jobs = route.chosen.jobs || "";
  const answer = useApi(jobs ? `/api/compare?${new URLSearchParams({jobs})}` : null);
  return html`<h1>Comparison of jobs</h1>${jobs ? html`<${Answer} answer=${answer}>${(data) => html`<${Comparison} data=${data} />`}<//>`
    : html`<${Empty}>Select two or more jobs in the table of jobs of a study.<//>`}`;
}

function Comparison({data}) {
  const {jobs} = data;
  return html`<section aria-labelledby="metrics"><h2 id="metrics">Metrics</h2><${Side} label="Metrics" jobs=${jobs} rows=${data.metrics} isMetric empty="None of them has published a metric so far." /></section>
    <section aria-labelledby="configuration"><h2 id="configuration">Settings that differ</h2>
      <${Side} label="Settings" jobs=${jobs} rows=${data.configuration} empty="They have the same configuration." /></section>`;
}

function Side({label, jobs, rows, isMetric, empty}) {
  if (rows.length === 0) return html`<${Empty}>${empty}<//>`;
  return html`<${Scroll} label=${label} tall=${rows.length > 25}><table><thead><tr><th scope="col">${isMetric ? "metric" : "setting"}</th>
    ${jobs.map((job) => html`<th key=${job.id} scope="col" class=${isMetric ? "n" : ""}><${Name} job=${job} jobs=${jobs} /></th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.key}><th scope="row">${isMetric ? row.key : html`<code>${row.key}</code>${row.counts ? "" : html` <small class="soft">does not change results</small>`}`}</th>
      ${row.values.map((value, place) => html`<td key=${place} class=${isMetric ? "n" : "value"}>${isMetric ? metric(value) : text(value)}</td>`)}</tr>`)}</tbody></table><//>`;
}

/** A job by the beginning of its id and its settings, and by its study where there are several. */
function Name({job, jobs}) {
  const several = jobs.some((each) => each.study !== job.study);
  return html`${several && html`<small>${job.study}</small><br />`}<a href=${address(["studies", job.study, "jobs", job.id])}><code>${shortId(job.id)}</code></a><br />
    <small><${State} state=${job.state} /></small>`;
}
