/** Files, or a folder, on their way to the gateway, until it has every byte; and after that to their storage. */

import { randomKey } from "../lib/api.js";
import { isFinal } from "../lib/format.js";
import { follow } from "./following.js";
import { Differs, OwnDigest } from "./own.js";
import { isSingle, manifests, singleRequest } from "./manifest.js";
import { pipe } from "./pipe.js";
import { Rate } from "./rate.js";
import { isOfFile } from "./resend.js";

const HERE = new Set(["RECEIVED", "DONE"]);
const GONE = new Set(["EXPIRED", "CANCELLED", "FAILED"]);

/**
 * `state`: preparing, sending, paused, received (the gateway has all, and goes on by itself), failed, cancelled.
 * Each change is an event `change`.
 */
export class Sending extends EventTarget {
  state = "preparing";
  problem = null; // why it failed
  trouble = null; // why nothing moves at the moment, in words
  comparing = null; // percent of what has arrived that was compared with the file, while it is
  note = null; // why it was begun anew, in words
  refused = []; // {path, problem} of files that the gateway does not take
  transfers = new Map(); // id → what is last known of it
  #parts = []; // {file, own, path, id, sent, here, whole, isProven}
  #isReplaced = false; // whether what had arrived was given up already
  #isCreated = false; // whether the gateway knows of every file, not only of the first manifests
  #creating = null;
  #rate = new Rate();
  #stop = new AbortController();
  #unfollow = new AbortController();

  /**
   * @param begun  `{fingerprint, key, name, count, size, folder, wishes, began}`: what is sent where, as the memory
   *   keeps it
   * @param items  `[{path, file}]`
   */
  constructor({ begun, items, page, memory, slots }) {
    super();
    Object.assign(this, { begun, items, page, memory, slots });
    this.total = items.reduce((sum, { file }) => sum + file.size, 0);
  }

  get name() {
    return this.begun.name;
  }

  get destination() {
    return this.begun.folder;
  }

  /** Bytes that have gone to the gateway. */
  get sent() {
    return this.#parts.reduce((sum, part) => sum + part.sent, 0);
  }

  /** Bytes per second to the gateway; null while it cannot be said. */
  get rate() {
    return this.state === "sending" && !this.trouble ? this.#rate.now() : null;
  }

  /** Whether this page has to stay open for it. */
  get isBusy() {
    return ["preparing", "sending"].includes(this.state);
  }

  /** Whether nothing more will happen to it. */
  get isOver() {
    if (this.state === "cancelled") return true;
    return this.state === "received" && [...this.transfers.values()].every((one) => isFinal(one.state));
  }

  /** Creates the uploads, or finds those that were begun, and sends what is missing. Never raises: see `problem`. */
  async start() {
    const stop = (this.#stop = new AbortController());
    this.#rate.reset();
    this.trouble = this.problem = null;
    this.#become(this.#isCreated ? "sending" : "preparing");
    try {
      if (!this.#isCreated) await (this.#creating ??= this.#create().finally(() => (this.#creating = null)));
      if (this.state === "cancelled") return await this.cancel(); // meanwhile
      if (!stop.signal.aborted) await this.#send(stop);
    } catch (error) {
      if (error instanceof Forgotten) return stop.signal.aborted ? undefined : this.#anew();
      if (error instanceof Differs && this.isBusy && !this.#isReplaced) return this.#replace();
      if (!stop.signal.aborted || this.isBusy) this.#fail(error);
    }
  }

  pause() {
    if (!this.isBusy) return;
    this.#become("paused");
    this.#stop.abort();
  }

  /** Goes on where it stopped. */
  resume() {
    this.#isReplaced = false;
    if (["paused", "failed"].includes(this.state)) return this.start();
  }

  /** Ends it: what has arrived is removed, and nothing of it is delivered. Raises Problem when nobody answers. */
  async cancel() {
    if (this.isBusy) this.pause();
    const refusals = [];
    for (const id of this.transfers.keys()) {
      const refusal = await this.#cancelOne(id);
      if (refusal) refusals.push(refusal);
    }
    if (refusals.length && refusals.length === this.transfers.size) throw refusals[0];
    this.memory.forget(this.begun.fingerprint);
    this.#become("cancelled");
  }

  /** Why not, if it has ended already (409): the others have not. */
  async #cancelOne(id) {
    try {
      await this.page.api(`transfers/${id}/cancel`, { method: "POST" });
      return null;
    } catch (problem) {
      if (problem.status !== 409) throw problem;
      return problem;
    }
  }

  /** Nobody wants to see it any more. */
  leave() {
    this.#unfollow.abort();
  }

  /** All of it anew when the last time was cut short: the same keys give the same uploads. */
  async #create() {
    const { folder, wishes } = this.begun;
    this.#clear();
    this.memory.keep({ ...this.begun, seen: Date.now() });
    if (isSingle(this.items)) await this.#createOne(singleRequest(this.items[0], folder, wishes));
    else for (const [index, one] of manifests(this.items, folder, wishes).entries()) await this.#createMany(one, index);
    this.#isCreated = true;
    if (this.state === "preparing") this.#become("sending");
  }

  async #createOne({ path, headers }) {
    const key = { "Idempotency-Key": this.begun.key };
    const upload = await this.page.api(path, { method: "POST", headers: { ...headers, ...key } });
    this.#add(upload, this.items[0]);
    this.#follow(await this.page.api(`transfers/${upload.transfer}`));
  }

  async #createMany({ items, body }, index) {
    const headers = { "Idempotency-Key": `${this.begun.key}-${index}` };
    const made = await this.page.api("manifests", { method: "POST", body, headers });
    if (made.replayed && made.uploads.every(({ state }) => GONE.has(state))) throw new Forgotten();
    made.uploads.forEach((upload, at) => this.#add(upload, items[at], items.length > 1));
    this.#follow(made.transfer);
  }

  /** Of one of many that ended otherwise its transfer tells; a single one that did is begun anew. */
  #add({ id, state, arrived, durable }, { file, path }, isOneOfMany = false) {
    if (GONE.has(state) && !isOneOfMany) throw new Forgotten();
    const here = HERE.has(state) || GONE.has(state);
    const isProven = GONE.has(state) || file.size === 0;
    const sent = here ? file.size : arrived.bytes;
    this.#parts.push({ id, file, own: new OwnDigest(file), path, here, whole: here && durable, isProven, sent });
  }

  async #send(stop) {
    const left = this.#parts.filter((part) => !part.here || !part.isProven);
    await Promise.all(left.map((part) => this.#sendOne(part, stop)));
    if (stop.signal.aborted) return;
    if (this.refused.length === this.items.length) throw this.refused[0].problem;
    this.memory.forget(this.begun.fingerprint);
    this.trouble = null;
    this.#become("received");
  }

  /** What is wrong with one file does not keep the others from being sent; what is wrong with the gateway does. */
  async #sendOne(part, stop) {
    const release = await this.slots.take();
    try {
      part.isProven = await pipe(part.file, part.id, this.page, {
        fresh: part.sent === 0,
        whole: part.whole,
        own: part.own,
        signal: stop.signal,
        onMove: (bytes) => this.#moved(part, bytes),
        onTrouble: (text) => this.#show("trouble", text),
        onCompare: (done) => this.#show("comparing", done),
      });
      part.here ||= part.isProven;
    } catch (problem) {
      if (!isOfFile(problem.status)) {
        stop.abort();
        throw problem;
      }
      part.here = part.isProven = true;
      this.refused.push({ path: part.path, problem });
    } finally {
      release();
    }
  }

  #moved(part, bytes) {
    part.sent = bytes;
    this.#rate.tell(this.sent);
    this.#changed();
  }

  #show(what, value) {
    if (this[what] === value) return;
    this[what] = value;
    this.#changed();
  }

  /** Its id is kept too, so that a later page can cancel what it does not go on with. */
  #follow(transfer) {
    const transfers = [...new Set([...(this.begun.transfers ?? []), transfer.id])];
    this.begun = { ...this.begun, transfers };
    this.memory.keep({ ...this.begun, seen: Date.now() });
    const tell = (known) => {
      this.transfers.set(transfer.id, known);
      this.#changed();
    };
    follow(this.page, transfer, tell, this.#unfollow.signal);
  }

  /** What had arrived is of another file with the same name, size and time: it is not delivered, this one is sent. */
  async #replace() {
    try {
      for (const id of this.begun.transfers) await this.#cancelOne(id);
    } catch (problem) {
      return this.#fail(problem);
    }
    this.#isReplaced = true;
    this.note = this.items.length > 1 ? NOTES.many : NOTES.one;
    return this.#anew();
  }

  /** The gateway has given up what was begun: begin again, as something new. */
  #anew() {
    this.#isCreated = false;
    this.begun = { ...this.begun, key: randomKey(), began: Date.now(), transfers: [] };
    return this.start();
  }

  #clear() {
    this.#parts = [];
    this.transfers.clear();
    this.#unfollow.abort();
    this.#unfollow = new AbortController();
  }

  #fail(error) {
    this.problem = error;
    if (isOfFile(error.status)) this.memory.forget(this.begun.fingerprint);
    this.#become("failed");
  }

  #become(state) {
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

const NOTES = {
  one: "What had arrived before was not the beginning of this file, so it is sent anew.",
  many: "What had arrived before was not the beginning of one of these files, so all are sent anew.",
};

class Forgotten extends Error {}
