import { button, h, icon, injectStyles, replace, setText } from "../lib/dom.js";
import { count, relative, size, visible } from "../lib/format.js";
import { problemBox, portlet } from "../lib/portlet.js";
import { destinationPicker } from "../places/picker.js";
import { pullUrls, sendFiles } from "../upload/begin.js";
import { addresses, described, totalOf } from "../upload/box.js";
import { dropBox } from "../upload/drop.js";
import { Memory, fingerprint } from "../upload/memory.js";
import { options } from "../upload/options.js";
import { sendList } from "../upload/rows.js";
import { sendingsOf } from "../upload/sendings.js";
import { syncTo } from "../upload/synced.js";
import styles from "../upload/upload.css";

/** Files, folders and web addresses to the gateway. */
export default portlet("upload", "Send data", async ({ model, page, body, say, signal }) => {
  injectStyles("scigate-upload", styles);
  const { user, api } = await page.session();
  const storage = browserStorage();
  const memory = new Memory(storage, `${api}:${user}`);
  const lastPlace = new LastPlace(storage, `${api}:${user}`);
  const sendings = sendingsOf(page);

  const box = dropBox({ signal, onChange: () => changed() });
  const picker = destinationPicker({ page, signal, kept: lastPlace.get(), onChange: () => changed() });
  const wishes = options();
  const message = h("div", { class: "scigate-message", "aria-live": "polite" });
  const submit = button([icon("up"), h("span", {}, "Send")], () => send(), { class: "scigate-primary scigate-send-button" });
  const summary = h("span", { class: "scigate-quiet" });
  const unfinished = h("div", { class: "scigate-stack scigate-unfinished" });
  const form = h("div", { class: "scigate-stack" }, box.node, picker.node, wishes.node,
    h("div", { class: "scigate-row" }, submit, summary), message);
  body.append(h("div", { class: "scigate-stack" }, unfinished, form, sendList({ sendings, say, signal })));

  function changed() {
    const { urls } = addresses(box.text);
    const known = box.items.length ? memory.find(fingerprint(box.items)) : undefined;
    setText(submit.lastChild, box.items.length || !urls.length ? (known ? "Continue" : "Send") : "Fetch");
    submit.disabled = box.items.length === 0 && box.text.trim() === "";
    setText(summary, summaryOf(box.items, urls, known));
  }

  function send() {
    replace(message);
    try {
      const { urls, wrong } = addresses(box.text);
      if (wrong.length) throw new RangeError(`“${visible(wrong[0])}” is no web address. Write it with https:// in front.`);
      const place = picker.place(totalOf(box.items));
      const given = { folder: place.location, wishes: wishes.values(), page, memory, slots: sendings.slots };
      if (isBeingSent(box.items, place.location)) throw new RangeError("This is on its way there already: see below.");
      if (urls.length) begin(pullUrls({ urls, ...given }));
      if (box.items.length) begin(sendFiles({ items: box.items, ...given }));
      lastPlace.set(place);
      box.clear();
      listUnfinished();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      replace(message, problemBox({ name: "Problem", title: error.message }));
    }
  }

  const isBeingSent = (items, folder) =>
    sendings.all.some((one) => one.begun?.fingerprint === fingerprint(items) && one.destination === folder && !one.isOver && one.state !== "failed");

  function begin(one) {
    if (model) syncTo(model, one);
    sendings.add(one);
  }

  /** What an earlier page has begun. Its files have to be chosen again: a page may not open files by itself. */
  function listUnfinished() {
    const busy = new Set(sendings.all.map((one) => one.begun?.fingerprint));
    const open = memory.all().filter((one) => !busy.has(one.fingerprint));
    replace(unfinished, open.map((one) => unfinishedBox(one, () => giveUp(one))));
  }

  async function giveUp(one) {
    for (const id of one.transfers ?? []) await page.api(`transfers/${id}/cancel`, { method: "POST" }).catch(() => {});
    memory.forget(one.fingerprint);
    listUnfinished();
    changed();
  }

  box.onItems = (items) => {
    const known = memory.find(fingerprint(items));
    if (known) picker.show(...parts(known.folder));
  };
  changed();
  listUnfinished();
  await picker.load();
});

function unfinishedBox(one, giveUp) {
  const what = `${visible(one.name)} (${size(one.size)}) to ${visible(one.folder)}, begun ${relative(one.began)}`;
  return h("div", { class: "scigate-problem", "data-tone": "warn" },
    h("strong", {}, `Not finished: ${what}`),
    h("p", { class: "scigate-next-step" }, "Choose the same again, and sending goes on where it stopped."),
    button("Give up", giveUp));
}

function summaryOf(items, urls, known) {
  const files = items.length ? `${visible(described(items))}, ${size(totalOf(items))}` : "";
  const goesOn = known ? ", going on where it stopped" : "";
  return [files + goesOn, urls.length ? count(urls.length, "web address", "web addresses") : ""].filter(Boolean).join(" and ");
}

const parts = (location) => [location.slice(0, location.indexOf(":")), location.slice(location.indexOf("/") + 1)];

/** Not there in a private window of some browsers. */
function browserStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}

/** Where something was sent last, as a proposal for the next time. */
class LastPlace {
  constructor(storage, who) {
    Object.assign(this, { storage, name: `scigate:place:${who}` });
  }

  get() {
    try {
      return JSON.parse(this.storage?.getItem(this.name) ?? "null");
    } catch {
      return null;
    }
  }

  set({ storage, folder }) {
    try {
      this.storage?.setItem(this.name, JSON.stringify({ storage, folder }));
    } catch {
      // it is only a proposal
    }
  }
}
