import { h, svg } from "../lib/dom.js";
import { clock, count, duration, rate, size, visible } from "../lib/format.js";

/** The state of the gateway in words. */
export function headline(status, storages = []) {
  const bad = status.checks.filter(({ name, ok }) => !ok && !name.startsWith("storage ")).length;
  const down = storages.filter((storage) => storage.state === "down").length;
  const said = bad
    ? { tone: "bad", text: `Works with limits: ${count(bad, "check")} failed` }
    : down
      ? { tone: "warn", text: `Works; ${count(down, "storage")} cannot be reached` }
      : { tone: "good", text: status.ok === false ? "Works with limits" : "Everything works" };
  return { ...said, badge: h("span", { class: "scigate-badge", "data-tone": said.tone }, said.text) };
}

/** What people ask first, as large numbers. */
export function numbers(status, history) {
  const queued = (status.files.QUEUED ?? 0) + (status.files.WAITING ?? 0);
  const moving = Number.isFinite(status.rate) ? rate(status.rate) : "—";
  return h(
    "dl",
    { class: "scigate-numbers" },
    number("Moving now", moving, sparkline(history)),
    number("Active users", status.users_active ?? "—"),
    number("Files on their way", (status.active ?? 0).toLocaleString("en"), quiet(`of ${status.workers} at a time`)),
    number("Waiting in line", queued.toLocaleString("en"), quiet(queued === 1 ? "file" : "files")),
  );
}

function number(label, value, more) {
  return h("div", {}, h("dt", {}, label), h("dd", {}, h("span", { class: "scigate-value" }, value), more));
}

const quiet = (text) => h("span", { class: "scigate-quiet scigate-small" }, text);

function sparkline(history) {
  if (history.length < 3) return null;
  const top = Math.max(...history, 1);
  const points = history.map(
    (value, i) => `${((100 * i) / (history.length - 1)).toFixed(1)},${(23 - (22 * value) / top).toFixed(1)}`,
  );
  const line = svg("polyline", { points: points.join(" "), "vector-effect": "non-scaling-stroke" });
  return svg(
    "svg",
    { class: "scigate-spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" },
    line,
  );
}

/** What is wrong, each with what to do. */
export function troubles(status) {
  const bad = status.checks.filter((check) => !check.ok);
  const broken = Object.entries(status.broken_plugins ?? {});
  if (!bad.length && !broken.length) return null;
  return h(
    "ul",
    { class: "scigate-troubles" },
    bad.map((check) => trouble(`${check.name}: ${check.message}`, check.next_step)),
    broken.map(([name, why]) =>
      trouble(`The plug-in ${name} cannot be used: ${why}`, "Tell the gateway's administrators."),
    ),
  );
}

function trouble(text, nextStep) {
  const next = nextStep && h("p", { class: "scigate-next-step" }, visible(nextStep));
  return h("li", { class: "scigate-problem", "data-tone": "warn" }, h("span", {}, visible(text)), next);
}

/** What bandwidth to expect, storage by storage. */
export function storagesTable(storages, status) {
  const about = h("p", { class: "scigate-quiet scigate-small scigate-about" }, aboutGateway(status));
  if (!storages.length) return h("div", { class: "scigate-stack" }, noStorages(), about);
  const heads = ["Storage", "State", "Bandwidth to expect", "Free space"].map((text) =>
    h("th", { scope: "col", role: "columnheader" }, text),
  );
  const table = h(
    "table",
    { class: "scigate-table", role: "table" }, // also where it is shown as blocks, in a side bar
    h("caption", { class: "scigate-hidden" }, "Storages, and what to expect of them"),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
    h("tbody", { role: "rowgroup" }, storages.map(storageRow)),
  );
  return h("div", { class: "scigate-stack" }, h("div", { class: "scigate-scroll" }, table), about);
}

function noStorages() {
  return h("p", { class: "scigate-quiet" }, "No storages are set up for you yet. Ask the gateway's administrators.");
}

function storageRow(storage) {
  const nearest =
    storage.nearest && h("span", { class: "scigate-tag", title: "Where your uploads arrive soonest" }, "nearest");
  const readOnly = storage.read_only && h("span", { class: "scigate-tag" }, "read only");
  const title = visible([storage.name, storage.summary].filter(Boolean).join(": "));
  const name = h("span", { class: "scigate-clip", title }, visible(storage.name));
  return h(
    "tr",
    { "data-id": storage.name, role: "row" },
    h("th", { scope: "row", role: "rowheader" }, h("span", { class: "scigate-storage" }, name, nearest, readOnly)),
    h("td", { role: "cell" }, storageState(storage)),
    cell("Bandwidth", storage.expected_rate ? `about ${rate(storage.expected_rate)}` : quiet("not known yet")),
    cell("Free space", space(storage.space)),
  );
}

/** What it is stands beside it where there is no room for columns. */
const cell = (label, ...content) => h("td", { role: "cell", "data-label": label }, ...content);

function storageState({ state, cause }) {
  const words = { up: ["good", "Up"], down: ["bad", "Down"], unknown: ["", "Not tried yet"] };
  const [tone, text] = words[state] ?? ["", state];
  const why = cause && `${visible(cause.message)} ${visible(cause.next_step ?? "")}`;
  return h("span", { class: "scigate-badge", "data-tone": tone, title: why }, text);
}

function space(found) {
  if (!found) return quiet("—");
  return h("span", {}, size(found.free), " ", quiet(`of ${size(found.total)}`));
}

function aboutGateway(status) {
  const up = duration((Date.parse(status.time) - Date.parse(status.started)) / 1000);
  const parts = [
    status.registry && `Storages from ${visible(status.registry)}.`,
    `SciGate ${status.version}, running for ${up}`,
  ];
  return `${parts.filter(Boolean).join(" ")} (since ${clock(status.started)}).`;
}
