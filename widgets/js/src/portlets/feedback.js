import { randomKey } from "../lib/api.js";
import { h, injectStyles, replace } from "../lib/dom.js";
import { emptyState, portlet } from "../lib/portlet.js";
import { mailLink, trackerLink, versionLines } from "../feedback/links.js";
import css from "../feedback/feedback.css";

const HELP = "An administrator sets where feedback goes: [feedback] request = and report = in scigate.toml.";

/** Ask for a feature by mail; report a bug with the versions filled in. */
export default portlet("feedback", "Feedback", async ({ model, page, body, signal }) => {
  injectStyles("scigate-feedback-style", css);
  const status = await page.api("status", { signal });
  const { request, report } = status.feedback ?? {};
  const versions = { "SciGate gateway": status.version, ...model?.get?.("versions"), Browser: navigator.userAgent };
  const ways = [mailLink(request) && wish(request), trackerLink(report) && bug(report, versionLines(versions))];
  if (!ways.some(Boolean)) return replace(body, emptyState("Nobody listens here yet.", HELP));
  return replace(body, h("div", { class: "scigate-ways" }, ways));
});

function wish(request) {
  const text = field("What would help you in your work?", "e.g. tell me by mail when a transfer is done");
  const link = linkFrom(text, "Write the mail", () => mailLink(request, "SciGate: a wish", text.value));
  return way("Request a feature", "Opens your mail program; nothing is sent before you send it.", text, link);
}

function bug(report, versions) {
  const text = field("What did you do, what happened, and what did you expect?", "e.g. I dropped a folder, and …");
  const link = linkFrom(text, "Open the tracker", () => trackerLink(report, text.value, versions));
  const told = h("details", {}, h("summary", {}, "What goes with it"), h("pre", { class: "scigate-small" }, versions));
  const hint = "Opens the tracker in a new tab with this filled in. No file names, no secrets.";
  return way("Report a bug", hint, text, told, link);
}

function field(label, placeholder) {
  const id = `scigate-${randomKey()}`;
  const area = h("textarea", { id, rows: "3", maxlength: "2000", placeholder });
  const node = h("div", { class: "scigate-field" }, h("label", { for: id }, label), area);
  return {
    node,
    area,
    get value() {
      return area.value;
    },
  };
}

/** A link that always leads to what has been written so far. */
function linkFrom(text, label, address) {
  const link = h(
    "a",
    { class: "scigate-button", href: address(), target: "_blank", rel: "noopener noreferrer" },
    label,
  );
  text.area.addEventListener("input", () => link.setAttribute("href", address()));
  return link;
}

function way(title, hint, text, ...more) {
  const heading = h("div", {}, h("h3", {}, title), h("p", { class: "scigate-quiet" }, hint));
  return h("div", { class: "scigate-stack" }, heading, text.node, h("div", { class: "scigate-row" }, more));
}
