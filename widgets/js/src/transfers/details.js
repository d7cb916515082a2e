import { button, copyText, h, iconButton, keepFocus, replace } from "../lib/dom.js";
import { clock, count, isFinal, percent, size, stateWord, visible } from "../lib/format.js";
import { problemBox } from "../lib/portlet.js";
import { ratePlot } from "./plot.js";
import { eventText, proofText, sentences, tone } from "./words.js";

const PERIOD = 4000; // ms between two looks while it moves
const FILES = 50;
const MOST = 1000;
const EVENTS = 200;
const MOVING = ["CLAIMED", "COPYING", "VERIFYING", "PUBLISHING"];
const OVERWRITE = {
  fail: "left alone; then a file fails",
  "skip-same": "kept if they are the same, else replaced",
  newer: "replaced if the source is newer",
  overwrite: "replaced",
};

/** What stands below a transfer's row: facts, rates, files and its journal, kept up to date until `signal` ends it. */
export function createDetails(item, { api, signal }) {
  const facts = h("dl", { class: "scigate-facts" });
  const plot = ratePlot(signal);
  const files = h("div", { class: "scigate-stack" });
  const journal = h("ol", { class: "scigate-journal", reversed: true });
  const journalBox = h("details", {}, h("summary", {}, "Journal"), journal);
  const node = h("div", { class: "scigate-details" }, facts, plot.node, files, journalBox);
  const path = `transfers/${encodeURIComponent(item.id)}`;
  let timer = null;
  let seen = 0; // id of the last event of the journal that is shown
  let wanted = FILES;

  function update(next) {
    item = next;
    keepFocus(facts, () => replace(facts, factsOf(item)));
    timer ??= setTimeout(look, 300);
  }

  /** Ask for what has changed; at most every few seconds. */
  async function look() {
    try {
      await Promise.all([readFiles(), readRates(), readJournal()]);
    } catch (error) {
      if (!signal.aborted) replace(files, problemBox(error));
    }
    timer = null;
    if (item.state === "ACTIVE" && !signal.aborted) timer = setTimeout(look, PERIOD);
  }

  async function readFiles() {
    const page = await api(`${path}/files`, { query: { limit: wanted }, signal });
    const more = page.next && wanted < MOST && button("Show more files", showMore);
    keepFocus(files, () => replace(files, filesTable(page.items, item.files.total), more));
  }

  function showMore() {
    wanted = Math.min(MOST, wanted * 4);
    return readFiles();
  }

  async function readRates() {
    try {
      plot.update(await api(`${path}/rates`, { signal }), isFinal(item.state));
    } catch (error) {
      if (error.status !== 404) throw error;
      plot.node.hidden = true; // an older gateway does not know it
    }
  }

  async function readJournal() {
    const page = await api(`${path}/events`, { query: { after: seen, limit: EVENTS }, signal });
    for (const event of page.items) {
      seen = Number(event.id);
      journal.prepend(h("li", {}, h("time", { datetime: event.time }, clock(event.time)), " ", eventText(event)));
    }
    while (journal.children.length > EVENTS) journal.lastChild.remove();
  }

  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  replace(facts, factsOf(item));
  return { node, update, start: look };
}

function factsOf(item) {
  return [
    item.cause && fact("Why", sentences(item.cause.message, item.cause.next_step), "scigate-why"),
    fact("Begun", clock(item.created)),
    item.finished ? fact("Finished", clock(item.finished)) : fact("Tried until", clock(item.deadline)),
    fact("Existing files", OVERWRITE[item.overwrite] ?? item.overwrite),
    fact("Proof", proofText(item.proof)),
    fact(
      "Id",
      h("span", { class: "scigate-row scigate-tight" }, h("code", {}, item.id), copyButton(item.id, "Copy the id")),
    ),
  ];
}

const fact = (name, value, more) => h("div", { class: more }, h("dt", {}, name), h("dd", {}, value));

function filesTable(files, total) {
  const heads = ["File", "State", "Size", "Done"].map((text) => h("th", { scope: "col" }, text));
  const some = `${files.length.toLocaleString("en")} of ${count(total, "file")}`;
  const table = h(
    "table",
    { class: "scigate-table scigate-files-of" },
    h("thead", {}, h("tr", {}, heads)),
    h("tbody", {}, files.map(fileRow)),
  );
  const title = h("h3", {}, files.length < total ? some : count(total, "file"));
  return h("div", {}, title, h("div", { class: "scigate-scroll" }, table));
}

function fileRow(file) {
  const why = file.cause && ["WAITING", "FAILED", "PAUSED"].includes(file.state) && visible(file.cause.message);
  const where = file.surl ?? file.destination;
  const name = h("span", { class: "scigate-clip", title: visible(where) }, visible(file.destination));
  const address = h("span", { class: "scigate-row scigate-tight" }, name, copyButton(where, "Copy its address"));
  const shade = tone(MOVING.includes(file.state) ? "ACTIVE" : file.state);
  const state = file.skipped ? "Was there" : stateWord(file.state);
  return h(
    "tr",
    { "data-key": file.id },
    h("th", { scope: "row" }, address, why && h("div", { class: "scigate-sub", title: why }, why)),
    h("td", {}, h("span", { class: "scigate-badge", "data-tone": shade }, state)),
    h("td", {}, file.size === null ? "" : size(file.size)),
    h("td", {}, `${file.state === "DONE" ? 100 : Math.min(99, percent(file.bytes_done, file.size))} %`),
  );
}

/** Copies text; says so by its drawing for a moment. */
export function copyButton(text, label) {
  const copy = async ({ currentTarget }) => {
    await copyText(text);
    currentTarget.title = "Copied";
  };
  return iconButton("copy", label, copy, { "data-focus": "copy" });
}
