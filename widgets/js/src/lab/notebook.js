/** Cells for the portlets: they are on the page, but only the application can change a notebook. */

import { page } from "../lib/page.js";

export function notebookPlugin({ notebook }) {
  return {
    id: "scigate:notebook",
    description: "Lets SciGate's portlets add a cell to the open notebook.",
    autoStart: true,
    optional: [notebook.INotebookTracker],
    activate(app, tracker) {
      if (tracker) page().notebook = { insert: (code) => insert(tracker.currentWidget?.content, code) };
    },
  };
}

/** A code cell below the active one. Whether there was a notebook that can be changed. */
function insert(content, code) {
  if (!content?.model || content.model.readOnly) return false;
  const index = content.activeCellIndex + 1;
  content.model.sharedModel.insertCell(index, { cell_type: "code", source: code, metadata: {} });
  content.activeCellIndex = index;
  return true;
}
