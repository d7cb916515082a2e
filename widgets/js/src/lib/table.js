/** Rows by key: what has not changed is not touched, so that focus, selection and scrolling stay, and it is quick. */

/**
 * @param {HTMLElement} body  where the rows go, e.g. a tbody; behind what is in it now
 * @param key  item → its key
 * @param create  item → `{node, update(item)}`; update is called once by this function too
 */
export function keyedRows(body, { key, create }) {
  const rows = new Map(); // key → {node, update, item}
  const head = body.lastChild;

  function row(item) {
    const id = key(item);
    let found = rows.get(id);
    if (!found) {
      found = { ...create(item), item: undefined };
      rows.set(id, found);
    }
    if (found.item !== item) {
      found.item = item;
      found.update(item);
    }
    return found;
  }

  /** Show exactly these, in this order. */
  function set(items) {
    const keep = new Set(items.map(key));
    for (const [id, { node }] of rows) {
      if (keep.has(id)) continue;
      node.remove();
      rows.delete(id);
    }
    let at = head ? head.nextSibling : body.firstChild;
    let fresh = null; // new rows in a run go in together
    const flush = () => {
      if (fresh) body.insertBefore(fresh, at);
      fresh = null;
    };
    for (const item of items) {
      const { node } = row(item);
      if (node === at) {
        flush();
        at = at.nextSibling;
      } else (fresh ??= document.createDocumentFragment()).append(node);
    }
    flush();
  }

  /** Update those of these that are shown; the others are passed over. */
  function patch(items) {
    for (const item of items) if (rows.has(key(item))) row(item);
  }

  return {
    set,
    patch,
    get: (id) => rows.get(id),
    get size() {
      return rows.size;
    },
  };
}
