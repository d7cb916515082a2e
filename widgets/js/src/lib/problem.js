/** What went wrong, in words: what happened, to what, and what to do next. */
export class Problem extends Error {
  constructor({ title, detail = "", nextStep = "", status = 0, code = "", retriable = false }) {
    super(title);
    Object.assign(this, { name: "Problem", title, detail, nextStep, status, code, retriable });
  }
}

/** Any error as a Problem. */
export function asProblem(error) {
  if (error instanceof Problem || error?.name === "Problem") return error;
  return new Problem({
    title: "This page has made a mistake.",
    detail: String(error?.message ?? error),
    nextStep: "Reload the page. If it stays, report it as a bug.",
  });
}

/** The Problem that an answer with an error status tells (RFC 9457), or the best that can be said of it. */
export async function problemOf(response) {
  let said = {};
  try {
    said = JSON.parse(await response.text());
  } catch {
    // a proxy's page, not ours
  }
  return new Problem({
    title: text(said.title) || `The gateway answered ${response.status} ${response.statusText}`.trim() + ".",
    detail: text(said.detail) || text(said.message),
    nextStep: text(said.next_step) || NEXT_STEPS[response.status] || "Try again in a moment.",
    status: response.status,
    code: text(said.code),
    retriable: Boolean(said.retriable ?? RETRIABLE.includes(response.status)),
  });
}

const RETRIABLE = [408, 425, 429, 500, 502, 503, 504];
const NEXT_STEPS = {
  401: "Reload the page to sign in again.",
  403: "Reload the page; if it stays, ask the gateway's administrators for access.",
  404: "Reload the page; it may be gone. If nothing works, ask whether SciGate is installed on this server.",
  413: "It is too large; ask the gateway's administrators.",
  502: "The gateway may be starting again. Wait a minute.",
  503: "The gateway may be starting again. Wait a minute.",
  504: "The gateway may be starting again. Wait a minute.",
};

const text = (value) => (typeof value === "string" ? value : "");
