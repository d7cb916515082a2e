/** The newest files of several storages. */

import { readFolder } from "./listing.js";
import { byTime } from "./paths.js";

const PAGES = 25; // of one storage: what is beyond is said to be, not searched in a browser
export const SHOWN = 200;

/**
 * The newest files of these storages, read page by page.
 * @returns `{entries, beyond, failed}`: names of storages that hold more than was looked through, or did not answer
 */
export async function newestFiles(page, storages, { signal }) {
  const [entries, beyond, failed] = [[], [], []];
  for (const { name } of storages) {
    try {
      if (await readSome(page, name, entries, signal)) beyond.push(name);
    } catch (error) {
      if (signal.aborted) throw error;
      failed.push({ name, error });
    }
  }
  return { entries: entries.sort(byTime), beyond, failed };
}

async function readSome(page, name, entries, signal) {
  let after;
  for (let number = 0; number < PAGES; number++) {
    const found = await readFolder(page, name, "", { after, signal, recursive: true });
    entries.push(...found.items.filter((one) => one.kind === "file"));
    after = found.next;
    if (!after) return false;
  }
  return true;
}
