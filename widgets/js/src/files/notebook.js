/** Python into the notebook that is open: the Lab extension puts a hook on the page; else it is on the clipboard. */

import { copy } from "../lib/clipboard.js";

/** Adds a cell, or copies. Returns what was done, in words. */
export async function useInNotebook(page, code) {
  if (await page.notebook?.insert(code)) return "A cell was added below the active one. Run it.";
  if (await copy(code)) return "Copied. Paste it into a cell.";
  return "Your browser does not let this page copy. Select the lines and copy them.";
}
