/** What an earlier page has begun. Its files have to be chosen again: a page may not open files by itself. */

import { button, h, replace } from "../lib/dom.js";
import { relative, size, visible } from "../lib/format.js";

const AGAIN = 15_000; // milliseconds: another page may have ended without a word

/** `{node, update()}`; `onChange` hears when something was given up. */
export function unfinishedList({ page, memory, sendings, signal, onChange }) {
  const node = h("div", { class: "scigate-stack scigate-unfinished" });
  let shown = "";

  function update() {
    const busy = new Set(sendings.all.map((one) => one.begun?.fingerprint));
    const open = memory.left().filter((one) => !busy.has(one.fingerprint));
    const now = open.map((one) => one.fingerprint).join();
    if (now === shown) return; // what does not change keeps its focus
    shown = now;
    replace(
      node,
      open.map((one) => box(one, () => giveUp(one))),
    );
  }

  const again = setInterval(update, AGAIN);
  signal.addEventListener("abort", () => clearInterval(again), { once: true });

  /** What nobody answers for ends by itself after a day. */
  async function giveUp(one) {
    for (const id of one.transfers ?? []) await page.api(`transfers/${id}/cancel`, { method: "POST" }).catch(() => {});
    memory.forget(one.fingerprint);
    update();
    onChange();
  }
  return { node, update };
}

function box(one, giveUp) {
  const what = `${visible(one.name)} (${size(one.size)}) to ${visible(one.folder)}, begun ${relative(one.began)}`;
  return h(
    "div",
    { class: "scigate-problem", "data-tone": "warn" },
    h("strong", {}, `Not finished: ${what}`),
    h("p", { class: "scigate-next-step" }, "Choose the same again, and sending goes on where it stopped."),
    button("Give up", giveUp, { "aria-label": `Give up ${visible(one.name)}` }),
  );
}
