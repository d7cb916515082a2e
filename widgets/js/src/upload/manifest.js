/** What the gateway is asked for: one upload for a file, manifests for more. Pure. */

const FILES = 10_000; // of one manifest, at most
const BYTES = 8 << 20; // of its JSON: half of what the gateway takes unless it is told otherwise

/** Whether it goes as a single upload, which the gateway refuses at once if the destination is there already. */
export const isSingle = (items) => items.length === 1 && !items[0].path.includes("/");

/** Path and query of the request for one upload of one file (draft-ietf-httpbis-resumable-upload). */
export function singleRequest({ path, file }, folder, wishes) {
  const query = new URLSearchParams({ destination: folder + path, ...wishes, modified: modifiedOf(file) });
  return {
    path: `uploads?${query}`,
    headers: { "Upload-Complete": file.size === 0 ? "?1" : "?0", "Upload-Length": String(file.size) },
  };
}

/** The bodies for `POST manifests`, each with its own items: as many as there have to be. */
export function manifests(items, folder, wishes) {
  const found = [];
  let [batch, size] = [[], 0];
  for (const item of items) {
    const bytes = 3 * item.path.length + 100;
    if (batch.length === FILES || (batch.length > 0 && size + bytes > BYTES)) {
      found.push(batch);
      [batch, size] = [[], 0];
    }
    batch.push(item);
    size += bytes;
  }
  if (batch.length > 0) found.push(batch);
  return found.map((items) => ({ items, body: { destination: folder, files: items.map(announced), ...wishes } }));
}

const announced = ({ path, file }) => ({ path, size: file.size, modified: modifiedOf(file) });
const modifiedOf = (file) => new Date(file.lastModified).toISOString();
