// What the predictions of a study are worth: ROC, precision and recall, confusion.

import {html} from "./vendor/preact-htm.js";
import {studyPath, useApi} from "./api.js";
import {choose} from "./routes.js";
import {count, metric, number} from "./format.js";
import {Answer, Choice, Empty, Scroll, TextField} from "./parts.js";
import {Chart, Key, axis, seriesLine, tooltip, upAxis} from "./chart.js";

const SHADES = 10;

export function EvaluationTab({route, study}) {
  const {where = "", split = ""} = route.chosen;
  const answer = useApi(studyPath(study, ["evaluation"], {where, split}));
  const splits = answer.data?.splits || [...new Set(["", "val", "test", split])];
  return html`<section aria-labelledby="evaluation"><h2 id="evaluation" class="hidden">Evaluation</h2>
    <div class="choices">
      <${Choice} label="split" value=${split || answer.data?.split || ""} options=${splits.map((name) => [name, name || "–"])} onChoose=${(value) => choose(route, {split: value})} />
      <${TextField} label="only jobs where" value=${where} placeholder="lr=0.1 seed<3" onChoose=${(value) => choose(route, {where: value})} />
    </div>
    <${Answer} answer=${answer}>${(data) => html`<${Evaluation} data=${data} />`}<//></section>`;
}

function Evaluation({data}) {
  const {roc = [], pr = [], confusions = [], note} = data;
  return html`${note && html`<${Empty}>${note}<//>`}
    <div class="figures">
      ${roc.length > 0 && html`<${Lines} title="ROC" lines=${roc} names=${["false positive rate", "true positive rate"]} area="AUC" diagonal />`}
      ${pr.length > 0 && html`<${Lines} title="Precision and recall" lines=${pr} names=${["recall", "precision"]} area="AP" />`}
      ${confusions.map((confusion) => html`<${Confusion} key=${confusion.label} confusion=${confusion} isOnly=${confusions.length === 1} />`)}
    </div>`;
}

function Lines({title, lines, names: [across, up], area, diagonal}) {
  const build = (palette) => ({
    grid: {left: 8, right: 18, top: 34, bottom: 30, containLabel: true},
    xAxis: axis(palette, across, {min: 0, max: 1}),
    yAxis: upAxis(palette, up, {min: 0, max: 1}),
    tooltip: {trigger: "item", formatter: (item) => tooltip(item.seriesName, [`${across} ${number(item.data[0])}`, `${up} ${number(item.data[1])}`])},
    series: [
      ...(diagonal ? [{id: "diagonal", name: "chance", type: "line", symbol: "none", silent: true, lineStyle: {color: palette.soft, width: 1, type: "dashed"}, data: [[0, 0], [1, 1]]}] : []),
      ...lines.map((line, place) => ({
        id: `line ${place}`, name: line.label, type: "line", symbol: "circle", symbolSize: 5, showSymbol: false, triggerLineEvent: true,
        lineStyle: {width: 2, type: seriesLine(palette, place).type}, itemStyle: {color: seriesLine(palette, place).color}, data: line.points,
      })),
    ],
  });
  const table = () => ({columns: ["line", across, up], rows: lines.flatMap((line) => line.points.map(([x, y]) => [line.label, x, y]))});
  return html`<div><${Chart} title=${title} data=${[lines, title]} build=${build} table=${table} height=${320} />
    <ul class="legend" aria-label="Lines">${lines.map((line, place) => html`<li key=${place}><${Key} place=${place} />${line.label}
      ${typeof line.auc === "number" && html` <b>${area} ${metric(line.auc)}</b>`}</li>`)}</ul></div>`;
}

/** A table, shaded by the share of each row: the numbers themselves are the text alternative. */
function Confusion({confusion: {label, labels, counts}, isOnly}) {
  const shade = (value, row) => {
    const sum = counts[row].reduce((one, two) => one + two, 0);
    return `shade-${sum ? Math.round((SHADES * value) / sum) : 0}`;
  };
  return html`<figure><h3>${isOnly ? "Confusion" : `Confusion, ${label}`}</h3><${Scroll} label="Confusion"><table class="confusion"><thead><tr><th scope="col">is</th>
    ${labels.map((label, place) => html`<th key=${place} scope="col" class="n">${label}</th>`)}</tr></thead><tbody>${counts.map((row, place) => html`<tr key=${place}>
    <th scope="row">${labels[place]}</th>${row.map((value, column) => html`<td key=${column} class=${`n ${shade(value, place)}${column === place ? " right" : ""}`}>${count(value)}</td>`)}</tr>`)}
    </tbody></table><//><figcaption>A row: what samples are; a column: as what they were predicted. A darker cell holds a larger share of its row.</figcaption></figure>`;
}
