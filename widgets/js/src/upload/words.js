/** What is said of something that is sent. Pure: `one` is a Sending or a Pulling, or looks like one. */

import { clock, count, duration, isFinal, percent, rate, size } from "../lib/format.js";
import { remaining } from "./rate.js";

/** The way to the gateway: `{percent, text}`; null where nothing comes from this browser. */
export function firstLeg(one) {
  if (one.total === null || (one.state === "failed" && one.sent === 0)) return null;
  const done = one.state === "received" ? one.total : one.sent;
  return { percent: one.state === "received" ? 100 : percent(done, one.total), text: joined(legWords(one, done)) };
}

function legWords(one, done) {
  if (one.state === "received") return [size(one.total)];
  if (one.state === "preparing") return [`0 B of ${size(one.total)}`];
  const left = remaining(done, one.total, one.rate);
  return [`${size(done)} of ${size(one.total)}`, rate(one.rate), left !== null && `${duration(left)} left`];
}

/** The way from the gateway to the storage: `{percent, text}`; null before there is a transfer. */
export function secondLeg(one) {
  const transfers = [...one.transfers.values()];
  if (transfers.length === 0) return null;
  const sum = (pick) => transfers.reduce((total, transfer) => total + (pick(transfer) ?? 0), 0);
  const [done, total] = [
    sum((t) => t.bytes_done),
    Math.max(
      sum((t) => t.bytes_total),
      one.total ?? 0,
    ),
  ];
  const isOver = transfers.every((t) => isFinal(t.state));
  const speed = sum((t) => (t.state === "ACTIVE" ? t.rate : 0)) || null; // one that waits is told the rate it had
  const left = transfers.length === 1 && transfers[0].state === "ACTIVE" ? transfers[0].eta_seconds : null;
  const amount = total ? `${size(done)} of ${size(total)}` : "";
  const words = isOver && done === total ? [size(total)] : [amount, rate(speed), left && `${duration(left)} left`];
  const all = transfers.every((t) => t.state === "DONE");
  return { percent: all ? 100 : percent(done, total), text: joined(words) };
}

/** In one sentence or two: how it is, and what the reader has to do, if anything. `tone` as in the theme. */
export function outcome(one) {
  const how = state(one);
  return one.note ? { ...how, text: `${how.text} ${one.note}`.trim() } : how;
}

function state(one) {
  if (one.state === "failed") return { tone: "bad", title: sentence(one.problem.title), text: reason(one.problem) };
  if (one.state === "cancelled") return { tone: "quiet", title: "Cancelled", text: "Nothing more of it is delivered." };
  if (one.state === "paused") return { tone: "warn", title: "Paused", text: "What has arrived is kept." };
  if (one.trouble) return { tone: "warn", title: "Interrupted", text: one.trouble };
  if (one.state === "preparing") return { tone: "busy", title: "Asking the gateway", text: "" };
  if (typeof one.comparing === "number")
    return { tone: "busy", title: "Comparing", text: `The file with what has arrived of it: ${one.comparing} %.` };
  if (one.state === "sending")
    return { tone: "busy", title: "Sending", text: "Keep this page open until the gateway has it." };
  return delivered(one);
}

function delivered(one) {
  const transfers = [...one.transfers.values()];
  const of = (state) => transfers.find((transfer) => transfer.state === state);
  const refused = one.refused.length ? ` ${count(one.refused.length, "file")} could not be sent.` : "";
  if (of("FAILED")) return { tone: "bad", title: failure(of("FAILED")), text: adviceOn(of("FAILED")) + refused };
  if (of("CANCELLED")) return { tone: "quiet", title: "Cancelled", text: "Nothing more of it is delivered." };
  if (of("PAUSED")) return { tone: "warn", title: "Paused", text: of("PAUSED").cause?.message ?? "" };
  if (transfers.length && transfers.every(({ state }) => state === "DONE")) return done(one, transfers, refused);
  const waiting = of("WAITING");
  const free = one.total === null ? "The gateway fetches it by itself." : "The gateway has every byte, compared by digest.";
  const isStale = waiting?.cause?.code === "receiving"; // the gateway has told that it has all
  const why = waiting?.cause && !isStale ? `${sentence(waiting.cause.message)} ` : "";
  const begins =
    waiting?.not_before && new Date(waiting.not_before) > new Date() ? `Begins ${clock(waiting.not_before)}` : null;
  const title = begins ?? (waiting && !isStale ? "Waiting" : "Delivering");
  return {
    tone: waiting && !isStale ? "warn" : "busy",
    title,
    text: `${begins ? "" : why}${free} You may close this page.${refused}`,
  };
}

function done(one, transfers, refused) {
  const files = transfers.reduce((sum, transfer) => sum + transfer.files.done, 0);
  const skipped = transfers.reduce((sum, transfer) => sum + (transfer.files.skipped ?? 0), 0);
  const bytes = transfers.reduce((sum, transfer) => sum + transfer.bytes_total, 0);
  const same = skipped ? ` ${count(skipped, "file")} there already, with the same content.` : "";
  const title = files === 1 ? "Done" : `Done: ${count(files, "file")}`;
  const proof =
    PROOFS[
      transfers
        .map((transfer) => transfer.proof ?? "")
        .sort()
        .at(-1)
    ];
  return { tone: "good", title, text: `${[size(bytes), proof].filter(Boolean).join(", ")}.${same}${refused}` };
}

function failure(transfer) {
  const { failed, total } = transfer.files;
  if (total > 1) return `${failed.toLocaleString("en")} of ${count(total, "file")} failed`;
  return sentence(transfer.cause?.message ?? "It failed.");
}

/** The grades of proof (docs/explanation/every-byte-accounted-for.md). */
const PROOFS = {
  A: "read back and compared",
  B: "confirmed by the storage’s own digest",
  C: "confirmed by the digest that the storage took as it came",
  D: "only the size could be compared",
};

function adviceOn({ cause, files }) {
  const which = files.total > 1 ? "The panel “Transfers” shows which and why." : "";
  return [nextStepOf(cause), which].filter(Boolean).join(" ");
}

/** What the title does not say yet, and what to do. */
const reason = (problem) =>
  [problem.detail !== problem.title && problem.detail, nextStepOf(problem)].filter(Boolean).join(" ");

/** What to do, in terms of this form where the gateway's advice is for programs. */
function nextStepOf(problem) {
  if (problem?.code === "already-exists") return "Choose another folder, or what to do “If it exists already”.";
  if (problem?.code === "not-regular") return "Choose another folder.";
  return problem?.nextStep ?? problem?.next_step ?? "";
}

const joined = (words) => words.filter(Boolean).join(" · ");
/** With a capital, unless a storage's name is in front, and with its full stop. */
const sentence = (text) => text.replace(/^(?![\w-]+: )./u, (first) => first.toUpperCase()).replace(/[^.!?…]$/, "$&.");
