import { button, h, keepFocus, replace, setText } from "../lib/dom.js";
import { emptyState, problemBox } from "../lib/portlet.js";
import { keyedRows } from "../lib/table.js";
import { createDetails } from "./details.js";
import { FILTERS } from "./model.js";
import { createNames } from "./names.js";
import { transferRow } from "./row.js";

const FIRST = 100; // rows until more are asked for
const HEADS = ["Transfer", "State", "Progress", "Speed", "Time left"];
const HEAD = { scope: "col", role: "columnheader" };
const WHOLE = { role: "cell", colspan: String(HEADS.length + 1), "aria-colspan": String(HEADS.length + 1) };
const EMPTY = {
  all: [
    "No transfers yet.",
    "Send something with the panel “Send data”, or run Gateway().put(…) in a notebook; it shows up by itself.",
  ],
  moving: ["Nothing is on its way.", "Everything that was sent has ended."],
  trouble: ["Nothing needs your attention.", "Transfers that fail or cannot move are listed here."],
  done: ["Nothing has finished yet.", "Transfers that ended are listed here, with their proof."],
};

/** The table of transfers with its filters; `model` tells what to show, `onSelect` hears whose details are open. */
export class TransfersView {
  #filter = FILTERS[0];
  #limit = FIRST;
  #shown = new Set();
  #open = new Map(); // id → {details, row, line, ended}
  #offline = h("div", { class: "scigate-offline", role: "status", hidden: true });
  #notice = h("div", {});
  #table = h("table", { class: "scigate-table scigate-main", role: "table" }, tableHead());
  #scroll = h("div", { class: "scigate-scroll" }, this.#table);
  #empty = h("div", {});
  #foot = h("div", { class: "scigate-foot" });

  constructor({ api, head, body, onSelect, signal }) {
    Object.assign(this, { api, head, body, onSelect, signal, model: null });
    this.chips = FILTERS.map((one) =>
      button(one[1], () => this.choose(one), { "aria-pressed": String(one === this.#filter) }),
    );
    this.names = createNames({ api, root: () => this.#scroll, onName: (id) => this.#rename(id), signal });
    this.rows = keyedRows(this.#table, { key: (item) => item.id, create: (item) => this.#row(item) });
  }

  #row(item) {
    const row = transferRow(item, {
      onOpen: (one) => (this.#open.has(one.item.id) ? this.close(one.item.id) : this.open(one)),
      onWish: (wish, one) => this.wish(wish, one),
      onVisible: this.names.wanted,
    });
    return { node: row.node, update: (next) => row.update({ ...next, name: this.names.get(next.id) }) };
  }

  #rename(id) {
    const item = this.model.get(id);
    if (item) this.rows.patch([{ ...item }]);
  }

  /** Show what has changed: some items, or with null the list. */
  show(changed) {
    this.#appear();
    const fits = changed?.every((item) => this.#filter[2](item) === this.#shown.has(item.id));
    if (changed && (this.#filter === FILTERS[0] || fits)) this.#patch(changed);
    else this.#arrange();
    this.#count();
  }

  #appear() {
    if (this.body.contains(this.#scroll)) return;
    replace(
      this.head,
      h("div", { class: "scigate-filters", role: "group", "aria-label": "Which transfers" }, this.chips),
    );
    replace(this.body, this.#offline, this.#notice, this.#scroll, this.#empty, this.#foot);
  }

  #patch(items) {
    this.rows.patch(items);
    for (const item of items) this.#open.get(item.id)?.details.update(item);
  }

  #arrange() {
    const found = this.model.items().filter(this.#filter[2]);
    const items = found.slice(0, this.#limit);
    this.#shown = new Set(items.map(({ id }) => id));
    for (const id of this.#open.keys()) if (!this.#shown.has(id)) this.close(id);
    keepFocus(this.#scroll, () => this.rows.set(items));
    for (const item of items) this.#open.get(item.id)?.details.update(item);
    this.#scroll.hidden = !items.length;
    replace(this.#empty, items.length ? [] : emptyState(...EMPTY[this.#filter[0]]));
    this.#footer(found.length);
  }

  #footer(all) {
    const { more } = this.model;
    this.#foot.hidden = all <= this.#limit && !more;
    const shown = `The newest ${Math.min(all, this.#limit).toLocaleString("en")} of ${all.toLocaleString("en")}.`;
    const older = more ? " Older ones: Gateway().transfers() in a notebook." : "";
    const rest = all > this.#limit && button(`Show all ${all.toLocaleString("en")}`, () => this.showAll());
    replace(this.#foot, h("span", { class: "scigate-quiet scigate-small" }, shown + older), rest);
  }

  #count() {
    FILTERS.forEach(([, name, fits], at) => {
      const number = this.model.items().filter(fits).length;
      setText(this.chips[at], number ? `${name} ${number.toLocaleString("en")}` : name);
    });
  }

  showAll() {
    this.#limit = Infinity;
    this.#arrange();
  }

  choose(one) {
    this.#filter = one;
    FILTERS.forEach((other, at) => this.chips[at].setAttribute("aria-pressed", String(other === one)));
    this.#arrange();
  }

  /** Ask for a pause, and so on; what is refused is told above the table. */
  async wish(wish, { id }) {
    replace(this.#notice);
    try {
      this.model.put(
        await this.api(`transfers/${encodeURIComponent(id)}/${wish}`, { method: "POST", signal: this.signal }),
      );
    } catch (error) {
      if (!this.signal.aborted) this.complain(error);
    }
  }

  open(row) {
    const ended = new AbortController();
    const signal = AbortSignal.any([this.signal, ended.signal]);
    const details = createDetails(row.item, { api: this.api, signal });
    const line = h("tr", { class: "scigate-more", role: "row" }, h("td", WHOLE, details.node));
    row.node.append(line);
    row.opener.setAttribute("aria-expanded", "true");
    this.#open.set(row.item.id, { details, row, line, ended });
    details.start().then(() => signal.aborted || row.node.scrollIntoView({ block: "nearest" }));
    this.onSelect(row.item.id);
  }

  close(id) {
    const { row, line, ended } = this.#open.get(id);
    ended.abort();
    line.remove();
    row.opener.setAttribute("aria-expanded", "false");
    this.#open.delete(id);
    this.onSelect([...this.#open.keys()].at(-1) ?? "");
  }

  connection(state) {
    this.#offline.hidden = state !== "offline";
    const words = "Not connected; transfers go on. This page comes back by itself.";
    setText(this.#offline, state === "offline" ? words : "");
  }

  /** In place of the table, which could not be read. */
  fail(error, again) {
    replace(this.body, problemBox(error, again));
  }

  complain(error) {
    replace(this.#notice, problemBox(error));
  }
}

/** With roles, since its style is not that of a table. */
function tableHead() {
  const heads = HEADS.map((text) => h("th", HEAD, text));
  const actions = h("th", HEAD, h("span", { class: "scigate-hidden" }, "Actions"));
  return [
    h("caption", { class: "scigate-hidden" }, "Your transfers, newest first"),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads, actions)),
  ];
}
