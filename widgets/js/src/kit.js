/** What portlets of plug-ins find as `scigate`: docs/how-to/write-a-portlet.md. */
export { button, h, iconButton, keepFocus, replace, setText } from "./lib/dom.js";
export * as format from "./lib/format.js";
export { filesPath, joinLocation, parseLocation } from "./lib/location.js";
export { page } from "./lib/page.js";
export { emptyState, portlet, problemBox } from "./lib/portlet.js";
export { keyedRows } from "./lib/table.js";
