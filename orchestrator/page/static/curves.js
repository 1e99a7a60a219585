// Learning curves, which grow while jobs run.

import {html} from "./vendor/preact-htm.js";
import {Chart, Key, axis, seriesLine, tooltip} from "./chart.js";
import {number} from "./format.js";

function option(palette, metric, curves) {
  const series = curves.map((curve, place) => {
    const line = seriesLine(palette, place);
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
      trigger: "axis", order: "valueDesc",
      formatter: (items) => tooltip(`${metric}, ${items[0].axisValue}`, items.slice(0, 12).map((item) => `${number(item.value[1])}  ${item.seriesName}`)),
    },
    series,
  };
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
  return html`<div class="curves"><${Chart} title=${metric} caption=${caption} height=${height} data=${[metric, curves]}
    build=${(palette) => option(palette, metric, curves)} table=${() => table(curves)} />
    ${link && html`<ul class="legend" aria-label="Lines">${curves.map((curve, place) => html`<li key=${curve.id}><${Key} place=${place} />
      <a href=${link(curve.id)}>${curve.label}</a> <b>${curve.points.length ? number(curve.points.at(-1)[1]) : ""}</b>
      ${curve.running && html` <span class="running" title="running"><span aria-hidden="true">▶</span> running</span>`}</li>`)}</ul>`}</div>`;
}
