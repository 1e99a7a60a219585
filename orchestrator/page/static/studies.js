// All studies of the root.

import {html, useEffect, useState} from "./vendor/preact-htm.js";
import {useApi} from "./api.js";
import {address} from "./routes.js";
import {ago, count, counts, moment, size} from "./format.js";
import {Answer, Command, Empty, Scroll, StateBar} from "./parts.js";

function Row({study}) {
  return html`<tr>
    <th scope="row"><a href=${address(["studies", study.study])}>${study.study}</a></th>
    <td class="states-cell">${study.states
      ? html`<${StateBar} states=${study.states} /><span class="small soft">${counts(study.states) || "no jobs"}</span>`
      : html`<span class="problem">cannot be read: ${study.problem}</span>`}</td>
    <td class="n">${study.jobs === null ? "" : count(study.jobs)}</td>
    <td title=${moment(study.last_activity)}>${ago(study.last_activity)}</td>
    <td>${study.owner}</td>
    <td class="n">${study.bytes === null ? "" : size(study.bytes)}</td>
  </tr>`;
}

const TELL_TIME_EVERY_MS = 30000;

export function StudiesView() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => redraw((times) => times + 1), TELL_TIME_EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const answer = useApi("/api/studies");
  return html`<h1>Studies</h1><${Answer} answer=${answer}>${(studies) => studies.length === 0
    ? html`<${Empty}>There is no study under this root yet. The first one is launched with: <//>
      <${Command} command="seedfold launch experiment=digits" />`
    : html`<${Scroll} label="Studies"><table class="studies"><thead><tr><th scope="col">study</th><th scope="col">states</th>
      <th scope="col" class="n">jobs</th><th scope="col">last activity</th><th scope="col">owner</th>
      <th scope="col" class="n">size</th></tr></thead>
      <tbody>${studies.map((study) => html`<${Row} key=${study.study} study=${study} />`)}</tbody></table><//>`}<//>`;
}
