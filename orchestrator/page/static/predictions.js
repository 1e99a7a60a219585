// The predictions of a job, the worst errors first.

import {html, useState} from "./vendor/preact-htm.js";
import {studyPath, useApi} from "./api.js";
import {address, choose} from "./routes.js";
import {count, number, plural, text} from "./format.js";
import {Answer, Choice, Empty, Scroll} from "./parts.js";

const PAGE_SIZE = 50;

export function Predictions({route, study, id, isDone}) {
  const {split = "", page = "1"} = route.chosen;
  const answer = useApi(studyPath(study, ["jobs", id, "predictions"], {split, page, size: PAGE_SIZE}));
  const splits = answer.data?.splits || [...new Set(["", "val", "test", split])];
  return html`<section aria-labelledby="predictions"><h2 id="predictions" class="hidden">Predictions</h2>
    <div class="choices"><${Choice} label="split" value=${split || answer.data?.split || ""} options=${splits.map((name) => [name, name || "–"])} onChoose=${(value) => choose(route, {split: value, page: ""})} /></div>
    <${Answer} answer=${answer}>${(data) => (data.rows.length === 0 ? html`<${Empty}>${data.note || `This job has no predictions${isDone ? "" : " so far"}.`}<//>`
      : html`<${Table} study=${study} id=${id} data=${withoutOnlyHead(data)} /><${Pages} route=${route} page=${Number(page)} total=${data.total} />`)}<//></section>`;
}

/** Without the column of heads where there is but one. */
function withoutOnlyHead({columns, rows, ...rest}) {
  const head = columns.findIndex((column) => column.key === "head");
  if (head < 0 || new Set(rows.map((row) => row[head])).size > 1) return {columns, rows, ...rest};
  const others = (values) => values.filter((_, place) => place !== head);
  return {columns: others(columns), rows: rows.map(others), ...rest};
}

function Table({study, id, data}) {
  const isNumber = data.columns.map((_, place) => data.rows.every((row) => row[place] === null || typeof row[place] === "number"));
  const [target, predicted] = ["target", "predicted"].map((key) => data.columns.findIndex((column) => column.key === key));
  return html`<p class="small soft">${plural(data.total, "sample")}, the worst errors first.${!data.images && " To see their images here, let jobs keep thumbnails: predict.thumbnails=100."}</p>
    <${Scroll} label="Predictions" tall><table class="predictions"><thead><tr>${data.images && html`<th scope="col">image</th>`}
    ${data.columns.map(({key, name}, place) => html`<th key=${key} scope="col" class=${isNumber[place] ? "n" : ""}>${name}</th>`)}</tr></thead>
    <tbody>${data.rows.map((row) => html`<tr key=${row[0]}>${data.images && html`<td><${Thumbnail} path=${data.with_image.includes(row[0]) ? studyPath(study, ["jobs", id, "image"], {split: data.split, sample: row[0]}) : null} sample=${row[0]} /></td>`}
      ${row.map((value, place) => html`<${Cell} key=${place} value=${value} isNumber=${isNumber[place]} isWrong=${place === predicted && value !== row[target]} />`)}</tr>`)}
    </tbody></table><//>`;
}

function Cell({value, isNumber, isWrong}) {
  const shown = typeof value === "number" ? number(value) : text(value);
  return html`<td class=${isNumber ? "n" : ""}>${isWrong ? html`<span class="wrong"><span title="wrong">✕</span> ${shown}</span>` : shown}</td>`;
}

function Thumbnail({path, sample}) {
  const [isMissing, setMissing] = useState(false);
  if (!path || isMissing) return html`<span class="soft small">not kept</span>`;
  return html`<img class="thumbnail" src=${path} alt=${`sample ${text(sample)}`} loading="lazy" onError=${() => setMissing(true)} />`;
}

function Pages({route, page, total}) {
  const last = Math.max(1, Math.ceil(total / PAGE_SIZE));
  const link = (number) => address(route.parts, {...route.chosen, page: number});
  if (last === 1) return null;
  return html`<nav class="paging" aria-label="Pages of the predictions">${page > 1 ? html`<a href=${link(page - 1)}>← Before</a>` : html`<span class="soft">← Before</span>`}
    <span>page ${count(page)} of ${count(last)}</span>${page < last ? html`<a href=${link(page + 1)}>Next →</a>` : html`<span class="soft">Next →</span>`}</nav>`;
}
