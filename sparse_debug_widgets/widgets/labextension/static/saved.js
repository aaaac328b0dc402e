// A panel in a notebook that is opened again: the live widget while its model lives, else the page that the same
// output holds, in a frame of its own that can reach neither the notebook nor the network.

const PANEL = "application/vnd.sdw.panel+json";
const VIEW = "application/vnd.jupyter.widget-view+json";
/** Before VIEW, which the widget manager registers at -10. */
const RANK = -20;
/** A live model is found sooner; one that comes later takes the place of the page. */
const GRACE_MS = 800;
const TALLEST_PX = 20_000;
const FIRST_PX = 480;
const LOST = ["restarting", "autorestarting", "terminating", "dead"];
const NOTE = "Saved page of a panel, without a kernel behind it. Run the cell to make it live.";
const OFFER = "Show the saved panel";
const DOUBT =
  "This notebook is not trusted. Its panel would run in a frame that can reach neither the notebook nor the network.";

const POLICY =
  "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; " +
  "img-src data: blob:; font-src data:; worker-src blob:";
// The frame tells its height and hears the theme; it has no other way to talk, and what else it says is ignored.
const TALK = `const root = document.documentElement;
const height = () => Math.ceil(root.getBoundingClientRect().height);
new ResizeObserver(() => parent.postMessage({ sdwHeight: height() }, '*')).observe(root);
addEventListener('message', ({ source, data }) => {
  if (source !== parent || !['light', 'dark'].includes(data?.sdwTheme)) return;
  root.style.colorScheme = root.dataset.theme = data.sdwTheme;
});`;

const theme = () => (document.body.dataset.jpThemeLight === "false" ? "dark" : "light");

/** @param {string} fragment what the output holds as HTML: untrusted, and only ever the text of a sandboxed frame */
const page = (fragment) =>
  `<!doctype html><html lang="en" style="color-scheme:${theme()}" data-theme="${theme()}"><head>` +
  `<meta charset="utf-8"><title>Saved panel</title><meta http-equiv="Content-Security-Policy" content="${POLICY}">` +
  `<style>body{margin:0}</style></head><body>${fragment}<script>{${TALK}}</script></body></html>`;

/** @param {any} host the modules of the application, by name */
export function savedPanels(host) {
  class SavedPanel extends host.widgets.Widget {
    /** @param {any} options what the registry gives to a renderer */
    constructor(options) {
      super();
      this.addClass("sdw-saved");
      this.options = options;
      this.node.dataset.mimeType = PANEL;
      /** @type {any} what to show */
      this.model = null;
      /** @type {any} what is shown */
      this.begun = null;
      /** @type {any} the widget manager's renderer, beside this one */
      this.live = null;
      /** @type {HTMLIFrameElement | null} */
      this.frame = null;
      this.late = false;
      this.timer = 0;
      /** @type {any} */
      this.session = null;
      this.watcher = new MutationObserver(() => this.settle());
      this.themed = new MutationObserver(() => this.tellTheme());
      this.hear = this.hear.bind(this);
      this.lose = this.lose.bind(this);
      this.change = this.change.bind(this);
    }

    /** @param {any} model */
    async renderModel(model) {
      this.model = model;
      if (this.isAttached) this.begin();
    }

    onAfterAttach() {
      window.addEventListener("message", this.hear);
      this.themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
      queueMicrotask(() => this.begin()); // no sibling is added while the parent tells its children
    }

    onBeforeDetach() {
      window.removeEventListener("message", this.hear);
      this.themed.disconnect();
    }

    dispose() {
      if (this.isDisposed) return;
      this.end();
      super.dispose();
    }

    begin() {
      if (this.isDisposed || !this.model || this.begun === this.model) return;
      this.end();
      this.begun = this.model;
      this.late = false;
      const { parent, model } = this;
      const factory = model.trusted && model.data[VIEW] ? this.above("rendermime")?.getFactory(VIEW) : null;
      if (factory && parent?.insertWidget) {
        // A direct child of the output, and before this one: there the widget manager looks for its renderers when
        // the kernel is ready, and the output area takes the last renderer for the output's own.
        this.live = factory.createRenderer({ ...this.options, mimeType: VIEW });
        this.live.addClass("jp-OutputArea-output");
        parent.insertWidget(parent.widgets.indexOf(this), this.live);
        this.watcher.observe(this.live.node, { childList: true, attributes: true, attributeFilter: ["class"] });
        const { live } = this;
        // It waits for its model; a notebook that is closed meanwhile leaves it nowhere to draw.
        Promise.resolve(live.renderModel(model)).catch((error) => {
          if (!live.isDisposed) throw error;
        });
        this.session = this.above("sessionContext");
        this.session?.statusChanged.connect(this.lose);
        this.session?.kernelChanged.connect(this.change);
      }
      this.timer = setTimeout(
        () => {
          this.late = true;
          this.settle();
        },
        this.live ? GRACE_MS : 0,
      );
      this.settle();
    }

    end() {
      clearTimeout(this.timer);
      this.session?.statusChanged.disconnect(this.lose);
      this.session?.kernelChanged.disconnect(this.change);
      this.session = null;
      this.watcher.disconnect();
      this.live?.dispose();
      this.live = null;
      this.drop();
    }

    /** What the nearest of the widgets around this one has: the registry of the notebook (or console, or output
     * widget), whose factory knows its widget manager, or its session.
     * @param {string} name */
    above(name) {
      for (let around = this.parent; around; around = around.parent) if (around[name]) return around[name];
      return null;
    }

    /** The kernel's memory is gone: a widget that is on the page still would answer nobody.
     * @param {unknown} _ @param {string} status */
    lose(_, status) {
      if (!LOST.includes(status) || !this.live) return;
      const alive = this.live.widgets.length > 0;
      this.end();
      this.late = true;
      if (alive) this.settle();
      else this.timer = setTimeout(() => this.settle(), GRACE_MS);
    }

    /** @param {any} context @param {{oldValue: any, newValue: any}} change */
    change(context, { oldValue, newValue }) {
      if (oldValue && oldValue.id !== newValue?.id) this.lose(context, "dead");
    }

    /** Which of the two is seen. */
    settle() {
      if (this.isDisposed) return;
      const alive = (this.live?.widgets.length ?? 0) > 0;
      const closed = this.live?.isHidden === true; // the kernel closed the widget: nothing is to be seen
      if (this.live) this.live.node.style.display = alive ? "" : "none";
      this.setHidden(alive || closed);
      if (alive || closed) this.drop();
      else if (this.late && !this.node.hasChildNodes()) this.fill();
    }

    fill() {
      const { data, trusted } = this.model;
      const html = data["text/html"],
        fragment = Array.isArray(html) ? html.join("") : html;
      if (!fragment) this.node.append(paragraph(data["text/plain"] ?? ""));
      else if (trusted) this.open(fragment);
      else {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "sdw-saved-open";
        button.textContent = OFFER;
        button.dataset.lmSuppressShortcuts = "true"; // else Notebook 7 takes its keys
        button.addEventListener("click", () => {
          this.drop();
          this.open(fragment);
        });
        this.node.append(paragraph(DOUBT), button);
      }
    }

    /** @param {string} fragment */
    open(fragment) {
      const frame = document.createElement("iframe");
      frame.title = "Saved panel";
      frame.setAttribute("sandbox", "allow-scripts allow-downloads"); // an origin of its own: not that of the notebook
      frame.style.height = `${FIRST_PX}px`;
      frame.srcdoc = page(fragment);
      frame.addEventListener("load", () => this.tellTheme()); // it may have changed meanwhile
      this.frame = frame;
      this.node.append(paragraph(NOTE), frame);
    }

    drop() {
      this.frame = null;
      this.node.replaceChildren();
    }

    tellTheme() {
      // Said, not styled: the colour scheme of a frame element does not reach a page of another origin.
      this.frame?.contentWindow?.postMessage({ sdwTheme: theme() }, "*");
    }

    /** @param {MessageEvent} message */
    hear({ source, data }) {
      if (!this.frame || source !== this.frame.contentWindow || !Number.isFinite(data?.sdwHeight)) return;
      this.frame.style.height = `${Math.min(TALLEST_PX, Math.max(0, data.sdwHeight))}px`;
    }
  }

  return {
    id: "sparse-debug-widgets:saved-panels",
    description: "Shows the panels of a saved notebook without their kernel.",
    autoStart: true,
    requires: [host.rendermime.IRenderMimeRegistry],
    activate: (/** @type {unknown} */ _, /** @type {any} */ registry) => {
      const createRenderer = (/** @type {any} */ options) => new SavedPanel(options);
      registry.addFactory({ safe: true, mimeTypes: [PANEL], createRenderer }, RANK);
    },
  };
}

/** @param {string} text */
function paragraph(text) {
  const made = document.createElement("p");
  made.className = "sdw-saved-note";
  made.textContent = text;
  return made;
}
