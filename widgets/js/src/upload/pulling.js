/** Files of web addresses, which the gateway fetches by itself. The same to look at as a Sending. */

import { isFinal } from "../lib/format.js";
import { follow } from "./following.js";

export class Pulling extends EventTarget {
  state = "preparing";
  problem = null;
  trouble = null;
  refused = [];
  transfers = new Map();
  total = null; // the gateway finds out
  sent = null;
  rate = null;
  #unfollow = new AbortController();

  constructor({ urls, folder, wishes, key, page }) {
    super();
    Object.assign(this, { urls, destination: folder, wishes, key, page });
    this.name = urls.length === 1 ? urls[0] : `${urls.length} web addresses`;
  }

  get isBusy() {
    return this.state === "preparing";
  }

  get isOver() {
    return this.state === "cancelled" || [...this.transfers.values()].some((one) => isFinal(one.state));
  }

  /** Asks the gateway. Never raises: see `problem`. The same request twice is one transfer. */
  async start() {
    this.#become("preparing");
    const files = this.urls.map((source) => ({ source, destination: this.destination }));
    try {
      const headers = { "Idempotency-Key": this.key };
      const { transfer } = await this.page.api("transfers", {
        method: "POST",
        body: { files, ...this.wishes },
        headers,
      });
      const isUnwanted = this.state === "cancelled"; // meanwhile
      this.#know(transfer);
      if (isUnwanted) return await this.cancel();
      this.#become("received");
      follow(this.page, transfer, (known) => this.#know(known), this.#unfollow.signal);
    } catch (error) {
      this.problem = error;
      this.#become("failed");
    }
  }

  resume() {
    if (this.state === "failed") return this.start();
  }

  async cancel() {
    for (const id of this.transfers.keys()) await this.page.api(`transfers/${id}/cancel`, { method: "POST" });
    this.#become("cancelled");
  }

  leave() {
    this.#unfollow.abort();
  }

  #know(transfer) {
    this.transfers.set(transfer.id, transfer);
    this.dispatchEvent(new Event("change"));
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}
