// One example in the Features panel: what the layers say of it, and which features make them say it.
// Its deep features are in the browser, so its contributions follow a drag; the predictions come at rest.

import { brief } from "../../kit/draw.js";
import { complain, make, oneLine, plainButton, settled, write } from "../../kit/kit.js";
import { dotted } from "../../kit/parts.js";
import { openTiles, paintTiles, signed } from "../../shared/features/card.js";
import { SignedBar } from "./rows.js";

/** @import { Answer, Numbers } from "../../kit/wire.js" */
/** @import { FeaturesView } from "./view.js" */

const MOST_CONTRIBUTIONS = 8;

export class ExampleCard {
  /** @param {FeaturesView} view */
  constructor(view) {
    this.view = view;
    this.row = -1;
    /** @type {Answer | null} */
    this.answer = null;
    /** @type {{own: LayerAnswer | null, sparse: LayerAnswer, silenced: LayerAnswer | null} | null} */
    this.said = null;
    /** @type {{reply: Promise<Answer>, cancel: () => void} | null} */
    this.asked = null;
    this.predictSoon = settled(200, () => this.predict(), view.life);
    this.title = make("h3", { dir: "auto" });
    this.close = plainButton("\u2715", "Close this example", { class: "sdw-dismiss" });
    this.shown = make("div", { class: "sdw-example-shown" });
    this.verdicts = make("div", { class: "sdw-verdicts" });
    this.bars = make("div", { class: "sdw-contributions" });
    this.root = make(
      "aside",
      { class: "sdw-example-card", "aria-label": "The example and its top contributions", hidden: true },
      this.title,
      this.close,
      this.shown,
      this.verdicts,
      this.bars,
    );
    this.close.addEventListener("click", () => this.shut(), { signal: view.life });
    this.root.addEventListener(
      "keydown",
      (event) => {
        if (event.key !== "Escape") return;
        this.shut();
        event.preventDefault();
        event.stopPropagation();
      },
      { signal: view.life },
    );
  }

  /** Whether an example can be opened; a saved page holds some of them. @param {number} row */
  opens(row) {
    const { about, model } = this.view;
    return about.kernel || (model.get("ready").examples ?? []).includes(row);
  }

  shut() {
    this.root.hidden = true;
    this.row = -1;
    this.answer = null;
    this.view.markExample(-1);
  }

  /** @param {number} row */
  async open(row) {
    this.row = row;
    this.view.markExample(row);
    try {
      const answer = await this.view.client.request("example", { row }).reply;
      if (this.row !== row || this.view.life.aborted) return;
      this.answer = answer;
      this.said = null;
      this.root.hidden = false;
      await this.paint(answer);
      this.fill();
      this.predictSoon();
    } catch (error) {
      if (!this.view.life.aborted && this.row === row) complain(this.view.errors, error, this.view.life);
    }
  }

  /** @param {Answer} answer */
  async paint({ value, arrays }) {
    const bitmap = await openTiles(arrays.sheet);
    write(this.title, dotted(`Example ${value.row}`, value.labelName ? oneLine(value.labelName, 60) : ""));
    this.title.title = value.labelName ?? "";
    if (value.kind === "pictures") {
      const canvas = make("canvas", { class: "sdw-tile-picture", role: "img", "aria-label": `Example ${value.row}` });
      this.shown.replaceChildren(canvas);
      paintTiles(bitmap, value.tiles, new Map([[0, canvas]]));
    } else {
      this.shown.replaceChildren(
        ...(value.kind === "text" ? [make("p", { dir: "auto" }, value.text || "(empty sentence)")] : []),
      );
    }
  }

  /** Contributions to the class on show, as they are at the lambda on show. */
  fill() {
    const { answer, view } = this,
      { curves, index, typed } = view;
    if (!answer || !curves) return;
    const z = answer.arrays.z,
      parts = [];
    if (typed.layers !== "dense") parts.push(this.list("sparse layer", (j) => curves.at(j, index), curves.ranked, z));
    if (typed.layers !== "sparse" && curves.dense) {
      const dense = curves.dense;
      parts.push(this.list("dense layer", (j) => dense[j], Array.from(dense.keys()), z));
    }
    const key = /** @type {HTMLElement | null} */ (
      this.bars.contains(document.activeElement) ? document.activeElement : null
    )?.dataset.key;
    this.bars.replaceChildren(...parts.flat());
    if (key) /** @type {HTMLElement | null} */ (this.bars.querySelector(`[data-key="${key}"]`))?.focus();
    this.fillVerdicts();
  }

  /**
   * @param {string} name
   * @param {(j: number) => number} weight
   * @param {number[]} features
   * @param {Numbers} z
   */
  list(name, weight, features, z) {
    const { view } = this,
      every = features.map((j) => ({ j, value: weight(j) * z[j] })).filter(({ value }) => value !== 0);
    const top = every.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, MOST_CONTRIBUTIONS),
      most = Math.abs(top[0]?.value ?? 1);
    const rest = every.slice(MOST_CONTRIBUTIONS).reduce((sum, { value }) => sum + value, 0);
    const rows = top.map(({ j, value }) => {
      const bar = new SignedBar("", "sdw-contribution-bar"),
        silent = view.isSilent(j),
        label = oneLine(view.head.features[j], 60);
      bar.set(value, most);
      const made = make(
        "button",
        {
          type: "button",
          class: "sdw-contribution",
          "data-feature": j,
          "data-key": `${name} ${j}`,
          "aria-pressed": String(silent),
          title:
            `${label}: ${signed(value, 3)}\nweight ${brief(weight(j))} \u00d7 activation ` +
            `${brief(z[j])}\nClick to ${silent ? "hear it again" : "silence it"}`,
        },
        make("bdi", { class: "sdw-contribution-name" }, label),
        bar.root,
      );
      made.addEventListener("click", () => view.live.toggle(j), { signal: view.life });
      return made;
    });
    const classes = oneLine(view.head.classes[view.row], 40),
      more = every.length > top.length ? `${every.length - top.length} more: ${signed(rest)}` : "";
    return [
      make("h4", { dir: "auto" }, `Top contributions to ${classes}, ${name}`),
      ...rows,
      make(
        "div",
        { class: "sdw-feature-note" },
        top.length ? more : "No feature of this layer speaks for or against the class.",
      ),
    ];
  }

  /** What the layers predict; asked for when everything has come to rest. */
  async predict() {
    const { view, row } = this;
    this.asked?.cancel();
    if (row < 0 || !view.about.kernel) return;
    const asked = view.client.request("predict", { row, index: view.index, silenced: view.model.get("silenced") });
    this.asked = asked;
    try {
      const { value } = await asked.reply;
      if (this.row !== row) return;
      this.said = value;
      this.fillVerdicts();
    } catch (error) {
      if (this.asked === asked && !view.life.aborted) complain(view.errors, error, view.life);
    }
    if (this.asked === asked) this.asked = null;
  }

  fillVerdicts() {
    const { said, view, answer } = this;
    if (!said) {
      this.verdicts.replaceChildren();
      return;
    }
    const label = answer?.value.label ?? -1;
    const line = (/** @type {string} */ name, /** @type {LayerAnswer | null} */ layer) => {
      if (!layer) return [];
      const [best, ...others] = layer.top,
        score = layer.scores[view.row];
      const words = best ? `${oneLine(best[1], 40)} ${shareInPercent(best[2])}` : brief(score);
      const made = make(
        "div",
        {
          class: "sdw-verdict",
          title: [...(best ? [best] : []), ...others].map(([, c, share]) => `${c} ${shareInPercent(share)}`).join("\n"),
        },
        make("span", { class: "sdw-verdict-layer" }, name),
        make("b", { dir: "auto" }, words),
      );
      if (best && label >= 0) made.dataset.right = String(best[0] === label);
      made.append(make("span", { class: "sdw-verdict-logit" }, `logit ${brief(score)}`));
      return [made];
    };
    this.verdicts.replaceChildren(
      ...line("the model's own layer", said.own),
      ...line("sparse layer", said.sparse),
      ...line("with features silenced", said.silenced),
    );
    this.root.dataset.said = [said.own, said.sparse, said.silenced].map((layer) => layer?.top[0]?.[0] ?? "").join(",");
  }
}

/** A share in percent. @param {number} share */
function shareInPercent(share) {
  return share > 0.9995 && share < 1 ? "> 99.9 %" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}
