/** When it is to be delivered, and what happens to what is there already. */

import { h } from "../lib/dom.js";
import { localValue, schedule, tonight } from "./when.js";

const EXISTING = {
  fail: "Leave it alone",
  "skip-same": "Replace if different",
  newer: "Replace if mine is newer or of another size",
  overwrite: "Replace",
};
let number = 0;

/** `values()`: the wishes for the API; raises RangeError in words. */
export function options() {
  const id = `scigate-options-${++number}`;
  const when = select(`${id}-when`, { now: "As soon as possible", later: "Not before…" });
  const start = h("input", { id: `${id}-start`, type: "datetime-local", value: localValue(tonight()) });
  const deadline = h("input", { id: `${id}-deadline`, type: "datetime-local" });
  const existing = select(`${id}-existing`, EXISTING);
  const startField = field("Not before", start);
  startField.hidden = true;
  when.addEventListener("change", () => (startField.hidden = when.value !== "later"));
  const node = h(
    "div",
    { class: "scigate-options" },
    field("Deliver", when),
    startField,
    field("Needed by (optional)", deadline),
    field("If it exists already", existing),
  );

  function values() {
    const overwrite = existing.value === "fail" ? {} : { overwrite: existing.value };
    return { ...overwrite, ...schedule({ when: when.value, start: start.value, deadline: deadline.value }) };
  }
  return { node, values };
}

const select = (id, choices) =>
  h(
    "select",
    { id },
    Object.entries(choices).map(([value, text]) => h("option", { value }, text)),
  );
const field = (label, control) => h("div", { class: "scigate-field" }, h("label", { for: control.id }, label), control);
