/**
 * How JupyterLab and Notebook take in SciGate: a container of module federation, written by hand. It needs no build,
 * and it uses what the application shares. The plug-ins are in panel.js beside it.
 */
(() => {
  const here = document.currentScript.src;
  const WANTED = {
    widgets: "@lumino/widgets",
    application: "@jupyterlab/application",
    components: "@jupyterlab/ui-components",
    filebrowser: "@jupyterlab/filebrowser",
    notebook: "@jupyterlab/notebook",
    apputils: "@jupyterlab/apputils",
  };
  let scope = {};

  /** A shared module; undefined where the application has none of this name. */
  async function shared(name) {
    const [version] = Object.values(scope[name] ?? {});
    return version && (await version.get())();
  }

  /** The plug-ins; none for pages without a shell to put a panel into, such as Voila's. */
  async function plugins() {
    const names = Object.keys(WANTED);
    const modules = await Promise.all(names.map((name) => shared(WANTED[name])));
    const found = Object.fromEntries(names.map((name, index) => [name, modules[index]]));
    if (!found.widgets || !found.application?.ILayoutRestorer || !found.components) return [];
    const { plugins } = await import(new URL("panel.js", here).href);
    return plugins(found, here);
  }

  const container = {
    init: async (given) => void (scope = given),
    get: async () => {
      const found = await plugins();
      return () => ({ __esModule: true, default: found });
    },
  };
  (window._JUPYTERLAB ??= {}).scigate = container;
})();
