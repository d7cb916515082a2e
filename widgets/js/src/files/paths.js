import { encodeName } from "../lib/location.js";

/** Paths in a storage. Pure. A path has no slash before it; a folder's has one behind it. */

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

/** `path?query` of the API. Cursors of listings are paths: bytes that are not UTF-8 have to survive, so not URLSearchParams. */
export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return given.length
    ? `${path}?${given.map(([name, value]) => `${name}=${encodeName(String(value))}`).join("&")}`
    : path;
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

/** The path of an entry of a listing. */
export const pathOf = ({ location }) => location.slice(location.indexOf(":/") + 2);
