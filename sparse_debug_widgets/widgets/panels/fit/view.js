// The Fit panel: settings, a fit that runs beside the notebook, its growing path, and the fits before it.

import { codeCopier } from "../../kit/code.js";
import { brief, scoreText } from "../../kit/draw.js";
import { Embedded } from "../../kit/embedded.js";
import { fileButtons } from "../../kit/files.js";
import { bytes, duration, ENDED } from "../../kit/jobs.js";
import { capital, complain, followTheme, make, oneLine, settled, write } from "../../kit/kit.js";
import { staleBar } from "../../kit/parts.js";
import { PanelView } from "../../kit/view.js";
import { fromTrait, KernelError } from "../../kit/wire.js";
import { gapsChart, growthChart, largestOf, readGrown, scoresChart } from "./charts.js";
import { FitForm } from "./form.js";
import { aboutSource, fitParts } from "./parts.js";
import { FitRuns } from "./runs.js";
import { fitFiles } from "./save.js";

/** @import { FitColours, Grown } from "./charts.js" */

const STATE_WORDS = /** @type {Record<string, string>} */ ({
  queued: "Waiting for its turn",
  running: "Fitting",
  done: "Done",
  cancelled: "Cancelled",
  failed: "Failed",
});

/** @extends {PanelView<FitTraits, FitAnswers>} */
export class FitView extends PanelView {
  /**
   * @param {AnyModel<FitTraits>} model
   * @param {HTMLElement} el
   * @param {AbortSignal} life
   * @param {WidgetHost} [host]
   */
  constructor(model, el, life, host) {
    super(model, life);
    this.head = model.get("head");
    this.frame = 0;
    this.kept = 0;
    /** @type {Grown | null} */
    this.grown = null;
    this.needs = "";
    this.asking = false;
    this.lastState = "";
    this.checkSoon = settled(300, () => this.check(), life);
    this.form = new FitForm(this.head, model.get("typed"), life, () => this.edited());
    this.runs = new FitRuns(this);
    this.code = codeCopier(this, this.errors, () => ({ values: this.form.values }));
    const files = fileButtons(this, fitFiles(this));
    this.parts = fitParts(this.head, {
      form: this.form.root,
      history: this.runs.root,
      code: this.code,
      files,
      errors: this.errors,
    });
    this.below = new Embedded(this.parts.place, this.errors, life, host);
    el.append(this.parts.root);
    this.parts.root.prepend(staleBar(this, this.errors));
    this.colours = this.readColours();
    this.wire();
    this.readGrowth();
    this.fill();
    this.check();
    this.below.show(this.model.get("shown"));
    this.redraw();
    this.parts.root.dataset.ready = "1";
  }

  wire() {
    const { life, model } = this,
      on = { signal: life };
    this.parts.start.addEventListener("click", () => this.begin(), on);
    this.parts.stop.addEventListener("click", () => this.halt(), on);
    this.parts.openPath.addEventListener("click", () => this.open(model.get("job").run ?? 0), on);
    this.parts.picker.addEventListener("change", () => this.save("class_index", Number(this.parts.picker.value)), on);
    /** @type {[string, () => void][]} */
    const heard = [
      ["change:job", () => this.fill()],
      [
        "change:grown",
        () => {
          this.readGrowth();
          this.redraw();
        },
      ],
      [
        "change:runs",
        () => {
          this.runs.fill();
          this.redraw();
          this.checkSoon();
        },
      ],
      ["change:typed", () => this.form.set(model.get("typed"))],
      [
        "change:head",
        () => {
          this.head = this.form.head = model.get("head");
          this.form.check();
          write(this.parts.about, aboutSource(this.head));
          this.checkSoon();
        },
      ],
      ["change:shown", () => this.below.show(this.model.get("shown"))],
    ];
    const sizes = new ResizeObserver(() => this.redraw());
    for (const { host } of Object.values(this.parts.layers)) sizes.observe(host);
    followTheme(this.parts.root, life, () => {
      this.colours = this.readColours();
      this.runs.fill();
      this.redraw();
    });
    this.parts.root.dataset.ready = "form";
    this.follow(this.parts.root, heard, () => {
      sizes.disconnect();
      cancelAnimationFrame(this.frame);
    });
  }

  /** @returns {FitColours} */
  readColours() {
    return this.coloursOf(this.parts.root, ["muted", "grid", "faint", "accent", "warn", "good", "pin"]);
  }

  // -- settings --------------------------------------------------------------------------------------

  edited() {
    this.fillButtons();
    this.save("typed", { ...this.model.get("typed"), ...this.form.values });
    this.checkSoon();
  }

  /** Ask what a fit with these settings needs. */
  async check() {
    if (!this.form.check()) {
      write(this.parts.estimate, "");
      return;
    }
    try {
      const { value } = await this.client.request("check", { values: this.form.values }).reply;
      if (this.life.aborted) return;
      for (const [name, text] of Object.entries(value.wrong)) this.form.mark(name, String(text));
      this.kept = value.kept ?? 0;
      this.needs = Object.keys(value.wrong).length ? "" : needsInWords(value.needs ?? null);
    } catch {
      this.needs = "";
    }
    this.fillButtons();
  }

  /** @param {Record<string, any>} values */
  use(values) {
    this.form.set(values);
    this.edited();
  }

  // -- the fit ---------------------------------------------------------------------------------------

  get running() {
    const { state } = this.model.get("job") ?? {};
    return state !== undefined && !ENDED.has(state);
  }

  async begin() {
    if (this.asking || !this.form.check()) return;
    this.asking = true;
    this.fillButtons();
    const slow = setTimeout(
      () => write(this.parts.estimate, "The kernel is busy with a cell: the fit starts after it."),
      1500,
    );
    await this.ask("begin", { values: this.form.values });
    clearTimeout(slow);
    this.asking = false;
    this.fillButtons();
  }

  halt() {
    const { id } = this.model.get("job");
    this.parts.stop.disabled = true;
    write(this.parts.state, "Cancelling\u2026");
    if (id !== undefined) this.client.cancelJob(id);
  }

  /** @param {number} run */
  async open(run) {
    await this.ask("show_path", { run });
    this.below.show(this.model.get("shown"));
  }

  // -- what is shown ---------------------------------------------------------------------------------

  readGrowth() {
    const held = this.model.get("grown") ?? {};
    this.grown = held.arrays ? readGrown(fromTrait(held)) : null;
    const classes = /** @type {string[]} */ (held.value?.classes ?? []),
      key = classes.join("\u0000");
    if (this.parts.picker.dataset.key !== key) {
      this.parts.picker.dataset.key = key;
      this.parts.picker.replaceChildren(
        ...classes.map((name, c) => make("option", { value: c, dir: "auto" }, oneLine(name, 60))),
      );
    }
    this.parts.picker.value = String(this.model.get("class_index"));
    this.parts.picture.hidden = this.grown === null;
  }

  fillButtons() {
    const { running } = this,
      job = this.model.get("job") ?? {},
      good = this.form.check();
    this.parts.start.disabled = running || this.asking || !good;
    this.parts.start.hidden = running;
    this.parts.stop.hidden = !running;
    this.parts.stop.disabled = job.cancelling === true;
    this.parts.openPath.hidden =
      running || !this.model.get("runs").some((/** @type {RunSummary} */ r) => r.run === job.run && r.solved > 0);
    this.parts.start.classList.toggle("sdw-primary", this.parts.openPath.hidden);
    const asked = this.form.values.n_lambdas,
      partly = this.kept > 0 && this.kept < asked;
    write(this.parts.start, partly ? `Resume after ${this.kept} of ${asked}` : "Start fit");
    if (!this.asking)
      write(
        this.parts.estimate,
        running
          ? ""
          : !good
            ? "Some settings need another value."
            : this.kept && this.kept >= asked
              ? "Solved before: the checkpoint holds all of it."
              : this.needs,
      );
  }

  fill() {
    const job = this.model.get("job") ?? {},
      { state } = job;
    this.parts.doing.hidden = state === undefined;
    this.runs.fill();
    this.fillButtons();
    if (state === undefined) return;
    const share = state === "done" ? 1 : job.total ? Math.min(1, job.done / job.total) : 0;
    write(
      this.parts.state,
      job.cancelling
        ? "Cancelling\u2026"
        : `${STATE_WORDS[state] ?? state}${state === "running" ? ` ${Math.round(100 * share)} %` : ""}`,
    );
    const left =
      state === "running" && job.seconds_left !== null ? ` \u00b7 about ${duration(job.seconds_left)} left` : "";
    write(this.parts.counted, `${duration(job.seconds)}${left}`);
    write(this.parts.note, job.note ?? "");
    this.parts.fillBar.style.width = `${100 * share}%`;
    this.parts.bar.dataset.state = state;
    this.parts.bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    this.parts.bar.setAttribute("aria-valuetext", `${STATE_WORDS[state] ?? state}, ${job.note ?? ""}`);
    Object.assign(this.parts.root.dataset, { state, run: job.run, done: job.done, job: job.id, seconds: job.seconds });
    const notes = /** @type {string[]} */ (job.notes ?? []);
    this.parts.notes.hidden = notes.length === 0;
    write(this.parts.notes, notes.join("\n"));
    if (this.lastState !== state) write(this.parts.spoken, STATE_WORDS[state] ?? state);
    if (state === "failed" && this.lastState !== state && job.failure)
      complain(this.errors, new KernelError(job.failure), this.life);
    if (state === "running" && this.lastState !== state) this.errors.replaceChildren();
    if (ENDED.has(state) && this.lastState !== state) this.checkSoon();
    this.lastState = state;
    this.fillTiles();
  }

  fillTiles() {
    const { grown } = this,
      { tiles } = this.parts,
      job = this.model.get("job") ?? {};
    if (!grown) return;
    const end = grown.K - 1,
      score = grown.accuracies[3 * end + grown.split];
    let sure = 0;
    for (let k = 0; k < grown.K; k++) if (grown.gaps[k] <= grown.tol) sure++;
    write(tiles.lambda.value, `${grown.K} of ${grown.total}`);
    write(tiles.lambda.note, `now ${brief(grown.lambdas[end])}`);
    this.fillWords(grown);
    write(tiles.mean.value, brief(grown.means[end]));
    write(tiles.mean.note, `mean over ${grown.many}`);
    write(tiles.score.value, scoreText(score, grown.percent));
    write(tiles.score.note, grown.split === 1 ? "validation split" : "training split");
    write(tiles.time.value, duration(job.seconds ?? NaN));
    write(
      tiles.time.note,
      job.state === "running" && job.seconds_left !== null && job.seconds_left !== undefined
        ? `${duration(job.seconds_left)} left`
        : (STATE_WORDS[job.state ?? ""] ?? ""),
    );
    write(tiles.gap.value, sure === grown.K ? `\u2713 ${sure} certified` : `\u26a0 ${grown.K - sure} not certified`);
    write(tiles.gap.note, `worst gap ${brief(largestOf(grown.gaps), 2)}`);
    tiles.gap.box.classList.toggle("sdw-unsure", sure !== grown.K);
  }

  /** What the labels are: classes and accuracy, or outputs and R\u00b2. @param {Grown} grown */
  fillWords({ one, score }) {
    const { tiles, layers, one: picked, against } = this.parts;
    write(picked, one);
    write(against, `${capital(score)} and sparsity`);
    write(tiles.mean.name, `features per ${one}`);
    write(tiles.score.name, `held-out ${score}`);
    layers.growth.host.setAttribute("aria-label", `Coefficient paths of the ${one}, as far as solved`);
    layers.scores.host.setAttribute("aria-label", `${capital(score)} against number of features`);
    this.parts.picker.setAttribute("aria-label", `${capital(one)} whose paths are drawn`);
  }

  redraw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const { grown, colours } = this,
      { layers } = this.parts;
    if (!grown) return;
    for (const layer of Object.values(layers)) layer.fit();
    growthChart.draw(layers.growth.pen("still", colours.font), layers.growth, grown, colours);
    scoresChart.draw(layers.scores.pen("still", colours.font), layers.scores, grown, this.runs.rivals, colours);
    gapsChart.draw(layers.gaps.pen("still", colours.font), layers.gaps, grown, colours);
    this.fillTiles();
    this.parts.root.dataset.solved = String(grown.K);
  }
}

/** @param {{memory: number, low: number, high: number, free: number | null} | null} needs */
function needsInWords(needs) {
  if (!needs) return "Memory and time are estimated once the features are there.";
  const tight = needs.free !== null && needs.memory > 0.8 * needs.free;
  const time = needs.high < 1 ? "about a second" : `${duration(Math.max(1, needs.low))} to ${duration(needs.high)}`;
  return (
    `${tight ? "\u26a0 " : ""}Needs up to ` +
    `${bytes(needs.memory)}${needs.free === null ? "" : ` of ${bytes(needs.free)} free`} and ${time}, by estimate.`
  );
}

/** What assets.esm exports. */
export const fitPanel = {
  /** @param {{model: AnyModel, el: HTMLElement, signal?: AbortSignal, host?: WidgetHost}} props */
  render({ model, el, signal, host }) {
    const life = new AbortController(),
      end = () => life.abort();
    signal?.addEventListener("abort", end);
    new FitView(model, el, life.signal, host);
    return end;
  },
};
