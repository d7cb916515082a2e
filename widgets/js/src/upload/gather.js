/** Reading what was chosen or dropped into a flat list of `{ path, file }`, folders walked to their ends. */

/** Files of an `<input type=file>`; of a folder with their paths below and with it. */
export function fromInput(input) {
  return [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}

/** Files and folders that were dropped. Entries have to be taken at once: the browser forgets them after the event. */
export async function fromDrop(transfer) {
  const entries = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile())
    .filter(Boolean);
  const found = [];
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

/** Addresses that were dropped: a link, or selected text. */
export function linksFromDrop(transfer) {
  const list = transfer
    .getData("text/uri-list")
    .split(/\r?\n/)
    .filter((line) => line && !line.startsWith("#"));
  return list.join("\n") || transfer.getData("text/plain");
}

async function walk(entry, above, found) {
  if (entry instanceof File) return void found.push({ path: above + entry.name, file: entry });
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return void found.push({ path: above + entry.name, file });
  }
  const reader = entry.createReader();
  for (let batch = await next(reader); batch.length > 0; batch = await next(reader))
    for (const child of batch) await walk(child, `${above}${entry.name}/`, found);
}

/** A reader gives at most about a hundred at a time, and nothing when it is at its end. */
const next = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
