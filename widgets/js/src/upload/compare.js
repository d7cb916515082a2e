/** Whether what an upload holds already is the beginning of a file. */

import { percent } from "../lib/format.js";
import { hex } from "./crc64.js";
import { whyEnded } from "./ended.js";
import { Differs } from "./own.js";
import { PAUSES, isTemporary, whyFailed, whyWaiting } from "./resend.js";

/**
 * Compares the bytes that are at the gateway with those of the file, and raises `Differs` or a Problem.
 * @param whole  what is known of an upload that is complete, so that nobody has to ask
 * @param own  the file's digest; `onCompare(percent)` hears how much of that is done, null: all; `onTrouble` as of `pipe`
 */
export async function compare(file, own, id, page, { whole, signal, onCompare, onTrouble }) {
  const durable = whole || (await settled(id, page, { signal, onTrouble }));
  if (!durable || durable.bytes > file.size) throw new Differs();
  const onRead = (bytes) => onCompare(percent(bytes, durable.bytes));
  const crc = await own.upTo(durable.bytes, { signal, onRead }).finally(() => onCompare(null));
  if (hex(crc) !== durable.crc64nvme) throw new Differs();
}

/** What is safe there, once nobody adds to it any more: HEAD ends who still sends. */
async function settled(id, page, { signal, onTrouble }) {
  const head = { method: "HEAD", as: "response", headers: { "Tus-Resumable": "1.0.0" } };
  const ask = (options) =>
    patiently(() => page.api(`uploads/${id}`, { ...options, signal }), id, page, signal, onTrouble);
  await ask(head);
  return (await ask()).durable;
}

/** Asks again while that can help. */
async function patiently(ask, id, page, signal, onTrouble) {
  for (const pause of PAUSES) {
    try {
      const answer = await ask();
      onTrouble(null);
      return answer;
    } catch (problem) {
      if (signal.aborted) throw problem;
      if (!isTemporary(problem.status, problem.code)) throw await whyEnded(problem.status, id, page);
      onTrouble(whyWaiting(problem.status));
      await new Promise((resolve) => setTimeout(resolve, pause));
      signal.throwIfAborted();
    }
  }
  throw whyFailed(0);
}
