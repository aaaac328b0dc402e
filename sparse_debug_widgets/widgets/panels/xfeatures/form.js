// Computing x-features of a live model: the class, the settings, the run, what has been computed before.

import { codeCopier } from "../../kit/code.js";
import { Fields } from "../../kit/fields.js";
import { JobLine } from "../../kit/jobs.js";
import { make, oneLine, plainButton } from "../../kit/kit.js";
/** @import { PanelView } from "../../kit/view.js" */

export class XForm {
  /**
   * @param {PanelView<XFeaturesTraits, XFeaturesAnswers>} view
   * @param {HTMLElement} errors
   */
  constructor(view, errors) {
    const { model, life } = view,
      head = model.get("head");
    this.view = view;
    this.head = head;
    this.classes = make("select", {
      class: "sdw-picker",
      "aria-label": "Class to explain",
      title: "Class whose score the x-features explain",
    });
    this.fields = new Fields(head.fields ?? [], model.get("typed") ?? {}, life, () => this.edited(), "Settings");
    this.start = plainButton("Compute", "Train an explanation network for this class, beside the notebook", {
      class: "sdw-button sdw-primary",
    });
    this.line = new JobLine(view, errors, {
      trait: "job",
      running: "Computing",
      title: "x-features",
      changed: () => this.fill(),
    });
    this.code = codeCopier(view, errors, () => ({ typed: this.typed }));
    this.runs = make("select", {
      class: "sdw-picker",
      "aria-label": "What is shown",
      title: "Results of this panel: the newest last",
    });
    this.kept = make("label", { class: "sdw-field", hidden: true }, make("span", {}, "shown"), this.runs);
    this.settings = make("details", { class: "sdw-settings" }, make("summary", {}, "Settings"), this.fields.root);
    this.root = make(
      "div",
      { class: "sdw-xf-form" },
      make(
        "div",
        { class: "sdw-xf-go" },
        make("label", { class: "sdw-field" }, make("span", {}, "class"), this.classes),
        this.start,
        this.code.button,
        this.kept,
      ),
      this.settings,
      this.code.text,
      this.code.spoken,
      this.line.root,
    );
    this.start.addEventListener("click", () => this.begin(), { signal: life });
    this.classes.addEventListener("change", () => this.edited(), { signal: life });
    this.runs.addEventListener("change", () => view.ask("show_run", { run: Number(this.runs.value) }), {
      signal: life,
    });
    /** @type {[string, () => void][]} */
    const heard = [
      ["change:typed", () => this.fill()],
      [
        "change:head",
        () => {
          this.head = model.get("head");
          this.fill();
        },
      ],
      ["change:runs", () => this.fill()],
      ["change:shown_run", () => this.fill()],
    ];
    for (const [event, listener] of heard) model.on(event, listener);
    life.addEventListener("abort", () => {
      for (const [event, listener] of heard) model.off(event, listener);
    });
    this.settings.open = !model.get("sheet")?.value;
    this.line.fill();
    this.fill();
  }

  /** What is chosen. @returns {Record<string, unknown>} */
  get typed() {
    return { ...this.view.model.get("typed"), ...this.fields.values, class_index: Number(this.classes.value) };
  }

  edited() {
    const wrong = !this.fields.check();
    this.start.disabled = wrong;
    if (wrong) return;
    try {
      this.view.model.set("typed", this.typed);
      this.view.model.save_changes();
    } catch {
      // Without a kernel there is nobody to tell.
    }
  }

  async begin() {
    if (this.fields.check()) await this.view.ask("begin", { typed: this.typed });
  }

  fill() {
    const { model } = this.view,
      typed = model.get("typed") ?? {},
      names = /** @type {string[]} */ (this.head.classes ?? []),
      runs = /** @type {XRun[]} */ (model.get("runs") ?? []);
    this.root.hidden = !this.head.live;
    const options = JSON.stringify(names);
    if (this.classes.dataset.options !== options) {
      this.classes.dataset.options = options;
      this.classes.replaceChildren(
        ...names.map((name, k) => make("option", { value: k, dir: "auto" }, oneLine(name, 60))),
      );
    }
    if (document.activeElement !== this.classes) this.classes.value = String(typed.class_index ?? 0);
    this.fields.set(typed);
    this.start.hidden = this.line.running;
    this.start.disabled = !this.fields.check();
    this.kept.hidden = runs.length < 2;
    const listed = JSON.stringify(runs);
    if (this.runs.dataset.options !== listed) {
      this.runs.dataset.options = listed;
      this.runs.replaceChildren(
        ...runs.map(({ number, about }) => make("option", { value: number, dir: "auto" }, oneLine(about, 80))),
      );
    }
    this.runs.value = String(model.get("shown_run") ?? 0);
    const root = this.root.closest("section");
    if (root) root.dataset.state = model.get("job")?.state ?? "";
  }
}
