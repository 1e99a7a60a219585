// Numbers, times and names as people read them; the words are those of the terminal.

// In the order in which they stand in a bar: what is finished first, what needs attention last.
export const STATES = ["done", "running", "paused", "submitted", "waiting", "cancelled", "blocked", "lost", "failed"];

// A state is never told by its colour alone.
export const SIGNS = {
  done: "✓", running: "▶", paused: "‖", submitted: "⇢", waiting: "…", cancelled: "–", blocked: "⊘", lost: "?", failed: "✕",
};

export function count(number) {
  return Number(number).toLocaleString("en");
}

export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** A value of a metric with four digits; what is not a number stays as it is. */
export function number(value) {
  if (typeof value !== "number") return text(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en", {useGrouping: value > 9999});
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e6) return String(Number(value.toPrecision(4)));
  return value.toExponential(2).replace("e+", "e");
}

/** A metric in a column of metrics: always four digits, so that the points stand below each other. */
export function metric(value) {
  const size = Math.abs(value);
  return typeof value === "number" && size >= 1e-3 && size < 1e3 && !(Number.isInteger(value) && size > 1) ? value.toPrecision(4) : number(value);
}

/** Any value of a configuration as one line. */
export function text(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** A duration in seconds: `40 s`, `12 min`, `2 h`, `3 days`. */
export function duration(seconds) {
  for (const [size, unit, most] of [[1, "s", 90], [60, "min", 90], [3600, "h", 36]]) {
    if (seconds < most * size) return `${Math.max(1, Math.round(seconds / size))} ${unit}`;
  }
  return `${Math.round(seconds / 86400)} days`;
}

export function ago(secondsSinceEpoch) {
  return `${duration(Math.max(0, Date.now() / 1000 - secondsSinceEpoch))} ago`;
}

/** `2026-11-29 21:37:39` in the time of whoever looks: Swedes write it so. */
export function moment(secondsSinceEpoch) {
  return new Date(secondsSinceEpoch * 1000).toLocaleString("sv");
}

/** When it will be, seconds from now: `14:05`, or with the day if it is another one. */
export function clock(seconds) {
  const then = new Date(Date.now() + seconds * 1000);
  const time = then.toLocaleTimeString("sv", {hour: "2-digit", minute: "2-digit"});
  return then.toDateString() === new Date().toDateString() ? time : `${time} on ${then.toLocaleDateString("en", {weekday: "long", day: "numeric", month: "long"})}`;
}

/** A size for people, 1 GB = 1024³ bytes. */
export function size(bytes) {
  for (const unit of ["B", "KB", "MB", "GB"]) {
    if (bytes < 1024) return unit === "B" ? `${bytes} B` : `${bytes.toFixed(1)} ${unit}`;
    bytes /= 1024;
  }
  return `${bytes.toFixed(1)} TB`;
}

export function shortId(id) {
  return String(id).slice(0, 12);
}

/** The last component of a key, as in the report: `model.width` is `width`. */
export function shortName(key) {
  return String(key).split(".").pop().replaceAll("_", " ");
}

export function axes(values) {
  return Object.entries(values || {}).map(([key, value]) => `${shortName(key)}=${text(value)}`).join(" ");
}

/** `12 done, 3 running`, in the order of the bars. */
export function counts(states) {
  return STATES.filter((state) => states[state]).map((state) => `${count(states[state])} ${state}`).join(", ");
}

export function total(states) {
  return Object.values(states || {}).reduce((sum, each) => sum + each, 0);
}
