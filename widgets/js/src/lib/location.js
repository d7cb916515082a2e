/** Locations `storage:path`. Names that are not UTF-8 come as lone surrogates U+DC80 to U+DCFF, a byte each. */

export function parseLocation(location) {
  const colon = location.indexOf(":");
  return { storage: location.slice(0, colon), path: location.slice(colon + 1).replace(/^\/+/, "") };
}

export const joinLocation = (storage, path) => `${storage}:/${path.replace(/^\/+/, "")}`;

/** The path of the API that serves what is there: `files/<storage>/<path>`, percent-encoded byte by byte. */
export function filesPath(location) {
  const { storage, path } = parseLocation(location);
  return `files/${encodeURIComponent(storage)}/${path.split("/").map(encodeName).join("/")}`;
}

/** One name, percent-encoded; encodeURIComponent refuses lone surrogates. */
export function encodeName(name) {
  let out = "";
  for (const character of name) {
    const code = character.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) out += "%" + (code - 0xdc00).toString(16).toUpperCase();
    else out += encodeURIComponent(character.isWellFormed?.() === false ? "\ufffd" : character);
  }
  return out;
}

/** The last name of a location, path or URL; of a folder with its slash. */
export function lastName(location) {
  return location.match(/[^/:]+\/?$/)?.[0] ?? location;
}
