// Addresses: everything after the `#`, so that each view can be kept, sent and gone back to.

import {useEffect, useState} from "./vendor/preact-htm.js";

/** Make the address of a view from the parts of its path and what is chosen in it. */
export function address(parts, chosen = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(chosen)) {
    if (value !== "" && value !== null && value !== undefined) query.set(key, value);
  }
  const path = parts.map(encodeURIComponent).join("/");
  return `#/${path}${query.size ? `?${query}` : ""}`;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return {parts: path.split("/").filter(Boolean).map(decode), chosen: Object.fromEntries(new URLSearchParams(query))};
}

export function useRoute() {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const onChange = () => setRoute(read());
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return route;
}

/** Change what is chosen in the view that is open; each choice is a step for the back button. */
export function choose(route, changes) {
  location.hash = address(route.parts, {...route.chosen, ...changes});
}
