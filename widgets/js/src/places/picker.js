/** Where something is to go: a storage from a list, and a folder in it. */

import { h, replace, setText } from "../lib/dom.js";
import { filesPath, joinLocation } from "../lib/location.js";
import { folderFault, folderPath } from "../upload/box.js";
import { destinations, facts, line, tooFull } from "./storages.js";

const SUGGESTED = 200; // folders that are offered while a path is typed
let count = 0;

/**
 * @param kept  remembers the last place: `{storage, folder}`, or null
 * @param home  whether the files of this Jupyter Server, the storage `home`, are offered too
 * @returns `{node, load(), place(bytes), location(), show(storage, path)}`; `place` raises RangeError in words
 */
export function destinationPicker({ page, signal, kept = null, home = false, onChange = () => {} }) {
  const id = `scigate-place-${++count}`;
  const select = h("select", { id, onChange: () => changed() }, h("option", { value: "" }, "Looking…"));
  const names = h("datalist", { id: `${id}-names` });
  const folder = h("input", {
    id: `${id}-folder`,
    type: "text",
    list: names.id,
    placeholder: "the storage’s root",
    autocomplete: "off",
    spellcheck: "false",
    onInput: () => onChange(),
    onFocus: () => suggest(),
    onChange: () => suggest(),
  });
  const hint = h("p", { class: "scigate-quiet scigate-small", id: `${id}-hint` });
  select.setAttribute("aria-describedby", hint.id);
  const node = h(
    "div",
    { class: "scigate-place" },
    h("div", { class: "scigate-field" }, h("label", { for: select.id }, "To storage"), select),
    h("div", { class: "scigate-field" }, h("label", { for: folder.id }, "Folder"), folder, names),
    hint,
  );
  let storages = [];
  let wanted = kept?.storage; // until the list is here
  folder.value = kept?.folder ?? "";

  async function load() {
    const found = [];
    for await (const one of page.api.items("storages", { home, signal })) found.push(one);
    const { hub } = await page.session(); // without one, `home` is the gateway's own storage
    wanted = select.value || wanted;
    storages = destinations(found).filter((one) => home || !hub || one.name !== "home");
    replace(select, ...storages.map((one) => h("option", { value: one.name }, line(one))));
    if (storages.some((one) => one.name === wanted)) select.value = wanted;
    changed();
    return storages;
  }

  const chosen = () => storages.find((one) => one.name === select.value);

  function changed() {
    setText(
      hint,
      storages.length ? facts(chosen()) : "You may not write to any storage. Ask the gateway’s administrators.",
    );
    onChange();
  }

  /** Folders below what is typed so far. Not knowing them is no error: a folder need not exist. */
  async function suggest() {
    const above = folder.value.slice(0, folder.value.lastIndexOf("/") + 1);
    try {
      const query = { limit: SUGGESTED };
      const path = filesPath(joinLocation(select.value, folderPath(above)));
      const listed = await page.api(path, { query, home, signal });
      const folders = listed.items.filter((one) => one.kind === "folder");
      replace(names, ...folders.map((one) => h("option", { value: folderPath(above) + one.name + "/" })));
    } catch {
      replace(names);
    }
  }

  function place(bytes = 0) {
    const fault = storages.length === 0 ? "There is no storage to send to." : folderFault(folder.value);
    const problem = fault ?? tooFull(chosen(), bytes);
    if (problem) throw new RangeError(problem);
    return {
      storage: select.value,
      folder: folderPath(folder.value),
      location: joinLocation(select.value, folderPath(folder.value)),
    };
  }

  /** What stands in the form now, right or wrong. */
  const location = () => joinLocation(select.value, folderPath(folder.value));

  function show(storage, path) {
    wanted = storage;
    select.value = storage;
    folder.value = path;
    changed();
  }

  return { node, load, place, location, show };
}
