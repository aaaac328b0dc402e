// One row of the Perturbation panel: the original, the perturbation, the perturbed one, and the confidences.

import { brief } from "../../kit/draw.js";
import { make, oneLine, write } from "../../kit/kit.js";
import { paintPicture, paintSigned, pictureCanvas } from "../../shared/pictures.js";
import { frameAt, frameOf, mixedOf, percent, probabilityAt, stripPicture, stripSentence } from "./film.js";
/** @import { Film, Strip } from "./film.js" */

export class StripRow {
  /** @param {Strip} strip @param {string} title @param {string} colour */
  constructor(strip, title, colour) {
    this.strip = strip;
    this.title = title;
    const name = oneLine(title, 80),
      canvas = (/** @type {string} */ label) => pictureCanvas(`${label}, ${name}`);
    this.original = canvas("Original");
    this.change = canvas("Perturbation");
    this.mixed = canvas("Perturbed");
    this.said = make("span", { class: "sdw-strip-said", dir: "auto" });
    const mark = make("i", { class: "sdw-mark", "aria-hidden": "true" });
    mark.style.background = colour;
    this.mark = mark;
    this.bars = (strip.classes ?? []).map((c) => this.bar(c));
    const figure = (/** @type {HTMLCanvasElement} */ picture, /** @type {string} */ text) =>
      make("figure", {}, picture, make("figcaption", {}, text));
    const heads = {
      original: figure(this.original, "original"),
      change: figure(this.change, "perturbation"),
      mixed: figure(this.mixed, "perturbed"),
    };
    this.caption = /** @type {HTMLElement} */ (heads.change.lastElementChild);
    const [, h, w] = strip.shape;
    this.root = make(
      "div",
      { class: "sdw-strip", role: "group", "aria-label": name },
      make("div", { class: "sdw-strip-head" }, mark, make("b", { dir: "auto" }, name), this.said),
      make(
        "div",
        { class: "sdw-strip-body" },
        heads.original,
        heads.change,
        heads.mixed,
        make(
          "div",
          { class: "sdw-bars", role: "list", "aria-label": `Confidences, ${name}` },
          ...this.bars.map((b) => b.root),
        ),
      ),
    );
    this.root.style.setProperty("--sdw-aspect", `${w} / ${h}`);
    this.root.classList.toggle("sdw-strip-small", Math.max(h, w) < 150);
    paintPicture(this.original, stripPicture(strip, strip.original), { extent: { low: 0, high: 1 } });
  }

  /** @param {NamedClass} c */
  bar(c) {
    const fill = make("div"),
      share = make("span", { class: "sdw-bar-share" }),
      { target, label } = this.strip;
    const asked = c.index === target ? " sdw-bar-target" : "",
      hint = [c.index === target ? "the target" : "", c.index === label ? "the label" : ""].filter(Boolean).join(", ");
    const root = make(
      "div",
      { class: `sdw-bar-row${asked}`, role: "listitem", title: `${oneLine(c.name, 200)}${hint ? ` (${hint})` : ""}` },
      make(
        "span",
        { class: "sdw-bar-name", dir: "auto" },
        `${oneLine(c.name, 60)}${c.index === label ? " \u2713" : ""}`,
      ),
      make("div", { class: "sdw-bar-track" }, fill),
      share,
    );
    return { root, fill, share, index: c.index };
  }

  /** @param {number} position @param {{times: number, coloured: boolean, table: Uint8Array}} look */
  paint(position, { times, coloured, table }) {
    const { strip } = this,
      k = frameAt(strip, position),
      frame = frameOf(strip, k);
    paintSigned(this.change, stripPicture(strip, frame), { limit: 1 / times, table, coloured });
    paintPicture(this.mixed, stripPicture(strip, mixedOf(strip, frame)), { extent: { low: 0, high: 1 } });
    write(this.caption, `perturbation \u00d7${times}`);
    const sentence = stripSentence(strip, k),
      says = strip.predictions?.[k];
    write(this.said, sentence);
    for (const { root, fill, share, index } of this.bars) {
      const value = probabilityAt(strip, k, index);
      fill.style.width = `${Math.max(0, Math.min(100, 100 * value))}%`;
      write(share, percent(value));
      root.classList.toggle("sdw-bar-said", index === says);
    }
  }
}

/** Drawings of a class on noise: a row for each model and norm, a column for each seed. */
export class ConceptGrid {
  /** @param {Film} film @param {string} title */
  constructor(film, title) {
    /** @type {Map<string, Strip[]>} */
    const rows = new Map();
    for (const strip of film.strips) {
      const key = `${strip.title}\u0000${strip.norm}`;
      rows.set(key, [...(rows.get(key) ?? []), strip]);
    }
    /** @type {{strip: Strip, canvas: HTMLCanvasElement}[]} */
    this.cells = [];
    this.root = make("div", { class: "sdw-concepts", role: "group", "aria-label": title });
    for (const strips of rows.values()) {
      const [first] = strips,
        mean = strips.reduce((sum, s) => sum + (s.after ?? NaN), 0) / strips.length;
      const head = make(
        "div",
        { class: "sdw-strip-head" },
        make("b", { dir: "auto" }, `${oneLine(first.title, 60)}, ${first.norm}`),
        make("span", { class: "sdw-strip-said" }, `eps ${brief(first.eps)} \u00b7 ${percent(mean)} sure on average`),
      );
      const row = make("div", { class: "sdw-concept-row" });
      for (const strip of strips) {
        const canvas = pictureCanvas(`${oneLine(strip.title, 60)}, ${strip.norm}, seed ${strip.seed}`);
        this.cells.push({ strip, canvas });
        const [, h, w] = strip.shape,
          text = `seed ${strip.seed}: ${percent(strip.before ?? NaN)} \u2192 ${percent(strip.after ?? NaN)}`;
        canvas.style.aspectRatio = `${w} / ${h}`;
        row.append(make("figure", {}, canvas, make("figcaption", {}, text)));
      }
      this.root.append(head, row);
    }
  }

  /** @param {string} what @param {{times: number, coloured: boolean, table: Uint8Array}} look */
  paint(what, { times, coloured, table }) {
    for (const { strip, canvas } of this.cells) {
      const last = strip.shrinks.length - 1,
        frame = frameOf(strip, what === "noise" ? 0 : last);
      if (what === "change") paintSigned(canvas, stripPicture(strip, frame), { limit: 1 / times, table, coloured });
      else paintPicture(canvas, stripPicture(strip, mixedOf(strip, frame)), { extent: { low: 0, high: 1 } });
    }
  }
}
