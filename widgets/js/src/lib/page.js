import { createApi } from "./api.js";
import { createFeed } from "./feed.js";
import { askExtension, baseUrl, createSession } from "./session.js";

/** What all portlets of a page share, however many bundles they come in: one session, one API, one WebSocket. */
export function page() {
  return (globalThis.__scigate ??= createPage());
}

function createPage() {
  let fallback;
  const base = () => baseUrl(fallback);
  const session = createSession(() => askExtension(base()));
  const api = createApi(session, base);
  const feed = createFeed(socketAddress, { onRefused: session.forget });
  globalThis.addEventListener?.("online", feed.hurry);
  globalThis.document?.addEventListener("visibilitychange", () => document.hidden || feed.hurry());

  async function socketAddress() {
    const { ticket } = await session.get();
    const url = (await api.url("events/ws")).replace(/^http/, "ws");
    return { url, protocols: ticket ? ["scigate.v1", `ticket.${ticket}`] : ["scigate.v1"] };
  }

  /** Where the Jupyter Server is if the page does not say it: what the kernel was told. */
  function setFallback(url) {
    fallback ||= url || undefined;
  }

  return { session: session.get, forget: session.forget, api, feed, setFallback };
}
