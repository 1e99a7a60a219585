// The search of a study: its best trials, how it went, which keys mattered, and its rungs.

import {html} from "./vendor/preact-htm.js";
import {studyPath, useApi} from "./api.js";
import {count, number, shortName, text} from "./format.js";
import {Answer, Empty, PlainTable} from "./parts.js";
import {Chart, axis, tooltip, upAxis} from "./chart.js";

export function SearchTab({study}) {
  const answer = useApi(studyPath(study, ["search"]));
  return html`<section aria-labelledby="search"><h2 id="search" class="hidden">Search</h2>
    <${Answer} answer=${answer}>${(data) => (data.note ? html`<${Empty}>${data.note}<//>` : html`<${Search} data=${data} />`)}<//></section>`;
}

function Search({data}) {
  return html`<ul class="queue">${data.lines.map((line) => html`<li key=${line}>${line.trim()}</li>`)}</ul>
    <div class="figures">
      ${data.history.length > 1 && html`<${History} told=${data.history} metric=${data.metric} />`}
      ${data.importance.length > 0 && html`<${Importance} shares=${data.importance} metric=${data.metric} />`}
      ${data.axes.length > 1 && data.points.length > 1 && html`<${Points} axes=${data.axes} points=${data.points} metric=${data.metric} />`}
    </div>
    ${data.rungs.length > 0 && html`<h3>Rungs</h3><${Rungs} rungs=${data.rungs} />`}
    <h3>Trials, the best first</h3>${data.total > data.trials.length && html`<p class="soft">Shown are ${count(data.trials.length)} of ${count(data.total)}.</p>`}
    <${PlainTable} label="Trials" tall=${data.trials.length > 20} columns=${data.columns.map(shortName)} rows=${data.trials}
      isNumber=${(index) => data.trials.every((row) => row[index] === null || typeof row[index] === "number")}
      cell=${(value) => (value === null ? "" : typeof value === "number" ? number(value) : text(value))} />`;
}

/** Trials that were not trained to their end are pale; the line is the best value of those that were. */
function History({told, metric}) {
  const dots = (whole) => told.map((one, place) => ({...one, place: place + 1})).filter((one) => one.is_whole === whole)
    .map((one) => ({value: [one.place, one.value], say: `trial ${one.trial}`, epochs: one.epochs}));
  const build = (palette) => ({
    xAxis: axis(palette, "results, in their order", {minInterval: 1}),
    yAxis: upAxis(palette, metric),
    tooltip: {trigger: "item", formatter: (item) => tooltip(item.data.say || "best so far", [`${metric} ${number(item.data.value ? item.data.value[1] : item.data[1])}`,
      ...(item.data.epochs ? [`after epoch ${item.data.epochs}`] : [])])},
    series: [
      ...[true, false].map((whole) => ({id: `whole ${whole}`, name: "trials", type: "scatter", symbolSize: 7, itemStyle: {color: palette.series[0], opacity: whole ? 0.85 : 0.3}, data: dots(whole)})),
      {id: "best", name: "best so far", type: "line", step: "end", symbol: "none", lineStyle: {color: palette.series[1], width: 2}, itemStyle: {color: palette.series[1]},
        data: told.map((one, place) => [place + 1, one.best])},
    ],
  });
  return html`<${Chart} title="How the search went" data=${[told, metric]} build=${build}
    table=${() => ({columns: ["trial", metric, "epochs", "best so far"], rows: told.map((one) => [one.trial, one.value, one.epochs, one.best])})}
    caption="A dot is the newest value of a trial, pale if it was not trained to its end. The line is the best one so far." />`;
}

function Importance({shares, metric}) {
  return html`<figure><h3>What mattered for ${metric}</h3><${PlainTable} label="Importance" columns=${["key", "share", ""]} isNumber=${(index) => index === 1}
    rows=${shares.map(([key, share]) => [key, `${Math.round(100 * share)} %`, share])}
    cell=${(value, index) => (index === 2 ? html`<progress value=${value} max="1" aria-hidden="true"></progress>` : value)} />
    <figcaption>How much worse a random forest predicts the order of the trials when the values of one key are shuffled.</figcaption></figure>`;
}

/** All trials as lines through all keys, the best one in the second colour. */
function Points({axes, points, metric}) {
  const names = axes.map(({key}) => shortName(key));
  const label = (place) => (value) => Object.entries(axes[place].ticks).find(([, at]) => Math.abs(at - value) < 0.01)?.[0] ?? "";
  const build = (palette) => ({
    parallel: {left: 40, right: 60, top: 40, bottom: 16},
    parallelAxis: axes.map((_, dim) => ({
      dim, name: names[dim], min: 0, max: 1, interval: 0.5, splitNumber: 2, nameTextStyle: {color: palette.ink, width: 110, overflow: "truncate"}, nameGap: 14,
      axisLine: {lineStyle: {color: palette.soft}}, axisTick: {show: false},
      axisLabel: {color: palette.ink, textBorderColor: palette.card, textBorderWidth: 4, formatter: label(dim)},
    })),
    tooltip: {show: false},
    series: [
      {id: "trials", type: "parallel", lineStyle: {width: 1, opacity: 0.25, color: palette.series[0]}, data: points.slice(0, -1).map((point) => point.slice(1, -1).map((at) => at ?? "-"))},
      {id: "best", type: "parallel", lineStyle: {width: 2.5, opacity: 1, color: palette.series[1]}, data: points.slice(-1).map((point) => point.slice(1, -1).map((at) => at ?? "-"))},
    ],
  });
  return html`<${Chart} title="Points that were tried" data=${[axes, points]} build=${build} height=${320}
    table=${() => ({columns: ["trial", ...names.map((name) => `place of ${name}`), metric], rows: points})} caption="A line is a trial; the best one stands out." />`;
}

function Rungs({rungs}) {
  const several = rungs.some((rung) => rung.bracket > 0);
  const columns = [...(several ? ["bracket"] : []), "epochs", "reached", "running", "went on", "paused", "given up", "best"];
  const row = (rung) => [...(several ? [rung.bracket] : []), rung.epochs, rung.reached, rung.running, rung.promoted, rung.paused, rung.pruned, rung.best];
  return html`<${PlainTable} label="Rungs" columns=${columns} rows=${rungs.map(row)} isNumber=${() => true} cell=${(value) => (value === null ? "" : number(value))} />`;
}
