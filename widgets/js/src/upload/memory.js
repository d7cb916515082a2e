/**
 * What was begun and is not at the gateway yet, so that it can be gone on with after a reload when the same files are
 * chosen again. Kept in the browser: names, sizes and the key under which the gateway knows the request; no secret.
 */

const KEPT = 7 * 24 * 3600 * 1000; // milliseconds: the gateway has given it up by then
const SEEN = 15_000; // milliseconds; pages that send say so every five seconds
const MOST = 50;

/** The memory of one user of one gateway. `storage` is localStorage, or null where there is none. */
export class Memory {
  constructor(storage, who) {
    this.storage = storage;
    this.name = `scigate:begun:${who}`;
  }

  /** All that was begun, newest first. */
  all(now = Date.now()) {
    try {
      const kept = JSON.parse(this.storage?.getItem(this.name) ?? "[]");
      return Array.isArray(kept) ? kept.filter((one) => now - one.began < KEPT) : [];
    } catch {
      return [];
    }
  }

  /** What was begun with these files; undefined if nothing was. */
  find(fingerprint) {
    return this.all().find((one) => one.fingerprint === fingerprint);
  }

  keep(entry) {
    this.#write([entry, ...this.all().filter((one) => one.fingerprint !== entry.fingerprint)].slice(0, MOST));
  }

  /** That a page has it, so that others do not offer to go on with it; `seen` 0: not any more. */
  touch(fingerprint, seen = Date.now()) {
    this.#write(this.all().map((one) => (one.fingerprint === fingerprint ? { ...one, seen } : one)));
  }

  /** What no page has at the moment. */
  left(now = Date.now()) {
    return this.all(now).filter((one) => now - (one.seen ?? 0) > SEEN);
  }

  forget(fingerprint) {
    this.#write(this.all().filter((one) => one.fingerprint !== fingerprint));
  }

  #write(entries) {
    try {
      this.storage?.setItem(this.name, JSON.stringify(entries));
    } catch {
      // A browser that keeps nothing (private mode, full): sending works, going on after a reload does not.
    }
  }
}

/** The same for the same files as far as a browser can tell: names, sizes and times of change. */
export function fingerprint(items) {
  if (!computed.has(items)) {
    const lines = items.map(({ path, file }) => `${path}\n${file.size}\n${file.lastModified}`).sort();
    computed.set(items, `${items.length}-${hash(lines.join("\n\n"))}`);
  }
  return computed.get(items);
}

const computed = new WeakMap(); // by list: it is asked for at every key that is pressed

/** 53 bits that tell lists of files apart (cyrb53); nobody is harmed by two that are alike: their bytes are compared. */
export function hash(text) {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36);
}
