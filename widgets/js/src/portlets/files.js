import { Browser } from "../files/browser.js";
import styles from "../files/files.css";
import { injectStyles } from "../lib/dom.js";
import { portlet } from "../lib/portlet.js";
import placeStyles from "../upload/upload.css";

/** What is in the storages, folder by folder. */
export default portlet("files", "Files", (view) => {
  injectStyles("scigate-files", styles);
  injectStyles("scigate-upload", placeStyles);
  return new Browser(view).show(null);
});
