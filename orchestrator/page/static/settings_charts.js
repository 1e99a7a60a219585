// The charts of settings: how metrics depend on axes.

import {html} from "./vendor/preact-htm.js";
import {Chart, Key, axis, seriesLine, tooltip, upAxis} from "./chart.js";
import {axes as axesText, count, number, plural, text} from "./format.js";

const MOST_LINES = 24;
const MOST_CATEGORIES = 12;
const LOG_RANGE = 50;
// In parallel coordinates, so many values stand at equal distances, where each can be told from the next.
const MOST_STEPS = 8;

/** The values of an axis in the order in which people write them: numbers by size, others as they come. */
function valuesOf(points, key) {
  const values = [...new Map(points.map((point) => [text(point.values[key]), point.values[key]])).values()];
  return values.every((value) => typeof value === "number") ? values.sort((a, b) => a - b) : values;
}

function isNumeric(values) {
  return values.length > 2 && values.every((value) => typeof value === "number" && Number.isFinite(value));
}

function scale(values) {
  const isLog = values.every((value) => value > 0) && Math.max(...values) / Math.min(...values) >= LOG_RANGE;
  return isLog ? "log" : "value";
}

function mean(numbers) {
  return numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
}

function deviation(numbers) {
  if (numbers.length < 2) return null;
  const middle = mean(numbers);
  return Math.sqrt(numbers.reduce((sum, each) => sum + (each - middle) ** 2, 0) / (numbers.length - 1));
}

/** What a mean hides: groups with other jobs in them cannot be compared by it alone. */
function mixture(lines) {
  const counts = lines.flatMap(({cells}) => cells.map((cell) => cell.n));
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return least === most ? "" : ` The points are means of ${count(least)} to ${count(most)} jobs: as long as jobs are missing, they are of different settings.`;
}

/** For each line and value of the axis: the mean, the standard deviation and the number of jobs. */
function summarise({points}, metric, key, by) {
  const found = new Map();
  for (const {values} of points) {
    if (typeof values[metric] !== "number") continue;
    const cell = JSON.stringify([by ? text(values[by]) : null, text(values[key])]);
    if (!found.has(cell)) found.set(cell, []);
    found.get(cell).push(values[metric]);
  }
  const cellOf = (line, value) => {
    const numbers = found.get(JSON.stringify([by ? text(line) : null, text(value)])) || [];
    return {value, n: numbers.length, mean: numbers.length ? mean(numbers) : null, deviation: deviation(numbers)};
  };
  const values = valuesOf(points, key);
  const lines = by ? valuesOf(points, by).slice(0, MOST_LINES) : [null];
  return lines.map((line) => ({line, cells: values.map((value) => cellOf(line, value)).filter((cell) => cell.n > 0)}));
}

export function AgainstAxis({known, metric, axis: key, by}) {
  const lines = summarise(known, metric, key, by);
  const values = valuesOf(known.points, key);
  const numeric = isNumeric(values);
  const place = (value) => (numeric ? value : text(value));
  const build = (palette) => ({
    xAxis: axis(palette, known.name(key), numeric ? {type: scale(values), ...(values.every(Number.isInteger) ? {minInterval: 1} : {})} : {type: "category", data: values.map(text), splitLine: {show: false}}),
    yAxis: axis(palette, ""),
    tooltip: {trigger: "item", formatter: (item) => tooltip(item.seriesName, [item.data.say || `${known.name(key)}=${text(item.data[0])}: ${number(item.data[1])}`])},
    series: [
      ...(by ? [] : [{id: "jobs", name: "one job", type: "scatter", symbolSize: 6, itemStyle: {color: palette.soft, opacity: 0.45}, large: known.points.length > 2000,
        data: known.points.filter((point) => typeof point.values[metric] === "number").map((point) => [place(point.values[key]), point.values[metric]])}]),
      ...lines.map(({line, cells}, index) => ({
        id: `line ${index}`, name: by ? `${known.name(by)}=${text(line)}` : "mean", type: "line", symbol: "circle", symbolSize: 7, lineStyle: {width: 2, ...seriesLine(palette, index)},
        itemStyle: {color: seriesLine(palette, index).color},
        data: cells.map((cell) => ({value: [place(cell.value), cell.mean], say: `${known.name(key)}=${text(cell.value)}: ${spread(cell)}`})),
      })),
    ],
  });
  const table = () => ({
    columns: [...(by ? [known.name(by)] : []), known.name(key), "mean", "standard deviation", "jobs"],
    rows: lines.flatMap(({line, cells}) => cells.map((cell) => [...(by ? [text(line)] : []), cell.value, cell.mean, cell.deviation, cell.n])),
  });
  return html`<${Chart} title=${`${metric} against ${known.name(key)}`} data=${[lines, values, metric, key, by, known.points]} build=${build} table=${table} height=${320}
    caption=${`The line is the mean over all other settings${by ? "" : ", the dots are single jobs"}.${mixture(lines)}`} />
    ${by && html`<ul class="legend" aria-label="Lines">${lines.map(({line}, index) => html`<li key=${index}><${Key} place=${index} />${known.name(by)}=${text(line)}</li>`)}</ul>`}`;
}

function spread(cell) {
  const deviation = cell.deviation === null ? "" : ` ± ${number(cell.deviation)}`;
  return `${number(cell.mean)}${deviation}, ${plural(cell.n, "job")}`;
}

export function Parallel({known, metric, onBrush}) {
  const keys = [...known.axes, metric];
  const scales = keys.map((key) => {
    const values = valuesOf(known.points, key);
    return {key, values, numeric: (isNumeric(values) && values.length > MOST_STEPS) || (key === metric && values.every((value) => typeof value === "number" || value === null))};
  });
  const points = known.points.filter((point) => typeof point.values[metric] === "number");
  const rows = points.map((point) => scales.map(({key, numeric}) => (numeric ? point.values[key] : text(point.values[key]))));
  const metrics = points.map((point) => point.values[metric]);
  const build = (palette) => ({
    parallel: {left: 40, right: 60, top: 44, bottom: 48, parallelAxisDefault: {areaSelectStyle: {width: 24, borderColor: palette.series[0], color: palette.series[0], opacity: 0.25}}},
    parallelAxis: scales.map(({key, values, numeric}, dim) => ({
      dim, name: key === metric ? metric : known.name(key), nameTextStyle: {color: palette.ink, width: 110, overflow: "truncate"}, nameGap: 14,
      axisLine: {lineStyle: {color: palette.soft}}, axisTick: {show: numeric, lineStyle: {color: palette.soft}},
      axisLabel: {color: palette.ink, textBorderColor: palette.card, textBorderWidth: 4, width: 90, overflow: "truncate", formatter: (value) => (typeof value === "number" ? number(value) : value)},
      ...(numeric ? {type: key === metric ? "value" : scale(values), scale: true} : {type: "category", data: values.map(text)}),
    })),
    visualMap: {
      orient: "horizontal", left: "center", bottom: 0, itemWidth: 10, itemHeight: 140, text: [number(Math.max(...metrics)), number(Math.min(...metrics))],
      textStyle: {color: palette.soft}, hoverLink: false, dimension: scales.length - 1, min: Math.min(...metrics), max: Math.max(...metrics), inRange: {color: palette.ramp},
    },
    tooltip: {show: false},
    series: [{id: "jobs", type: "parallel", smooth: 0.1, lineStyle: {width: points.length > 300 ? 1 : 1.5, opacity: points.length > 300 ? 0.35 : 0.7}, inactiveOpacity: 0.05, activeOpacity: 0.9, data: rows}],
  });
  const read = (_, chart) => {
    const series = chart.getModel().getSeries()[0];
    const brushed = chart.getModel().getComponent("parallel").coordinateSystem.hasAxisBrushed();
    onBrush(brushed ? series.getRawIndicesByActiveState("active").map((index) => points[index].id) : null);
  };
  return html`<div class="wide-chart" role="region" tabindex="0" aria-label="Parallel coordinates"><${Chart} title="All settings side by side" data=${[rows, keys]} build=${build} height=${340} on=${{axisareaselected: read}}
    table=${() => ({columns: keys.map((key) => (key === metric ? metric : known.name(key))), rows: points.map((point) => keys.map((key) => (typeof point.values[key] === "number" ? point.values[key] : text(point.values[key]))))})}
    caption=${`One line for each job; its colour is its ${metric}.`} /></div>`;
}

export function Scatter({known, metrics: [first, second], by, onJob}) {
  const values = by ? valuesOf(known.points, by).slice(0, MOST_CATEGORIES) : [null];
  const points = known.points.filter((point) => typeof point.values[first] === "number" && typeof point.values[second] === "number");
  const symbols = ["circle", "triangle", "rect", "diamond", "emptyCircle", "emptyTriangle", "emptyRect", "emptyDiamond"];
  const build = (palette) => ({
    grid: {left: 8, right: 18, top: 34, bottom: 30, containLabel: true},
    xAxis: axis(palette, first),
    yAxis: upAxis(palette, second),
    legend: by ? {top: 0, right: 0, type: "scroll", textStyle: {color: palette.soft}} : {show: false},
    tooltip: {trigger: "item", formatter: (item) => tooltip(item.data.say, [`${first} ${number(item.data.value[0])}`, `${second} ${number(item.data.value[1])}`])},
    series: values.map((value, index) => ({
      id: `group ${index}`, name: by ? `${known.name(by)}=${text(value)}` : "jobs", type: "scatter", symbolSize: 9, symbol: symbols[index % symbols.length], cursor: "pointer",
      itemStyle: {color: palette.series[index % 8], opacity: 0.75},
      data: points.filter((point) => !by || text(point.values[by]) === text(value)).map((point) => ({value: [point.values[first], point.values[second]], id: point.id,
        say: axesText(Object.fromEntries(known.axes.map((key) => [key, point.values[key]])))})),
    })),
  });
  return html`<${Chart} title=${`${second} against ${first}`} data=${[points, first, second, by]} build=${build} on=${{click: (event) => event.data?.id && onJob(event.data.id)}}
    table=${() => ({columns: [...known.axes.map(known.name), first, second], rows: points.map((point) => [...known.axes.map((key) => text(point.values[key])), point.values[first], point.values[second]])})}
    caption="One dot for each job; a click opens it." />`;
}
