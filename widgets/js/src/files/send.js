/** A small dialog: where to send files that are at a storage, or in this server's home directory. */

import { button, h, replace } from "../lib/dom.js";
import { count, visible } from "../lib/format.js";
import { keepKeys, problemBox } from "../lib/portlet.js";
import { destinationPicker } from "../places/picker.js";
import { options } from "../upload/options.js";

let number = 0;

/**
 * Asks where to, and submits a transfer.
 * @param sources  locations; of folders with a slash behind
 * @param near  an element whose styles the dialog shares
 * @returns the transfer, or null when nothing was sent; `isOfServer`: the server carries it out, not the gateway
 */
export function sendDialog({ page, sources, near }) {
  return new Promise((resolve) => {
    const closed = new AbortController();
    const title = h("h2", { class: "scigate-title", id: `scigate-send-${++number}` }, `Send ${named(sources)}`);
    const picker = destinationPicker({ page, signal: closed.signal, home: true });
    const wishes = options();
    const message = h("div", { class: "scigate-message" });
    const submit = button("Send", () => send(), { class: "scigate-primary" });
    const dialog = h(
      "dialog",
      { class: "scigate scigate-dialog", "aria-labelledby": title.id, onClose: () => end() },
      h("header", { class: "scigate-head" }, title),
      h(
        "div",
        { class: "scigate-body scigate-stack" },
        picker.node,
        wishes.node,
        message,
        h(
          "div",
          { class: "scigate-row scigate-ends" },
          button("Cancel", () => dialog.close()),
          submit,
        ),
      ),
    );
    let transfer = null;

    function end() {
      closed.abort();
      dialog.remove();
      resolve(transfer);
    }

    async function send() {
      submit.disabled = true;
      replace(message);
      try {
        const { location } = picker.place();
        const files = sources.map((source) => ({ source, destination: target(source, location) }));
        const body = { files, label: named(sources).slice(0, 200), ...wishes.values() };
        const { hub } = await page.session();
        const answer = await page.api("transfers", { method: "POST", body, home: isHome([location, ...sources]) });
        transfer = { ...answer.transfer, isOfServer: hub && isHome([location]) };
        dialog.close();
      } catch (error) {
        replace(message, problemBox(error instanceof RangeError ? { name: "Problem", title: error.message } : error));
        submit.disabled = false;
      }
    }

    keepKeys(dialog);
    near.append(dialog);
    dialog.showModal();
    picker.load().catch((error) => replace(message, problemBox(error)));
  });
}

/** A folder keeps its name: what is in it goes below a folder of that name. */
export function target(source, folder) {
  if (!source.endsWith("/")) return folder;
  const name = source.slice(0, -1).match(/[^/:]*$/)[0];
  return name ? `${folder}${name}/` : folder;
}

/** Whether this server has to carry it out: the gateway does not know the user's home directory. */
export const isHome = (locations) => locations.some((one) => one.startsWith("home:"));

const named = (sources) =>
  sources.length === 1
    ? visible(sources[0].replace(/\/$/, "").match(/[^/]*$/)[0] || sources[0])
    : count(sources.length, "entry", "entries");
