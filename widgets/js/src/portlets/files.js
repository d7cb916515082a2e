import { button, h, icon, iconButton, injectStyles, replace } from "../lib/dom.js";
import { count, size, visible } from "../lib/format.js";
import { filesPath, joinLocation } from "../lib/location.js";
import { emptyState, portlet, problemBox } from "../lib/portlet.js";
import { asProblem } from "../lib/problem.js";
import { crumbs, nameFault, parentOf } from "../files/paths.js";
import { entryTable, readFolder } from "../files/listing.js";
import { sendDialog } from "../files/send.js";
import styles from "../files/files.css";
import placeStyles from "../upload/upload.css";

/** What is in the storages, folder by folder. */
export default portlet("files", "Files", async ({ page, root, body, head, say, signal }) => {
  injectStyles("scigate-files", styles);
  injectStyles("scigate-upload", placeStyles);
  const way = h("nav", { class: "scigate-crumbs", "aria-label": "Folder" });
  const tools = h("span", { class: "scigate-tools" });
  const message = h("div", { class: "scigate-message" });
  const place = h("div", {});
  body.append(h("div", { class: "scigate-stack" }, h("div", { class: "scigate-row" }, way, tools), message, place));
  head.append(iconButton("retry", "Read again", () => show(here)));

  let storages = [];
  let here = null; // {storage, path}, or null: the list of storages
  let turn = 0; // what comes late is not shown any more

  async function show(where, { focus = false } = {}) {
    const mine = ++turn;
    here = where;
    replace(message);
    root.setAttribute("aria-busy", "true");
    try {
      await (where ? showFolder(where, () => mine === turn) : showStorages(() => mine === turn));
      if (focus) way.querySelector("[aria-current]")?.focus();
    } catch (error) {
      if (mine === turn && !signal.aborted) replace(place, problemBox(error, () => show(where)));
    } finally {
      if (mine === turn) root.removeAttribute("aria-busy");
    }
  }

  async function showStorages(isCurrent) {
    const found = [];
    for await (const one of page.api.items("storages", { home: true, signal })) found.push(one);
    if (!isCurrent()) return;
    storages = found;
    showWay([]);
    replace(tools);
    const none = emptyState("You have no storage yet.", "Ask the gateway’s administrators, or your community, for access.");
    replace(place, found.length ? h("ul", { class: "scigate-storages" }, found.map(storageItem)) : none);
  }

  const storageItem = (one) => h("li", { dataset: { id: one.name } },
    button([icon("folder"), h("span", { class: "scigate-storage-name" }, one.name),
      h("span", { class: "scigate-quiet scigate-small scigate-clip" }, storageWords(one))],
    () => show({ storage: one.name, path: "" }, { focus: true })));

  async function showFolder({ storage, path }, isCurrent) {
    showWay(crumbs(storage, path));
    const first = await readFolder(page, storage, path, { signal });
    if (!isCurrent()) return;
    const readOnly = storages.find((one) => one.name === storage)?.read_only ?? false;
    replace(tools, !readOnly && button([icon("folder"), "New folder"], askName));
    const table = entryTable({ acts: { page, readOnly, remove, send, say }, open });
    let [entries, next] = [first.items, first.next];
    const draw = () => table.set(entries, { more: next ? more : null, empty: empty(path, readOnly) });
    const more = async () => {
      const page2 = await readFolder(page, storage, path, { after: next, signal });
      if (!isCurrent()) return;
      [entries, next] = [[...entries, ...page2.items], page2.next];
      draw();
    };
    draw();
    replace(place, table.node);
    say(`${path || storage}: ${count(entries.length, "entry", "entries")}`);
  }

  const open = (entry) => show({ storage: here.storage, path: pathOf(entry) }, { focus: true });

  function showWay(steps) {
    const all = [{ name: "Storages", go: null }, ...steps.map(({ name, path }) => ({ name, go: { storage: here?.storage, path } }))];
    const parts = all.map(({ name, go }, index) => {
      const isLast = index === all.length - 1;
      const step = h("button", { type: "button", class: "scigate-crumb", "aria-current": isLast && "location", onClick: () => show(go, { focus: true }) }, visible(name));
      return [index > 0 && h("span", { class: "scigate-quiet", "aria-hidden": "true" }, "/"), step];
    });
    replace(way, parts);
  }

  /** In place of the button: a name and what to do with it. */
  function askName() {
    const name = h("input", { type: "text", "aria-label": "Name of the new folder", placeholder: "name", onKeydown: (event) => {
      if (event.key === "Enter") make();
      if (event.key === "Escape") show(here, { focus: true });
    } });
    const make = () => makeFolder(name.value).catch(complain);
    replace(tools, name, button("Make folder", make, { class: "scigate-primary" }), iconButton("cancel", "Make no folder", () => show(here, { focus: true })));
    name.focus();
  }

  async function makeFolder(name) {
    const fault = nameFault(name);
    if (fault) throw { name: "Problem", title: fault };
    await page.api(filesPath(joinLocation(here.storage, `${here.path}${name}/`)), { method: "POST", home: true });
    await show(here, { focus: true });
    say(`Folder ${visible(name)} made.`);
  }

  async function remove(entry) {
    await page.api(filesPath(entry.location), { method: "DELETE", home: true });
    await show({ storage: here.storage, path: parentOf(pathOf(entry)) }, { focus: true });
    say(`${visible(entry.name)} deleted.`);
  }

  async function send(entry) {
    const transfer = await sendDialog({ page, sources: [entry.location], near: root });
    if (!transfer) return;
    const note = `${visible(entry.name)} is on its way. The panel “Transfers” shows how far it is.`;
    replace(message, h("p", { class: "scigate-note", role: "status" }, note));
  }

  const complain = (error) => replace(message, problemBox(asProblem(error)));

  await showStorages(() => true);
});

const pathOf = (entry) => entry.location.slice(entry.location.indexOf(":/") + 2);

function storageWords({ summary, site, read_only: readOnly, state, space }) {
  const room = space ? `${size(space.free)} free of ${size(space.total)}` : null;
  const words = [summary, site, room, readOnly && "read only", state === "down" && "does not answer now"];
  return words.filter(Boolean).join(" · ");
}

function empty(path, readOnly) {
  const hint = readOnly ? "Nobody can write here through the gateway." : "Send something here with the panel “Send data”.";
  return emptyState(path ? "This folder is empty." : "This storage is empty.", hint);
}
