/** What is known of a file, and what can be done with it. */

import { button, h, icon, iconButton, replace, setText } from "../lib/dom.js";
import { copy } from "../lib/clipboard.js";
import { clock, size, visible } from "../lib/format.js";
import { parseLocation } from "../lib/location.js";
import { asProblem } from "../lib/problem.js";
import { downloadLink } from "./download.js";
import { useInNotebook } from "./notebook.js";
import { snippet } from "./snippet.js";

/**
 * @param entry  of a listing
 * @param acts  `{page, readOnly, remove(entry), send(entry), say}`; without `remove` nothing can be changed here
 */
export function details(entry, acts) {
  const { storage, path } = parseLocation(entry.location);
  const note = h("p", { class: "scigate-small", role: "status" });
  const tell = (text) => setText(note, text);
  const code = snippet(storage, path);
  const isFolder = entry.kind === "folder";
  const facts = h(
    "dl",
    { class: "scigate-facts" },
    fact("Location", entry.location, tell),
    entry.surl && fact("At the storage (SURL)", entry.surl, tell),
    !isFolder &&
      h("div", {}, h("dt", {}, "Size"), h("dd", {}, `${size(entry.size)} (${entry.size.toLocaleString("en")} bytes)`)),
    entry.modified && h("div", {}, h("dt", {}, "Changed"), h("dd", {}, clock(entry.modified))),
    ...Object.entries(entry.digests ?? {}).map(([name, value]) => fact(name, value, tell)),
    entry.note && h("div", {}, h("dt", {}, "Note"), h("dd", {}, visible(entry.note))),
  );
  const node = h(
    "div",
    { class: "scigate-details" },
    facts,
    h("pre", { class: "scigate-code", tabindex: "0", "aria-label": "Python" }, code),
    h(
      "div",
      { class: "scigate-row" },
      button("Use in this notebook", async () => tell(await useInNotebook(acts.page, code)), {
        class: "scigate-primary",
      }),
      downloadLink(acts.page, entry),
      acts.send && button("Send to…", () => acts.send(entry)),
      button([icon("share"), "Share"], () => share(entry, tell)),
      acts.remove && !acts.readOnly && removal(entry, acts, tell),
    ),
    note,
  );
  return node;
}

function fact(name, value, tell) {
  const told = async () => tell((await copy(value)) ? `${name} copied.` : "Your browser does not let this page copy.");
  return h(
    "div",
    {},
    h("dt", {}, name),
    h("dd", {}, h("code", {}, visible(value)), iconButton("copy", `Copy: ${name}`, told)),
  );
}

async function share(entry, tell) {
  const copied = await copy(entry.surl ?? entry.location);
  const what = entry.surl ? "Its address at the storage" : "Its location";
  tell(
    copied
      ? `${what} is copied. It gives nobody a right: it opens for those who may read this storage.`
      : "Your browser does not let this page copy.",
  );
}

/** Asks first, in place: it cannot be undone. */
function removal(entry, acts, tell) {
  const node = h("span", { class: "scigate-row" });
  const name = visible(entry.name);
  const rest = () => replace(node, button("Delete…", ask, { class: "scigate-danger" }));
  function ask() {
    const yes = button(`Delete ${name}`, go, { class: "scigate-danger" });
    replace(
      node,
      h("span", {}, "For ever?"),
      yes,
      button("Keep it", () => {
        rest();
        node.firstChild.focus();
      }),
    );
    yes.focus();
  }
  async function go() {
    try {
      await acts.remove(entry);
    } catch (error) {
      const { title, nextStep } = asProblem(error);
      tell(`${title} ${nextStep}`);
      rest();
    }
  }
  rest();
  return node;
}
