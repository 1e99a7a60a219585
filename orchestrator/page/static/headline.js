// The headline table of a study: which setting is the best, how sure that is, and the means of all.

import {html, useState} from "./vendor/preact-htm.js";
import {metric as metricText, plural, text} from "./format.js";
import {Empty, Loading, PlainTable, SortHead} from "./parts.js";

export function Headline({headline, isPending}) {
  const [sort, setSort] = useState({column: null, descending: ""});
  if (!headline && isPending) return html`<${Loading} />`;
  if (!headline || headline.rows.length === 0) {
    return html`<${Empty}>No job has published a metric yet: neither predictions with known targets, nor values that it returned or logged.<//>`;
  }
  const {columns, rows, best, caption} = headline;
  const isMetric = (index) => columns[index].kind === "metric";
  const isNumber = (index) => isMetric(index) || columns[index].key === "jobs";
  return html`<${Best} best=${best} />
    <${PlainTable} label="Results" columns=${columns.map(({name, kind}) => (kind === "metric" ? name : name.replaceAll("_", " ")))} rows=${sorted(rows, sort)}
      tall=${rows.length > 25} isNumber=${isNumber}
      head=${(name, index) => html`<${SortHead} key=${index} title=${name} hint=${columns[index].key} isNumber=${isNumber(index)} isMetric=${isMetric(index)}
        isSorted=${sort.column === index} descending=${sort.column === index && sort.descending} onSort=${(descending) => setSort({column: index, descending})} />`}
      cell=${(value, index) => (isMetric(index) ? html`<${MetricCell} cell=${value} />` : value === null ? "" : text(value))} />
    ${caption && html`<p class="small soft">${rows.length > 1 ? `${plural(rows.length, "row")}. ` : ""}${caption}</p>`}`;
}

/** The rows in the order of a column; what has no value comes last in either direction. */
function sorted(rows, {column, descending}) {
  if (column === null) return rows;
  const key = (row) => (row[column] !== null && typeof row[column] === "object" ? row[column].value : row[column]);
  const isThere = (row) => key(row) !== null && key(row) !== undefined;
  const compare = (one, two) => (typeof one === "number" && typeof two === "number" ? one - two : String(one).localeCompare(String(two), "en", {numeric: true}));
  const ordered = rows.filter(isThere).sort((one, two) => compare(key(one), key(two)) * (descending ? -1 : 1));
  return [...ordered, ...rows.filter((row) => !isThere(row))];
}

function MetricCell({cell}) {
  if (cell === null) return null;
  return cell.best ? html`<b class="best">${cell.text} <span title="best">★</span></b>` : cell.text;
}

function named(axes) {
  return Object.entries(axes).map(([name, value]) => `${name.replaceAll("_", " ")}=${text(value)}`).join(" ");
}

/** What is best so far, in sentences. */
function Best({best}) {
  if (!best || best.length === 0) return null;
  return html`<ul class="bests">${best.map((each) => html`<li key=${named(each.within) || "all"}>
    <p class="lead">${Object.keys(each.within).length > 0 && `${named(each.within)}: `}★ Best of ${each.settings} so far: <b>${named(each.best.axes)}</b> with ${each.metric}${" "}<b>${each.best.text}</b> (${jobs(each.best)}).</p>
    <p class="small soft">Next is ${named(each.next.axes)}, ${each.next.text} (${jobs(each.next)}). ${sureness(each)}</p></li>`)}</ul>`;
}

function jobs({jobs: number}) {
  return number === "1" ? "1 job" : `${number} jobs`;
}

/** An interval of very few differences is too narrow: the test has to agree. */
function verdict(least, p) {
  if (least <= 0) return "that may be chance.";
  return p === null || p === undefined || p < 0.05 ? "hardly by chance." : "too few pairs to rule out chance.";
}

/** The difference of the first two in words. */
function sureness({difference, settings, over}) {
  const same = over.map((name) => name.replaceAll("_", " ")).join(" and ");
  if (!difference) return `No two of their jobs have the same ${same || "seed"}: how sure their order is cannot be said.`;
  const {mean, low, high, pairs, p, test} = difference;
  // Of an error, the best is the smallest: what is told is by how much it is better.
  const sign = mean < 0 ? -1 : 1;
  if (mean === 0) return "They are equally good.";
  const better = `It is better by ${metricText(sign * mean)}`;
  if (low === null || low === undefined) return `${better}, in the only pair of jobs${same && ` with the same ${same}`}: whether that is chance cannot be said.`;
  const [least, most] = [sign * low, sign * high].sort((one, two) => one - two);
  const tested = p === null || p === undefined ? "" : `; p ${p < 0.001 ? "< 0.001" : `= ${Number(p.toPrecision(2))}`}, ${test}`;
  const many = settings > 2 ? ` That these are the first two of ${settings} is not taken into account.` : "";
  return `${better} on average of ${plural(pairs, "pair")} of jobs with the same ${same} (95 % interval ${metricText(least)} to ${metricText(most)}${tested}): ${
    verdict(least, p)}${many}`;
}
