// The page: its frame, and which view an address shows.

import {html, render, useEffect, useRef} from "./vendor/preact-htm.js";
import {start, useConnection} from "./api.js";
import {address, useRoute} from "./routes.js";
import {shortId} from "./format.js";
import {CompareView} from "./compare.js";
import {JobView} from "./job.js";
import {StudiesView} from "./studies.js";
import {StudyView} from "./study.js";

const CONNECTION = {
  live: "updates by itself",
  lost: "the server does not answer; trying again",
  unauthorised: "not allowed",
};

function Unauthorised() {
  return html`<section class="notice" role="alert">
    <h1>This page needs the link with its token</h1>
    <p>Open the link that <code>seedfold serve</code> printed where it was started. It contains a token, which this
      browser then keeps. If the server was started again without <code>--token</code>, it has a new token and a new link.</p>
  </section>`;
}

function View({route}) {
  const [kind, study, part, id] = route.parts;
  if (!kind) return html`<${StudiesView} />`;
  if (kind === "compare") return html`<${CompareView} route=${route} />`;
  if (kind === "studies" && study && part === "jobs" && id) {
    return html`<${JobView} key=${`${study}/${id}`} route=${route} study=${study} id=${id} />`;
  }
  if (kind === "studies" && study) return html`<${StudyView} key=${study} route=${route} study=${study} />`;
  return html`<section class="notice"><h1>There is no such view</h1><p><a href="#/">All studies</a></p></section>`;
}

function crumbs({parts, chosen}) {
  const [kind, study, part, id] = parts;
  if (kind === "compare") {
    // Jobs of several studies have no study to go back to.
    const studies = [...new Set((chosen.jobs || "").split(",").map((name) => name.split("/")[0]).filter(Boolean))];
    const back = studies.length === 1 ? [[studies[0], address(["studies", studies[0]])], ["jobs", address(["studies", studies[0], "jobs"])]] : [];
    return [...back, ["comparison", null]];
  }
  if (kind !== "studies" || !study) return [];
  const found = [[study, address(["studies", study])]];
  if (part === "jobs" && id) found.push(["jobs", address(["studies", study, "jobs"])], [shortId(id), null]);
  return found;
}

function App() {
  const route = useRoute();
  const connection = useConnection();
  const main = useRef(null);
  const place = route.parts.slice(0, 4).join("/");
  const before = useRef(place);
  const names = crumbs(route);
  useEffect(() => {
    document.title = [...names.map(([name]) => name).reverse(), "Seedfold"].join(" · ");
    // Readers of the screen hear the new view, and the keyboard goes on from its beginning.
    if (before.current !== place) {
      main.current.focus({preventScroll: true});
      scrollTo(0, 0);
    }
    before.current = place;
  }, [place]);
  return html`
    <button class="skip" onClick=${() => main.current.focus()}>Skip to the content</button>
    <header class="top">
      <nav aria-label="Place">
        <a class="brand" href="#/">Seedfold</a>
        ${names.map(([name, link]) => html`<span aria-hidden="true">/</span>${link
          ? html`<a href=${link}>${name}</a>` : html`<span class="here">${name}</span>`}`)}
      </nav>
      <span class=${`connection ${connection}`} role="status">${CONNECTION[connection]}</span>
    </header>
    <main ref=${main} tabindex="-1">
      ${connection === "unauthorised" ? html`<${Unauthorised} />` : html`<${View} route=${route} />`}
    </main>`;
}

// The cookie holds the token from now on: nobody has to see it, or to send it with the address.
history.replaceState(null, "", `${location.pathname}${location.hash}`);
const frame = document.getElementById("app");
frame.replaceChildren();
start();
render(html`<${App} />`, frame);
