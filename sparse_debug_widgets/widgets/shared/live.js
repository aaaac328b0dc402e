// The live model behind a path: use a layer, put the original back, silence features, measure.

import { complain, make, oneLine, plainButton, settled, write } from "../kit/kit.js";
/** @import { PathHead } from "./curves.js" */
/** @import { Answer, Client } from "../kit/wire.js" */

/**
 * @typedef {{model: AnyModel, client: Client, life: AbortSignal, head: PathHead, index: number, row: number,
 *   errors: HTMLElement, parts: {live: ReturnType<typeof liveParts>}, savePosition: () => void,
 *   measured?: (answer: Answer, index: number) => void}} LiveView
 */

/** @param {PathHead} head @param {string} how what a click does */
export function liveParts(head, how) {
  const use = plainButton("Use this layer", "Swap this sparse layer into the live model", {
    class: "sdw-button sdw-primary",
  });
  const back = plainButton("Put the original back", "Give the live model its own dense layer back");
  const cancel = plainButton("Cancel", "Cancel the request to the kernel", { hidden: "" });
  const outcome = make("div", { class: "sdw-outcome", role: "status" });
  const chips = make("div", { class: "sdw-chips", role: "group", "aria-label": "Silenced features" });
  const measured = make("div", { class: "sdw-measured", role: "status" });
  const scope = make(
    "select",
    { "aria-label": "Where a feature is silenced", title: "Where a feature is silenced" },
    make("option", { value: "all" }, `in all ${head.about.many}`),
    make("option", { value: "class" }, `in this ${head.about.one}`),
  );
  const bar = make(
    "div",
    { class: "sdw-live", role: "group", "aria-label": "Live model" },
    make(
      "div",
      { class: "sdw-live-row" },
      make("label", { class: "sdw-field" }, make("span", {}, how), scope),
      chips,
      measured,
    ),
    make("div", { class: "sdw-live-row" }, use, back, cancel, outcome),
  );
  if (!head.about.model) {
    use.title = head.about.saved
      ? "This is a saved page: there is no model behind it"
      : "No live model: show the panel with a model";
    use.setAttribute("aria-label", `Use this layer: ${use.title}`);
  }
  return { bar, use, back, cancel, outcome, chips, measured, scope };
}

export class LiveBar {
  /** @param {LiveView} view */
  constructor(view) {
    this.view = view;
    this.parts = view.parts.live;
    /** @type {{cancel: () => void} | null} */
    this.busy = null;
    /** @type {{reply: Promise<Answer>, cancel: () => void} | null} */
    this.measuring = null;
    this.meanwhile = "";
    const { life } = view,
      { use, back, cancel } = this.parts;
    this.measureSoon = settled(350, () => this.measure(), life);
    use.addEventListener("click", () => this.use(), { signal: life });
    back.addEventListener("click", () => this.ask("restore", {}, "Putting the original back\u2026"), { signal: life });
    cancel.addEventListener("click", () => this.busy?.cancel(), { signal: life });
    this.fillChips();
    this.fill();
    if (this.silenced.length) this.measureSoon();
  }

  /** @returns {number[][]} pairs (feature, class), class -1 for all */
  get silenced() {
    return this.view.model.get("silenced");
  }

  fill() {
    const { head, model, index } = this.view,
      { use, back, cancel, outcome } = this.parts;
    const live = model.get("live") ?? {},
      used = live.index !== undefined || live.other === true;
    back.disabled = !used || this.busy !== null;
    use.disabled = !head.about.model || this.busy !== null;
    cancel.hidden = this.busy === null;
    outcome.classList.toggle("sdw-used", used && !this.busy);
    if (this.busy) {
      write(outcome, this.meanwhile);
    } else if (!head.about.model) {
      write(
        outcome,
        head.about.saved
          ? "This is a saved page, without the model: run the notebook again to put a layer to work."
          : "No live model here: show the panel with a model to put this layer to work.",
      );
    } else if (!used) {
      write(outcome, "The model has its own dense layer.");
    } else if (live.other) {
      write(outcome, "In the model now: a sparse layer of another path.");
    } else {
      const edits = live.silenced.length ? `, ${live.silenced.length} silenced` : "";
      const after = live.silenced.length ? { plain: live.plain, silenced: live.after } : { plain: live.after };
      const scores = Number.isFinite(live.after)
        ? `: ${this.threeScores({ own: live.before, ...after })} (${live.on})`
        : "";
      const other = live.index !== index || JSON.stringify(live.silenced) !== JSON.stringify(this.silenced);
      write(
        outcome,
        `In the model now: layer ${live.index + 1} of ` +
          `${head.K}${edits}${scores}.${other ? " You are looking at another one." : ""}`,
      );
    }
  }

  /** A click on a bar: silence its feature, or hear it again. @param {number} feature */
  toggle(feature) {
    const { row, head } = this.view;
    if (!(feature >= 0 && feature < head.p)) return;
    const rest = this.silenced.filter(([j, c]) => !(j === feature && (c < 0 || c === row)));
    const added =
      rest.length === this.silenced.length ? [[feature, this.parts.scope.value === "class" ? row : -1]] : [];
    this.set([...rest, ...added]);
  }

  /** @param {number[][]} silenced */
  set(silenced) {
    const { model, index, row } = this.view;
    model.set("log", [...(model.get("log") ?? []), { silenced, index, class_index: row }]);
    model.set("silenced", silenced);
    this.view.savePosition();
  }

  /**
   * "dense 98.0 % -> sparse 75.3 % -> silenced 71.3 %": the layers that the numbers are of, in words.
   * @param {{own?: number | null, plain?: number | null, silenced?: number | null}} scores
   */
  threeScores({ own, plain, silenced }) {
    const said = (/** @type {string} */ layer, /** @type {number | null | undefined} */ value) =>
      Number.isFinite(value ?? NaN) ? [`${layer} ${this.view.head.score(/** @type {number} */ (value))}`] : [];
    return [...said("dense", own), ...said("sparse", plain), ...said("silenced", silenced)].join(" \u2192 ");
  }

  /** Called when the silenced features have changed, here or in the kernel. */
  changed() {
    this.fillChips();
    this.fill();
    this.measureSoon();
  }

  fillChips() {
    const { head, life } = this.view;
    const chips = this.silenced.map(([j, c]) => {
      const name = head.features[j] ?? "",
        where = c < 0 ? "" : ` in ${oneLine(head.classes[c], 30)}`;
      const chip = plainButton("", `Hear ${oneLine(name, 80)}${where} again`, { class: "sdw-chip" });
      chip.append(make("bdi", {}, oneLine(name, 40)), where, " \u2715");
      chip.addEventListener("click", () => this.set(this.silenced.filter((pair) => pair[0] !== j || pair[1] !== c)), {
        signal: life,
      });
      return chip;
    });
    this.parts.chips.replaceChildren(...chips);
  }

  /** Accuracy with the silenced features, where the panel has data. */
  async measure() {
    this.measuring?.cancel();
    this.measuring = null;
    const { measured } = this.parts,
      { head, client, index, errors, life } = this.view;
    if (!this.silenced.length || !head.about.measurable) {
      write(measured, "");
      return;
    }
    const asked = client.request("measure", { index, silenced: this.silenced }, ({ note }) =>
      write(measured, `measuring ${note}\u2026`),
    );
    this.measuring = asked;
    write(measured, "measuring\u2026");
    try {
      const answer = await asked.reply,
        { value } = answer;
      write(measured, `${this.threeScores(value)} (${value.on})`);
      this.view.measured?.(answer, index);
    } catch (error) {
      if (this.measuring !== asked) return;
      write(measured, "");
      complain(errors, error, life);
    }
    if (this.measuring === asked) this.measuring = null;
  }

  use() {
    const { index } = this.view;
    return this.ask("use", { index, silenced: this.silenced }, "Swapping the layer in\u2026");
  }

  /** @param {string} action @param {Record<string, unknown>} args @param {string} meanwhile */
  async ask(action, args, meanwhile) {
    if (this.busy) return;
    const { client, errors, life } = this.view;
    const tell = (/** @type {string} */ text) => {
      this.meanwhile = text;
      this.fill();
    };
    const asked = client.request(action, args, ({ note }) => tell(`${meanwhile} ${note}`));
    this.busy = asked;
    tell(meanwhile);
    const slow = setTimeout(() => tell(`${meanwhile} Waiting for the kernel: it may be busy with a cell.`), 1500);
    life.addEventListener("abort", () => clearTimeout(slow));
    try {
      await asked.reply;
      errors.replaceChildren();
    } catch (error) {
      complain(errors, error, life);
    }
    clearTimeout(slow);
    this.busy = null;
    this.fill();
  }
}
