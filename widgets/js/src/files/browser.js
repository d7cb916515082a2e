/** Storages and their folders: what is shown, where one is, and what is changed there. */

import { button, h, icon, iconButton, replace, setText } from "../lib/dom.js";
import { count, size, visible } from "../lib/format.js";
import { filesPath, joinLocation } from "../lib/location.js";
import { emptyState, problemBox } from "../lib/portlet.js";
import { arrivalText, followArrival } from "./arrival.js";
import { entryTable, readFolder } from "./listing.js";
import { crumbs, nameFault, parentOf, pathOf } from "./paths.js";
import { sendDialog } from "./send.js";

export class Browser {
  #here = null; // {storage, path}, or null: the list of storages
  #turn = 0; // what comes late is not shown any more
  #storages = [];
  #way = h("nav", { class: "scigate-crumbs", "aria-label": "Folder" });
  #tools = h("span", { class: "scigate-tools" });
  #message = h("div", { class: "scigate-message" });
  #arrivals = h("div", { class: "scigate-message" }); // stay when another folder is shown
  #place = h("div", {});

  /** @param view  of a portlet: `{page, root, body, head, say, signal}` */
  constructor(view) {
    this.view = view;
    const bar = h("div", { class: "scigate-row" }, this.#way, this.#tools);
    replace(this.#place, h("p", { class: "scigate-quiet" }, "Looking…"));
    view.body.append(h("div", { class: "scigate-stack" }, bar, this.#message, this.#arrivals, this.#place));
    view.head.append(iconButton("retry", "Read again", () => this.show(this.#here)));
  }

  /** Show a folder, or the storages (null). What goes wrong is said in its place. */
  async show(where, { focus = false } = {}) {
    const mine = ++this.#turn;
    const { root, signal } = this.view;
    this.#here = where;
    replace(this.#message);
    root.setAttribute("aria-busy", "true");
    try {
      await (where ? this.#showFolder(where, mine) : this.#showStorages(mine));
      if (focus) this.#way.querySelector("[aria-current]")?.focus();
    } catch (error) {
      if (this.#isCurrent(mine) && !signal.aborted)
        replace(
          this.#place,
          problemBox(error, () => this.show(where)),
        );
    } finally {
      if (this.#isCurrent(mine)) root.removeAttribute("aria-busy");
    }
  }

  #isCurrent(turn) {
    return turn === this.#turn;
  }

  async #showStorages(turn) {
    const { page, signal } = this.view;
    const found = [];
    for await (const one of page.api.items("storages", { home: true, signal })) found.push(one);
    if (!this.#isCurrent(turn)) return;
    this.#storages = found;
    this.#showWay([]);
    replace(this.#tools);
    const items = found.map((one) => this.#storageItem(one));
    replace(this.#place, items.length ? h("ul", { class: "scigate-storages" }, items) : noStorage());
  }

  #storageItem(storage) {
    const name = h("span", { class: "scigate-storage-name scigate-clip" }, storage.name);
    const facts = h("span", { class: "scigate-quiet scigate-small scigate-clip" }, storageWords(storage));
    const words = h("span", { class: "scigate-storage-words" }, name, facts);
    const open = () => this.show({ storage: storage.name, path: "" }, { focus: true });
    return h("li", { dataset: { id: storage.name } }, button([icon("folder"), words], open, { title: `${storage.name}: ${storageWords(storage)}` }));
  }

  async #showFolder({ storage, path }, turn) {
    const { page, signal, say } = this.view;
    this.#showWay(crumbs(storage, path));
    const { items, next } = await readFolder(page, storage, path, { signal });
    if (!this.#isCurrent(turn)) return;
    const readOnly = this.#storages.find((one) => one.name === storage)?.read_only ?? false;
    replace(this.#tools, !readOnly && button([icon("folder"), "New folder"], () => this.#askName()));
    const table = entryTable({ acts: this.#acts(readOnly), open: (entry) => this.#open(entry) });
    this.#draw(table, items, next, { turn, empty: emptyFolder(path, readOnly) });
    replace(this.#place, table.node);
    say(`${visible(path || storage)}: ${count(items.length, "entry", "entries")}${next ? " and more" : ""}`);
  }

  #draw(table, entries, next, { turn, empty }) {
    const more = async () => {
      const { storage, path } = this.#here;
      const { page, signal } = this.view;
      try {
        const found = await readFolder(page, storage, path, { after: next, signal });
        if (this.#isCurrent(turn)) this.#draw(table, [...entries, ...found.items], found.next, { turn, empty });
      } catch (error) {
        this.#complain(error);
      }
    };
    table.set(entries, { more: next ? more : null, empty });
  }

  #acts(readOnly) {
    const { page } = this.view;
    return { page, readOnly, remove: (entry) => this.#remove(entry), send: (entry) => this.#send(entry) };
  }

  #open(entry) {
    return this.show({ storage: this.#here.storage, path: pathOf(entry) }, { focus: true });
  }

  #showWay(steps) {
    const storage = this.#here?.storage;
    const all = [{ name: "Storages", go: null }, ...steps.map(({ name, path }) => ({ name, go: { storage, path } }))];
    const parts = all.map(({ name, go }, index) => {
      const onClick = () => this.show(go, { focus: true });
      const current = index === all.length - 1 && "location";
      const step = h(
        "button",
        { type: "button", class: "scigate-crumb", "aria-current": current, onClick },
        visible(name),
      );
      return [index > 0 && h("span", { class: "scigate-quiet", "aria-hidden": "true" }, "/"), step];
    });
    replace(this.#way, parts);
  }

  /** In place of the button: a name, and what to do with it. */
  #askName() {
    const leave = () => this.show(this.#here, { focus: true });
    const make = () => this.#makeFolder(name.value).catch((error) => this.#complain(error));
    const onKeydown = ({ key }) => ({ Enter: make, Escape: leave })[key]?.();
    const name = h("input", { type: "text", "aria-label": "Name of the new folder", placeholder: "name", onKeydown });
    const yes = button("Make folder", make, { class: "scigate-primary" });
    replace(this.#tools, name, yes, iconButton("cancel", "Make no folder", leave));
    name.focus();
  }

  async #makeFolder(name) {
    const fault = nameFault(name);
    if (fault) throw { name: "Problem", title: fault };
    const { storage, path } = this.#here;
    await this.view.page.api(filesPath(joinLocation(storage, `${path}${name}/`)), { method: "POST", home: true });
    await this.show(this.#here, { focus: true });
    this.view.say(`Folder ${visible(name)} made.`);
  }

  async #remove(entry) {
    await this.view.page.api(filesPath(entry.location), { method: "DELETE", home: true });
    await this.show({ storage: this.#here.storage, path: parentOf(pathOf(entry)) }, { focus: true });
    this.view.say(`${visible(entry.name)} deleted.`);
  }

  async #send(entry) {
    const { page, root, signal } = this.view;
    const transfer = await sendDialog({ page, sources: [entry.location], near: root });
    if (!transfer) return;
    if (transfer.isOfServer) return this.#showArrival(entry.name, transfer, signal);
    const note = `${visible(entry.name)} is on its way. The panel “Transfers” shows how far it is.`;
    replace(this.#message, h("p", { class: "scigate-note", role: "status" }, note));
  }

  #showArrival(name, transfer, signal) {
    const note = h("p", { class: "scigate-note", role: "status" });
    this.#arrivals.append(note);
    followArrival(this.view.page, transfer, (known) => setText(note, arrivalText(name, known)), signal);
  }

  #complain(error) {
    replace(this.#message, problemBox(error));
  }
}

const noStorage = () =>
  emptyState("You have no storage yet.", "Ask the gateway’s administrators, or your community, for access.");

function emptyFolder(path, readOnly) {
  const hint = readOnly
    ? "Nobody can write here through the gateway."
    : "Send something here with the panel “Send data”.";
  return emptyState(path ? "This folder is empty." : "This storage is empty.", hint);
}

function storageWords({ summary, site, read_only: readOnly, state, space }) {
  const room = space ? `${size(space.free)} free of ${size(space.total)}` : null;
  const words = [state === "down" && "does not answer now", summary, site, room, readOnly && "read only"];
  return words.filter(Boolean).join(" · ");
}
