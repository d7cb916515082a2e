/** Locations and the paths in them. Pure. A path has no slash before it; a folder's has one behind it. */

/** `storage:/path` taken apart. */
export function parse(location) {
  const colon = location.indexOf(":/");
  return { storage: location.slice(0, colon), path: location.slice(colon + 2) };
}

export const locationOf = (storage, path) => `${storage}:/${path}`;

/** The way to a folder: of each step its name and path, the storage's root first. */
export function crumbs(storage, path) {
  const names = path.split("/").filter(Boolean);
  const steps = names.map((name, index) => ({ name, path: names.slice(0, index + 1).join("/") + "/" }));
  return [{ name: storage, path: "" }, ...steps];
}

/** The folder that holds what is at this path. */
export function parentOf(path) {
  const trimmed = path.endsWith("/") ? path.slice(0, -1) : path;
  return trimmed.slice(0, trimmed.lastIndexOf("/") + 1);
}

/** The resource of a file or folder, every byte of its name percent-encoded, also those that are not UTF-8. */
export function resource(storage, path) {
  return `files/${storage}/${path.split("/").map(encoded).join("/")}`;
}

/** Percent-encoding in which lone surrogates U+DC80 to U+DCFF stand for the bytes 80 to FF (PEP 383). */
export function encoded(name) {
  return name.replace(/[\uD800-\uDBFF][\uDC00-\uDFFF]|[^]/g, (sign) => {
    const code = sign.charCodeAt(0);
    const isByte = sign.length === 1 && code >= 0xdc80 && code <= 0xdcff;
    if (isByte) return `%${(code - 0xdc00).toString(16).toUpperCase()}`;
    if (sign === ".") return ".";
    return sign.length === 1 && code >= 0xd800 && code <= 0xdfff ? "%EF%BF%BD" : encodeURIComponent(sign);
  });
}

/** Why a name cannot be that of a new folder, in words; null if it can. */
export function nameFault(name) {
  if (!name.trim()) return "Give the folder a name.";
  if (/[/\0]/.test(name)) return "A name has no “/” and no NUL character.";
  if (name === "." || name === "..") return "“.” and “..” are no names.";
  return null;
}

/** Folders first, each by name as people sort, "run2" before "run10". */
export function byName(one, other) {
  if ((one.kind === "folder") !== (other.kind === "folder")) return one.kind === "folder" ? -1 : 1;
  return collator.compare(one.name, other.name) || (one.name < other.name ? -1 : Number(one.name > other.name));
}

/** The newest first; what has no time at the end. */
export const byTime = (one, other) => (other.modified ?? "").localeCompare(one.modified ?? "");

const collator = new Intl.Collator("en", { numeric: true });
