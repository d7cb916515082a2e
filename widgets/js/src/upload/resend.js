/** What a failed request of an upload means: try again, and what to tell people meanwhile. Pure. */

const TEMPORARY = new Set([0, 401, 408, 423, 425, 429]);
const OF_FILE = new Set([403, 404, 409, 410, 413, 422]);

/** Pauses between two tries, in milliseconds; progress begins them anew. Together about twenty minutes. */
export const PAUSES = [0, 500, 1000, 2000, 4000, 8000, ...Array(60).fill(20_000)];

/** Whether the same can work later. 401: the ticket ran out; a wrong offset (409) is asked for anew. */
export function isTemporary(status, code) {
  return TEMPORARY.has(status) || status >= 500 || (status === 409 && code === "offset-mismatch");
}

/** Whether it is about this one file, so that others can still be sent. */
export const isOfFile = (status) => OF_FILE.has(status) || status === "unreadable";

/** Why it does not go on at the moment. */
export function whyWaiting(status) {
  if (status === 0) return "The gateway cannot be reached; trying again. What has arrived is kept.";
  if (status === 503) return "The gateway has no room, or is not ready; trying again. What has arrived is kept.";
  if (status === 429) return "The gateway takes no more at once; trying again.";
  if (status >= 500) return `The gateway has a problem (${status}); trying again. What has arrived is kept.`;
  return "The connection was interrupted; going on where it stopped.";
}

/** How it ended when no answer of the gateway says why. */
export function whyFailed(status) {
  const [title, nextStep] = ENDS[status] ?? ["The gateway refused the rest of the file.", "Send it again."];
  return { title, nextStep, status };
}

const GIVEN_UP = [
  "The gateway has given this upload up.",
  "Send it again: it was cancelled, or nothing came for too long.",
];
const ENDS = {
  unreadable: ["The file cannot be read any more.", "It was changed or removed meanwhile. Choose it again."],
  404: GIVEN_UP,
  410: GIVEN_UP,
  0: [
    "The gateway could not be reached for 20 minutes.",
    "Continue when the network is back: what has arrived is kept.",
  ],
};
