/** All that this page sends, whoever shows it: it goes on when a notebook's cell is cleared or a panel is closed. */

import { Slots } from "./slots.js";

const BEAT = 5_000; // milliseconds
const AT_ONCE = 3; // uploads of a page: browsers open six connections to a host for all it does

/** The sends of this page; one for all bundles. */
export function sendingsOf(page) {
  return (page.sendings ??= new Sendings());
}

class Sendings extends EventTarget {
  slots = new Slots(AT_ONCE);
  all = [];

  constructor() {
    super();
    setInterval(() => this.#touch(), BEAT);
    globalThis.addEventListener?.("pagehide", () => this.#touch(0));
    globalThis.addEventListener?.("beforeunload", (event) => {
      if (this.all.some((one) => one.isBusy && one.total !== null)) event.preventDefault();
    });
  }

  /** Begin it, and show it first. */
  add(one) {
    this.all.unshift(one);
    one.addEventListener("change", () => this.#changed());
    this.#changed();
    return one.start();
  }

  /** No longer shown; what is delivered goes on. */
  remove(one) {
    one.leave();
    this.all = this.all.filter((other) => other !== one);
    this.#changed();
  }

  /** Tell other pages of the same user what this one has; `seen` 0: it goes. */
  #touch(seen) {
    for (const { begun, memory, state } of this.all)
      if (begun && !["received", "cancelled"].includes(state)) memory.touch(begun.fingerprint, seen);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
