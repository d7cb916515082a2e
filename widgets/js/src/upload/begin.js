/** From what the form says to something that is being sent. */

import { randomKey } from "../lib/api.js";
import { visible } from "../lib/format.js";
import { described, totalOf } from "./box.js";
import { fingerprint } from "./memory.js";
import { Pulling } from "./pulling.js";
import { Sending } from "./sending.js";

const LABEL = 200; // characters, as the gateway takes them

/** Files, as a Sending: what was begun with them before goes on, if it was to the same place. */
export function sendFiles({ items, folder, wishes, page, memory, slots }) {
  const known = memory.find(fingerprint(items));
  const begun = known?.folder === folder ? known : beginning(items, folder, wishes);
  return new Sending({ begun, items, page, memory, slots });
}

/** Web addresses, as a Pulling. */
export function pullUrls({ urls, folder, wishes, page }) {
  return new Pulling({ urls, folder, wishes, page, key: randomKey() });
}

function beginning(items, folder, wishes) {
  const name = described(items);
  return {
    fingerprint: fingerprint(items),
    key: randomKey(),
    name,
    count: items.length,
    size: totalOf(items),
    folder,
    wishes: { ...wishes, label: visible(name).slice(0, LABEL) },
    began: Date.now(),
  };
}
