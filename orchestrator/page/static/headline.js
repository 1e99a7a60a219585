// The headline table of a study: which setting is the best, how sure that is, and the means of all.

import {html, useState} from "./vendor/preact-htm.js";
import {plural, text} from "./format.js";
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
    <p class="small soft">Next is ${named(each.next.axes)}, ${each.next.text} (${jobs(each.next)}). ${each.certainty}</p></li>`)}</ul>`;
}

function jobs({jobs: number}) {
  return number === "1" ? "1 job" : `${number} jobs`;
}
