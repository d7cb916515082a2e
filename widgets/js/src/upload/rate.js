/** An honest rate: what has arrived in the last seconds, and nothing before there is enough to tell it from. */

const WINDOW = 10_000; // milliseconds
const SHORTEST = 1_000;

export class Rate {
  #points = [];

  /** So many bytes are there now. Fewer than before (sent again after a cut) begins anew. */
  tell(bytes, now = performance.now()) {
    if (this.#points.length > 0 && bytes < this.#points.at(-1).bytes) this.#points = [];
    this.#points.push({ bytes, now });
    while (this.#points.length > 2 && this.#points[1].now <= now - WINDOW) this.#points.shift();
  }

  reset() {
    this.#points = [];
  }

  /** Bytes per second; null while it cannot be said. */
  now(now = performance.now()) {
    const first = this.#points[0];
    const seconds = first ? (now - first.now) / 1000 : 0;
    if (seconds * 1000 < SHORTEST) return null;
    return (this.#points.at(-1).bytes - first.bytes) / seconds;
  }
}

/** Seconds until all is there; null when it cannot be said honestly. */
export function remaining(bytes, total, rate) {
  return rate && rate > 0 ? (total - bytes) / rate : null;
}
