// One study: its tabs, and what it is doing.

import {html, useEffect, useRef} from "./vendor/preact-htm.js";
import {studyPath, useApi} from "./api.js";
import {address} from "./routes.js";
import {axes, count, counts, duration, number, plural, shortId, text, total} from "./format.js";
import {Answer, Command, Empty, Loading, PlainTable, Scroll, StateBar, StateCounts, Tabs} from "./parts.js";
import {CurvesTab} from "./study_curves.js";
import {EvaluationTab} from "./evaluation.js";
import {SettingsTab} from "./settings.js";
import {JobsTab} from "./jobs.js";

const SHOWN_IDS = 12;

export function StudyView({route, study}) {
  const answer = useApi(studyPath(study));
  const current = route.parts[2] || "overview";
  const link = (tab) => address(["studies", study, ...(tab ? [tab] : [])]);
  const failed = answer.data ? answer.data.failures.reduce((sum, group) => sum + group.count, 0) : 0;
  const tabs = [
    ["overview", "Overview", link("")], ["curves", "Learning curves", link("curves")], ["settings", "Settings", link("settings")],
    ["evaluation", "Evaluation", link("evaluation")], ["failures", "Failures", link("failures"), failed ? count(failed) : ""],
    ["jobs", "Jobs", link("jobs"), answer.data ? count(total(answer.data.states)) : ""],
  ];
  return html`<h1>${study}</h1><${Answer} answer=${answer}>${(data) => html`
    ${data.problem && html`<p class="problem" role="alert">${data.problem}</p>`}
    <${StateCounts} states=${data.states} />
    <${Tabs} label="Parts of the study" tabs=${tabs} current=${current} />
    <${Tab} current=${current} route=${route} study=${study} data=${data} />`}<//>`;
}

function Tab({current, route, study, data}) {
  if (current === "curves") return html`<${CurvesTab} route=${route} study=${study} />`;
  if (current === "settings") return html`<${SettingsTab} route=${route} study=${study} data=${data} />`;
  if (current === "evaluation") return html`<${EvaluationTab} route=${route} study=${study} />`;
  if (current === "failures") return html`<${Failures} study=${study} data=${data} />`;
  if (current === "jobs") return html`<${JobsTab} route=${route} study=${study} data=${data} />`;
  return html`<${Overview} study=${study} data=${data} />`;
}

function Overview({study, data}) {
  return html`
    <section aria-labelledby="progress"><h2 id="progress">Progress</h2><p class="end">${endText(data)}</p>
      <${Stages} stages=${data.stages} />
      ${data.queue.length > 0 && html`<h3>Why jobs wait</h3><ul class="queue">${data.queue.map((line) => html`<li key=${line}>${line}</li>`)}</ul>`}
      ${data.notes.length > 0 && html`<ul class="queue soft">${data.notes.map((line) => html`<li key=${line}>${line}</li>`)}</ul>`}
    </section>
    ${data.running.length > 0 && html`<section aria-labelledby="running"><h2 id="running">Running now</h2>
      <${Running} study=${study} running=${data.running} /></section>`}
    <section aria-labelledby="results"><h2 id="results">Results</h2><${Headline} headline=${data.headline} isPending=${data.headline_pending} /></section>
    ${data.failures.length > 0 && html`<section aria-labelledby="failed"><h2 id="failed">Failures</h2><ul class="failures">
      ${data.failures.slice(0, 3).map((group) => html`<li key=${group.reason}><b>${plural(group.count, "job")}</b> ${group.reason}${group.place && html`<br /><span class="soft">all with ${group.place}</span>`}</li>`)}</ul>
      <p><a href=${address(["studies", study, "failures"])}>All failures with the ends of their logs</a></p></section>`}
    <section aria-labelledby="commands"><h2 id="commands">In the terminal</h2><${Commands} commands=${data.commands} /></section>`;
}

function endText(data) {
  const active = (data.states.running || 0) + (data.states.submitted || 0);
  const elapsed = data.elapsed_s ? `; ${active ? "it has run for" : "it took"} ${duration(data.elapsed_s)}` : "";
  if (data.eta_s !== null && data.eta_s !== undefined) return `Expected to end in about ${duration(data.eta_s)}${elapsed}.`;
  if (active) return `When it will end is not known yet: no job like those that run is done${elapsed}.`;
  if (data.states.waiting) return `Nothing runs now, and ${plural(data.states.waiting, "job")} would run after seedfold resume${elapsed}.`;
  return `No job is running or waiting${elapsed}.`;
}

function Stages({stages}) {
  return html`<${Scroll} label="Stages"><table class="stages"><thead><tr><th scope="col">stage</th><th scope="col">states</th>
    <th scope="col" class="n">done</th></tr></thead><tbody>${stages.map((stage) => html`<tr key=${stage.stage}>
    <th scope="row">${stage.stage}</th><td class="states-cell"><${StateBar} states=${stage.states} />
    <span class="small soft">${counts(stage.states)}</span></td><td class="n">${count(stage.done)} of ${count(stage.jobs)}</td></tr>`)}
    </tbody></table><//>`;
}

function Running({study, running}) {
  return html`<${Scroll} label="Running jobs" tall=${running.length > 12}><table><thead><tr><th scope="col">job</th><th scope="col">epoch</th>
    <th scope="col" class="n">metric</th><th scope="col">left</th><th scope="col">host</th></tr></thead><tbody>
    ${running.map((job) => html`<${RunningRow} key=${job.id} study=${study} job=${job} />`)}</tbody></table><//>`;
}

function RunningRow({study, job}) {
  return html`<tr><th scope="row"><a href=${address(["studies", study, "jobs", job.id])}>${axes(job.axes) || shortId(job.id)}</a></th>
    <td>${job.epoch === null ? html`<span class="soft">not told</span>` : html`<${Epochs} epoch=${job.epoch} epochs=${job.epochs} />`}</td>
    <td class="n">${job.metric ? html`<span class="soft">${job.metric}</span> ${number(job.value)}<${Trend} job=${job} />` : ""}</td>
    <td>${job.left_s === null || job.left_s === undefined ? "" : `about ${duration(job.left_s)}`}</td><td>${job.host || ""}</td></tr>`;
}

function Epochs({epoch, epochs}) {
  return html`${epochs ? html`<progress value=${epoch} max=${epochs} aria-label=${`epoch ${epoch} of ${epochs}`}></progress> ` : null}
    <span class="nowrap">${epochs ? `${count(epoch)} of ${count(epochs)}` : `${count(epoch)} done`}</span>`;
}

/** Whether the metric went up or down: since the value before, or, where that is not told, since the page last looked. */
function Trend({job}) {
  const seen = useRef({value: job.value, before: job.value});
  useEffect(() => {
    if (seen.current.value !== job.value) seen.current = {value: job.value, before: seen.current.value};
  });
  const before = job.previous ?? (seen.current.value === job.value ? seen.current.before : seen.current.value);
  if (before === null || job.value === null || before === job.value) return null;
  return job.value > before ? html` <span title="went up">↑</span>` : html` <span title="went down">↓</span>`;
}

function Headline({headline, isPending}) {
  if (!headline && isPending) return html`<${Loading} />`;
  if (!headline || headline.rows.length === 0) {
    return html`<${Empty}>No job has published a metric yet: neither predictions with known targets, nor values that it returned or logged.<//>`;
  }
  const isNumber = (index) => headline.columns[index].kind === "metric" || headline.columns[index].key === "jobs";
  return html`${headline.caption && html`<p class="small soft">${headline.caption}</p>`}
    <${PlainTable} label="Results" columns=${headline.columns.map(({name}) => name.replaceAll("_", " "))} rows=${headline.rows}
      tall=${headline.rows.length > 25} isNumber=${isNumber}
      cell=${(value, index) => (headline.columns[index].kind === "metric" ? html`<${MetricCell} cell=${value} />` : value === null ? "" : text(value))} />`;
}

function MetricCell({cell}) {
  if (cell === null) return null;
  return cell.best ? html`<b class="best">${cell.text} <span title="best">★</span></b>` : cell.text;
}

function Failures({study, data: {failures, commands}}) {
  const again = commands.find(({command}) => command.startsWith("seedfold resume "));
  if (failures.length === 0) return html`<${Empty}>No job has failed.<//>`;
  return html`<section class="failures"><h2 class="hidden">Failures</h2>${failures.map((group, place) => html`<details
    key=${group.reason} open=${place === 0}><summary><b>${plural(group.count, "job")}</b> ${group.reason}</summary>
    ${group.place && html`<p>All with <code>${group.place}</code></p>`}
    <ul class="list">${group.jobs.slice(0, SHOWN_IDS).map((id) => html`<li key=${id}><a
      href=${address(["studies", study, "jobs", id])}><code>${shortId(id)}</code></a></li>`)}
      ${group.jobs.length > SHOWN_IDS && html`<li class="soft">and ${count(group.count - SHOWN_IDS)} more</li>`}</ul>
    ${group.log_end ? html`<p class="small soft">The end of the log of the first of them:</p>
      <pre class="log" tabindex="0" aria-label="End of the log">${group.log_end}</pre>` : html`<${Empty}>It left no log.<//>`}</details>`)}
    ${again && html`<p class="small soft">When the reason is mended, run them again:</p><${Command} command=${again.command} />`}</section>`;
}

function Commands({commands}) {
  return html`<div class="commands">${commands.map(({does, command}) => html`<${Command} key=${command} what=${does} command=${command} />`)}</div>`;
}
