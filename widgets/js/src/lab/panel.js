/** The plug-ins of JupyterLab and Notebook: a panel in the side bar, "Send to gateway…", and cells for the portlets. */

import { notebookPlugin } from "./notebook.js";
import { sendPlugin } from "./send.js";
import { sidebarPlugin } from "./sidebar.js";

/**
 * @param shared  what the application shares: the modules `widgets` (Lumino), `application`, `components`, and as far
 *   as they are there `filebrowser`, `notebook`, `apputils`
 * @param here  the address that the bundles of the portlets lie beside
 */
export function plugins(shared, here) {
  const found = [sidebarPlugin(shared, here)];
  if (shared.filebrowser) found.push(sendPlugin(shared));
  if (shared.notebook) found.push(notebookPlugin(shared));
  return found;
}
