/** The panel in the left side bar: the portlets of the notebook, one behind each tab. */

import { h, injectStyles } from "../lib/dom.js";
import { asProblem } from "../lib/problem.js";
import { problemBox } from "../lib/portlet.js";
import theme from "../lib/theme.css";
import { iconOf } from "./icon.js";
import styles from "./panel.css";

const TABS = {
  Send: ["upload"],
  Transfers: ["transfers"],
  Files: ["files"],
  Community: ["community"],
  Status: ["status", "feedback"],
};

export function sidebarPlugin({ widgets, application, components }, here) {
  return {
    id: "scigate:panel",
    description: "SciGate in the side bar.",
    autoStart: true,
    optional: [application.ILayoutRestorer],
    activate(app, restorer) {
      if (!hasSideBar(app)) return;
      injectStyles("scigate-theme", theme);
      injectStyles("scigate-panel-styles", styles);
      const panel = new (panelClass(widgets.Widget))(
        (name) => new URL(`${name}.js`, here).href,
        app.version,
        iconOf(components),
      );
      app.shell.add(panel, "left", { rank: 900 });
      restorer?.add(panel, panel.id);
    },
  };
}

/** Voila shares the modules, but its pages have no side bar. */
const hasSideBar = (app) => ["JupyterLab", "Jupyter Notebook"].includes(app.name);

/** Lumino's class is known only when the application runs. */
function panelClass(Widget) {
  return class Panel extends Widget {
    constructor(address, version, icon) {
      super();
      this.id = "scigate-panel";
      this.title.caption = "SciGate: data in and out";
      this.title.icon = icon;
      this.addClass("scigate-panel");
      this.gone = new AbortController();
      this.load = (name, el) => show(address(name), name, el, version, this.gone.signal);
    }

    /** Nothing is asked of the gateway before somebody looks. */
    onBeforeShow() {
      if (!this.node.firstChild) this.node.append(...tabs(this.load));
    }

    dispose() {
      this.gone.abort();
      super.dispose();
    }
  };
}

/** A list of tabs (ARIA Authoring Practices): arrow keys go from one to the next, each is filled when it is opened. */
function tabs(load) {
  const names = Object.keys(TABS);
  const panels = names.map((name) =>
    h("div", { role: "tabpanel", id: `scigate-tab-${name}`, "aria-label": name, hidden: true }),
  );
  const heads = names.map((name, index) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        "aria-controls": panels[index].id,
        onClick: () => open(index),
        onKeydown: (event) => keys(event, index),
      },
      name,
    ),
  );

  function open(index) {
    heads.forEach((head, at) => {
      head.setAttribute("aria-selected", String(at === index));
      head.tabIndex = at === index ? 0 : -1;
      panels[at].hidden = at !== index;
    });
    if (!panels[index].firstChild)
      for (const portlet of TABS[names[index]]) load(portlet, panels[index].appendChild(h("div")));
  }

  function keys(event, index) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (index + step + names.length) % names.length;
    open(next);
    heads[next].focus();
  }
  open(0);
  return [h("div", { role: "tablist", class: "scigate-tabs", "aria-label": "SciGate" }, heads), ...panels];
}

async function show(address, name, el, version, signal) {
  try {
    const { default: portlet } = await import(address);
    await portlet.render({ model: modelOf({ versions: { JupyterLab: version } }), el, signal });
  } catch (error) {
    el.append(h("div", { class: "scigate" }, problemBox(asProblem(error))));
  }
}

/** What a portlet asks of its model, where there is no kernel to keep it in step with. */
export function modelOf(state) {
  return {
    get: (name) => state[name],
    set: (name, value) => (state[name] = value),
    save_changes() {},
    on() {},
    off() {},
  };
}
