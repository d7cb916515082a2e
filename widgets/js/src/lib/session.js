import { Problem, problemOf } from "./problem.js";

const PATIENCE = 30_000; // ms
const EARLY = 10; // seconds before its end in which a ticket is no longer used

/** Where this page's Jupyter Server is: Lab, Notebook and Voila say it in the page. Ends in a slash. */
export function baseUrl(fallback) {
  const said = jupyterConfig().baseUrl ?? document.body?.dataset.baseUrl ?? fallback ?? "/";
  return new URL(said.endsWith("/") ? said : said + "/", location.href).href;
}

/** What makes a request to the Jupyter Server one of this page (XSRF), and of its user where a token is used. */
export function jupyterHeaders() {
  const headers = { "X-XSRFToken": cookie("_xsrf") };
  const { token } = jupyterConfig();
  return token ? { ...headers, Authorization: `token ${token}` } : headers;
}

/**
 * Who and where this page is for the gateway.
 * @param {() => Promise<object>} ask  answers `{api, ticket, expires_in, home_api, user, hub, version}`
 */
export function createSession(ask) {
  let current = null;
  let ends = 0;

  async function fresh() {
    const answer = await ask();
    ends = answer.expires_in ? Date.now() + Math.max(1, answer.expires_in - EARLY) * 1000 : Infinity;
    return answer;
  }

  /** The session, asked for once and again before its ticket ends. Raises Problem. */
  function get() {
    if (current && Date.now() < ends) return current;
    ends = Infinity; // while it is asked for, everybody waits for the same answer
    const asked = fresh();
    current = asked;
    asked.catch(() => current === asked && (current = null));
    return asked;
  }

  /** Forget it: the gateway did not accept its ticket. */
  const forget = () => (current = null);
  return { get, forget };
}

/** Ask the extension of the Jupyter Server. */
export async function askExtension(base) {
  const address = new URL("scigate/session", base);
  const signal = AbortSignal.timeout(PATIENCE);
  if (!cookie("_xsrf") && !jupyterConfig().token) await fetchOrExplain(address, { signal }); // it sets the cookie
  const response = await fetchOrExplain(address, {
    method: "POST",
    signal,
    headers: { ...jupyterHeaders(), "Content-Type": "application/json" },
    body: "{}",
  });
  if (response.ok) return jsonOf(response);
  if (!response.headers.get("Content-Type")?.startsWith("application/problem+json")) throw notHere(response.status);
  throw await problemOf(response);
}

/** Somebody else answered: a server without the extension, or one that serves nothing but its own pages (Voila alone). */
const notHere = (status) =>
  new Problem({
    title: "SciGate does not run in this Jupyter Server.",
    detail: `It answers ${status} where SciGate's extension should be.`,
    nextStep: "Install scigate where the server runs and start it again. Voila: open the page from a Jupyter Server.",
    status,
  });

/** As fetch; that nobody answers is a Problem too. */
export async function fetchOrExplain(url, options) {
  try {
    return await fetch(url, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    throw explained(error);
  }
}

/** The JSON of an answer, which may break off on its way. */
export async function jsonOf(response) {
  try {
    return await response.json();
  } catch (error) {
    throw explained(error);
  }
}

/** What the browser says of a broken connection is different everywhere; what its owner ended stays as it is. */
function explained(error) {
  if (error?.name === "AbortError") return error;
  return new Problem({
    title: "The gateway cannot be reached.",
    detail: "Nothing answered. Transfers go on without this page.",
    nextStep: "Check your network. This page comes back by itself.",
    retriable: true,
  });
}

function jupyterConfig() {
  try {
    return JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "{}");
  } catch {
    return {};
  }
}

function cookie(name) {
  const found = document.cookie.match(new RegExp(`(?:^|;\\s*)${name}=("?)([^;"]+)\\1`));
  return found ? decodeURIComponent(found[2]) : "";
}
