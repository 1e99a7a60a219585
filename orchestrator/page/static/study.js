// One study: its tabs, and what it is doing.

import {html, useEffect, useRef, useState} from "./vendor/preact-htm.js";
import {studyPath, useApi} from "./api.js";
import {address} from "./routes.js";
import {clock, count, counts, duration, number, axes, plural, shortId, total} from "./format.js";
import {Answer, Command, Empty, Scroll, StateBar, StateCounts, Tabs} from "./parts.js";
import {Headline} from "./headline.js";
import {Failures} from "./failures.js";
import {CurvesTab} from "./study_curves.js";
import {EvaluationTab} from "./evaluation.js";
import {SettingsTab} from "./settings.js";
import {JobsTab} from "./jobs.js";
import {SearchTab} from "./search.js";

export function StudyView({route, study}) {
  const answer = useApi(studyPath(study));
  const current = route.parts[2] || "overview";
  // The condition goes along from tab to tab.
  const {where} = route.chosen;
  const link = (tab) => address(["studies", study, ...(tab ? [tab] : [])], ["", "failures"].includes(tab) ? {} : {where});
  const failed = answer.data ? answer.data.failures.reduce((sum, group) => sum + group.count, 0) : 0;
  const tabs = [
    ["overview", "Overview", link("")], ...(answer.data?.has_search ? [["search", "Search", link("search")]] : []), ["curves", "Learning curves", link("curves")], ["settings", "Settings", link("settings")],
    ["evaluation", "Evaluation", link("evaluation")], ["failures", "Failures", link("failures"), failed ? count(failed) : ""],
    ["jobs", "Jobs", link("jobs"), answer.data ? count(total(answer.data.states)) : ""],
  ];
  return html`<h1>${study}</h1><${Answer} answer=${answer}>${(data) => html`
    ${data.problem && html`<p class="problem" role="alert">${data.problem}</p>`}
    <${StateCounts} states=${data.states} link=${(state) => address(["studies", study, "jobs"], {state})} />
    <${Tabs} label="Parts of the study" tabs=${tabs} current=${current} />
    <${Tab} current=${current} route=${route} study=${study} data=${data} />`}<//>`;
}

function Tab({current, route, study, data}) {
  if (current === "search") return html`<${SearchTab} study=${study} />`;
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
      ${data.failures.slice(0, 3).map((group) => html`<li key=${group.reason}><b>${plural(group.count, "job")}</b> ${group.reason}
        ${group.condition && html` <span class="soft">(all with ${group.condition})</span>`}</li>`)}</ul>
      <p><a href=${address(["studies", study, "failures"])}>All failures with the ends of their logs</a></p></section>`}
    <section aria-labelledby="commands"><h2 id="commands">In the terminal</h2><${Commands} commands=${data.commands} /></section>`;
}

function endText(data) {
  const active = (data.states.running || 0) + (data.states.submitted || 0);
  const elapsed = data.elapsed_s ? `; ${active ? "it has run for" : "it took"} ${duration(data.elapsed_s)}` : "";
  if (data.eta_s !== null && data.eta_s !== undefined) return `Expected to end in about ${duration(data.eta_s)}, at ${clock(data.eta_s)}${elapsed}.`;
  if (active) return `When it will end is not known yet: no job like those that run is done${elapsed}.`;
  if (data.states.waiting) return `Nothing runs now; ${plural(data.states.waiting, "job")} ${data.states.waiting === 1 ? "waits" : "wait"} to be started${elapsed}.`;
  return `No job is running or waiting${elapsed}.`;
}

function Stages({stages}) {
  return html`<${Scroll} label="Stages"><table class="stages"><thead><tr><th scope="col">stage</th><th scope="col">states</th>
    <th scope="col" class="n">done</th></tr></thead><tbody>${stages.map((stage) => html`<tr key=${stage.stage}>
    <th scope="row">${stage.stage}</th><td class="states-cell"><${StateBar} states=${stage.states} />
    <span class="small soft">${counts(stage.states)}</span></td><td class="n">${count(stage.done)} of ${count(stage.jobs)}</td></tr>`)}
    </tbody></table><//>`;
}

/** What is known of running jobs; a column of which no job tells anything is left out. */
function Running({study, running}) {
  const shown = {epoch: running.some((job) => job.epoch !== null), left: running.some((job) => typeof job.left_s === "number")};
  return html`<${Scroll} label="Running jobs" tall=${running.length > 12}><table><thead><tr><th scope="col">job</th>${shown.epoch && html`<th scope="col">epoch</th>`}
    <th scope="col" class="n">metric</th><th scope="col">for</th>${shown.left && html`<th scope="col">left</th>`}<th scope="col">host</th></tr></thead><tbody>
    ${running.map((job) => html`<${RunningRow} key=${job.id} study=${study} job=${job} shown=${shown} />`)}</tbody></table><//>`;
}

function RunningRow({study, job, shown}) {
  return html`<tr><th scope="row"><a href=${address(["studies", study, "jobs", job.id])}>${axes(job.axes) || shortId(job.id)}</a></th>
    ${shown.epoch && html`<td>${job.epoch === null ? html`<span class="soft">not told</span>` : html`<${Epochs} epoch=${job.epoch} epochs=${job.epochs} />`}</td>`}
    <td class="n">${job.metric ? html`<span class="soft">${job.metric}</span> ${number(job.value)}<${Trend} job=${job} />` : html`<span class="soft">none yet</span>`}</td>
    <td>${duration(job.elapsed_s)}</td>${shown.left && html`<td>${typeof job.left_s === "number" ? `about ${duration(job.left_s)}` : ""}</td>`}<td>${job.host || ""}</td></tr>`;
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
  if (before === null || job.value === null || before === job.value) return html`<span class="trend" aria-hidden="true"></span>`;
  return job.value > before ? html`<span class="trend" title="went up">↑</span>` : html`<span class="trend" title="went down">↓</span>`;
}

function Commands({commands}) {
  return html`<div class="commands">${commands.map(({does, command}) => html`<${Command} key=${command} what=${does} command=${command} />`)}</div>`;
}
