// The plugin: launcher card, commands, "Running fits" sidebar, status-bar item, a toast when a fit ends.
// Whatever the application lacks (Notebook 7 has no status bar) is left out.

import { Kernels } from "./kernels.js";
import { duration, SIDEBAR, sidebar } from "./sidebar.js";
import { copyTutorial } from "./tutorial.js";

const CATEGORY = "Sparse debugging";
const OPEN = "sparse-debug-widgets:open-tutorial";
const SHOW = "sparse-debug-widgets:show-running-fits";
const NEWS_SECONDS = 2;
// Who looks at the notebook sees a job end in its panel: only the end of a long one is news.
const WATCHED_SECONDS = 20;
const TOAST_MS = 8_000;
const BAD_NEWS_MS = 30_000;
const PICTURE =
  '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 22 22">' +
  '<g class="jp-icon3" fill="#616161"><rect x="3" y="3" width="2" height="16"/><rect x="3" y="17" width="16" ' +
  'height="2"/>' +
  '<rect x="7" y="5" width="3" height="10"/><rect x="11.5" y="12" width="3" height="3"/>' +
  '<rect x="16" y="13.5" width="3" height="1.5"/></g></svg>';

/** @param {any} host the modules of the application, by name @param {string} here address of this folder */
export function plugin(host, here) {
  const { apputils, console: consoles, filebrowser, launcher, mainmenu, notebook, statusbar } = host;
  const tokens = {
    palette: apputils.ICommandPalette,
    restorer: host.application.ILayoutRestorer,
    launcher: launcher?.ILauncher,
    notebooks: notebook?.INotebookTracker,
    consoles: consoles?.IConsoleTracker,
    files: filebrowser?.IDefaultFileBrowser,
    menu: mainmenu?.IMainMenu,
    statusbar: statusbar?.IStatusBar,
  };
  const wanted = Object.entries(tokens).filter(([, token]) => token);
  return {
    id: "sparse-debug-widgets:plugin",
    description: "Opens the tutorial of sparse_debug_widgets and shows its running fits.",
    autoStart: true,
    optional: wanted.map(([, token]) => token),
    activate: (/** @type {any} */ app, /** @type {any[]} */ ...given) => {
      const parts = Object.fromEntries(wanted.map(([name], i) => [name, given[i]]));
      activate(host, here, app, parts);
    },
  };
}

/** @param {any} host @param {string} here @param {any} app @param {Record<string, any>} parts */
function activate(host, here, app, parts) {
  const icon = new host["ui-components"].LabIcon({ name: "sparse-debug-widgets:icon", svgstr: PICTURE });
  const kernels = new Kernels(host, app.serviceManager, () => connections(parts));
  for (const tracker of [parts.notebooks, parts.consoles]) followTracker(tracker, kernels);

  const open = (/** @type {string} */ path) => app.commands.execute("docmanager:open", { path });
  const reveal = (/** @type {string} */ kernel) => {
    const widget = widgets(parts).get(kernel);
    if (widget) return app.shell.activateById(widget.id);
    const { path, type } = kernels.session(kernel);
    return type === "console" ? app.commands.execute("console:open", { path }) : open(path);
  };
  app.commands.addCommand(OPEN, {
    label: "Find a Planted Flaw (tutorial)",
    caption: "Copy the tutorial of sparse_debug_widgets into this folder and open it",
    icon,
    execute: async (/** @type {{cwd?: string}} */ { cwd }) => {
      try {
        const folder = cwd ?? parts.files?.model.path ?? "";
        return await open(await copyTutorial(host, app.serviceManager, here, folder));
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        host.apputils.Notification.error(`The tutorial cannot be opened: ${reason}`, { autoClose: BAD_NEWS_MS });
        return undefined;
      }
    },
  });
  app.commands.addCommand(SHOW, {
    label: "Show Running Fits",
    caption: "Fits of all open kernels, with their progress",
    execute: () => app.shell.activateById(SIDEBAR),
  });
  for (const command of [OPEN, SHOW]) parts.palette?.addItem({ command, category: CATEGORY });
  // Among the notebooks: a section of its own would be below the fold.
  const kernelIconUrl = `data:image/svg+xml,${encodeURIComponent(PICTURE.replace("#616161", "#1976d2"))}`;
  parts.launcher?.add({ command: OPEN, category: "Notebook", rank: 90, kernelIconUrl });
  parts.menu?.helpMenu.addGroup([{ command: OPEN }], 20);
  parts.menu?.viewMenu.addGroup([{ command: SHOW }], 20);

  const panel = sidebar(host, kernels, icon, reveal);
  app.shell.add(panel, "left", { rank: 900, type: "Running fits" });
  parts.restorer?.add(panel, SIDEBAR);
  if (parts.statusbar) addStatus(host, app, parts.statusbar, kernels);
  kernels.ended.connect((/** @type {unknown} */ _, /** @type {any} */ { kernel, job }) => {
    // Of a fit in another tab only the one that is looked at tells.
    const widget = widgets(parts).get(kernel);
    if (!widget && document.visibilityState !== "visible") return;
    const elsewhere = kernels.session(kernel) && (!widget || widget !== app.shell.currentWidget);
    tell(host, job, kernels.label(kernel), elsewhere ? () => reveal(kernel) : null);
  });
  app.restored.then(() => kernels.sync());
}

/** Notebooks and consoles of this page, by their kernel's id. @param {Record<string, any>} parts */
function widgets(parts) {
  /** @type {Map<string, any>} */
  const found = new Map();
  for (const tracker of [parts.consoles, parts.notebooks])
    tracker?.forEach((/** @type {any} */ widget) => {
      const kernel = widget.sessionContext.session?.kernel;
      if (kernel && !kernel.isDisposed) found.set(kernel.id, widget);
    });
  return found;
}

/** Their connections, which serve us as well. @param {Record<string, any>} parts @returns {Map<string, any>} */
function connections(parts) {
  return new Map([...widgets(parts)].map(([id, widget]) => [id, widget.sessionContext.session.kernel]));
}

/** @param {any} tracker @param {Kernels} kernels */
function followTracker(tracker, kernels) {
  const added = (/** @type {any} */ _, /** @type {any} */ widget) => {
    widget.sessionContext.kernelChanged.connect(() => kernels.sync());
    kernels.syncSoon();
  };
  tracker?.forEach((/** @type {any} */ widget) => {
    added(null, widget);
  });
  tracker?.widgetAdded.connect(added);
}

/** "2 fits, 1 explanation running" in the status bar; a click shows them.
 * @param {any} host @param {any} app @param {any} statusbar @param {Kernels} kernels */
function addStatus(host, app, statusbar, kernels) {
  const button = document.createElement("button");
  button.className = "sdw-fit-status";
  button.title = "Show running fits";
  button.addEventListener("click", () => app.commands.execute(SHOW));
  const item = new host.widgets.Widget();
  item.node.append(button);
  const activeStateChanged = new host.signaling.Signal(item);
  let shown = "";
  kernels.changed.connect(() => {
    const counts = [...kernels.counts()].map(([noun, n]) => `${n} ${noun}${n === 1 ? "" : "s"}`);
    const said = counts.length ? `${counts.join(", ")} running` : "";
    if (said === shown) return;
    shown = said;
    button.textContent = said;
    activeStateChanged.emit(undefined);
  });
  statusbar.registerStatusItem("sparse-debug-widgets:running-fits", {
    item,
    align: "left",
    rank: 50,
    isActive: () => kernels.running() > 0,
    activeStateChanged,
  });
}

/** A toast when a fit has ended; not for one that took no longer than looking at it, unless it failed.
 * @param {any} host @param {import('./kernels.js').Job} job @param {string} where
 * @param {(() => void) | null} reveal shows its notebook, unless that is before one's eyes */
function tell(host, job, where, reveal) {
  const { Notification } = host.apputils;
  if (job.state === "done" && job.seconds < (reveal ? NEWS_SECONDS : WATCHED_SECONDS)) return;
  const actions = reveal ? [{ label: "Open", callback: reveal }] : [];
  const short = { autoClose: TOAST_MS, actions };
  const kept = { autoClose: BAD_NEWS_MS, actions };
  const name = `${job.name} (${where})`;
  if (job.state === "done") Notification.success(`Done in ${duration(job.seconds)}: ${name}`, short);
  else if (job.state === "cancelled") Notification.info(`Cancelled: ${name}`, short);
  else if (job.state === "lost") Notification.warning(`Ended with its kernel: ${name}`, kept);
  else Notification.error(`Failed: ${name}: ${job.error}`, kept);
}
