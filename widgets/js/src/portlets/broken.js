import { h } from "../lib/dom.js";
import { visible } from "../lib/format.js";
import { portlet } from "../lib/portlet.js";

/** In the place of a plug-in that cannot be used: why, and who can mend it. */
export default {
  render(view) {
    const subject = visible(view.model.get("subject"));
    return portlet("broken", subject, ({ model, body }) => {
      const box = h(
        "div",
        { class: "scigate-problem", "data-tone": "warn" },
        h("strong", {}, `“${subject}” cannot be shown.`),
        h("p", {}, visible(model.get("reason"))),
        h(
          "p",
          { class: "scigate-next-step" },
          `Tell whoever maintains the package ${visible(model.get("package"))}. Everything else works.`,
        ),
      );
      body.append(box);
    }).render(view);
  },
};
