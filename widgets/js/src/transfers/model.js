import { isFinal } from "../lib/format.js";
import { isComing } from "./words.js";

const ONE_BY_ONE = 6; // changed transfers up to which each is asked for; of more the list is read again
const AGAIN = 3000; // ms until what could not be asked for is asked for again
const PAUSE = 300; // ms in which changes are gathered
const SHOWN = 1000; // newest transfers that are kept here

/**
 * The newest transfers of the user, kept up to date: `items()` newest first, each a new object when it has changed, with
 * `arrived` (the first leg of an upload) beside what the API tells.
 * @param api  the storage API
 * @param onChange  called with the items that changed; null: the list itself
 */
export function createModel(api, { onChange, onProblem = () => {}, signal }) {
  let list = [];
  const byId = new Map();
  const arriving = new Map(); // id → Leg
  const dirty = new Set();
  const reading = new Set(); // of each list that is being read: ids of what has changed meanwhile
  const fresh = new Map(); // what progress brought since the last call of onChange
  let dirtyTimer = null;
  let freshTimer = null;
  let more = false;

  async function load() {
    const missed = new Set();
    reading.add(missed);
    try {
      await read();
    } finally {
      reading.delete(missed);
    }
    missed.forEach(changed);
  }

  async function read() {
    const [page, ...uploads] = await Promise.all([
      api("transfers", { query: { limit: SHOWN }, signal }),
      ...["RECEIVING", "RECEIVED"].map((state) => api("uploads", { query: { state, limit: SHOWN }, signal })),
    ]);
    arriving.clear();
    for (const { transfer, arrived } of uploads.flatMap((found) => found.items)) {
      if (!transfer) continue;
      const leg = arriving.get(transfer) ?? { bytes: 0, rate: null };
      arriving.set(transfer, { bytes: leg.bytes + arrived.bytes, rate: (leg.rate ?? 0) + (arrived.rate ?? 0) || null });
    }
    more = Boolean(page.next);
    replaceAll(page.items);
  }

  function replaceAll(transfers) {
    list = transfers.map(withLeg);
    byId.clear();
    for (const item of list) byId.set(item.id, item);
    onChange(null);
  }

  const withLeg = (transfer) => ({ ...transfer, arrived: arriving.get(transfer.id) ?? null });

  /** What the API told about one of them just now. */
  function put(transfer) {
    if (isFinal(transfer.state)) arriving.delete(transfer.id);
    const item = withLeg(transfer);
    const at = byId.has(item.id) ? list.findIndex((one) => one.id === item.id) : -1;
    byId.set(item.id, item);
    if (at >= 0) list[at] = item;
    else list = [item, ...list].sort((a, b) => (a.created < b.created ? 1 : -1));
    onChange(at >= 0 ? [item] : null);
  }

  /** Told about once a second for each that moves, perhaps behind its end. Several come in one call of `onChange`. */
  function progress({ transfer: id, owner: _, arrived, ...news }) {
    const item = byId.get(id);
    if (!item || isFinal(item.state)) return changed(id);
    if (arrived) arriving.set(id, arrived);
    const next = { ...item, ...news, arrived: arriving.get(id) ?? null };
    byId.set(id, next);
    fresh.set(id, next);
    freshTimer ??= setTimeout(showProgress, PAUSE);
    return undefined;
  }

  function showProgress() {
    freshTimer = null;
    list = list.map((item) => fresh.get(item.id) ?? item);
    const items = [...fresh.values()];
    fresh.clear();
    if (!signal.aborted) onChange(items);
  }

  /** Something happened to it: what, the API tells. */
  function changed(id) {
    for (const missed of reading) missed.add(id);
    dirty.add(id);
    dirtyTimer ??= setTimeout(askAgain, PAUSE);
  }

  async function askAgain() {
    const ids = [...dirty];
    dirty.clear();
    let pause = PAUSE;
    try {
      if (ids.length > ONE_BY_ONE) await load();
      else for (const id of ids) await ask(id);
    } catch (error) {
      if (signal.aborted) return;
      for (const id of ids) dirty.add(id);
      pause = AGAIN;
      if (!error.retriable) onProblem(error);
    }
    dirtyTimer = dirty.size ? setTimeout(askAgain, pause) : null;
  }

  async function ask(id) {
    try {
      put(await api(`transfers/${encodeURIComponent(id)}`, { signal }));
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }

  /** An event of the journal. */
  function event({ type, data: { transfer: id } }) {
    const leg = arriving.get(id);
    if (leg && type === "scigate.upload.cut") arriving.set(id, { ...leg, rate: null }); // until it goes on
    if (id) changed(id);
  }

  signal.addEventListener("abort", () => [dirtyTimer, freshTimer].forEach(clearTimeout), { once: true });
  return {
    load,
    put,
    progress,
    event,
    items: () => list,
    get: (id) => byId.get(id),
    get more() {
      return more;
    },
  };
}

/** The filters above the table: which transfers each shows. */
export const FILTERS = [
  ["all", "All", () => true],
  ["moving", "On their way", ({ state }) => !isFinal(state)],
  ["trouble", "Need attention", needsAttention],
  ["done", "Finished", ({ state }) => isFinal(state)],
];

/** Whether its owner had better look: it failed, or something keeps it from moving. */
function needsAttention(item) {
  const { state, cause } = item;
  if (state === "FAILED") return true;
  if (isComing(item)) return false;
  return ["WAITING", "PAUSED"].includes(state) && Boolean(cause) && cause.code !== "scheduled";
}
