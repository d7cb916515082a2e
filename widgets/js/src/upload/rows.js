/** Everything that is being sent, each with its two ways and its buttons. */

import { h, icon, iconButton, button, keepFocus, replace, setAttribute, setText } from "../lib/dom.js";
import { visible } from "../lib/format.js";
import { firstLeg, outcome, secondLeg } from "./words.js";

/** A list that follows `sendings`; returns its node. `say` tells screen readers what has ended. */
export function sendList({ sendings, say, signal }) {
  const node = h("ul", { class: "scigate-sends", "aria-label": "Sent from this page" });
  const rows = new Map();
  let due = false;

  function update() {
    due = false;
    for (const [one, row] of rows)
      if (!sendings.all.includes(one)) {
        row.node.remove();
        rows.delete(one);
      }
    for (const one of sendings.all) {
      if (!rows.has(one)) rows.set(one, sendRow(one, sendings, say));
      rows.get(one).update();
    }
    sendings.all.forEach((one, index) => {
      const there = node.children[index];
      if (there !== rows.get(one).node) node.insertBefore(rows.get(one).node, there ?? null);
    });
    node.hidden = sendings.all.length === 0;
  }

  const soon = () => {
    if (due) return;
    due = true;
    setTimeout(update, 100);
  };
  sendings.addEventListener("change", soon, { signal });
  const clock = setInterval(() => sendings.all.some((one) => !one.isOver) && soon(), 1000);
  signal.addEventListener("abort", () => clearInterval(clock), { once: true });
  update();
  return node;
}

function sendRow(one, sendings, say) {
  const name = visible(one.name);
  const first = leg("To the gateway");
  const second = leg(`To ${visible(one.destination.slice(0, one.destination.indexOf(":")))}`);
  const state = h("span", { class: "scigate-badge" });
  const text = h("p", { class: "scigate-quiet scigate-small scigate-send-text" });
  const buttons = h("span", { class: "scigate-tools" });
  const refused = h("details", { class: "scigate-small", hidden: true }, h("summary", {}, "Files that were not sent"));
  const where = `to ${visible(one.destination)}`;
  const place = h("span", { class: "scigate-quiet scigate-clip", title: where }, where);
  const node = h(
    "li",
    { class: "scigate-send", "aria-label": name },
    h(
      "div",
      { class: "scigate-send-head" },
      icon(one.total === null ? "download" : "up"),
      h("strong", { class: "scigate-clip", title: name }, name),
      place,
      buttons,
    ),
    first.node,
    second.node,
    h("div", { class: "scigate-send-state" }, state, text),
    refused,
  );
  let shown = "";
  let refusal = ""; // of the last button that was pressed
  const ask = (what) => async () => {
    refusal = "";
    await Promise.resolve(what()).catch(
      ({ title, nextStep }) => (refusal = [title, nextStep].filter(Boolean).join(" ")),
    );
    update();
  };

  function update() {
    const how = outcome(one);
    setText(state, how.title);
    setAttribute(state, "data-tone", how.tone);
    setText(text, refusal || how.text);
    setAttribute(node, "data-state", one.state);
    first.show(one.isOver ? null : firstLeg(one), toneOf(one, how, true));
    second.show(
      !one.isOver && (one.state === "received" || one.sent > 0) ? secondLeg(one) : null,
      toneOf(one, how, false),
    );
    const now = `${one.state} ${one.isOver} ${how.title}`;
    if (now === shown) return;
    shown = now;
    keepFocus(buttons, () => replace(buttons, ...buttonsOf(one, sendings, ask)));
    listRefused(refused, one);
    if (one.isOver || one.state === "failed") say(`${name}: ${how.title.replace(/\.$/, "")}. ${how.text}`);
  }
  return { node, update };
}

const toneOf = (one, how, isFirst) => {
  if (how.tone === "bad") return isFirst && one.state === "received" ? "good" : "bad";
  if (isFirst) return one.state === "received" ? "good" : how.tone;
  return how.tone === "good" ? "good" : null;
};

function leg(label) {
  const bar = h("span", {});
  const progress = h("span", { class: "scigate-progress", role: "progressbar", "aria-label": label }, bar);
  const numbers = h("span", { class: "scigate-small scigate-leg-numbers" });
  const node = h(
    "div",
    { class: "scigate-leg", hidden: true },
    h("span", { class: "scigate-label scigate-clip", title: label }, label),
    progress,
    numbers,
  );

  function show(leg, tone) {
    node.hidden = leg === null;
    if (leg === null) return;
    bar.style.transform = `scaleX(${leg.percent / 100})`;
    setAttribute(progress, "aria-valuenow", leg.percent);
    setAttribute(progress, "aria-valuetext", leg.text);
    setAttribute(progress, "data-tone", tone);
    setText(numbers, leg.text);
  }
  return { node, show };
}

function buttonsOf(one, sendings, ask) {
  const name = visible(one.name);
  const found = [];
  if (one.isBusy && one.total !== null) found.push(iconButton("pause", `Pause ${name}`, () => one.pause()));
  if (one.state === "paused") found.push(button("Continue", () => one.resume()));
  if (one.state === "failed") found.push(button("Try again", () => one.resume()));
  if (one.isOver) found.push(iconButton("cancel", `Remove ${name} from this list`, () => sendings.remove(one)));
  else if (one.state === "failed" && one.transfers.size === 0)
    found.push(iconButton("cancel", `Remove ${name} from this list`, () => sendings.remove(one)));
  else
    found.push(
      iconButton(
        "cancel",
        `Cancel ${name}`,
        ask(() => one.cancel()),
      ),
    );
  return found;
}

function listRefused(node, one) {
  node.hidden = one.refused.length === 0;
  const lines = one.refused.slice(0, 50).map(({ path, problem }) => h("li", {}, `${visible(path)}: ${problem.title}`));
  replace(node, h("summary", {}, "Files that were not sent"), h("ul", {}, ...lines));
}
