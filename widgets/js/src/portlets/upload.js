import { h, injectStyles } from "../lib/dom.js";
import { portlet } from "../lib/portlet.js";
import { Form } from "../upload/form.js";
import { LastPlace, browserStorage } from "../upload/kept.js";
import { Memory } from "../upload/memory.js";
import { sendList } from "../upload/rows.js";
import { sendingsOf } from "../upload/sendings.js";
import { syncTo } from "../upload/synced.js";
import { unfinishedList } from "../upload/unfinished.js";
import styles from "../upload/upload.css";

/** Files, folders and web addresses to the gateway. */
export default portlet("upload", "Send data", async ({ model, page, body, say, signal }) => {
  injectStyles("scigate-upload", styles);
  const { user, api } = await page.session();
  const [storage, who] = [browserStorage(), `${api}:${user}`];
  const [memory, lastPlace, sendings] = [new Memory(storage, who), new LastPlace(storage, who), sendingsOf(page)];

  const form = new Form({ page, signal, memory, lastPlace, sendings, begin });
  const unfinished = unfinishedList({ page, memory, sendings, signal, onChange: () => form.update() });
  const list = sendList({ sendings, say, signal });
  body.append(h("div", { class: "scigate-stack" }, unfinished.node, form.node, list));

  function begin(one) {
    if (model) syncTo(model, one);
    sendings.add(one);
    unfinished.update();
  }

  form.update();
  unfinished.update();
  await form.picker.load();
});
