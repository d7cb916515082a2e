import { clock, count, duration, isFinal, percent, rate, size, stateWord, visible } from "../lib/format.js";

const TONES = { ACTIVE: "busy", DONE: "good", FAILED: "bad", WAITING: "warn", PAUSED: "warn" };
const PROOFS = {
  A: "read again at its storage and compared",
  B: "checked by its storage",
  C: "checked by its storage when it arrived",
  D: "only its size was compared",
};

export function tone(state, cause, isComing = false) {
  if (state === "WAITING" && isComing) return TONES.ACTIVE;
  return state === "WAITING" && cause?.code === "scheduled" ? "" : (TONES[state] ?? "");
}

/** Whether it only waits for bytes that are on their way to the gateway: nobody has to do anything. */
export const isComing = ({ state, cause, arrived }) =>
  state === "WAITING" && cause?.code === "receiving" && Boolean(arrived?.rate);

/** A state as a word; an upload whose bytes are still on their way to the gateway says so. */
export function stateText({ state, arrived, bytes_total: total, cause }) {
  if (arrived && !isFinal(state) && arrived.bytes < total && state !== "PAUSED") return "Arriving";
  if (state === "WAITING" && cause?.code === "scheduled") return "Scheduled";
  return stateWord(state);
}

/** The line below the name: why it does not move, else how many files and when. */
export function detail(item, now) {
  const { state, cause, files } = item;
  if (cause && ["WAITING", "PAUSED", "FAILED"].includes(state) && !isComing(item)) return reason(item, now);
  if (state === "DONE") return `${filesText(files)} · ${clock(item.finished, now)}, took ${took(item)}`;
  if (isFinal(state)) return `${filesText(files)} · ${clock(item.finished, now)}`;
  if (item.not_before && Date.parse(item.not_before) > (now ?? Date.now()))
    return `Begins ${clock(item.not_before, now)}`;
  return `${filesText(files)}${item.listing ? ", still listing" : ""} · since ${clock(item.created, now)}`;
}

function reason({ cause, not_before: notBefore, state, files }, now) {
  if (cause.code === "scheduled" && notBefore) return `Begins ${clock(notBefore, now)}`;
  const isTried = state === "WAITING" && cause.retriable && cause.code !== "receiving";
  const { total, failed } = files;
  const isSome = state === "FAILED" && total > 1 && failed > 0;
  const which = isSome && `${failed.toLocaleString("en")} of ${count(total, "file")} failed`;
  return sentences(which, cause.message, isTried ? "It is tried again by itself." : cause.next_step);
}

/** Texts one after the other, each with its full stop. */
export function sentences(...texts) {
  const ended = texts.filter(Boolean).map((text) => (/[.!?…]$/.test(text) ? text : `${text}.`));
  return visible(ended.join(" "));
}

export function filesText({ total, done, failed }) {
  if (total === 1) return "1 file";
  const some = done < total ? `${done.toLocaleString("en")} of ${count(total, "file")}` : count(total, "file");
  return failed ? `${some}, ${failed.toLocaleString("en")} failed` : some;
}

const took = ({ created, finished }) => duration(Math.max(1, (Date.parse(finished) - Date.parse(created)) / 1000));

/** How far it is: percent of each leg, and in sizes. */
export function progress(item) {
  const { state, bytes_total: total, bytes_done: done, arrived, files } = item;
  const isPart = state !== "DONE" && files.total > 1 && done >= total && files.done < files.total; // sizes are missing
  const whole = total && !(isPart && isFinal(state)) ? percent(done, total) : percent(files.done, files.total);
  const stored = state === "DONE" ? 100 : Math.min(whole, 99);
  const coming = arrived && !isFinal(state) && arrived.bytes < total;
  if (!total && state !== "DONE") return { stored: files.total > 1 ? stored : null, here: null, text: "" };
  const sizes = state === "DONE" ? size(total) : isPart ? `${size(done)} so far` : `${size(done)} of ${size(total)}`;
  if (!coming) return { stored, here: null, text: sizes };
  const here = percent(arrived.bytes, total);
  return { stored, here, text: `${here} % here, ${stored} % stored, of ${size(total)}` };
}

/** The rate now, of the leg that is in front, and what is to be expected. */
export function speed(item) {
  if (isFinal(item.state)) return average(item);
  const own = item.state === "ACTIVE" ? item.rate : null; // one that waits is told the rate it had
  const now = own ?? item.arrived?.rate;
  const moves = ["ACTIVE", "QUEUED"].includes(item.state);
  const expected = moves && item.expected_rate ? `expected ${rate(item.expected_rate)}` : "";
  return { now: now ? rate(now) : "", expected };
}

const LITTLE = 1 << 20; // bytes; of less, the seconds that all takes say nothing about a rate

function average({ state, bytes_total: total, created, finished }) {
  const seconds = (Date.parse(finished) - Date.parse(created)) / 1000;
  if (state !== "DONE" || !(total >= LITTLE) || !(seconds > 0)) return { now: "", expected: "" };
  return { now: rate(total / seconds), expected: "on average" };
}

export function timeLeft({ state, eta_seconds: eta }) {
  if (state !== "ACTIVE" || !(eta >= 1)) return "";
  return duration(eta);
}

export const proofText = (proof) => (proof ? `${proof}: ${PROOFS[proof] ?? ""}` : "not yet");

/** What can be asked for in a state, in the order of the buttons. */
export function wishes({ state, cause }) {
  const isTried = cause && !["scheduled", "receiving"].includes(cause.code);
  if (state === "WAITING" && isTried) return ["retry", "pause", "cancel"];
  if (["QUEUED", "ACTIVE", "WAITING"].includes(state)) return ["pause", "cancel"];
  if (state === "PAUSED") return ["resume", "cancel"];
  return state === "FAILED" ? ["retry"] : [];
}

/** An event of the journal as a sentence. */
export function eventText({ type, data }) {
  const file = data.destination ? ` ${visible(data.destination)}` : "";
  const why = data.cause?.message ? `: ${visible(data.cause.message)}` : "";
  return `${EVENTS[type] ?? type.replace(/^scigate\./, "").replace(/[.-]/g, " ")}${file}${why}`;
}

export const EVENTS = {
  "scigate.transfer.submitted": "Accepted",
  "scigate.transfer.listed": "The folder has been listed",
  "scigate.transfer.due": "Its time has come",
  "scigate.transfer.done": "Done",
  "scigate.transfer.failed": "Failed",
  "scigate.transfer.cancelled": "Cancelled",
  "scigate.transfer.pause-asked": "Pause was asked for",
  "scigate.transfer.resume-asked": "Going on was asked for",
  "scigate.transfer.cancel-asked": "Cancelling was asked for",
  "scigate.transfer.retry-asked": "Another try was asked for",
  "scigate.upload.created": "Upload announced",
  "scigate.upload.received": "All bytes are at the gateway",
  "scigate.upload.cut": "The sender's connection broke; what has come is kept",
  "scigate.upload.terminated": "The sender ended the upload",
  "scigate.upload.expired": "The sender did not come back",
  "scigate.file.claim": "Taken up",
  "scigate.file.start": "Moving",
  "scigate.file.copied": "All bytes are at the storage",
  "scigate.file.verified": "Compared",
  "scigate.file.published": "Visible at its destination",
  "scigate.file.stored": "Stored",
  "scigate.file.skipped": "Was there already",
  "scigate.file.failure": "Stopped",
  "scigate.file.damaged": "Blocks did not arrive whole and are sent again",
  "scigate.file.lapse": "The gateway stopped meanwhile; it goes on",
  "scigate.file.wake": "Going on",
  "scigate.file.starved": "Waits for more from the sender",
  "scigate.file.received": "Enough has come to go on",
  "scigate.file.recovered": "Found whole at its destination",
  "scigate.file.scheduled": "Waits for its time",
  "scigate.file.expired": "The sender did not come back in time",
  "scigate.file.release": "Put back in line",
  "scigate.file.pause": "Paused",
  "scigate.file.resume": "Going on",
  "scigate.file.retry": "Tried again",
  "scigate.file.cancel": "Cancelled",
  "scigate.file.cleaned": "What was begun of it is removed",
};
