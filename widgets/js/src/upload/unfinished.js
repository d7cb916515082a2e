/** What an earlier page has begun. Its files have to be chosen again: a page may not open files by itself. */

import { button, h, replace } from "../lib/dom.js";
import { relative, size, visible } from "../lib/format.js";

/** `{node, update()}`; `onChange` hears when something was given up. */
export function unfinishedList({ page, memory, sendings, onChange }) {
  const node = h("div", { class: "scigate-stack scigate-unfinished" });

  function update() {
    const busy = new Set(sendings.all.map((one) => one.begun?.fingerprint));
    const open = memory.all().filter((one) => !busy.has(one.fingerprint));
    const boxes = open.map((one) => box(one, () => giveUp(one)));
    replace(node, boxes);
  }

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
