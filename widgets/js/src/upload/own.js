/** A file's own digest, taken by reading it: what proves that the bytes at the gateway are those of this file. */

import { digestOf } from "./thread.js";

const PIECE = 4 << 20; // bytes read at once: a few milliseconds

/** What the gateway has is not what this file holds. */
export class Differs extends Error {
  status = "differs";
  title = "What has arrived at the gateway is not what the file holds.";
  nextStep =
    "Try again when nothing writes to the file. If it stays, its bytes are damaged on their way: tell the administrators.";
}

/** The CRC-64 of the beginnings of one file. What was read once is remembered, piece by piece. */
export class OwnDigest {
  #file;
  #known = [[0, 0]]; // CRC of so many pieces
  #last = Promise.resolve();

  constructor(file) {
    this.#file = file;
  }

  /** Of the first `end` bytes. `onRead(bytes)` hears how far it is. Raises what the browser says of a file it cannot read. */
  upTo(end, { signal, onRead = () => {} } = {}) {
    const asked = this.#last.then(() => this.#read(end, signal, onRead));
    this.#last = asked.catch(() => {});
    return asked;
  }

  async #read(end, signal, onRead) {
    let at = PIECE * Math.min(this.#known.length - 1, Math.floor(end / PIECE));
    let crc = this.#known[at / PIECE];
    while (at < end) {
      signal?.throwIfAborted();
      const piece = this.#file.slice(at, Math.min(at + PIECE, end));
      crc = await digestOf(crc, piece);
      at += piece.size;
      if (at % PIECE === 0) this.#known[at / PIECE] = crc;
      onRead(at);
    }
    return crc;
  }
}
