/** Downloads by the browser itself: any size, with its own list of downloads, and no token in the address. */

import { h, icon } from "../lib/dom.js";
import { visible } from "../lib/format.js";
import { filesPath } from "../lib/location.js";

/**
 * A link to a file, or to a folder as a zip. It leads through this Jupyter Server, whose cookie says who asks: a link
 * to the gateway itself would need a token in its address.
 */
export function downloadLink(page, entry, { small = false } = {}) {
  const isFolder = entry.kind === "folder";
  const label = `Download ${visible(entry.name)}${isFolder ? " as zip" : ""}`;
  const words = small ? null : isFolder ? "Download as zip" : "Download";
  const shape = small ? "scigate-icon-button" : "";
  const link = h(
    "a",
    { class: `scigate-button ${shape}`.trim(), download: "", title: label, "aria-label": label },
    icon("download"),
    words,
  );
  page.api.url(filesPath(entry.location), { home: true, query: isFolder ? { archive: "zip" } : {} }).then(
    (url) => (link.href = url),
    () => link.remove(),
  );
  return link;
}
