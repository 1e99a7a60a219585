// Learning curves, which grow while jobs run.

import {html, useRef} from "./vendor/preact-htm.js";
import {Chart, Key, axis, seriesLine, tooltip} from "./chart.js";
import {metric as metricText, number, plural} from "./format.js";

const TOLD = 12;

/** A colour for each curve, which it keeps while others come and go. */
function usePlaces(curves) {
  const kept = useRef(new Map());
  const old = kept.current;
  const stay = new Map(curves.filter(({id}) => old.has(id)).map(({id}) => [id, old.get(id)]));
  const taken = new Set(stay.values());
  let free = 0;
  for (const {id} of curves) {
    if (stay.has(id)) continue;
    while (taken.has(free)) free += 1;
    taken.add(free);
    stay.set(id, free);
  }
  kept.current = stay;
  return curves.map(({id}) => stay.get(id));
}

function option(palette, metric, curves, places) {
  const series = curves.map((curve, place) => {
    const line = seriesLine(palette, places[place]);
    const last = curve.points.length - 1;
    return {
      id: curve.id, name: curve.label, type: "line", showSymbol: curve.running || last === 0, lineStyle: {width: 2, ...line},
      itemStyle: {color: palette.card, borderColor: line.color, borderWidth: 2}, emphasis: {focus: "series"}, symbol: "circle",
      // A job that runs has an open end.
      symbolSize: (_, item) => (item.dataIndex === last ? 9 : 0), data: curve.points,
    };
  });
  return {
    xAxis: axis(palette, "epoch or step", {minInterval: 1, min: "dataMin", max: "dataMax", splitLine: {show: false}}),
    yAxis: axis(palette, ""),
    tooltip: {
      trigger: "axis",
      formatter: (items) => tooltip(`${metric}, ${number(items[0].axisValue)}`, tooltipLines(items)),
    },
    series,
  };
}

/** The values at one step, the largest first, as many as are easily read. */
function tooltipLines(items) {
  const lines = [...items].sort((one, two) => two.value[1] - one.value[1]).map((item) => `${metricText(item.value[1])}  ${item.seriesName}`);
  return lines.length > TOLD ? [...lines.slice(0, TOLD), `and ${lines.length - TOLD} more`] : lines;
}

function table(curves) {
  const steps = [...new Set(curves.flatMap((curve) => curve.points.map(([step]) => step)))].sort((a, b) => a - b);
  const values = curves.map((curve) => new Map(curve.points));
  return {
    columns: ["step", ...curves.map((curve) => curve.label)],
    rows: steps.map((step) => [step, ...values.map((found) => found.get(step) ?? null)]),
  };
}

/** One chart of one metric. `link(id)` is the address of a job, where the list of lines leads. */
export function Curves({metric, curves, link, caption, height}) {
  const places = usePlaces(curves);
  return html`<div class="curves"><${Chart} title=${metric} caption=${caption} height=${height} data=${[metric, curves, places]}
    build=${(palette) => option(palette, metric, curves, places)} table=${() => table(curves)} />
    ${link && html`<${Lines} curves=${curves} places=${places} link=${link} />`}</div>`;
}

/** The lines with their last values. What all have in common is told once. */
function Lines({curves, places, link}) {
  const parts = curves.map((curve) => curve.label.split(", "));
  const common = curves.length > 1 ? parts[0].filter((part) => parts.every((own) => own.includes(part))) : [];
  const own = (place) => parts[place].filter((part) => !common.includes(part)).join(", ") || curves[place].label;
  return html`${common.length > 0 && html`<p class="small soft">All of them: ${common.join(", ")}.</p>`}
    <ul class="legend lines" aria-label="Lines">${curves.map((curve, place) => html`<li key=${curve.id}><${Key} place=${places[place]} />
      <a href=${link(curve.id, curve)} title=${curve.label}>${own(place)}</a> <b>${curve.points.length ? number(curve.points.at(-1)[1]) : ""}</b>
      ${curve.jobs > 1 && html` <span class="soft">${plural(curve.jobs, "job")}</span>`}
      ${curve.running && html` <span class="running" title="running"><span aria-hidden="true">▶</span> running</span>`}</li>`)}</ul>`;
}
