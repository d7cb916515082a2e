import { count } from "../lib/format.js";
import { lastName } from "../lib/location.js";

/** What to call a transfer without a label: its first file, asked for when its row comes into view. */
export function createNames({ api, root, onName, signal }) {
  const names = new Map();
  const rows = new WeakMap(); // node → row
  const waiting = [];
  let asking = false;

  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        seen.unobserve(target);
        waiting.push(rows.get(target).item);
      }
      work();
    },
    { root: root() },
  );
  signal.addEventListener("abort", () => seen.disconnect(), { once: true });

  async function work() {
    if (asking) return;
    asking = true;
    while (waiting.length && !signal.aborted) await ask(waiting.shift());
    asking = false;
  }

  async function ask({ id, files }) {
    if (names.has(id)) return;
    try {
      const { items } = await api(`transfers/${encodeURIComponent(id)}/files`, { query: { limit: 1 }, signal });
      if (!items.length) return;
      names.set(id, nameOf(items[0], files.total));
      onName(id);
    } catch {
      // it keeps its number for a name
    }
  }

  function wanted(row) {
    if (names.has(row.item.id) || rows.has(row.node)) return;
    rows.set(row.node, row);
    seen.observe(row.line);
    rows.set(row.line, row);
  }

  return { wanted, get: (id) => names.get(id) };
}

/** "a.bam and 11 others → archive" */
export function nameOf({ source, destination }, total) {
  const first = lastName(source.startsWith("staging:") ? destination : source.replace(/[?#].*$/, ""));
  const all = total > 1 ? `${first} and ${count(total - 1, "other")}` : first;
  return `${all} → ${destination.slice(0, destination.indexOf(":"))}`;
}
