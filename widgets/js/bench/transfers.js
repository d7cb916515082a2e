/** How long the table of transfers takes to draw many, and to follow what happens to them. `./run bench widgets` */
import { injectStyles } from "../src/lib/dom.js";
import theme from "../src/lib/theme.css";
import { createModel } from "../src/transfers/model.js";
import css from "../src/transfers/transfers.css";
import { TransfersView } from "../src/transfers/view.js";

const FILES = { total: 12, queued: 2, active: 3, waiting: 0, paused: 0, done: 7, skipped: 0, failed: 0, cancelled: 0 };
const STATES = ["ACTIVE", "QUEUED", "WAITING", "DONE", "FAILED"];

function transfer(at) {
  const state = STATES[at % STATES.length];
  const final = state === "DONE" || state === "FAILED";
  const cause = {
    code: "throttled",
    message: "The storage asks for patience.",
    retriable: true,
    next_step: "Nothing.",
  };
  return {
    id: at.toString(16).padStart(32, "0"),
    owner: "ada",
    label: `Run ${at} of the night, plate ${at % 96}`,
    state,
    overwrite: "fail",
    verify: "auto",
    priority: 5,
    created: new Date(Date.now() - at * 60_000).toISOString(),
    listing: false,
    files: FILES,
    finished: final ? new Date().toISOString() : null,
    deadline: new Date(Date.now() + 1e8).toISOString(),
    bytes_total: 5e9,
    bytes_done: state === "DONE" ? 5e9 : 1e9 + at,
    rate: state === "ACTIVE" ? 2e7 : null,
    eta_seconds: state === "ACTIVE" ? 200 : null,
    expected_rate: 3e7,
    proof: null,
    cause: ["WAITING", "FAILED"].includes(state) ? cause : null,
  };
}

/** Milliseconds of the work, and until what came of it is laid out and painted. */
async function timed(work) {
  await frame();
  const begun = performance.now();
  await work();
  const worked = performance.now();
  document.body.getBoundingClientRect();
  const laidOut = performance.now();
  await frame();
  return { script: worked - begun, layout: laidOut - worked, painted: performance.now() - begun };
}

const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

/** One table with so many transfers, step by step. */
function table(count) {
  const transfers = Array.from({ length: count }, (_, at) => transfer(at));
  const api = async (path) => ({ items: path === "transfers" ? transfers : [], next: null });
  const [head, body] = [document.createElement("div"), document.createElement("div")];
  const root = document.createElement("section");
  root.className = "scigate scigate-transfers";
  root.append(head, body);
  document.body.append(root);
  const ended = new AbortController();
  const view = new TransfersView({ api, head, body, onSelect() {}, signal: ended.signal });
  const model = createModel(api, { onChange: (items) => view.show(items), signal: ended.signal });
  view.model = model;
  let bytes = 2e9;

  function changed(moving) {
    bytes += 1e7;
    const news = { state: "ACTIVE", bytes_done: bytes, rate: bytes / 100, eta_seconds: 5e9 / bytes };
    return model
      .items()
      .slice(0, moving)
      .map((item) => ({ ...item, ...news }));
  }

  function batch(moving) {
    const items = changed(moving);
    return timed(() => view.show(items));
  }

  function end() {
    ended.abort();
    root.remove();
  }

  return {
    first: () => timed(model.load),
    all: () => timed(() => view.showAll()),
    again: () => timed(model.load),
    batch,
    end,
  };
}

injectStyles("theme", theme);
injectStyles("transfers", css);
globalThis.bench = { table };
