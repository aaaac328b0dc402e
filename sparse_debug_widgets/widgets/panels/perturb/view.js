// The Perturbation panel: choose a picture, run, and scrub through the steps without asking the kernel.

import { codeCopier } from "../../kit/code.js";
import { brief } from "../../kit/draw.js";
import { Fields } from "../../kit/fields.js";
import { fileButtons } from "../../kit/files.js";
import { JobLine } from "../../kit/jobs.js";
import { followTheme, make, oneLine, settled, throttled, write } from "../../kit/kit.js";
import { staleBar } from "../../kit/parts.js";
import { PanelView } from "../../kit/view.js";
import { fromTrait } from "../../kit/wire.js";
import { Gallery, gallerySentence } from "../../shared/gallery.js";
import { readFilm } from "./film.js";
import { markChoice, perturbParts } from "./parts.js";
import { PerturbRuns } from "./runs.js";
import { perturbFiles } from "./save.js";
import { PerturbShown } from "./shown.js";
/** @import { PerturbColours } from "./charts.js" */

/** @extends {PanelView<PerturbTraits, PerturbAnswers>} */
export class PerturbView extends PanelView {
  /**
   * @param {AnyModel<PerturbTraits>} model
   * @param {HTMLElement} el
   * @param {AbortSignal} life
   */
  constructor(model, el, life) {
    super(model, life);
    this.head = model.get("head");
    this.live = Boolean(this.head.live);
    this.method = "";
    this.checkSoon = settled(300, () => this.check(), life);
    this.saveSoon = throttled(150, () => this.save("position", this.shown.position), life);
    this.shown = new PerturbShown(this);
    const typed = model.get("typed"),
      changed = () => this.edited();
    this.fields = new Fields(this.head.fields, typed, life, changed, "Settings of the perturbation");
    this.options = new Fields(this.head.options[typed.method] ?? [], typed, life, changed, "Settings of the method");
    this.conceptFields = new Fields(
      this.head.conceptFields,
      model.get("concept"),
      life,
      () => this.editedConcept(),
      "Settings of the drawing",
    );
    this.gallery = new Gallery(
      {
        label: "Examples",
        count: 24,
        choose: (row) => void this.choose(row),
        more: () => this.lookAtMore(),
        turn: (which, first) => this.ask("turn", { which, first }),
      },
      life,
    );
    this.runs = new PerturbRuns(this);
    const { errors } = this;
    this.job = new JobLine(this, errors, {
      trait: "job",
      running: "Running",
      title: "perturbation",
      changed: (job) => this.fillJob(job),
    });
    this.code = codeCopier(this, errors, () => ({}));
    this.parts = perturbParts({
      gallery: this.gallery.root,
      fields: this.fields.root,
      options: this.options.root,
      conceptFields: this.conceptFields.root,
      job: this.job.root,
      runs: this.runs.root,
      code: this.code,
      files: fileButtons(this, perturbFiles(this)),
      errors,
    });
    el.append(this.parts.root);
    this.parts.root.prepend(staleBar(this, errors));
    this.colours = this.readColours();
    this.wire();
    this.shown.wire();
    this.fillHead();
    this.fillGallery();
    this.fillPicked();
    this.fillTab();
    this.job.fill();
    this.runs.fill();
    this.edited(false);
    void this.shown.read();
  }

  wire() {
    const { life, model, parts } = this,
      on = { signal: life };
    const click = (/** @type {HTMLElement} */ element, /** @type {() => void} */ act) =>
      element.addEventListener("click", act, on);
    click(parts.start, () => this.begin("begin", { values: this.values() }));
    click(parts.draw, () =>
      this.begin("begin_drawing", { values: this.conceptFields.values, index: Number(parts.drawn.value) }),
    );
    parts.target.addEventListener("change", () => this.edited(), on);
    parts.drawn.addEventListener("change", () => this.editedConcept(), on);
    this.wireChoice(parts.tabs.buttons, (value) => {
      this.save("tab", value);
      this.fillTab();
      void this.shown.turn();
    });
    /** @type {[string, () => void][]} */
    const heard = [
      ["change:film", () => void this.shown.read()],
      [
        "change:runs",
        () => {
          this.runs.fill();
          void this.shown.readRivals();
        },
      ],
      ["change:gallery", () => this.fillGallery()],
      [
        "change:picked",
        () => {
          this.fillPicked();
          this.edited(false);
        },
      ],
      [
        "change:head",
        () => {
          this.head = model.get("head");
          this.fillHead();
        },
      ],
      [
        "change:tab",
        () => {
          this.fillTab();
          this.shown.remake();
        },
      ],
      ["change:typed", () => this.fields.set(model.get("typed"))],
    ];
    followTheme(parts.root, life, () => {
      this.colours = this.readColours();
      this.shown.remake();
    });
    this.follow(parts.root, heard);
  }

  /** @param {HTMLButtonElement[]} buttons @param {(value: string) => void} chosen */
  wireChoice(buttons, chosen) {
    buttons.forEach((button, i) => {
      button.addEventListener("click", () => chosen(button.dataset.value ?? ""), { signal: this.life });
      button.addEventListener(
        "keydown",
        (event) => {
          const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
          if (step === undefined) return;
          const next = buttons[(i + step + buttons.length) % buttons.length];
          next.focus();
          next.click();
          event.preventDefault();
        },
        { signal: this.life },
      );
    });
  }

  /** @returns {PerturbColours} */
  readColours() {
    return this.coloursOf(this.parts.root, ["muted", "grid", "faint", "accent", "warn"]);
  }

  // -- what is chosen --------------------------------------------------------------------------------

  fillHead() {
    const { head, parts } = this,
      option = (/** @type {string | number} */ value, /** @type {string} */ text) =>
        make("option", { value, dir: "auto" }, text);
    const classes = head.classes.map((/** @type {string} */ name, /** @type {number} */ c) =>
      option(c, oneLine(name, 60)),
    );
    parts.target.replaceChildren(
      option("prediction", "what it predicts: why?"),
      option("label", "the label: what would have made it right?"),
      ...classes,
    );
    parts.drawn.replaceChildren(...classes.map((/** @type {HTMLElement} */ o) => o.cloneNode(true)));
    parts.target.value = String(this.model.get("typed").target);
    parts.drawn.value = String(this.model.get("concept").class_index);
    const size = head.shape.length ? ` \u00b7 ${head.shape.join(" \u00d7 ")}` : "";
    write(
      parts.about,
      `${head.models.map((/** @type {string} */ name) => oneLine(name, 60)).join(" beside ") || "a saved result"}` +
        `${size}`,
    );
  }

  fillGallery() {
    const held = this.model.get("gallery") ?? {};
    this.gallery.show(fromTrait(held), !this.head.saved);
    if (!this.live) this.gallery.more.hidden = true;
    this.gallery.mark(this.model.get("picked")?.row ?? -1);
  }

  fillPicked() {
    const picked = this.model.get("picked") ?? {};
    this.gallery.mark(picked.row ?? -1);
    write(this.parts.picked, picked.row === undefined ? "No picture is chosen." : `${gallerySentence(picked)}.`);
  }

  fillTab() {
    const tab = this.model.get("tab"),
      drawing = tab === "concept";
    markChoice(this.parts.tabs.buttons, tab);
    this.parts.perturbForm.hidden = this.parts.start.hidden = drawing;
    this.parts.conceptForm.hidden = this.parts.draw.hidden = !drawing;
    this.gallery.root.hidden = drawing || (this.head.saved && !this.head.picks);
    this.parts.choose.classList.toggle("sdw-perturb-drawing", drawing);
    this.parts.choose.hidden = !this.live && drawing;
    this.parts.choose.classList.toggle("sdw-perturb-saved", !this.live);
    this.parts.tabs.root.hidden = !this.live;
    for (const part of [
      this.fields.root,
      this.conceptFields.root,
      this.parts.more,
      this.parts.warning,
      this.parts.target.parentElement,
      this.parts.drawn.parentElement,
    ]) {
      part?.classList.toggle("sdw-gone", !this.live);
    }
  }

  /** @returns {Record<string, any>} */
  values() {
    return { ...this.fields.values, ...this.options.values, target: this.parts.target.value };
  }

  /** @param {boolean} [save] */
  edited(save = true) {
    const typed = this.model.get("typed"),
      now = this.values();
    if (now.norm && now.norm !== typed.norm && now.eps === typed.eps) {
      // The same share of the usual radius: 6 in l1 is another thing than 6 in l2.
      const { [typed.norm]: from, [now.norm]: to } = this.head.radii;
      if (from > 0 && to > 0) now.eps = Number((now.eps * (to / from)).toPrecision(3));
      this.fields.set({ eps: now.eps });
    }
    if (now.method !== this.method) {
      this.method = now.method;
      this.options.build(this.head.options[now.method] ?? [], typed);
    }
    const q = this.fields.entries.get("q");
    if (q) q.control.disabled = !this.head.norms[now.norm]?.sparse;
    if (save) this.save("typed", { ...typed, ...now });
    this.fillHeight(now);
    this.fillButtons();
    if (this.live) this.checkSoon();
  }

  editedConcept() {
    this.save("concept", {
      ...this.model.get("concept"),
      ...this.conceptFields.values,
      class_index: Number(this.parts.drawn.value),
    });
    this.fillButtons();
  }

  /** What eps means with these settings. @param {Record<string, any>} now */
  fillHeight(now) {
    const { warning } = this.parts,
      { dims, range, norms, spending } = this.head,
      norm = norms[now.norm] ?? { words: "" };
    let text = "",
      over = false;
    if (norm.sparse && now.eps > 0 && now.q > 0 && dims) {
      const m = Math.ceil(now.q * dims),
        height = now.eps / m;
      over = range !== null && height > range && !spending.includes(now.box_mode);
      text =
        `A step changes ${m.toLocaleString("en")} of ${dims.toLocaleString("en")} values, each by ` +
        `${brief(height)}${range === null ? "" : ` of a pixel range of ${brief(range)}`}.`;
      if (over) text += " Above the range every chosen pixel saturates, and eps hardly matters: lower eps or raise q.";
    } else if (!norm.sparse && now.eps > 0 && dims)
      text = norm.words.replace("{eps}", brief(now.eps)).replace("{each}", brief(now.eps / dims ** norm.power, 2));
    write(warning, `${over ? "\u26a0 " : ""}${text}`);
    warning.classList.toggle("sdw-warned", over);
  }

  fillButtons() {
    const { running } = this.job,
      picked = this.model.get("picked")?.row !== undefined;
    this.parts.start.disabled =
      !this.live ||
      running ||
      !picked ||
      !this.fields.check() ||
      !this.options.check() ||
      this.parts.targetWrong.textContent !== "";
    this.parts.draw.disabled = !this.live || running || !this.conceptFields.check() || !this.head.classes.length;
    for (const button of [this.parts.start, this.parts.draw, this.code.button])
      button.classList.toggle("sdw-gone", !this.live);
  }

  async check() {
    try {
      const { value } = await this.client.request("check", { values: this.values() }).reply;
      if (this.life.aborted) return;
      for (const [name, text] of Object.entries(value.wrong))
        (this.options.entries.has(name) ? this.options : this.fields).mark(name, String(text));
      write(this.parts.targetWrong, value.wrong.target ?? "");
    } catch {
      write(this.parts.targetWrong, "");
    }
    this.fillButtons();
  }

  // -- asking the kernel -----------------------------------------------------------------------------

  /** @param {"begin" | "begin_drawing"} action @param {Record<string, unknown>} args */
  async begin(action, args) {
    this.parts.start.disabled = this.parts.draw.disabled = true;
    const slow = setTimeout(
      () => write(this.parts.empty, "The kernel is busy with a cell: the run starts after it."),
      1500,
    );
    await this.ask(action, args);
    clearTimeout(slow);
    this.fillButtons();
  }

  /** @param {number} row */
  async choose(row) {
    const answer = await this.ask("pick", { row });
    if (!answer || !this.head.saved) return;
    // A saved page has the films of a result in its replies, and nobody who would set its state.
    this.model.set("picked", this.gallery.page?.rows.find((r) => r.row === row) ?? {});
    if (answer.value.strips) await this.shown.showFilm(await readFilm(answer));
  }

  async lookAtMore() {
    this.gallery.more.disabled = true;
    await this.ask("look_at_more", {});
    this.gallery.more.disabled = false;
  }

  /** Settings of a former run into the fields. @param {PerturbSummary} run */
  use(run) {
    this.save("tab", run.kind);
    this.fillTab();
    if (run.kind === "concept") {
      this.conceptFields.set(run.values);
      this.parts.drawn.value = String(run.values.class_index);
      this.editedConcept();
    } else {
      this.fields.set(run.values);
      this.parts.target.value = String(run.values.target);
      this.edited();
      this.options.set(run.values);
    }
  }

  /** @param {any} job */
  fillJob(job) {
    const notes = /** @type {string[]} */ (job.notes ?? []);
    this.parts.notes.hidden = notes.length === 0;
    write(this.parts.notes, notes.map((note) => `\u26a0 ${note}`).join("\n"));
    Object.assign(this.parts.root.dataset, { state: job.state, run: job.run });
    this.fillButtons();
  }
}

/** What assets.esm exports. */
export const perturbPanel = {
  /** @param {{model: AnyModel, el: HTMLElement, signal?: AbortSignal}} props */
  render({ model, el, signal }) {
    const life = new AbortController(),
      end = () => life.abort();
    signal?.addEventListener("abort", end);
    new PerturbView(model, el, life.signal);
    return end;
  },
};
