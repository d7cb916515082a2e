import { injectStyles } from "../lib/dom.js";
import { count, visible } from "../lib/format.js";
import { portlet } from "../lib/portlet.js";
import { createModel } from "../transfers/model.js";
import css from "../transfers/transfers.css";
import { TransfersView } from "../transfers/view.js";

const AGAIN = 5000; // ms until a list that could not be read is read again
const QUIET = 3000; // ms between two announcements
const ENDS = { "scigate.transfer.done": "is done", "scigate.transfer.failed": "has failed" };

/** The user's transfers, live. */
export default portlet("transfers", "Transfers", async ({ model: widget, page, body, head, say, signal }) => {
  injectStyles("scigate-transfers-style", css);
  const { api, feed } = page;
  const onSelect = (id) => {
    widget?.set?.("selected", id);
    widget?.save_changes?.();
  };
  const view = new TransfersView({ api, head, body, onSelect, signal });
  const hear = announcements(say, signal);
  const model = createModel(api, {
    onChange: (items) => view.show(items),
    onProblem: (error) => view.complain(error),
    signal,
  });
  view.model = model;
  let loaded = false;
  let again;

  async function load() {
    clearTimeout(again);
    try {
      await model.load();
      loaded = true;
    } catch (error) {
      if (signal.aborted) return;
      if (!loaded) view.fail(error, load);
      again = setTimeout(load, AGAIN);
    }
  }

  signal.addEventListener("abort", () => clearTimeout(again), { once: true });
  feed.subscribe("transfers", {
    signal,
    onReady: load,
    onEvent(event) {
      hear(event);
      model.event(event);
    },
    onProgress: model.progress,
    onState(state) {
      view.connection(state);
      if (state === "offline" && !loaded) load();
    },
  });
});

/** Ends of transfers for screen readers: gathered, so that many do not chatter. */
function announcements(say, signal) {
  let heard = [];
  let timer = null;

  function speak() {
    const [{ label, word }] = heard;
    say(
      heard.length > 1
        ? `${count(heard.length, "transfer")} have ended.`
        : `${visible(label ?? "A transfer")} ${word}.`,
    );
    heard = [];
    timer = null;
  }

  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  return ({ type, data }) => {
    if (!(type in ENDS)) return;
    heard.push({ label: data.label, word: ENDS[type] });
    timer ??= setTimeout(speak, QUIET);
  };
}
