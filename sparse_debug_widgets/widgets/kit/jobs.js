// A job beside the notebook as panels show it; times, sizes and code in the words that all panels use.

import { complain, make, plainButton, write } from "./kit.js";
import { KernelError } from "./wire.js";
/** @import { Client } from "./wire.js" */

export const ENDED = new Set(["done", "cancelled", "failed"]);

/** @param {number} size */
export function bytes(size) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${unit ? Number(size.toPrecision(size < 10 ? 2 : 3)) : size} ${units[unit]}`;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "\u2013";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/**
 * The state of a job (`running.state_of` in the kernel), with its bar and a button that stops it.
 * The view needs `model`, `client` and `life`; the state lies in one of the model's traits.
 */
export class JobLine {
  /**
   * @param {{model: AnyModel, client: Client, life: AbortSignal}} view
   * @param {HTMLElement} errors
   * @param {{trait: string, running: string, title: string, changed: (job: any) => void}} about
   */
  constructor(view, errors, { trait, running, title, changed }) {
    this.title = title;
    this.view = view;
    this.errors = errors;
    this.trait = trait;
    this.changed = changed;
    this.last = "";
    /** @type {Record<string, string>} */
    this.words = { queued: "Waiting for its turn", running, done: "Done", cancelled: "Cancelled", failed: "Failed" };
    this.state = make("span", { class: "sdw-doing-state" });
    this.counted = make("span");
    this.note = make("span", { class: "sdw-doing-note" });
    this.stop = plainButton("Cancel", `Stop: ${title}`);
    this.fillBar = make("div");
    this.bar = make(
      "div",
      {
        class: "sdw-bar",
        role: "progressbar",
        "aria-label": `Progress: ${title}`,
        "aria-valuemin": 0,
        "aria-valuemax": 100,
      },
      this.fillBar,
    );
    this.spoken = make("span", { class: "sdw-spoken", role: "status", "aria-live": "polite" });
    this.root = make(
      "div",
      { class: "sdw-doing", hidden: true },
      make("div", { class: "sdw-doing-row" }, this.state, this.counted, this.note, this.stop),
      this.bar,
      this.spoken,
    );
    this.stop.addEventListener("click", () => this.halt(), { signal: view.life });
    const hear = () => this.fill();
    view.model.on(`change:${trait}`, hear);
    view.life.addEventListener("abort", () => view.model.off(`change:${trait}`, hear));
  }

  get job() {
    return this.view.model.get(this.trait) ?? {};
  }

  get running() {
    const { state } = this.job;
    return state !== undefined && !ENDED.has(state);
  }

  halt() {
    this.stop.disabled = true;
    write(this.state, "Cancelling\u2026");
    this.view.client.cancelJob(this.job.id);
  }

  fill() {
    const { job } = this,
      { state } = job;
    this.root.hidden = state === undefined;
    if (state === undefined) return;
    const share = state === "done" ? 1 : job.total ? Math.min(1, job.done / job.total) : 0,
      word = this.words[state] ?? state;
    write(
      this.state,
      job.cancelling
        ? "Cancelling\u2026"
        : `${word}${state === "running" && job.total ? ` ${Math.round(100 * share)} %` : ""}`,
    );
    const left =
      state === "running" && Number.isFinite(job.seconds_left ?? NaN)
        ? ` \u00b7 about ${duration(job.seconds_left)} left`
        : "";
    write(this.counted, `${duration(job.seconds)}${left}`);
    write(this.note, state === "running" ? (job.note ?? "") : "");
    this.stop.hidden = !this.running;
    this.stop.disabled = job.cancelling === true;
    this.fillBar.style.width = `${100 * share}%`;
    this.bar.dataset.state = state;
    this.bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    this.bar.setAttribute("aria-valuetext", `${word}, ${job.note ?? ""}`);
    const key = `${job.id} ${state}`;
    if (key !== this.last) {
      this.last = key;
      write(this.spoken, `${this.title}: ${word}`);
      if (state === "failed" && job.failure) complain(this.errors, new KernelError(job.failure), this.view.life);
      else if (!ENDED.has(state)) this.errors.replaceChildren();
    }
    this.changed(job);
  }
}
