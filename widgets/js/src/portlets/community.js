import { h, iconButton, injectStyles, replace } from "../lib/dom.js";
import { count, size } from "../lib/format.js";
import { emptyState, portlet, problemBox } from "../lib/portlet.js";
import { entryTable } from "../files/listing.js";
import { SHOWN, newestFiles } from "../files/newest.js";
import { byTime, parentOf, pathOf } from "../files/paths.js";
import styles from "../files/files.css";

/** What the communities of the user share, the newest first; only to read. */
export default portlet("community", "Community", async ({ page, body, head, say, signal }) => {
  injectStyles("scigate-files", styles);
  const select = h("select", { "aria-label": "Community", hidden: true, onChange: () => attempt(show) });
  const place = h("div", { class: "scigate-stack" });
  body.append(place);
  head.append(
    select,
    iconButton("retry", "Read again", () => attempt(load)),
  );
  let storages = [];
  let turn = 0;

  async function load() {
    const found = [];
    for await (const one of page.api.items("storages", { signal })) found.push(one);
    storages = found.filter((one) => one.communities?.length);
    const names = [...new Set(storages.flatMap((one) => one.communities))].sort();
    const chosen = select.value;
    replace(
      select,
      names.length > 1 && h("option", { value: "" }, "All my communities"),
      names.map((name) => h("option", { value: name }, name)),
    );
    if (names.includes(chosen)) select.value = chosen;
    select.hidden = names.length === 0;
    await show();
  }

  async function show() {
    const mine = ++turn;
    const wanted = storages.filter((one) => !select.value || one.communities.includes(select.value));
    if (wanted.length === 0) return void replace(place, nobody());
    replace(place, h("p", { class: "scigate-quiet", role: "status" }, "Looking for the newest files…"));
    const { entries, beyond, failed } = await newestFiles(page, wanted, { signal });
    if (mine !== turn || signal.aborted) return;
    const table = entryTable({
      acts: { page },
      sort: byTime,
      folder: (entry) => (wanted.length === 1 ? parentOf(pathOf(entry)) : entry.location.slice(0, -entry.name.length)),
    });
    table.set(entries.slice(0, SHOWN), {
      empty: emptyState(
        "Nothing is shared yet.",
        `Send files to ${wanted[0].name}, and your community sees them here.`,
      ),
    });
    replace(
      place,
      overview(wanted, entries),
      failed.map(({ name, error }) => failure(name, error)),
      table.node,
      footnote(entries, beyond),
    );
    say(`${count(entries.length, "file")} of your community`);
  }

  /** What goes wrong later is told in the place of the files. */
  async function attempt(what) {
    try {
      await what();
    } catch (error) {
      if (!signal.aborted) replace(place, problemBox(error, () => attempt(what)));
    }
  }

  await load();
});

function overview(storages, entries) {
  const total = entries.reduce((sum, one) => sum + one.size, 0);
  const names = storages.map((one) => one.name).join(", ");
  return (
    entries.length > 0 &&
    h("p", { class: "scigate-quiet" }, `${count(entries.length, "file")}, ${size(total)}, at ${names}. Newest first.`)
  );
}

const failure = (name, error) => {
  const box = problemBox(error);
  box.prepend(h("span", { class: "scigate-quiet" }, `${name}:`));
  return box;
};

function footnote(entries, beyond) {
  const notes = [];
  if (entries.length > SHOWN) notes.push(`The newest ${SHOWN} are shown.`);
  if (beyond.length)
    notes.push(`${beyond.join(", ")} holds more files than were looked through; the panel “Files” shows all.`);
  return notes.length > 0 && h("p", { class: "scigate-quiet scigate-small" }, notes.join(" "));
}

const nobody = () =>
  emptyState(
    "No community shares a storage with you yet.",
    "When an administrator gives your community a storage, its files appear here.",
  );
