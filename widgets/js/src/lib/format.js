/** Sizes, rates and times as people read them, in English. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1536 → "1.5 KiB" (IEC 80000-13: powers of 1024). */
export function size(bytes) {
  if (!Number.isFinite(bytes) || bytes < 0) return "unknown size";
  let value = bytes;
  let unit = 0;
  while (Math.round(value * 10) >= 10240 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 99.95 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)} ${UNITS[unit]}`;
}

/** Bytes per second → "12 MiB/s"; null → "". */
export const rate = (perSecond) => (Number.isFinite(perSecond) && perSecond !== null ? `${size(perSecond)}/s` : "");

/** Seconds → "45 s", "3 min", "2 h 5 min", "4 days". */
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds === null) return "";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 36) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return count(Math.round(minutes / 1440), "day");
}

/** Seconds since a beginning on an axis, where "2 min" may not stand for 90 s too: "45 s", "1:30 min", "2 min". */
export function elapsed(seconds) {
  if (seconds < 60) return `${seconds} s`;
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (hours) return minutes ? `${hours}:${two(minutes)} h` : `${hours} h`;
  return rest ? `${minutes}:${two(rest)} min` : `${minutes} min`;
}

/** A time as seen from now: "in 2 min", "3 min ago", "just now". */
export function relative(time, now = Date.now()) {
  const seconds = (new Date(time).getTime() - now) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (Math.abs(seconds) < 10) return seconds > 0 ? "in a moment" : "just now";
  return seconds > 0 ? `in ${duration(seconds)}` : `${duration(-seconds)} ago`;
}

/** A time on the reader's clock: "15:04", with the day where it is another. */
export function clock(time, now = Date.now()) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "";
  const hour = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (date.toDateString() === new Date(now).toDateString()) return hour;
  const year = date.getFullYear() === new Date(now).getFullYear() ? "" : ` ${date.getFullYear()}`;
  return `${date.getDate()} ${MONTHS[date.getMonth()]}${year}, ${hour}`;
}

/** 1, "file" → "1 file"; 2000, "file" → "2,000 files". */
export function count(number, noun, plural = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
}

/** Done of total in whole percent, 100 only when all is done. */
export function percent(done, total) {
  if (!total) return done ? 100 : 0;
  return done >= total ? 100 : Math.min(99, Math.floor((100 * done) / total));
}

/**
 * A name as it may be shown: what is no character, turns the direction of reading or starts a line is a visible mark,
 * so that a name cannot look like another thing than it is.
 */
export function visible(name) {
  return String(name).replace(UNSEEN, (found, joiner) => joiner ?? "\ufffd");
}

/** Joiners (U+200C, U+200D) belong into words of some scripts, and into pictures of several people: there they may be. */
const JOINED = "[\\p{sc=Arab}\\p{sc=Deva}\\p{sc=Beng}\\p{sc=Mlym}\\p{sc=Sinh}\\p{ExtPict}\\p{EMod}\\ufe0f]";
const UNSEEN = new RegExp(
  `(?<=${JOINED})([\\u200c\\u200d])(?=${JOINED})|` +
    "[\\p{Cc}\\p{Cs}\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]",
  "gu",
);

const STATES = {
  QUEUED: "Queued",
  ACTIVE: "Moving",
  WAITING: "Waiting",
  PAUSED: "Paused",
  CANCELLING: "Cancelling",
  DONE: "Done",
  FAILED: "Failed",
  CANCELLED: "Cancelled",
  RECEIVING: "Receiving",
  RECEIVED: "Received",
  EXPIRED: "Expired",
};

/** A state of a transfer, file or upload as a word. */
export const stateWord = (state) => STATES[state] ?? state.charAt(0) + state.slice(1).toLowerCase();

export const isFinal = (state) => ["DONE", "FAILED", "CANCELLED", "EXPIRED"].includes(state);

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (number) => String(number).padStart(2, "0");
