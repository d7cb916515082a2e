/** What people put into the one box: web addresses, or files and folders. Decides only; the reading is in gather.js. */

/** The web addresses in a text, one or more per line, and what in it is none. A name may hold no spaces in a URL. */
export function addresses(text) {
  const urls = [];
  const wrong = [];
  for (const word of text.split(/\s+/).filter(Boolean)) (isAddress(word) ? urls : wrong).push(word);
  return { urls: [...new Set(urls)], wrong: [...new Set(wrong)] };
}

/** Whether the gateway could fetch this. */
export function isAddress(word) {
  const url = URL.parse ? URL.parse(word) : tried(word);
  return url !== null && ["http:", "https:"].includes(url.protocol) && url.hostname !== "";
}

function tried(word) {
  try {
    return new URL(word);
  } catch {
    return null;
  }
}

/** The folder as the API wants it: no slash before it, one behind it unless it is the root. */
export function folderPath(text) {
  const names = text
    .split("/")
    .map((name) => name.trim())
    .filter(Boolean);
  return names.map((name) => name + "/").join("");
}

/** What is wrong with a folder's path, in words; null if nothing is. */
export function folderFault(text) {
  const names = folderPath(text).split("/");
  if (names.includes("..") || names.includes(".")) return "A folder’s path cannot hold “.” or “..”.";
  if (text.includes("\0")) return "A folder’s path cannot hold a NUL character.";
  return null;
}

/** Items under one folder at the top, as a folder that was chosen or dropped has them, and that folder's name. */
export function commonRoot(items) {
  const roots = new Set(items.map(({ path }) => (path.includes("/") ? path.slice(0, path.indexOf("/")) : "")));
  return roots.size === 1 && !roots.has("") ? [...roots][0] : null;
}

/** How many files, folders and bytes: "3 files", and the name if there is only one. */
export function described(items) {
  if (items.length === 1 && !items[0].path.includes("/")) return items[0].path;
  const root = commonRoot(items);
  const files = items.length === 1 ? "1 file" : `${items.length.toLocaleString("en")} files`;
  return root === null ? files : `${root}/ (${files})`;
}

/** Bytes of all of them. */
export const totalOf = (items) => items.reduce((sum, { file }) => sum + file.size, 0);
