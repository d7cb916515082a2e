/** Addresses with what the user wrote filled in. Only mail and web addresses of the settings are followed. */

const LONGEST = 6000; // characters of a URL that servers and mail programs surely take

function parse(address, ...schemes) {
  const url = tryParse(address);
  return url && schemes.includes(url.protocol) ? url : null;
}

function tryParse(address) {
  try {
    return new URL(address);
  } catch {
    return null;
  }
}

/** A mail to the configured address (or a tracker's page), null if there is none. */
export function mailLink(address, subject = "", text = "") {
  const url = parse(address, "mailto:", "https:", "http:");
  if (!url) return null;
  return url.protocol === "mailto:" ? filled(url, { subject, body: text }) : trackerLink(address, text);
}

/** A new issue of the configured tracker, null if there is none. */
export function trackerLink(address, text = "", versions = "") {
  const url = parse(address, "https:", "http:", "mailto:");
  if (!url) return null;
  const body = [text.trim(), versions && `Versions:\n${versions}`].filter(Boolean).join("\n\n");
  const title = text.trim().split("\n")[0].slice(0, 80);
  if (url.protocol === "mailto:") return filled(url, { subject: `SciGate: ${title || "a bug"}`, body });
  const gitlab = url.pathname.includes("/-/issues");
  return filled(url, gitlab ? { "issue[title]": title, "issue[description]": body } : { title, body });
}

/** The address with these in its query beside what is there; too long a text is cut. */
function filled(url, values) {
  const given = Object.entries(values).filter(([, value]) => value);
  if (!given.length) return url.href;
  const query = given.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(wellFormed(value))}`);
  const joined = url.href + (url.search ? "&" : "?") + query.join("&");
  if (joined.length <= LONGEST) return joined;
  return filled(url, Object.fromEntries(given.map(([name, value]) => [name, value.slice(0, value.length * 0.8)])));
}

/** Half a character, which encodeURIComponent refuses, is left out. */
const wellFormed = (text) => text.replace(/\p{Cs}/gu, "");

/** `Name version` lines. */
export function versionLines(versions) {
  const known = Object.entries(versions).filter(([, version]) => version);
  return known.map(([name, version]) => `${name} ${version}`).join("\n");
}
