// What the Perturbation panel shows of its films: rows of pictures, one slider for all, curves; nothing here asks
// twice.

import { brief } from "../../kit/draw.js";
import { oneLine, write } from "../../kit/kit.js";
import { fromTrait } from "../../kit/wire.js";
import { colourTable, paintColourBar } from "../../shared/pictures.js";
import { drawStepLine, drawSteps, STEP_CHARTS } from "./charts.js";
import { frameAt, readFilm, stepName, stripSentence } from "./film.js";
import { markChoice } from "./parts.js";
import { ConceptGrid, StripRow } from "./strips.js";
/** @import { Layers } from "../../kit/draw.js" */
/** @import { Film, Strip } from "./film.js" */
/** @import { PerturbView } from "./view.js" */

export class PerturbShown {
  /** @param {PerturbView} view */
  constructor(view) {
    this.view = view;
    this.position = 0;
    this.look = "drawing";
    this.reading = 0;
    this.playing = 0;
    this.frame = 0;
    this.dirty = true;
    this.rivalKey = "";
    /** @type {Film | null} */
    this.film = null;
    /** @type {Map<number, Film>} */
    this.kept = new Map();
    /** @type {StripRow[]} */
    this.rows = [];
    /** @type {ConceptGrid | null} */
    this.grid = null;
    /** @type {Record<string, (step: number) => number>} */
    this.places = {};
  }

  /** Listen to what is under the pictures. */
  wire() {
    const { parts, life } = this.view,
      on = { signal: life };
    parts.play.addEventListener("click", () => this.play(), on);
    parts.slider.addEventListener(
      "input",
      () => {
        this.stopPlaying();
        this.move(Number(parts.slider.value));
      },
      on,
    );
    parts.times.addEventListener("change", () => this.redraw(), on);
    parts.coloured.box.addEventListener("change", () => this.redraw(), on);
    this.view.wireChoice(parts.looks.buttons, (value) => {
      this.look = value;
      this.fillLook();
      this.redraw();
    });
    for (const layers of Object.values(parts.layers)) this.wireChart(layers);
    const sizes = new ResizeObserver(() => {
      this.dirty = true;
      this.redraw();
    });
    for (const { host } of Object.values(parts.layers)) sizes.observe(host);
    life.addEventListener("abort", () => {
      sizes.disconnect();
      this.stopPlaying();
      cancelAnimationFrame(this.frame);
    });
  }

  /** Press or drag on a chart to go to a step. @param {Layers} layers */
  wireChart(layers) {
    const { moving } = layers,
      on = { signal: this.view.life };
    const go = (/** @type {PointerEvent} */ event) => {
      const left = 46,
        width = layers.width - 10 - left,
        total = Math.max(1, ...this.rows.map(({ strip }) => strip.total));
      const step = Math.round(((event.clientX - moving.getBoundingClientRect().left - left) / width) * total);
      const steps = this.longest?.steps ?? [0];
      this.stopPlaying();
      this.move(steps.reduce((best, s, k) => (Math.abs(s - step) < Math.abs(steps[best] - step) ? k : best), 0));
    };
    moving.addEventListener(
      "pointerdown",
      (event) => {
        moving.setPointerCapture(event.pointerId);
        go(event);
      },
      on,
    );
    moving.addEventListener(
      "pointermove",
      (event) => {
        if (moving.hasPointerCapture(event.pointerId)) go(event);
      },
      on,
    );
  }

  /** The film that the kernel shows. */
  async read() {
    const held = this.view.model.get("film") ?? {},
      turn = ++this.reading;
    if (!held.arrays) {
      this.ready();
      return;
    }
    const film = await readFilm(fromTrait(held));
    if (turn !== this.reading || this.view.life.aborted) return;
    await this.showFilm(film);
    this.ready();
  }

  /** @param {Film} film */
  async showFilm(film) {
    const same = this.film?.run === film.run && this.film.strips.length === film.strips.length,
      first = this.film === null;
    this.film = film;
    this.kept.set(film.run, film);
    this.view.runs.fill();
    this.remake();
    const saved = this.view.model.get("position"),
      last = this.last;
    // What the numbers of a run are about is its best step, which need not be the last one.
    const best = film.strips[0]?.first ?? last;
    this.move(
      first && saved >= 0 ? Math.min(saved, last) : same && film.run === 0 ? Math.min(this.position, last) : best,
      false,
    );
    await this.readRivals();
  }

  /** After the other tab was chosen: what was last found there. */
  async turn() {
    const kind = this.view.model.get("tab");
    if (this.film && this.film.kind !== kind && this.view.live) {
      const kept = [...this.kept.values()].reverse().find((film) => film.kind === kind);
      const run = [...this.view.runs.list].reverse().find((r) => r.kind === kind && r.outcomes.length);
      if (run) await this.view.ask("show_run", { run: run.run });
      else if (kept) await this.showFilm(kept);
    }
    this.remake();
  }

  ready() {
    this.view.parts.root.dataset.ready = "yes";
  }

  /** Films of pinned runs, asked for once. */
  async readRivals() {
    if (!this.film) return;
    const wanted = this.view.runs.rivals(this.film.run);
    for (const { run } of wanted) {
      if (this.kept.has(run)) continue;
      try {
        // Nobody asked for it: an answer takes no error off the page, and a refusal adds none.
        this.kept.set(run, await readFilm(await this.view.client.request("film_of", { run }).reply));
      } catch {
        // A run that cannot be read is not shown.
      }
    }
    const key = `${this.film.run}: ${wanted.map(({ run }) => run).join()}`,
      changed = key !== this.rivalKey;
    this.rivalKey = key;
    if (changed && !this.view.life.aborted) this.remake();
  }

  /** Rows for the film that is shown and for the pinned ones. */
  remake() {
    const { film } = this,
      { parts } = this.view;
    this.rows = [];
    this.grid = null;
    const drawing = film?.kind === "concept" && film.strips.length > 0,
      here = !this.view.live || film?.kind === this.view.model.get("tab");
    parts.shown.hidden = !film?.strips.length || !here;
    parts.empty.hidden = !parts.shown.hidden || !this.view.live;
    if (film && drawing) {
      this.grid = new ConceptGrid(film, "What the models draw");
      parts.rows.replaceChildren(this.grid.root);
    } else if (film) {
      const rivals = this.view.runs
        .rivals(film.run)
        .flatMap(({ run }) =>
          (this.kept.get(run)?.strips ?? []).map((strip) => ({ strip, title: `run ${run}, ${strip.title}` })),
        );
      const all = [...film.strips.map((strip) => ({ strip, title: strip.title })), ...rivals];
      this.rows = all.map(({ strip, title }, i) => new StripRow(strip, title, this.view.colours.series[i % 8]));
      parts.rows.replaceChildren(...this.rows.map((row) => row.root));
    }
    const curves = this.rows.some(({ strip }) => strip.losses);
    parts.charts.hidden = !curves;
    parts.scrub.hidden = drawing;
    parts.looks.root.hidden = !drawing;
    parts.coloured.label.hidden = film?.strips[0]?.shape[0] !== 3;
    parts.slider.max = String(this.last);
    this.fillLook();
    this.dirty = true;
    this.redraw();
  }

  fillLook() {
    markChoice(this.view.parts.looks.buttons, this.look);
  }

  get longest() {
    return this.rows.reduce(
      (best, { strip }) => (strip.shrinks.length > (best?.shrinks.length ?? 0) ? strip : best),
      /** @type {Strip | null} */ (null),
    );
  }

  /** The step that is looked at. */
  /** The curves of the rows on show, each in a colour of its own. */
  get curves() {
    return this.rows.map(({ strip }, i) => ({ strip, colour: this.view.colours.series[i % 8] }));
  }

  get step() {
    return this.longest ? this.longest.steps[frameAt(this.longest, this.position)] : 0;
  }

  get last() {
    return Math.max(0, (this.longest?.shrinks.length ?? 1) - 1);
  }

  /** @param {number} position @param {boolean} [save] */
  move(position, save = true) {
    this.position = Math.max(0, Math.min(position, this.last));
    this.redraw();
    if (save) this.view.saveSoon();
  }

  play() {
    if (this.playing) {
      this.stopPlaying();
      return;
    }
    if (this.position >= this.last) this.move(0);
    write(this.view.parts.play, "\u275a\u275a");
    this.playing = setInterval(
      () => {
        if (this.position >= this.last) this.stopPlaying();
        else this.move(this.position + 1);
      },
      Math.max(60, 2500 / Math.max(1, this.last)),
    );
  }

  stopPlaying() {
    clearInterval(this.playing);
    this.playing = 0;
    write(this.view.parts.play, "\u25b6");
  }

  redraw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const { position } = this,
      { parts } = this.view,
      times = Number(parts.times.value),
      dark = parts.root.dataset.theme === "dark";
    const table = colourTable("blue-orange", dark),
      look = { times, coloured: parts.coloured.box.checked, table };
    if (!this.film || parts.shown.hidden) return;
    parts.legend.hidden = look.coloured && !parts.coloured.label.hidden;
    paintColourBar(parts.bar, table);
    write(parts.ends[0], `\u2212${brief(1 / times)}`);
    write(parts.ends[1], `+${brief(1 / times)} of the range`);
    this.grid?.paint(this.look, look);
    for (const row of this.rows) row.paint(position, look);
    const { longest } = this;
    if (longest) {
      const step = longest.steps[frameAt(longest, position)],
        words = stepName(longest, frameAt(longest, position));
      write(parts.stepText, words);
      parts.slider.value = String(position);
      const said = this.rows.map(
        ({ strip, title }) => `${oneLine(title, 40)} ${stripSentence(strip, frameAt(strip, position))}`,
      );
      parts.slider.setAttribute("aria-valuetext", `${words}: ${said.join("; ")}`);
      this.paintCharts(step);
    }
    Object.assign(parts.root.dataset, { position, painted: `${this.film.run}:${position}:${this.rows.length}` });
  }

  /** @param {number} step */
  paintCharts(step) {
    const { parts, colours } = this.view;
    if (parts.charts.hidden) return;
    const { curves } = this;
    for (const which of STEP_CHARTS) {
      const layers = parts.layers[which];
      if (layers.fit() || this.dirty || !this.places[which])
        this.places[which] = drawSteps(layers.pen("still", colours.font), layers, which, curves, colours);
      drawStepLine(layers, this.places[which], step, colours);
    }
    this.dirty = false;
  }
}
