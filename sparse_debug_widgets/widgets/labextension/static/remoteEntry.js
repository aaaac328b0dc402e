// The container that JupyterLab and Notebook 7 load, as module federation asks for it: written by hand, so that
// installing needs neither a bundler nor Node.js. The plugin itself is in the ES modules beside this file.
(() => {
  const here = /** @type {HTMLScriptElement} */ (document.currentScript).src;
  /** @type {any} */
  let scope;

  /** Of several versions of a module: the one in use, else the newest (webpack's rule for singletons).
   * @param {string} name */
  const shared = async (name) => {
    const versions = scope[name];
    if (!versions) return null;
    const newer = (/** @type {string} */ a, /** @type {string} */ b) =>
      a.localeCompare(b, undefined, { numeric: true }) > 0;
    const chosen = Object.keys(versions).reduce((best, version) =>
      !versions[best].loaded && (versions[version].loaded || newer(version, best)) ? version : best,
    );
    versions[chosen].loaded = 1;
    return (await versions[chosen].get())();
  };

  const NEEDED = ["application", "apputils", "rendermime", "services", "ui-components"];
  const OPTIONAL = ["console", "filebrowser", "launcher", "mainmenu", "notebook", "statusbar"];

  const extension = async () => {
    const names = ["@lumino/widgets", "@lumino/signaling", ...[...NEEDED, ...OPTIONAL].map((n) => `@jupyterlab/${n}`)];
    /** @type {Record<string, any>} */
    const host = {};
    await Promise.all(
      names.map(async (name) => {
        host[name.split("/")[1]] = await shared(name);
      }),
    );
    const [{ plugin }, { savedPanels }] = await Promise.all(
      ["plugin.js", "saved.js"].map((file) => import(new URL(file, here).href)),
    );
    return { __esModule: true, default: [plugin(host, here), savedPanels(host)] };
  };

  const style = async () => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL("style.css", here).href;
    document.head.append(link);
    return {};
  };

  /** @type {Record<string, () => Promise<unknown>>} */
  const modules = { "./extension": extension, "./style": style };
  const page = /** @type {any} */ (window);
  page._JUPYTERLAB = page._JUPYTERLAB ?? {};
  page._JUPYTERLAB["sparse-debug-widgets"] = {
    init: (/** @type {unknown} */ given) => {
      scope = given;
    },
    get: async (/** @type {string} */ name) => {
      if (!modules[name]) throw new Error(`sparse-debug-widgets has no module ${name}`);
      const module = await modules[name]();
      return () => module;
    },
  };
})();
