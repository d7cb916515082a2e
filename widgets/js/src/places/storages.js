/** Storages as destinations: which there are, what is known of each, and in which order they are offered. Pure. */

import { rate, size } from "../lib/format.js";

/** Those that can be written to: the nearest first, what does not answer last, else by name. */
export function destinations(storages) {
  return storages.filter((one) => !one.read_only).sort((one, other) => rank(one) - rank(other) || byName(one, other));
}

const rank = ({ nearest, state }) => (state === "down" ? 2 : nearest ? 0 : 1);
const byName = (one, other) => one.name.localeCompare(other.name, "en");

/** One line of a list of storages: "archive — nearest, 1.2 TiB free". */
export function line(storage) {
  const facts = [storage.nearest && "nearest", free(storage), storage.state === "down" && "does not answer now"];
  const known = facts.filter(Boolean).join(", ");
  return known ? `${storage.name} — ${known}` : storage.name;
}

/** What a reader may want to know of the one that is chosen, as short sentences. */
export function facts(storage) {
  const found = [];
  if (storage.summary) found.push(storage.summary.replace(/\.?$/, "."));
  if (storage.state === "down") found.push("It does not answer now; the gateway delivers when it does.");
  else if (storage.expected_rate) found.push(`Expect about ${rate(storage.expected_rate)} from the gateway.`);
  return found.join(" ");
}

/** A warning if so many bytes will not fit, in words; null if they will, or nobody can know. */
export function tooFull(storage, bytes) {
  const left = storage?.space?.free;
  if (left === undefined || left === null || bytes <= left) return null;
  return `${storage.name} has ${size(left)} free, and this is ${size(bytes)}. Choose another storage, or send less.`;
}

const free = ({ space }) => (space ? `${size(space.free)} free` : null);
