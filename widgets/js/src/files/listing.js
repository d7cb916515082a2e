/** A folder as a table, page by page, with the details of one row at a time. */

import { button, h, icon, iconButton, replace, setText } from "../lib/dom.js";
import { clock, count, relative, size, visible } from "../lib/format.js";
import { filesPath, joinLocation } from "../lib/location.js";
import { emptyState } from "../lib/portlet.js";
import { details } from "./details.js";
import { downloadLink } from "./download.js";
import { byName, withQuery } from "./paths.js";

const PAGE = 200;

/** The entries of a folder, from the `after` on: `{items, next}`. */
export function readFolder(page, storage, path, { after, signal, recursive } = {}) {
  const query = { limit: PAGE, after, recursive: recursive ? 1 : undefined };
  return page.api(withQuery(filesPath(joinLocation(storage, path)), query), { home: true, signal });
}

/**
 * A table of entries: `set(entries, {more, empty})`, where `more` shows further ones.
 * @param acts  what `details` can do with an entry
 * @param open  what opens a folder
 * @param folder  what is said of where an entry is, if it is not all the same
 */
export function entryTable({ acts, open, sort = byName, folder = () => "" }) {
  const body = h("tbody", {});
  const head = ["Name", "Size", "Changed", ""].map((text, index) =>
    h(
      "th",
      { scope: "col", class: index === 1 ? "scigate-number" : null },
      text || h("span", { class: "scigate-hidden" }, "Actions"),
    ),
  );
  const table = h(
    "table",
    { class: "scigate-table scigate-entries" },
    h(
      "colgroup",
      {},
      h("col", {}),
      h("col", { class: "scigate-col-size" }),
      h("col", { class: "scigate-col-time" }),
      h("col", { class: "scigate-col-acts" }),
    ),
    h("thead", {}, h("tr", {}, head)),
    body,
  );
  const foot = h("div", { class: "scigate-row scigate-foot" });
  const node = h("div", { class: "scigate-listing" }, h("div", { class: "scigate-scroll" }, table), foot);
  let entries = [];
  let shown = null; // location of the one whose details are open

  function set(found, { more = null, empty } = {}) {
    entries = [...found].sort(sort);
    table.hidden = entries.length === 0;
    replace(body, entries.map(rows));
    replace(
      foot,
      entries.length === 0
        ? (empty ?? emptyState("This folder is empty.", "Send something here with the panel “Send data”."))
        : null,
      entries.length > 0 && h("span", { class: "scigate-quiet scigate-small" }, summary(more)),
      more && button("Show more", more),
    );
  }

  const summary = (more) => `${count(entries.length, "entry", "entries")}${more ? " so far" : ""}`;

  function rows(entry) {
    const row = entryRow(entry, { acts, open, folder: visible(folder(entry)), toggle: () => toggle(entry, row) });
    return entry.location === shown ? [row, detailsRow(entry)] : row;
  }

  const detailsRow = (entry) =>
    h("tr", { class: "scigate-details-row" }, h("td", { colspan: "4" }, details(entry, acts)));

  function toggle(entry, row) {
    body.querySelector(".scigate-details-row")?.remove();
    body.querySelectorAll("[aria-expanded=true]").forEach((one) => one.setAttribute("aria-expanded", "false"));
    shown = shown === entry.location ? null : entry.location;
    if (!shown) return;
    const more = detailsRow(entry);
    row.after(more);
    more.scrollIntoView({ block: "nearest" });
    row.querySelectorAll("[aria-expanded]").forEach((one) => one.setAttribute("aria-expanded", "true"));
  }

  return {
    node,
    set,
    get entries() {
      return entries;
    },
  };
}

function entryRow(entry, { acts, open, folder, toggle }) {
  const name = visible(entry.name);
  const isFolder = entry.kind === "folder";
  const label = h(
    "button",
    {
      type: "button",
      class: "scigate-name",
      title: folder + name,
      "aria-expanded": isFolder ? null : "false",
      onClick: isFolder ? () => open(entry) : toggle,
    },
    icon(isFolder ? "folder" : "file"),
    h("span", { class: "scigate-clip" }, name),
    folder && h("span", { class: "scigate-quiet scigate-small scigate-clip scigate-where" }, folder),
  );
  const changed = entry.modified
    ? h("time", { datetime: entry.modified, title: clock(entry.modified) }, when(entry.modified))
    : "";
  return h(
    "tr",
    { dataset: { id: entry.location, kind: entry.kind } },
    h("td", {}, label),
    h("td", { class: "scigate-number" }, isFolder ? "" : size(entry.size)),
    h("td", {}, changed),
    h(
      "td",
      { class: "scigate-number" },
      entry.kind !== "other" && downloadLink(acts.page, entry, { small: true }),
      iconButton("down", `More about ${name}`, toggle, { "aria-expanded": "false" }),
    ),
  );
}

/** "3 min ago" for what is new, else day and hour. */
function when(time) {
  const isRecent = Math.abs(Date.now() - new Date(time)) < 90 * 60 * 1000;
  return isRecent ? relative(time) : clock(time);
}
