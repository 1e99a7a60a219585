// One job.

import {html} from "./vendor/preact-htm.js";
import {studyPath, useApi} from "./api.js";
import {address, choose} from "./routes.js";
import {axes, metric, moment, number, plural, shortId, shortName, size, text} from "./format.js";
import {Answer, Command, Empty, PlainTable, State, Tabs, TextField} from "./parts.js";
import {Curves} from "./curves.js";
import {Log} from "./log.js";
import {Predictions} from "./predictions.js";

const TABS = [
  ["overview", "Overview"], ["curves", "Learning curves"], ["log", "Log"], ["configuration", "Configuration"], ["predictions", "Predictions"],
];

export function JobView({route, study, id}) {
  const answer = useApi(studyPath(study, ["jobs", id]));
  const current = route.parts[4] || "overview";
  const link = (tab) => address(["studies", study, "jobs", id, ...(tab === "overview" ? [] : [tab])]);
  return html`<${Answer} answer=${answer}>${(job) => html`
    <h1 class="job">${axes(job.axes) || shortId(job.id)}</h1>
    <p class="facts"><${State} state=${job.state} /> <span class="soft">${job.stage} · <code title=${job.id}>${shortId(job.id)}</code></span></p>
    ${job.reason && html`<p class="problem">${job.reason}</p>`}
    <${Tabs} label="Parts of the job" current=${current} tabs=${TABS.map(([name, title]) => [name, title, link(name)])} />
    <${Tab} current=${current} route=${route} study=${study} job=${job} />`}<//>`;
}

function Tab({current, route, study, job}) {
  if (current === "curves") return html`<${JobCurves} study=${study} job=${job} />`;
  if (current === "log") return html`<${Log} route=${route} study=${study} id=${job.id} />`;
  if (current === "configuration") return html`<${Configuration} route=${route} study=${study} job=${job} />`;
  if (current === "predictions") return html`<${Predictions} route=${route} study=${study} id=${job.id} isDone=${job.state === "done"} />`;
  return html`<${Overview} job=${job} curves=${address(["studies", study, "jobs", job.id, "curves"])} />`;
}

function Overview({job, curves}) {
  const metrics = Object.entries(job.metrics || {});
  return html`
    <section><h2>Settings</h2><dl>${Object.entries(job.axes).map(([key, value]) => html`<dt key=${key} title=${key}>${shortName(key)}</dt><dd>${text(value)}</dd>`)}</dl>
      ${Object.keys(job.axes).length === 0 && html`<${Empty}>This job has no axis.<//>`}</section>
    <section><h2>Metrics</h2>${metrics.length
      ? html`<${PlainTable} label="Metrics" columns=${["metric", "value"]} rows=${metrics} isNumber=${(index) => index === 1} cell=${(value, index) => (index === 1 ? metric(value) : value)} />`
      : html`<${Empty}>It has published no metric${job.state === "done" ? "" : " so far"}.${job.state === "running" && html` Its <a href=${curves}>learning curves</a> show what it has logged.`}<//>`}</section>
    <section><h2>Attempts</h2><${Attempts} attempts=${job.attempts} /></section>
    <section><h2>Files</h2>${job.files.length
      ? html`<${PlainTable} label="Files" tall=${job.files.length > 15} columns=${["file", "size"]} rows=${job.files.map((file) => [file.path, file.bytes])} isNumber=${(index) => index === 1}
          cell=${(value, index) => (index === 1 ? size(value) : html`<code>${value}</code>`)} />` : html`<${Empty}>There are no files${job.state === "done" ? "" : " so far"}.<//>`}</section>
    <section><h2>In the terminal</h2>${job.repeat.length ? html`<div class="commands">${job.repeat.map(({does, command}) => html`<${Command} key=${command} what=${does} command=${command} />`)}</div>`
      : html`<${Empty}>This job cannot be repeated by itself.<//>`}</section>`;
}

// The log has a tab of its own.
const UNSHOWN = ["log"];

function Attempts({attempts}) {
  if (attempts.length === 0) return html`<${Empty}>It has not begun yet.<//>`;
  const says = (key) => attempts.some((attempt) => attempt[key] !== null && attempt[key] !== undefined && attempt[key] !== "");
  const keys = [...new Set(attempts.flatMap((attempt) => Object.keys(attempt)))].filter((key) => !UNSHOWN.includes(key) && says(key));
  return html`<${PlainTable} label="Attempts" columns=${keys.map((key) => key.replace(/_bytes$/, "").replaceAll("_", " "))}
    rows=${attempts.map((attempt) => keys.map((key) => attempt[key]))} cell=${(value, index) => attemptCell(keys[index], value)} />`;
}

function attemptCell(key, value) {
  if (value === null || value === undefined) return "";
  if (key === "state") return html`<${State} state=${value} />`;
  if (key === "reason") return html`<span class="reason">${value}</span>`;
  if (typeof value !== "number") return text(value);
  if (key === "started" || key === "ended") return moment(value);
  return key.endsWith("_bytes") ? size(value) : number(value);
}

function JobCurves({study, job}) {
  const answer = useApi(studyPath(study, ["jobs", job.id, "curves"]));
  return html`<${Answer} answer=${answer}>${(data) => {
    const byMetric = data.curves.map((curve) => [curve.metric || curve.label, curve]);
    return byMetric.length === 0 ? html`<${Empty}>It has no learning curves${job.state === "done" ? ": it logged no metric with a step" : " so far"}.<//>`
      : html`<div class="figures">${byMetric.map(([metric, curve]) => html`<${Curves} key=${metric} metric=${metric} curves=${[curve]} height=${240} />`)}</div>`;
  }}<//>`;
}

function Configuration({route, study, job}) {
  const {other = ""} = route.chosen;
  return html`<section><h2>Difference to another job</h2>
    <div class="choices"><${TextField} label="other job" value=${other} placeholder="the beginning of its id" onChoose=${(value) => choose(route, {other: value})} /></div>
    ${other && html`<${Difference} study=${study} id=${job.id} other=${other} />`}</section>
    <section><h2>Configuration</h2><pre class="configuration" tabindex="0" aria-label="Configuration">${job.configuration}</pre></section>`;
}

function Difference({study, id, other}) {
  const answer = useApi(studyPath(study, ["jobs", id, "difference"], {other}));
  return html`<${Answer} answer=${answer}>${({rows}) => (rows.length === 0 ? html`<${Empty}>They have the same configuration.<//>`
    : html`<p class="small soft">${plural(rows.length, "setting")} differ${rows.length === 1 ? "s" : ""}.</p><${PlainTable} label="Difference" columns=${["setting", "this job", shortId(other)]}
      rows=${rows.map((row) => [row.key, row.this, row.other])} cell=${(value, index) => (index === 0 ? html`<code>${value}</code>` : text(value))} />`)}<//>`;
}
