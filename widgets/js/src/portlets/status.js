import { injectStyles, keepFocus, replace } from "../lib/dom.js";
import { portlet, problemBox } from "../lib/portlet.js";
import { headline, numbers, storagesTable, troubles } from "../status/view.js";
import css from "../status/status.css";

const PERIOD = 10_000; // ms

/** How the gateway is: asked again and again while somebody looks. */
export default portlet("status", "Gateway", async ({ page, body, head, say, signal }) => {
  injectStyles("scigate-status-style", css);
  const history = []; // of the rate, for the small plot
  let timer;
  let last = "";

  async function look() {
    clearTimeout(timer);
    try {
      const [status, storages] = await Promise.all([page.api("status", { signal }), page.api("storages", { signal })]);
      if (Number.isFinite(status.rate)) history.push(status.rate);
      if (history.length > 90) history.shift();
      show(status, storages.items);
    } catch (error) {
      if (signal.aborted) return;
      last = "";
      replace(head);
      keepFocus(body, () => replace(body, problemBox(error, look)));
    }
    clearTimeout(timer); // of another look, which somebody asked for meanwhile
    timer = setTimeout(look, PERIOD);
  }

  function show(status, storages) {
    const { text, badge } = headline(status, storages);
    replace(head, badge);
    replace(body, numbers(status, history), troubles(status), storagesTable(storages, status));
    if (last && last !== text) say(text);
    last = text;
  }

  const wake = () => (document.hidden ? clearTimeout(timer) : look());
  document.addEventListener("visibilitychange", wake, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  await look();
});
