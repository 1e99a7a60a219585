// The table of a study's jobs: chosen, sorted, grouped and paged by the server.

import {html, useState} from "./vendor/preact-htm.js";
import {studyPath, useApi} from "./api.js";
import {address, choose} from "./routes.js";
import {STATES, count, counts, metric, number, plural, shortId, shortName, text} from "./format.js";
import {Answer, Choice, Command, Empty, Scroll, SortHead, State, TextField} from "./parts.js";

// A link to more jobs than these would be too long for some browsers and servers.
const MOST_NAMED = 40;
const SIZES = ["50", "100", "200"];
// What is marked in each study, as long as the page is open.
const marked = new Map();

export function JobsTab({route, study, data}) {
  const {where = "", stage = "", state = "", sort = "", descending = "", group = "", page = "1", size = "50"} = route.chosen;
  const answer = useApi(studyPath(study, ["jobs"], {where, stage, state, sort, descending, group, page, size}));
  const pick = (changes) => choose(route, {page: "", ...changes});
  const [isTyping, setTyping] = useState(false);
  const stages = data.stages.map((each) => each.stage);
  return html`<section aria-labelledby="jobs"><h2 id="jobs" class="hidden">Jobs</h2>
    <div class="choices">
      <${TextField} label="only jobs where" value=${where} placeholder="lr=0.1,0.01 seed<3" onChoose=${(value) => pick({where: value})} onTyping=${setTyping} />
      ${stages.length > 1 && html`<${Choice} label="stage" value=${stage} options=${[["", "all"], ...stages]} onChoose=${(value) => pick({stage: value})} />`}
      <${Choice} label="state" value=${state} options=${[["", "all"], ...STATES.filter((each) => data.states[each] || each === state)]} onChoose=${(value) => pick({state: value})} />
      <${Choice} label="group by" value=${group} options=${[["", "–"], ...data.axes.map((axis) => [axis.key, axis.name])]} onChoose=${(value) => pick({group: value})} />
    </div>
    <${Answer} answer=${answer}>${(found) => html`<${Found} route=${route} study=${study} found=${found} pick=${pick} isTyping=${isTyping} />`}<//></section>`;
}

function Found({route, study, found, pick, isTyping}) {
  const [, redraw] = useState(0);
  const chosen = marked.get(study) || new Set();
  const mark = (id, isMarked) => {
    if (isMarked) chosen.add(id);
    else chosen.delete(id);
    marked.set(study, chosen);
    redraw((times) => times + 1);
  };
  const unmark = () => {
    marked.delete(study);
    redraw((times) => times + 1);
  };
  return html`
    ${found.groups && html`<${Groups} route=${route} groups=${found.groups} />`}
    <div class="above"><p role="status"><b>${plural(found.total, "job")}</b>${chosen.size ? `, ${count(chosen.size)} selected` : ""}</p>
      ${chosen.size > 1 && html`<a class="button" href=${address(["compare"], {jobs: [...chosen].map((id) => `${study}/${id}`).join(",")})}>Compare ${plural(chosen.size, "job")}</a>`}
      ${chosen.size > 0 && chosen.size <= MOST_NAMED && html`<button type="button" onClick=${() => pick({where: `job=${[...chosen].map(shortId).join(",")}`, state: "", stage: ""})}>Show only ${chosen.size > 1 ? "these" : "this one"}</button>`}
      ${chosen.size > 0 && html`<button type="button" onClick=${unmark}>Select none</button>`}
      ${chosen.size === 0 && found.total > 1 && html`<span class="small soft">Select two or more to compare them.</span>`}</div>
    ${found.total === 0 ? html`<${Empty}>No job is like that.<//>` : html`<${Table} route=${route} study=${study} found=${found} chosen=${chosen} mark=${mark} pick=${pick} />
    <${Pages} route=${route} found=${found} />`}
    <h3>${found.total === 1 ? "This job" : `The ${plural(found.total, "job")} of this table`} in the terminal</h3>
    ${isTyping && html`<p class="small soft">The condition that you are writing is not applied yet: press Enter.</p>`}
    ${found.note && html`<p class="small soft">${found.note}</p>`}
    <div class=${`commands${isTyping ? " off" : ""}`}>${found.commands.map(({does, command}) => html`<${Command} key=${command} what=${does} command=${command} />`)}</div>`;
}

/** The places of the columns that say something here: settings, state and metrics first, then how the jobs ran. */
function usefulColumns({columns, rows}) {
  const says = ({key, kind}, place) => {
    if (kind === "id" || kind === "state") return true;
    const values = new Set(rows.map((row) => row[place]));
    return key === "stage" ? values.size > 1 : [...values].some((value) => value !== null && value !== "");
  };
  const rank = ({key, kind}) => ["id", "text", "axis", "state", "metric", "number"].indexOf(kind) + (key === "host" || key === "reason" ? 10 : 0);
  return columns.map((column, place) => [column, place]).filter(([column, place]) => says(column, place)).sort(([one], [two]) => rank(one) - rank(two));
}

function Table({route, study, found, chosen, mark, pick}) {
  const {sort = "", descending = ""} = route.chosen;
  const idAt = found.columns.findIndex((column) => column.key === "id");
  const columns = usefulColumns(found);
  return html`<${Scroll} label="Jobs" tall><table class="jobs"><thead><tr><th><span class="hidden">select</span></th>
    ${columns.map(([column]) => html`<${Head} key=${column.key} column=${column} isSorted=${sort === column.key} descending=${descending}
      onSort=${(next) => pick({sort: column.key, descending: next})} />`)}</tr></thead>
    <tbody>${found.rows.map((row) => html`<tr key=${row[idAt]} class=${chosen.has(row[idAt]) ? "chosen" : ""}>
      <td><input type="checkbox" aria-label=${`select ${shortId(row[idAt])}`} checked=${chosen.has(row[idAt])}
        onChange=${(event) => mark(row[idAt], event.currentTarget.checked)} /></td>
      ${columns.map(([column, place]) => html`<${Cell} key=${column.key} study=${study} column=${column} value=${row[place]} />`)}</tr>`)}
    </tbody></table><//>`;
}

function Head({column, ...order}) {
  const isMetric = column.kind === "metric";
  return html`<${SortHead} title=${isMetric ? column.key : column.name.replaceAll("_", " ")} hint=${column.key} isNumber=${isNumeric(column.kind)}
    isMetric=${isMetric} ...${order} />`;
}

function isNumeric(kind) {
  return kind === "metric" || kind === "number";
}

function Cell({study, column, value}) {
  if (column.key === "id") return html`<th scope="row"><a href=${address(["studies", study, "jobs", value])}><code>${shortId(value)}</code></a></th>`;
  if (column.kind === "state") return html`<td><${State} state=${value} /></td>`;
  if (isNumeric(column.kind)) return html`<td class="n">${value === null ? "" : column.kind === "metric" ? metric(value) : number(value)}</td>`;
  return html`<td class=${column.key === "reason" ? "reason" : "value"}>${value === null ? "" : text(value)}</td>`;
}

function Groups({route, groups}) {
  const axis = route.chosen.group;
  const metrics = [...new Set(groups.flatMap((group) => Object.keys(group.means)))];
  return html`<${Scroll} label="Groups"><table><thead><tr><th scope="col">${shortName(axis)}</th><th scope="col" class="n">jobs</th><th scope="col">states</th>
    ${metrics.map((name) => html`<th key=${name} scope="col" class="n">${name}</th>`)}</tr></thead><tbody>${groups.map((group) => html`<tr key=${text(group.value)}>
    <th scope="row">${group.where && group.value !== null ? html`<a href=${address(route.parts, {...route.chosen, group: "", page: "", where: [route.chosen.where, group.where].filter(Boolean).join(" ")})}>${text(group.value)}</a>` : text(group.value)}</th><td class="n">${count(group.jobs)}</td><td>${counts(group.states)}</td>
    ${metrics.map((name) => html`<td key=${name} class="n">${metric(group.means[name] ?? null)}</td>`)}</tr>`)}</tbody></table><//>`;
}

function Pages({route, found}) {
  const last = Math.max(1, Math.ceil(found.total / found.size));
  const link = (page) => address(route.parts, {...route.chosen, page: page === 1 ? "" : page});
  return html`<div class="choices pages">${last > 1 && html`<nav class="paging" aria-label="Pages of the table">
      ${found.page > 1 ? html`<a href=${link(found.page - 1)}>← Before</a>` : html`<span class="soft">← Before</span>`}
      <span>page ${count(found.page)} of ${count(last)}</span>
      ${found.page < last ? html`<a href=${link(found.page + 1)}>Next →</a>` : html`<span class="soft">Next →</span>`}</nav>`}
    ${found.total > Number(SIZES[0]) && html`<${Choice} label="rows" value=${String(found.size)} options=${SIZES} onChoose=${(value) => choose(route, {size: value, page: ""})} />`}</div>`;
}
