// The card of one feature: the examples that activate it most, and the words that move it. For panels that show
// features as numbers: new FeatureCard(view), place `root`, call show(feature, name) and, when the kernel has news,
// news(). The kernel answers the request "card" with FeatureCards.card (feature_card.py).

import { brief, SVG_NAMESPACE } from "../../kit/draw.js";
import { make, oneLine, settled, write } from "../../kit/kit.js";
import { dotted } from "../../kit/parts.js";
import { largest } from "../curves.js";
/** @import { Numbers } from "../../kit/wire.js" */
/** @import { PanelView } from "../../kit/view.js" */

/** A number with its sign. @param {number} value @param {number} [digits] */
export const signed = (value, digits = 2) => (value > 0 ? `+${brief(value, digits)}` : brief(value, digits));

/** The pictures of a sheet of them, decoded. @param {Numbers | undefined} file */
export async function openTiles(file) {
  return file?.length ? createImageBitmap(new Blob([/** @type {any} */ (file)])) : null;
}

/**
 * Paint pictures out of a sheet of them, each on its own canvas.
 * @param {ImageBitmap | null} bitmap
 * @param {[number, number, number][]} tiles place, width, height of each
 * @param {Map<number, HTMLCanvasElement>} canvases
 */
export function paintTiles(bitmap, tiles, canvases) {
  if (!bitmap) return;
  for (const [number, canvas] of canvases) {
    const [x, width, height] = tiles[number];
    canvas.width = width;
    canvas.height = height;
    canvas.classList.toggle("sdw-sharp", Math.max(width, height) <= 48);
    canvas.getContext("2d")?.drawImage(bitmap, x, 0, width, height, 0, 0, width, height);
  }
  bitmap.close();
}

/**
 * The histogram of a feature, with the places of its prototypes.
 * @param {Numbers} counts
 * @param {Numbers} edges
 * @param {number[]} marks
 * @param {string} label
 */
export function histogram(counts, edges, marks, label) {
  const width = 160,
    height = 22,
    most = largest(counts) || 1,
    step = width / counts.length;
  const svg = document.createElementNS(SVG_NAMESPACE, "svg");
  for (const [name, value] of Object.entries({
    viewBox: `0 0 ${width} ${height + 5}`,
    class: "sdw-histogram",
    role: "img",
    "aria-label": label,
    preserveAspectRatio: "none",
  }))
    svg.setAttribute(name, value);
  let bars = "",
    ticks = "";
  // A logarithmic height: a rectified feature rests at its minimum for most examples.
  counts.forEach((/** @type {number} */ count, /** @type {number} */ k) => {
    if (count)
      bars +=
        `M${(k * step).toFixed(1)} ` +
        `${height}v${((-height * Math.log1p(count)) / Math.log1p(most)).toFixed(1)}h` +
        `${Math.max(0.5, step - 0.4).toFixed(1)}V${height}z`;
  });
  for (const mark of marks) {
    const x = Math.max(2, Math.min(width - 2, ((mark - edges[0]) / (edges[1] - edges[0] || 1)) * width)).toFixed(1);
    ticks += `M${x} ${height}l-2 5h4z`;
  }
  for (const [shape, name] of [
    [bars, "sdw-histogram-bars"],
    [ticks, "sdw-histogram-marks"],
  ]) {
    const path = document.createElementNS(SVG_NAMESPACE, "path");
    path.setAttribute("d", shape);
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}

/**
 * How strongly a word is tinted: by its weight among those of its sentence.
 * @param {HTMLElement} word
 * @param {number} weight
 * @param {number} most
 */
export function tintWord(word, weight, most) {
  const share = Math.min(1, Math.abs(weight) / (most || 1));
  if (share < 0.08) return;
  word.className = "sdw-tinted";
  word.dataset.sign = weight < 0 ? "-" : "+";
  word.style.setProperty("--sdw-share", `${Math.round(100 * share)}%`);
  word.title = signed(weight);
}

export class FeatureCard {
  /**
   * @param {PanelView} view answers the request "card"
   * @param {{able: boolean}} about what the kernel says of the examples: FeatureCards.about
   */
  constructor(view, about) {
    this.view = view;
    this.able = about.able;
    this.feature = -1;
    this.turn = 0;
    /** @type {Map<number, {facts: FeatureFacts, arrays: Record<string, Numbers>}>} */
    this.known = new Map();
    this.title = make("h3", { dir: "auto" });
    this.note = make("p", { class: "sdw-fcard-note" });
    this.found = make("div", { class: "sdw-fcard-found" });
    this.root = make(
      "section",
      { class: "sdw-fcard", "aria-label": "What the feature sees", hidden: true },
      this.title,
      this.found,
      this.note,
    );
    // Passing over bars with the mouse asks for nothing.
    this.askSoon = settled(90, () => this.ask(this.feature), view.life);
  }

  /**
   * Show a feature; what is known of it at once, the rest when it comes.
   * @param {number} feature
   * @param {string} name
   */
  show(feature, name) {
    this.root.hidden = !this.able;
    if (!this.able) return;
    write(this.title, oneLine(name, 80));
    if (feature === this.feature) return;
    this.feature = feature;
    this.root.dataset.feature = String(feature);
    const known = this.known.get(feature);
    if (known) this.fill(known);
    else {
      delete this.root.dataset.painted;
      this.found.replaceChildren();
      write(this.note, "Looking for its examples\u2026");
    }
    if (!known || known.facts.waits) this.askSoon();
  }

  hide() {
    this.root.hidden = true;
  }

  /** The kernel has found something: ask again for what was not complete. */
  news() {
    for (const [feature, { facts }] of this.known) if (facts.waits) this.known.delete(feature);
    if (this.feature >= 0 && !this.root.hidden && !this.known.has(this.feature)) this.askSoon();
  }

  /** @param {number} feature */
  async ask(feature) {
    try {
      const { value, arrays } = await this.view.client.request("card", { feature }).reply;
      this.known.set(feature, { facts: /** @type {FeatureFacts} */ (value), arrays });
    } catch (error) {
      if (this.view.life.aborted || feature !== this.feature) return;
      write(this.note, error instanceof Error ? error.message : String(error));
      return;
    }
    const known = this.known.get(feature);
    if (known && feature === this.feature && !this.view.life.aborted) this.fill(known);
  }

  /** @param {{facts: FeatureFacts, arrays: Record<string, Numbers>}} known */
  async fill({ facts, arrays }) {
    const turn = ++this.turn,
      bitmap = await openTiles(arrays.sheet);
    if (turn !== this.turn || this.view.life.aborted) return void bitmap?.close();
    const top = facts.top ?? [];
    /** @type {Map<number, HTMLCanvasElement>} */
    const canvases = new Map();
    if (facts.kind === "pictures") this.found.replaceChildren(...top.map((item) => this.picture(item, canvases)));
    else this.found.replaceChildren(...top.map((item) => this.line(item)));
    if (facts.n && arrays.counts) {
      const ends = arrays.edges,
        label =
          `Activations of ${facts.n.toLocaleString("en")} examples, from ${brief(ends[0])} to ` +
          `${brief(ends[1])} standard deviations`;
      this.found.append(
        histogram(
          arrays.counts,
          ends,
          top.map((item) => item.activation),
          label,
        ),
      );
    }
    paintTiles(bitmap, facts.tiles ?? [], canvases);
    write(this.note, this.said(facts));
    this.root.dataset.painted = String(facts.revision);
  }

  /** @param {FeatureFacts} facts */
  said(facts) {
    const { n, waits, trouble, constant, complete, top } = facts;
    if (n === undefined)
      return waits
        ? "Looking for its examples\u2026"
        : trouble || "No examples to look at: the panel was given no data.";
    const count = `${n.toLocaleString("en")} examples${complete ? "" : " so far"}`;
    return dotted(
      constant
        ? "the same for all examples"
        : top?.length
          ? "the examples that activate it most"
          : "no example stands out",
      count,
      trouble ?? "",
    );
  }

  /** @param {FeatureExample} item */
  label(item) {
    return dotted(
      item.labelName ? oneLine(item.labelName, 80) : `example ${item.row}`,
      `${brief(item.activation)} standard deviations`,
    );
  }

  /** @param {FeatureExample} item @param {Map<number, HTMLCanvasElement>} canvases */
  picture(item, canvases) {
    const canvas = make("canvas", {
      class: "sdw-fcard-picture",
      role: "img",
      "aria-label": `Example ${item.row}: ${this.label(item)}`,
      title: `${this.label(item)}\nExample ${item.row}`,
    });
    // Where the picture has been explained, its parts are marked.
    canvases.set(item.tile ?? 0, canvas);
    return canvas;
  }

  /**
   * A sentence with its words in the colours of what they do; or the number of an example.
   * @param {FeatureExample} item
   */
  line(item) {
    const pieces = item.pieces ?? [],
      most = Math.max(0, ...pieces.map(([, weight]) => Math.abs(weight ?? 0)));
    const words = pieces.map(([piece, weight]) => {
      const word = make("span", {}, piece);
      if (weight !== null) tintWord(word, weight, most);
      return word;
    });
    const text = words.length
      ? words
      : [item.text || `example ${item.row}${item.labelName ? `, ${oneLine(item.labelName, 60)}` : ""}`];
    return make(
      "p",
      { class: "sdw-fcard-line", dir: "auto", title: this.label(item) },
      ...text,
      item.cut ? "\u2026" : "",
    );
  }
}
