/** What is to be sent, where to, when; and the button that does it. */

import { button, h, icon, replace, setText } from "../lib/dom.js";
import { count, size, visible } from "../lib/format.js";
import { parseLocation } from "../lib/location.js";
import { problemBox } from "../lib/portlet.js";
import { destinationPicker } from "../places/picker.js";
import { pullUrls, sendFiles } from "./begin.js";
import { addresses, described, totalOf } from "./box.js";
import { dropBox } from "./drop.js";
import { fingerprint } from "./memory.js";
import { options } from "./options.js";

export class Form {
  #message = h("div", { class: "scigate-message", "aria-live": "polite" });
  #summary = h("span", { class: "scigate-quiet" });
  #word = h("span", {}, "Send");

  /**
   * @param memory  what was begun; `lastPlace` where to; `sendings` those of the page
   * @param begin  begins something: a Sending or a Pulling
   */
  constructor({ page, signal, memory, lastPlace, sendings, begin }) {
    Object.assign(this, { page, memory, lastPlace, sendings, begin });
    const onChange = () => {
      replace(this.#message); // it was about what stood there before
      this.update();
    };
    this.box = dropBox({ signal, onChange, onItems: (items) => this.#propose(items) });
    this.picker = destinationPicker({ page, signal, kept: lastPlace.get(), onChange });
    this.options = options();
    const look = { class: "scigate-primary scigate-send-button" };
    this.submit = button([icon("up"), this.#word], () => this.#send(), look);
    const foot = h("div", { class: "scigate-row" }, this.submit, this.#summary);
    const parts = [this.box.node, this.picker.node, this.options.node, foot, this.#message];
    this.node = h("div", { class: "scigate-stack" }, parts);
  }

  /** Say what the button would do now. */
  update() {
    const { items, text } = this.box;
    const { urls } = addresses(text);
    const goesOn = this.#known(items)?.folder === this.picker.location();
    setText(this.#word, items.length === 0 && urls.length ? "Fetch" : goesOn ? "Continue" : "Send");
    setText(this.#summary, summaryOf(items, urls, goesOn));
    this.submit.disabled = items.length === 0 && text.trim() === "";
  }

  #known(items) {
    return items.length ? this.memory.find(fingerprint(items)) : undefined;
  }

  /** Where the same was begun to be sent to. */
  #propose(items) {
    const known = this.#known(items);
    if (!known) return;
    const { storage, path } = parseLocation(known.folder);
    this.picker.show(storage, path);
  }

  #send() {
    replace(this.#message);
    try {
      this.#beginAll();
      this.box.clear();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      replace(this.#message, problemBox({ name: "Problem", title: error.message }));
    }
  }

  #beginAll() {
    const { items, text } = this.box;
    const { urls, wrong } = addresses(text);
    if (wrong.length)
      throw new RangeError(`“${visible(wrong[0])}” is no web address. Write it with https:// in front.`);
    const place = this.picker.place(totalOf(items));
    if (this.#isOnItsWay(items, place.location)) throw new RangeError("This is on its way there already: see below.");
    const { page, memory, sendings } = this;
    const given = { folder: place.location, wishes: this.options.values(), page, memory, slots: sendings.slots };
    if (urls.length) this.begin(pullUrls({ urls, ...given }));
    if (items.length) this.begin(sendFiles({ items, ...given }));
    this.lastPlace.set(place);
  }

  #isOnItsWay(items, folder) {
    const same = (one) => one.begun?.fingerprint === fingerprint(items) && one.destination === folder;
    return this.sendings.all.some((one) => same(one) && !one.isOver && one.state !== "failed");
  }
}

function summaryOf(items, urls, goesOn) {
  const files = items.length > 0 && `${visible(described(items))}, ${size(totalOf(items))}`;
  const web = urls.length > 0 && count(urls.length, "web address", "web addresses");
  return [files, web].filter(Boolean).join(" and ") + (goesOn ? ", going on where it stopped" : "");
}
