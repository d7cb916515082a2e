import { problemOf } from "./problem.js";
import { fetchOrExplain, jsonOf, jupyterHeaders } from "./session.js";

const PATIENCE = 60_000; // ms until a question counts as not answered; what carries data may take as long as it takes

/**
 * The storage API with the right headers.
 * @param session  of createSession
 * @param {() => string} base  the Jupyter Server
 */
export function createApi(session, base) {
  /** Absolute URL of a path of the API; `home`: at this Jupyter Server, which also has the storage `home`. */
  async function url(path, { home = false, query = {} } = {}) {
    const { api, home_api: homeApi } = await session.get();
    const root = new URL(home ? homeApi : api, base()).href.replace(/\/$/, "");
    const target = new URL(root + "/" + path.replace(/^\//, ""));
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null && value !== "") target.searchParams.set(name, value);
    }
    return target.href;
  }

  /** Headers for requests to the API; for who sends by other means than `api`, such as tus. */
  async function headers({ home = false } = {}) {
    const { ticket } = await session.get();
    return ticket && !home ? { Authorization: `Bearer ${ticket}` } : jupyterHeaders();
  }

  /**
   * Ask the storage API; the answer is parsed JSON, null for none, or with `as: "response"` the Response.
   * `body`: an object goes as JSON, a string or Blob as it is. A ticket that is not accepted is replaced once.
   * Raises Problem; AbortError when `signal` aborts.
   */
  async function api(path, { method = "GET", as = "json", body, home, query, headers: more, signal } = {}) {
    const asIs = body === undefined || typeof body === "string" || body instanceof Blob;
    const given = {
      Accept: "application/json",
      ...(asIs ? {} : { "Content-Type": "application/json" }),
      ...(method === "POST" ? { "Idempotency-Key": randomKey() } : {}),
      ...more,
    };
    const patience = method === "GET" && as === "json" ? AbortSignal.timeout(PATIENCE) : null;
    const ends = [signal, patience].filter(Boolean);
    const send = async () =>
      fetchOrExplain(await url(path, { home, query }), {
        method,
        signal: AbortSignal.any(ends),
        headers: { ...given, ...(await headers({ home })) },
        body: asIs ? body : JSON.stringify(body),
      });
    let response = await send();
    if (response.status === 401) {
      session.forget();
      response = await send();
    }
    if (!response.ok) throw await problemOf(response);
    if (as === "response") return response;
    return response.status === 204 ? null : jsonOf(response);
  }

  /** Every item of a list, page by page. */
  async function* items(path, options = {}) {
    let after = options.query?.after;
    do {
      const page = await api(path, { ...options, query: { ...options.query, after } });
      yield* page.items;
      after = page.next;
    } while (after);
  }

  return Object.assign(api, { url, headers, items });
}

/** Unguessable, and also where a page is not "secure" (crypto.randomUUID is not there then). */
export function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
