// Two or more jobs side by side.

import {html, useState} from "./vendor/preact-htm.js";
import {useApi} from "./api.js";
import {address} from "./routes.js";
import {metric, number, shortId, text} from "./format.js";
import {Answer, Choice, Empty, Scroll, State} from "./parts.js";
import {Curves} from "./curves.js";

export function CompareView({route}) {
  const jobs = route.chosen.jobs || "";
  const answer = useApi(jobs ? `/api/compare?${new URLSearchParams({jobs})}` : null);
  return html`<h1>Comparison of jobs</h1>${jobs ? html`<${Answer} answer=${answer}>${(data) => html`<${Comparison} data=${data} />`}<//>`
    : html`<${Empty}>Select two or more jobs in the table of jobs of a study.<//>`}`;
}

function Comparison({data}) {
  const {jobs, curves} = data;
  const [chosen, setChosen] = useState("");
  const shown = curves.find((each) => each.metric === chosen) || curves[0];
  const studyOf = Object.fromEntries(jobs.map((job) => [job.id, job.study]));
  return html`<section aria-labelledby="metrics"><h2 id="metrics">Metrics</h2><${Side} label="Metrics" jobs=${jobs} rows=${data.metrics} isMetric empty="None of them has published a metric so far." /></section>
    ${shown && html`<section aria-labelledby="curves"><h2 id="curves">Learning curves</h2>
      ${curves.length > 1 && html`<div class="choices"><${Choice} label="metric" value=${shown.metric} options=${curves.map((each) => each.metric)} onChoose=${setChosen} /></div>`}
      <${Curves} metric=${shown.metric} curves=${shown.curves} height=${320} link=${(id) => address(["studies", studyOf[id], "jobs", id])} /></section>`}
    <section aria-labelledby="configuration"><h2 id="configuration">Settings that differ</h2>
      <${Side} label="Settings" jobs=${jobs} rows=${settingsFirst(data.configuration)} empty="They have the same configuration." /></section>`;
}

/** Plain values before long ones, such as a command that repeats them. */
function settingsFirst(rows) {
  const isLong = (row) => row.values.some((value) => value !== null && typeof value === "object");
  return [...rows.filter((row) => !isLong(row)), ...rows.filter(isLong)];
}

function Side({label, jobs, rows, isMetric, empty}) {
  if (rows.length === 0) return html`<${Empty}>${empty}<//>`;
  const isPair = isMetric && jobs.length === 2;
  return html`<${Scroll} label=${label} tall=${rows.length > 25}><table class="sides"><thead><tr><th scope="col">${isMetric ? "metric" : "setting"}</th>
    ${jobs.map((job) => html`<th key=${job.id} scope="col" class=${isMetric ? "n" : ""}><${Name} job=${job} jobs=${jobs} /></th>`)}
    ${isPair && html`<th scope="col" class="n">second − first</th>`}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.key}><th scope="row">${isMetric ? row.key : html`<code>${row.key}</code>${row.counts ? "" : html` <small class="soft">does not change results</small>`}`}</th>
      ${row.values.map((value, place) => html`<td key=${place} class=${isMetric ? "n" : "whole"}>${isMetric ? metric(value) : text(value)}</td>`)}
      ${isPair && html`<td class="n">${difference(row.values)}</td>`}</tr>`)}</tbody></table><//>`;
}

function difference([first, second]) {
  if (typeof first !== "number" || typeof second !== "number") return "";
  return `${second > first ? "+" : ""}${number(second - first)}`;
}

/** A job by its settings and the beginning of its id, and by its study where there are several. */
function Name({job, jobs}) {
  const several = jobs.some((each) => each.study !== job.study);
  return html`${several && html`<small>${job.study}</small><br />`}<a class="settings" href=${address(["studies", job.study, "jobs", job.id])}>${job.label.split(", ").map((part) => html`<span key=${part}>${part}</span>`)}</a>
    <small><${State} state=${job.state} /> <code>${shortId(job.id)}</code></small>`;
}
