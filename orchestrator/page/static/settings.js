// Which settings are good: a metric against an axis, all axes side by side, two metrics against each other.

import {html, useRef, useState} from "./vendor/preact-htm.js";
import {studyPath, useApi} from "./api.js";
import {address, choose} from "./routes.js";
import {count, metric as metricText, plural, shortId, text} from "./format.js";
import {Answer, Choice, Empty, PlainTable, TextField} from "./parts.js";
import {AgainstAxis, Parallel, Scatter} from "./settings_charts.js";

const LISTED = 50;

/** The points of an answer as objects, with the columns that tell them apart. */
function readPoints({columns, rows}) {
  const keys = columns.map((column) => column.key);
  const points = rows.map((row) => ({id: row[0], values: Object.fromEntries(keys.map((key, place) => [key, row[place]]))}));
  const varies = (key) => new Set(points.map((point) => JSON.stringify(point.values[key] ?? null))).size > 1;
  const ofKind = (kind) => columns.filter((column) => column.kind === kind).map((column) => column.key);
  const names = Object.fromEntries(columns.map((column) => [column.key, column.name.replaceAll("_", " ")]));
  return {points, name: (key) => names[key], axes: ofKind("axis").filter(varies), metrics: ofKind("metric").filter((key) => points.some((point) => typeof point.values[key] === "number"))};
}

export function SettingsTab({route, study, data}) {
  const stages = data.stages.map((stage) => stage.stage);
  const stage = route.chosen.stage || "";
  const {where = ""} = route.chosen;
  const answer = useApi(studyPath(study, ["points"], {stage, where}));
  return html`<section aria-labelledby="settings"><h2 id="settings" class="hidden">Settings</h2>
    <div class="choices"><${TextField} label="only jobs where" value=${where} placeholder="lr=0.1 seed<3" onChoose=${(value) => choose(route, {where: value})} />
      ${stages.length > 1 && html`<${Choice} label="stage" value=${stage || answer.data?.stage || ""} options=${stages}
      onChoose=${(value) => choose(route, {stage: value})} />`}</div>
    <${Answer} answer=${answer}>${(found) => html`<${Settings} route=${route} study=${study} found=${found} headline=${data.headline} />`}<//></section>`;
}

function Settings({route, study, found, headline}) {
  const known = readPoints(found);
  if (known.metrics.length === 0) return html`<${Empty}>No ${route.chosen.where ? "such " : ""}job has published a metric yet.<//>`;
  const {chosen} = route;
  // Over seeds and folds the headline table takes means: what is left are the settings that one compares.
  const compared = (headline?.columns || []).filter((column) => column.kind === "axis").map((column) => column.key);
  const metric = known.metrics.includes(chosen.metric) ? chosen.metric : known.metrics[0];
  const axis = known.axes.includes(chosen.axis) ? chosen.axis : known.axes.find((key) => compared.includes(key)) || known.axes[0];
  const by = known.axes.includes(chosen.by) && chosen.by !== axis ? chosen.by : "";
  const other = known.metrics.includes(chosen.other) ? chosen.other : known.metrics.find((name) => name !== metric);
  const named = (keys) => keys.map((key) => [key, known.name(key)]);
  return html`
    ${found.shown < found.total && html`<p class="small soft">${count(found.shown)} of ${plural(found.total, "job")} are drawn.</p>`}
    <div class="choices">
      <${Choice} label="metric" value=${metric} options=${known.metrics} onChoose=${(value) => choose(route, {metric: value})} />
      ${axis && html`<${Choice} label="against" value=${axis} options=${named(known.axes)} onChoose=${(value) => choose(route, {axis: value})} />
      <${Choice} label="a line for each" value=${by} options=${[["", "–"], ...named(known.axes.filter((key) => key !== axis))]}
        onChoose=${(value) => choose(route, {by: value})} />`}
    </div>
    ${axis ? html`<${AgainstAxis} known=${known} metric=${metric} axis=${axis} by=${by} />`
      : html`<${Empty}>All jobs have the same settings: there is no axis to compare.<//>`}
    ${axis && html`<${Brushed} key=${metric} study=${study} known=${known} metric=${metric} />`}
    ${other && html`<div class="choices"><${Choice} label="second metric" value=${other} options=${known.metrics.filter((name) => name !== metric)}
      onChoose=${(value) => choose(route, {other: value})} /></div>
      <${Scatter} known=${known} metrics=${[metric, other]} by=${by} onJob=${(id) => { location.hash = address(["studies", study, "jobs", id]); }} />`}`;
}

/** Parallel coordinates, and a list of the jobs that are brushed in it. While some are, it stands still. */
function Brushed({study, known: latest, metric}) {
  const [brushed, setBrushed] = useState(null);
  const drawn = useRef(null);
  if (brushed === null || drawn.current?.metric !== metric) drawn.current = {known: latest, metric};
  const {known} = drawn.current;
  const chosen = brushed && known.points.filter((point) => brushed.includes(point.id));
  return html`<${Parallel} known=${known} metric=${metric} onBrush=${setBrushed} />
    <div class="brushed" role="status">${chosen === null
      ? html`<p class="small soft">Drag along an axis to see the jobs that lie in that part; a click on the axis ends it. With the keyboard, use the table of jobs.</p>`
      : html`<p><b>${plural(chosen.length, "job")}</b> in the chosen part${chosen.length > LISTED ? `, of which the first ${LISTED} are listed` : ""}.
        ${chosen.length > 1 && chosen.length <= 8 && html` <a href=${address(["compare"], {jobs: chosen.map(({id}) => `${study}/${id}`).join(",")})}>Compare them</a>`}</p>
        ${chosen.length > 0 && html`<${PlainTable} label="Brushed jobs" tall=${chosen.length > 12} columns=${["job", metric, ...known.axes.map(known.name)]}
          isNumber=${(index) => index === 1} rows=${best(chosen, metric).slice(0, LISTED).map((point) => [point.id, point.values[metric], ...known.axes.map((key) => point.values[key])])}
          cell=${(value, index) => (index === 0 ? html`<a href=${address(["studies", study, "jobs", value])}><code>${shortId(value)}</code></a>`
            : index === 1 ? metricText(value) : text(value))} />`}`}</div>`;
}

function best(points, metric) {
  return [...points].sort((one, two) => (two.values[metric] ?? -Infinity) - (one.values[metric] ?? -Infinity));
}
