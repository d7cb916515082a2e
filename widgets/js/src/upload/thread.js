/** Digests in a thread of their own, so that the page stays as quick as it is; in the page's where it may have none. */

import { crc64, makeCrc64 } from "./crc64.js";

const waiting = new Map(); // number → what settles it
let worker; // false: there is none
let count = 0;

/** The CRC of `before` and, behind that, what is in the Blob. Raises what the browser says of one it cannot read. */
export async function digestOf(before, blob) {
  const thread = (worker ??= started());
  if (!thread) return readHere(before, blob);
  const answer = await new Promise((settle) => {
    waiting.set(++count, settle);
    thread.postMessage({ number: count, before, blob });
  });
  if (answer.refusal) throw new DOMException(answer.refusal, answer.name);
  return answer.crc ?? readHere(before, blob);
}

const readHere = async (before, blob) => crc64(before, new Uint8Array(await blob.arrayBuffer()));

function started() {
  let made = false;
  try {
    const address = URL.createObjectURL(new Blob([`(${threadOf})((${makeCrc64})())`], { type: "text/javascript" }));
    made = new Worker(address, { name: "scigate-digests" });
    made.onmessage = ({ data }) => settle(data);
    made.onerror = () => {
      worker = false;
      for (const number of waiting.keys()) settle({ number });
    };
  } catch {
    // there are no workers, or not for this page
  }
  return made;
}

function settle(answer) {
  waiting.get(answer.number)?.(answer);
  waiting.delete(answer.number);
}

/** What runs in the thread: its text alone gets there. */
function threadOf(crc64) {
  globalThis.onmessage = async ({ data: { number, before, blob } }) => {
    try {
      globalThis.postMessage({ number, crc: crc64(before, new Uint8Array(await blob.arrayBuffer())) });
    } catch ({ name, message }) {
      globalThis.postMessage({ number, name, refusal: message });
    }
  };
}
