// The learning curves of a study's jobs.

import {html} from "./vendor/preact-htm.js";
import {studyPath, useApi} from "./api.js";
import {address, choose} from "./routes.js";
import {count} from "./format.js";
import {Answer, Choice, Empty, TextField} from "./parts.js";
import {Curves} from "./curves.js";

const LIMITS = ["10", "20", "50"];

export function CurvesTab({route, study}) {
  const {metric = "", where = "", limit = "20", mean = ""} = route.chosen;
  const answer = useApi(studyPath(study, ["curves"], {metric, where, limit, mean}));
  const repeated = (answer.data?.repeated || []).map((name) => name.replaceAll("_", " ")).join(" and ");
  const metrics = answer.data?.metrics || [];
  return html`<section aria-labelledby="curves"><h2 id="curves" class="hidden">Learning curves</h2>
    <div class="choices">
      ${metrics.length > 0 && html`<${Choice} label="metric" value=${metric || answer.data?.metric || ""} options=${metrics} onChoose=${(value) => choose(route, {metric: value})} />`}
      <${TextField} label="only jobs where" value=${where} placeholder="lr=0.1 seed<3" onChoose=${(value) => choose(route, {where: value})} />
      ${repeated && html`<${Choice} label="a line for each" value=${mean} options=${[["", "job"], ["1", `setting (mean over ${repeated})`]]} onChoose=${(value) => choose(route, {mean: value})} />`}
      <${Choice} label="at most" value=${limit} options=${LIMITS} onChoose=${(value) => choose(route, {limit: value})} />
    </div>
    <${Answer} answer=${answer}>${(data) => data.curves.length === 0
      ? html`<${Empty}>${where ? "No such job has learning curves so far." : "No job has learning curves so far. They come from metrics that a job logs with a step."}<//>`
      : html`<${Curves} metric=${data.metric} curves=${data.curves} height=${420} link=${(id, curve) => (curve.where === undefined ? address(["studies", study, "jobs", id]) : address(["studies", study, "jobs"], {where: curve.where}))}
          caption=${caption(data, mean)} />`}<//></section>`;
}

function caption({curves, total}, mean) {
  const part = total > curves.length ? `${count(curves.length)} of ${count(total)} ${mean ? "settings" : "jobs"}, those that run and those that ended last; a condition shows others. ` : "";
  return `${part}${curves.some((curve) => curve.running) ? "An open end: the job is running." : ""}`;
}
