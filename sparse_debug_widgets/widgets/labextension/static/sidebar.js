// The "Running fits" sidebar: the jobs of all kernels, with their progress and a way to cancel them.

import { ended } from "./kernels.js";

/** @typedef {import('./kernels.js').Job} Job */
/** @typedef {import('./kernels.js').Kernels} Kernels */

export const SIDEBAR = "sdw-running-fits";

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** What a job does now, or how it ended. @param {Job} job */
export function sentence(job) {
  const after = duration(job.seconds);
  if (job.state === "done") return `Done in ${after}`;
  if (job.state === "cancelled") return `Cancelled after ${after}`;
  if (job.state === "failed") return `Failed: ${job.error}`;
  if (job.cancelling) return "Cancelling…";
  if (job.state === "queued") return "Waiting for its turn";
  const left = job.left === null ? "" : `${duration(job.left)} left`;
  return [left, job.note].filter(Boolean).join(" · ") || `Running for ${after}`;
}

/** @param {Job} job share of the work done in percent, or null while that is unknown */
const percent = (job) => (job.total > 0 ? Math.floor(100 * Math.min(1, job.done / job.total)) : null);

/** @param {string} tag @param {string} name its class, after `sdw-fit-` */
function element(tag, name) {
  const made = document.createElement(tag);
  made.className = `sdw-fit-${name}`;
  return made;
}

/** @param {HTMLElement} node @param {string} text */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text; // what a screen reader reads must not start anew
}

/** One job of the list. */
class Row {
  /** @param {string} kernel @param {number} number @param {Kernels} kernels @param {(kernel: string) => void} reveal */
  constructor(kernel, number, kernels, reveal) {
    this.kernel = kernel;
    this.kernels = kernels;
    this.node = element("li", "row");
    this.name = element("span", "name");
    this.share = element("span", "share");
    this.bar = element("div", "bar");
    this.bar.setAttribute("role", "progressbar");
    this.bar.setAttribute("aria-valuemin", "0");
    this.bar.setAttribute("aria-valuemax", "100");
    this.fill = element("div", "fill");
    this.bar.append(this.fill);
    this.text = element("div", "text");
    this.place = /** @type {HTMLButtonElement} */ (element("button", "place"));
    this.place.addEventListener("click", () => reveal(kernel));
    this.stop = /** @type {HTMLButtonElement} */ (element("button", "cancel"));
    this.stop.textContent = "Cancel";
    this.stop.addEventListener("click", () => {
      this.stop.disabled = true;
      kernels.cancel(kernel, number);
    });
    const head = element("div", "head");
    head.append(this.name, this.share);
    const foot = element("div", "foot");
    foot.append(this.place, this.stop);
    this.node.append(head, this.bar, this.text, foot);
  }

  /** @param {Job} job */
  show(job) {
    const over = ended(job);
    const done = over && job.state === "done" ? 100 : percent(job);
    this.node.dataset.state = job.state;
    write(this.name, job.name);
    write(this.share, done === null || (over && job.state !== "done") ? "" : `${done} %`);
    write(this.text, sentence(job));
    this.text.title = over ? job.error : job.note;
    this.bar.hidden = over;
    this.bar.setAttribute("aria-label", `Progress of ${job.name}`);
    this.bar.setAttribute("aria-valuetext", sentence(job));
    if (done === null) this.bar.removeAttribute("aria-valuenow");
    else this.bar.setAttribute("aria-valuenow", String(done));
    this.bar.classList.toggle("sdw-fit-unknown", done === null && job.state === "running");
    this.fill.style.width = `${done ?? 0}%`;
    const label = this.kernels.label(this.kernel);
    write(this.place, label);
    this.place.disabled = !this.kernels.session(this.kernel);
    this.place.title = `Open ${label}`;
    this.stop.hidden = over;
    this.stop.disabled = job.cancelling;
    this.stop.setAttribute("aria-label", `Cancel ${job.name} in ${label}`);
  }
}

/**
 * @param {any} host the modules of the application
 * @param {Kernels} kernels
 * @param {any} icon
 * @param {(kernel: string) => void} reveal shows the notebook or console of a kernel
 */
export function sidebar(host, kernels, icon, reveal) {
  /** @type {Map<string, Row>} */
  const rows = new Map();
  const title = element("h2", "title");
  title.id = "sdw-fit-title";
  title.textContent = "Running fits";
  const empty = element("p", "empty");
  empty.textContent =
    "No fits are running. Those that you start from a panel or a cell are listed here, " + "of all open kernels.";
  const list = element("ul", "list");
  list.setAttribute("aria-labelledby", title.id);

  const draw = () => {
    const entries = kernels.list();
    const keys = new Set();
    entries.forEach(({ kernel, job }, place) => {
      const key = `${kernel} ${job.id}`;
      keys.add(key);
      let row = rows.get(key);
      if (!row) {
        row = new Row(kernel, job.id, kernels, reveal);
        rows.set(key, row);
      }
      row.show(job);
      // A row that is moved loses the focus of its button: only those in a wrong place are.
      if (list.children[place] !== row.node) list.insertBefore(row.node, list.children[place] ?? null);
    });
    for (const [key, row] of rows) {
      if (keys.has(key)) continue;
      row.node.remove();
      rows.delete(key);
    }
    empty.hidden = entries.length > 0;
  };

  class Sidebar extends host.widgets.Widget {
    constructor() {
      super();
      this.id = SIDEBAR;
      this.addClass("sdw-fits");
      this.title.icon = icon;
      this.title.caption = "Running fits";
      this.node.setAttribute("role", "region");
      this.node.setAttribute("aria-labelledby", title.id);
      this.node.append(title, empty, list);
      kernels.changed.connect(() => {
        if (this.isVisible) draw();
      });
    }

    onAfterShow() {
      kernels.watch(true);
      draw();
    }

    onAfterHide() {
      kernels.watch(false);
    }
  }
  return new Sidebar();
}
