/** "Send to gateway…" for what is selected in the file browser. */

import { injectStyles } from "../lib/dom.js";
import { page } from "../lib/page.js";
import theme from "../lib/theme.css";
import { sendDialog } from "../files/send.js";
import fileStyles from "../files/files.css";
import placeStyles from "../upload/upload.css";
import { iconOf } from "./icon.js";
import { sourceOf } from "./selection.js";

export function sendPlugin({ filebrowser, apputils, components }) {
  return {
    id: "scigate:send",
    description: "Sends files of the file browser to a storage of the gateway.",
    autoStart: true,
    optional: [filebrowser.IFileBrowserFactory],
    activate(app, factory) {
      if (!factory) return;
      const { tracker } = factory;
      const selected = () => [...(tracker.currentWidget?.selectedItems() ?? [])];
      const drive = (path) => app.serviceManager.contents.driveName(path);
      app.commands.addCommand("scigate:send", {
        label: "Send to gateway…",
        icon: components && iconOf(components),
        caption: "Copy what is selected to a storage of the gateway",
        isEnabled: () => selected().some((item) => !drive(item.path)),
        execute: () =>
          send(
            selected().filter((item) => !drive(item.path)),
            apputils,
          ),
      });
      app.contextMenu.addItem({ command: "scigate:send", selector: ".jp-DirListing-item", rank: 9 });
    },
  };
}

async function send(items, apputils) {
  injectStyles("scigate-theme", theme);
  injectStyles("scigate-files", fileStyles);
  injectStyles("scigate-upload", placeStyles);
  const transfer = await sendDialog({ page: page(), sources: items.map(sourceOf), near: document.body });
  const where = transfer?.isOfServer ? "" : " SciGate's panel shows how far it is.";
  if (transfer) apputils?.Notification?.success(`On its way.${where}`, { autoClose: 5000 });
}
