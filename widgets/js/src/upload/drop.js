/** The one box: files and folders are dropped or chosen, web addresses pasted or dropped. */

import { button, h, icon, iconButton, replace } from "../lib/dom.js";
import { size, visible } from "../lib/format.js";
import { described, totalOf } from "./box.js";
import { fromDrop, fromInput, linksFromDrop } from "./gather.js";

const SHOWN = 100; // names of what was chosen
let number = 0;

/** `items`: what was chosen; `text`: what stands in the field for addresses; `onItems(items)` after each choice. */
export function dropBox({ signal, onChange, onItems }) {
  const files = h("input", {
    type: "file",
    multiple: true,
    class: "scigate-hidden",
    tabindex: "-1",
    "aria-label": "Files to send",
  });
  const folder = h("input", {
    type: "file",
    webkitdirectory: true,
    class: "scigate-hidden",
    tabindex: "-1",
    "aria-label": "Folder to send",
  });
  const id = `scigate-addresses-${++number}`;
  const text = h("textarea", { id, rows: "1", spellcheck: "false", placeholder: "https://…", onInput: () => typed() });
  const chosen = h("div", { class: "scigate-chosen" });
  const node = h(
    "div",
    { class: "scigate-drop" },
    h(
      "div",
      { class: "scigate-drop-files" },
      icon("up"),
      h("span", {}, "Drop files or a folder here, or"),
      button("Choose files", () => files.click()),
      button("Choose a folder", () => folder.click()),
      files,
      folder,
    ),
    h(
      "div",
      { class: "scigate-drop-text" },
      h("label", { for: id }, "or web addresses, which the gateway fetches by itself"),
      text,
    ),
    chosen,
  );
  const box = {
    node,
    items: [],
    get text() {
      return text.value;
    },
    clear,
  };

  for (const input of [files, folder])
    input.addEventListener("change", () => taken(fromInput(input), input), { signal });
  node.addEventListener("dragover", over, { signal });
  node.addEventListener("dragleave", () => delete node.dataset.over, { signal });
  node.addEventListener("drop", drop, { signal });

  function over(event) {
    event.preventDefault();
    event.stopPropagation();
    event.dataTransfer.dropEffect = "copy";
    node.dataset.over = "";
  }

  async function drop(event) {
    event.preventDefault();
    event.stopPropagation();
    delete node.dataset.over;
    if ([...event.dataTransfer.items].some((item) => item.kind === "file"))
      return taken(await fromDrop(event.dataTransfer));
    text.value = [text.value.trim(), linksFromDrop(event.dataTransfer)].filter(Boolean).join("\n");
    typed();
  }

  function taken(items, input) {
    if (input) input.value = ""; // the same again is a change too
    if (items.length === 0) return;
    box.items = items;
    onItems(items);
    show();
  }

  function typed() {
    text.rows = Math.min(6, text.value.split("\n").length);
    onChange();
  }

  function clear() {
    box.items = [];
    text.value = "";
    typed();
    show();
  }

  function show() {
    replace(
      chosen,
      box.items.length > 0 &&
        list(box.items, () => {
          box.items = [];
          show();
        }),
    );
    onChange();
  }
  return box;
}

function list(items, remove) {
  const what = visible(described(items));
  const head = h(
    "span",
    { class: "scigate-row" },
    icon(items.length > 1 ? "folder" : "file"),
    h("strong", { class: "scigate-clip" }, what),
    h("span", { class: "scigate-quiet" }, size(totalOf(items))),
    iconButton("cancel", `Do not send ${what}`, remove),
  );
  if (items.length === 1) return head;
  const names = items.slice(0, SHOWN).map(({ path, file }) => h("li", {}, `${visible(path)} (${size(file.size)})`));
  const more = items.length > SHOWN ? h("li", {}, `and ${(items.length - SHOWN).toLocaleString("en")} more`) : null;
  return [
    head,
    h(
      "details",
      { class: "scigate-small scigate-quiet" },
      h("summary", {}, "Show the names"),
      h("ul", {}, names, more),
    ),
  ];
}
