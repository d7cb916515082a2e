/** Elements whose data is text, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. Properties: `class`, `dataset`, `style` (an object), `on…` handlers, else attributes; null and false are
 * left out, true is an empty attribute. Children: nodes, strings, numbers, arrays of them; null and false are left out.
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An element of a drawing. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "style") Object.assign(node.style, value);
    else if (typeof value === "function") node.addEventListener(name.replace(/^on/, "").toLowerCase(), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...texts(children));
  return node;
}

function texts(children) {
  const there = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return there.map((child) => (child instanceof Node ? child : String(child)));
}

/** New children in place of the old ones. */
export function replace(node, ...children) {
  node.replaceChildren(...texts(children));
  return node;
}

/** Write text only if it is another: what does not change is not painted, and not read aloud again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute only if it is another; null removes it. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export const button = (label, onClick, props = {}) =>
  h("button", { type: "button", ...props, class: `scigate-button ${props.class ?? ""}`.trim(), onClick }, label);

const ICONS = {
  pause: "M5 3h2v10H5zM9 3h2v10H9z",
  play: "M4 2.5v11l9-5.5z",
  cancel: "M4 3 8 7l4-4 1 1-4 4 4 4-1 1-4-4-4 4-1-1 4-4-4-4z",
  retry: "M8 2a6 6 0 1 0 6 6h-1.6A4.4 4.4 0 1 1 8 3.6V6l4-3.2L8 0z",
  copy: "M5 1h8v10h-2V3H5zM2 4h7v11H2zM3.5 5.5v8h4v-8z",
  download: "M7.2 1h1.6v7l2.6-2.6 1.1 1.1L8 11 3.5 6.5l1.1-1.1L7.2 8zM2 13h12v1.6H2z",
  folder: "M1 3h5l1.5 2H15v8.5H1z",
  file: "M3 1h6l4 4v10H3zM8.5 2.5v3h3z",
  share:
    "M12 1a2.5 2.5 0 1 1-1.900 4.1L6.400 7.2a2.5 2.5 0 0 1 0 1.6l3.700 2.1a2.5 2.5 0 1 1-.7 1.300L5.600 10a2.5 2.5 0 1 1 0-4l3.800-2.200A2.5 2.5 0 0 1 12 1z",
  up: "M8 2l5 5-1.1 1.1L8.800 5v9H7.2V5L4.1 8.1 3 7z",
  right: "M5.5 3 6.600 2 12 8l-5.400 6-1.1-1L10 8z",
  down: "M3 5.5 2 6.600 8 12l6-5.400-1-1.1L8 10z",
};

const drawn = new Map(); // name → the drawing that the others are copies of, which is quicker than to make each

/** A small drawing that says nothing by itself: what it is in must have words. */
export function icon(name) {
  if (!drawn.has(name)) {
    const path = svg("path", { d: ICONS[name], "fill-rule": "evenodd" });
    const look = { viewBox: "0 0 16 16", class: "scigate-icon", "aria-hidden": "true", focusable: "false" };
    drawn.set(name, svg("svg", look, path));
  }
  return drawn.get(name).cloneNode(true);
}

/** A button that shows only a drawing; its words are its name and its tooltip. */
export function iconButton(name, label, onClick, props = {}) {
  const named = { title: label, "aria-label": label, ...props };
  return button(icon(name), onClick, { ...named, class: `scigate-icon-button ${props.class ?? ""}` });
}

/** Text to the clipboard, also on pages that came without TLS, which have no navigator.clipboard. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const active = document.activeElement;
  const area = h("textarea", { class: "scigate-hidden", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  return active?.focus();
}

/** A polite live region: `say` something short there, at most every few seconds, and screen readers tell it. */
export function announcer() {
  const node = h("div", { class: "scigate-hidden", role: "status", "aria-live": "polite" });
  return { node, say: (text) => setText(node, text) };
}

/**
 * Change what is in `root` and give focus back to where it was: by `data-focus` of the element that had it, within its
 * row (`data-id` or `data-key`); else to the next best there.
 */
export function keepFocus(root, change) {
  const active = root.contains(document.activeElement) ? document.activeElement : null;
  const row = active?.closest("[data-id], [data-key]");
  const [name, value] = row?.dataset.id === undefined ? ["data-key", row?.dataset.key] : ["data-id", row.dataset.id];
  const mark = active?.dataset.focus;
  change();
  if (!active || (active.isConnected && document.activeElement === active)) return;
  const inRow = value === undefined ? root : (root.querySelector(`[${name}="${CSS.escape(value)}"]`) ?? root);
  const again = mark && inRow.querySelector(`[data-focus="${CSS.escape(mark)}"]`);
  (again || inRow.querySelector("button, a, input, select, [tabindex]"))?.focus({ preventScroll: true });
}

/** Styles into the page, once. */
export function injectStyles(id, css) {
  if (document.getElementById(id)) return;
  document.head.append(h("style", { id }, css));
}
