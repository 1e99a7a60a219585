// One chart of Apache ECharts as a component: drawn again only when its data are different, and never without a table.

import {html, useEffect, useRef, useState} from "./vendor/preact-htm.js";
import * as echarts from "./vendor/echarts.js";
import {number} from "./format.js";
import {PlainTable} from "./parts.js";

const TABLE_ROWS = 200;
const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const SYSTEM_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif';
const DASHES = ["solid", "dashed", "dotted"];

/** The colours of the stylesheet, as charts need them. */
function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: colour("ink"), soft: colour("soft"), line: colour("line"), grid: colour("grid"), card: colour("card"), tint: colour("tint"),
    series: Array.from({length: 8}, (_, place) => colour(`series-${place}`)),
    ramp: [colour("ramp-low"), colour("ramp-middle"), colour("ramp-high")],
  };
}

function usePalette() {
  const [palette, setPalette] = useState(readPalette);
  useEffect(() => {
    const read = () => setPalette(readPalette());
    darkScheme.addEventListener("change", read);
    return () => darkScheme.removeEventListener("change", read);
  }, []);
  return palette;
}

/** Colour and dashes of the series at a place: no two of the first 24 look the same. */
export function seriesLine(palette, place) {
  return {color: palette.series[place % 8], type: DASHES[Math.floor(place / 8) % 3]};
}

/** The mark that shows in a list which line is meant. */
export function Key({place}) {
  return html`<i class=${`key s${place % 8} ${DASHES[Math.floor(place / 8) % 3]}`} aria-hidden="true"></i>`;
}

/** What a tooltip shows, as an element: texts of users are never read as HTML. */
export function tooltip(title, lines) {
  const box = document.createElement("div");
  box.className = "tooltip";
  const head = box.appendChild(document.createElement("b"));
  head.textContent = title;
  for (const line of lines) box.appendChild(document.createElement("div")).textContent = line;
  return box;
}

/** An axis with a name and numbers, or with categories. */
export function axis(palette, name, more = {}) {
  return {
    name, nameLocation: "middle", nameGap: 28, nameTextStyle: {color: palette.soft}, type: "value", scale: true,
    axisLine: {lineStyle: {color: palette.line}}, axisTick: {show: false},
    axisLabel: {color: palette.soft, hideOverlap: true, formatter: (value) => (typeof value === "number" ? number(value) : value)},
    splitLine: {lineStyle: {color: palette.grid}}, ...more,
  };
}

/** The axis that goes up, with its name above it: turned letters are hard to read. */
export function upAxis(palette, name, more = {}) {
  return axis(palette, name, {nameLocation: "end", nameGap: 12, nameTextStyle: {color: palette.soft, align: "left"}, ...more});
}

function base(palette) {
  return {
    animation: false,
    textStyle: {fontFamily: SYSTEM_FONT, color: palette.ink},
    grid: {left: 8, right: 18, top: 34, bottom: 30, containLabel: true},
    tooltip: {
      confine: true, appendTo: undefined, backgroundColor: palette.card, borderColor: palette.line, padding: 8,
      textStyle: {color: palette.ink, fontFamily: SYSTEM_FONT, fontSize: 12}, extraCssText: "box-shadow: none",
    },
  };
}

/**
 * A figure: `build(palette)` returns the option of ECharts, `data` is what it is built from, `table` the same as
 * `{columns, rows}` for those who do not see it. `on` maps events of ECharts to functions of the event and the chart.
 */
export function Chart({title, caption, data, build, table, height = 300, on = {}}) {
  const place = useRef(null);
  const chart = useRef(null);
  const handlers = useRef(on);
  const palette = usePalette();
  const drawn = useRef("");
  handlers.current = on;
  useEffect(() => {
    chart.current = echarts.init(place.current, null, {renderer: "canvas"});
    for (const name of Object.keys(handlers.current)) {
      chart.current.on(name, (event) => handlers.current[name](event, chart.current));
    }
    const observer = new ResizeObserver(() => chart.current?.resize());
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      chart.current.dispose();
      chart.current = null;
    };
  }, []);
  useEffect(() => {
    const wanted = JSON.stringify([data, palette]);
    if (wanted === drawn.current) return;
    drawn.current = wanted;
    chart.current.setOption({...base(palette), ...build(palette)}, {replaceMerge: ["series", "xAxis", "yAxis", "parallelAxis", "visualMap"]});
  });
  return html`<figure><h3>${title}</h3>
    <div ref=${place} class="chart" style=${{height: `${height}px`}} role="img" aria-label=${`${title}. The numbers are in the table below.`}></div>
    ${caption && html`<figcaption>${caption}</figcaption>`}<${Numbers} title=${title} table=${table} /></figure>`;
}

/** The table behind a chart, made when it is opened. */
function Numbers({title, table}) {
  const [open, setOpen] = useState(false);
  const {columns, rows} = open ? table() : {columns: [], rows: []};
  const isNumber = (index) => rows.length > 0 && rows.every((row) => row[index] === null || typeof row[index] === "number");
  return html`<details class="numbers" onToggle=${(event) => setOpen(event.currentTarget.open)}><summary>The numbers</summary>
    ${open && html`<${PlainTable} label=${`${title}, the numbers`} columns=${columns} rows=${rows.slice(0, TABLE_ROWS)} tall
      isNumber=${isNumber} cell=${number} />
    ${rows.length > TABLE_ROWS && html`<p class="small soft">${rows.length - TABLE_ROWS} more rows are left out here.</p>`}`}</details>`;
}
