/** What goes to the files of a hub's server: the server does it, so the gateway's list of transfers does not hold it. */

import { isFinal, size, visible } from "../lib/format.js";

const AGAIN = 2_000; // milliseconds between two looks

/** Calls `tell(transfer)` until it has ended or `signal` aborts. */
export function followArrival(page, transfer, tell, signal) {
  let timer = null;
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });

  async function look() {
    let known = null;
    try {
      known = await page.api(`transfers/${encodeURIComponent(transfer.id)}`, { home: true, signal });
      tell(known);
    } catch (error) {
      if (signal.aborted) return;
      const cause = { message: error.title, next_step: error.nextStep };
      known = { ...transfer, state: error.retriable ? "WAITING" : "FAILED", cause };
      tell(known);
    }
    if (!isFinal(known.state) && !signal.aborted) timer = setTimeout(look, AGAIN);
  }
  return look();
}

/** How far it is, in a sentence or two. */
export function arrivalText(name, { state, cause, bytes_done: done, bytes_total: total, files }) {
  const what = `“${visible(name)}”`;
  const why = visible([cause?.message, cause?.next_step].filter(Boolean).join(" "));
  if (state === "DONE") return `${what} has arrived in the files of this server.`;
  if (state === "CANCELLED") return `${what} was cancelled.`;
  if (state === "FAILED" && files?.total > 1) return `${what}: ${files.failed} of ${files.total} files failed. ${why}`;
  if (state === "FAILED") return `${what} did not arrive. ${why}`;
  if (state === "WAITING") return `${what} waits. ${why}`;
  const far = total ? ` ${size(done)} of ${size(total)}.` : "";
  return `${what} is on its way to the files of this server.${far}`;
}
