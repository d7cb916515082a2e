import { announcer, button, h, injectStyles, replace } from "./dom.js";
import { page } from "./page.js";
import { asProblem } from "./problem.js";
import theme from "./theme.css";

/** Keys that are pressed in there are not shortcuts of JupyterLab: "x" on a button would cut the cell. Ctrl+S still is. */
export function keepKeys(node) {
  node.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
}

/**
 * The frame of a portlet: heading, styles, live region, and in its place what went wrong.
 * @param name  becomes the class `scigate-<name>`
 * @param title  heading and name of the region
 * @param fill  `async ({model, page, body, head, say, signal}) => …` puts content into `body`, tools into `head`
 */
export function portlet(name, title, fill) {
  return {
    async render({ model, el, signal = new AbortController().signal }) {
      injectStyles("scigate-theme", theme);
      const { node: live, say } = announcer();
      const head = h("div", { class: "scigate-tools" });
      const body = h("div", { class: "scigate-body" });
      const heading = h("header", { class: "scigate-head" }, h("h2", { class: "scigate-title" }, title), head);
      const root = h("section", { class: `scigate scigate-${name}`, "aria-label": title }, heading, body, live);
      keepKeys(root);
      el.append(root);
      signal.addEventListener("abort", () => root.remove(), { once: true });
      const shared = page();
      shared.setFallback(model?.get?.("base_url"));
      const run = (own) => fill({ model, page: shared, root, body, head, say, signal: own });
      await attempt(run, { head, body, signal });
    },
  };
}

/** Each try has a signal of its own, which ends before the next: else each would leave its listeners behind. */
async function attempt(run, { head, body, signal }) {
  const ended = new AbortController();
  try {
    await run(AbortSignal.any([signal, ended.signal]));
  } catch (error) {
    if (signal.aborted) return;
    const again = () => {
      ended.abort();
      replace(head);
      replace(body);
      return attempt(run, { head, body, signal });
    };
    replace(body, problemBox(error, again));
  }
}

/** A problem in words with its next step; `again` makes a button "Try again". */
export function problemBox(error, again) {
  const { title, detail, nextStep } = asProblem(error);
  return h(
    "div",
    { class: "scigate-problem", role: "alert" },
    h("strong", {}, title),
    detail && detail !== title && h("p", {}, detail),
    nextStep && h("p", { class: "scigate-next-step" }, nextStep),
    again && button("Try again", again),
  );
}

/** What to see where there is nothing: what would be here, and what to do. */
export function emptyState(title, hint, ...more) {
  return h("div", { class: "scigate-empty" }, h("strong", {}, title), h("p", {}, hint), ...more);
}
