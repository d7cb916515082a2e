import { button, h, icon, iconButton, keepFocus, replace, setAttribute, setText } from "../lib/dom.js";
import { visible } from "../lib/format.js";
import { detail, isComing, progress, speed, stateText, timeLeft, tone, wishes } from "./words.js";

const WISHES = {
  pause: ["pause", "Pause"],
  resume: ["play", "Resume"],
  cancel: ["cancel", "Cancel"],
  retry: ["retry", "Try again"],
};

const OPENER = { type: "button", class: "scigate-opener", "aria-expanded": "false", "data-focus": "open" };
const CELL = { role: "cell" };
const BAR = { class: "scigate-progress", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" };

/**
 * A transfer of the table: a body of its own, so that its details can stand below its row.
 * @param onOpen  (row) when its details are asked for, or are to be closed
 * @param onWish  (wish, item) → Promise
 * @param onVisible  (row) when it has no name yet
 */
export function transferRow(first, { onOpen, onWish, onVisible }) {
  const name = h("span", { class: "scigate-clip" });
  const opener = h("button", { ...OPENER, onClick: () => onOpen(row) }, icon("right"), name);
  const sub = h("div", { class: "scigate-sub scigate-reason" });
  const badge = h("span", { class: "scigate-badge" });
  const bars = [bar("At the gateway"), bar("At the storage")];
  const amount = h("div", { class: "scigate-sub" });
  const now = h("div", {});
  const expected = h("div", { class: "scigate-sub" });
  const left = h("div", {});
  const tools = h("div", { class: "scigate-actions" });
  const line = h(
    "tr",
    { "data-id": first.id, role: "row" },
    h("th", { scope: "row", role: "rowheader" }, opener, sub),
    h("td", CELL, badge),
    h("td", CELL, bars[0].node, bars[1].node, amount),
    h("td", CELL, now, expected),
    h("td", CELL, left),
    h("td", CELL, tools),
  );
  const row = { node: h("tbody", { role: "rowgroup" }, line), line, opener, item: first, update, close: null };
  let offered = "";

  function update(item) {
    row.item = item;
    setAttribute(line, "data-state", item.state);
    const shown = visible(item.label ?? item.name ?? `Transfer ${item.id.slice(0, 8)}`);
    setText(name, shown);
    setAttribute(name, "title", shown);
    if (!item.label && !item.name) onVisible(row);
    const said = detail(item);
    setText(sub, said);
    setAttribute(sub, "title", said);
    setText(badge, stateText(item));
    setAttribute(badge, "data-tone", tone(item.state, item.cause, isComing(item)));
    updateProgress(item, shown);
    const moved = speed(item);
    setText(now, moved.now);
    setText(expected, moved.expected);
    setText(left, timeLeft(item));
    offer(item, shown);
  }

  function updateProgress(item, shown) {
    const { stored, here, text } = progress(item);
    bars[0].update(here, shown, "coming");
    bars[1].update(stored, shown, tone(item.state));
    setText(amount, text);
  }

  /** The buttons, made anew only when others are needed. */
  function offer(item, shown) {
    const wanted = wishes(item).join();
    if (wanted === offered || (offered === "?" && wanted.includes("cancel"))) return;
    offered = wanted;
    keepFocus(tools, () =>
      replace(
        tools,
        wishes(item).map((wish) => wishButton(wish, shown)),
      ),
    );
  }

  function wishButton(wish, shown) {
    const [drawing, words] = WISHES[wish];
    const act = wish === "cancel" ? () => confirmCancel(shown) : (event) => send(wish, event.currentTarget);
    return iconButton(drawing, `${words}: ${shown}`, act, { "data-focus": wish, title: words });
  }

  /** Once at a time. The button is not `disabled` meanwhile: then it would lose the focus. */
  async function send(wish, pressed) {
    if (pressed.ariaDisabled === "true") return;
    pressed.ariaDisabled = "true";
    try {
      await onWish(wish, row.item);
    } finally {
      pressed.ariaDisabled = "false";
    }
  }

  /** What is cancelled cannot be taken back, so it takes two. */
  function confirmCancel(shown) {
    offered = "?";
    const back = () => {
      offered = "";
      offer(row.item, shown);
      (tools.querySelector("button") ?? opener).focus();
    };
    const yes = button("Cancel it", ({ currentTarget }) => send("cancel", currentTarget).then(back), {
      class: "scigate-danger",
    });
    const no = button("Keep", back);
    replace(tools, h("span", { class: "scigate-confirm", role: "group", "aria-label": `Cancel ${shown}?` }, yes, no));
    no.focus();
  }

  return row;
}

function bar(label) {
  const fill = h("span", {});
  const node = h("div", BAR, fill);
  let last = -1;
  function update(value, name, toneName) {
    node.hidden = value === null;
    if (value === null) return;
    setAttribute(node, "data-tone", toneName);
    if (value === last) return;
    last = value;
    node.setAttribute("aria-valuenow", value);
    node.setAttribute("aria-label", `${label}: ${name}`);
    fill.style.transform = `scaleX(${value / 100})`;
  }
  return { node, update };
}
