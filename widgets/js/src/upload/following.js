/** What becomes of a transfer, told as it happens. */

import { isFinal } from "../lib/format.js";

const TOGETHER = 300; // milliseconds: many files make many events, for which one look is enough
const AGAIN = 5000; // milliseconds until what was not answered is asked again: of its end there is one event only

/** Calls `tell(transfer)` with what is known of it, now and after each change, until `signal` aborts. */
export function follow(page, transfer, tell, signal) {
  let known = transfer;
  let soon = null;
  const learn = (more) => tell((known = { ...known, ...more }));
  const look = (pause = TOGETHER) => {
    soon ??= setTimeout(async () => {
      soon = null;
      try {
        learn(await page.api(`transfers/${transfer.id}`, { signal }));
      } catch (error) {
        if (error.retriable && !signal.aborted) look(AGAIN);
      }
    }, pause);
  };
  const onProgress = (news) => (isFinal(known.state) ? look() : learn(news)); // it may come behind the end
  signal.addEventListener("abort", () => clearTimeout(soon), { once: true });
  page.feed.subscribe(`transfer:${transfer.id}`, { signal, onReady: () => look(), onEvent: () => look(), onProgress });
  tell(known);
}
