// The findings of a Debug panel as the page reads them: classes, groups, errors, examples.

import { oneLine } from "../../kit/kit.js";
import { fromTrait } from "../../kit/wire.js";

/** @import { Numbers } from "../../kit/wire.js" */

/** Names that stand in tables and captions. */
const NAME = 60;

/**
 * One picture of many, from bytes of three colours.
 * @param {Numbers} bytes
 * @param {number} high
 * @param {number} wide
 * @param {number} place
 */
function asImage(bytes, high, wide, place) {
  const size = high * wide,
    data = new Uint8ClampedArray(4 * size);
  for (let k = 0; k < size; k++) {
    for (let c = 0; c < 3; c++) data[4 * k + c] = bytes[3 * (place * size + k) + c];
    data[4 * k + 3] = 255;
  }
  return new ImageData(data, wide, high);
}

/** What was found, with words and lookups. */
export class DebugFindings {
  /** @param {Held<DebugAbout>} held */
  constructor(held) {
    const { value, arrays } = fromTrait(held);
    this.about = value;
    /** @type {Record<string, Numbers>} */
    this.arrays = arrays;
    /** @type {Map<number, number>} */
    this.places = new Map([...arrays.pictured].map((error, place) => [error, place]));
    this.heads = /** @type {any} */ (held.arrays ?? {});
    this.shape = /** @type {number[]} */ (this.heads.pictures?.shape ?? []);
    /** @type {Map<number, string>} */
    this.texts = new Map(
      [...arrays.pictured].flatMap((error, place) => {
        const text = value.texts[place];
        return text === undefined ? [] : [[error, text]];
      }),
    );
    /** @type {Map<number, ImageData>} */
    this.pictures = new Map();
    for (const [error, place] of this.places) this.keepPicture(error, arrays.pictures, this.shape, place);
  }

  /**
   * @param {number} error
   * @param {Numbers | undefined} bytes
   * @param {number[]} shape
   * @param {number} place
   */
  keepPicture(error, bytes, shape, place) {
    if (!bytes || shape.length !== 4) return;
    this.pictures.set(error, asImage(bytes, shape[1], shape[2], place));
  }

  /** Pictures that show small causes: as it is, and with the part put in. @returns {[ImageData, ImageData][]} */
  causePictures() {
    const bytes = this.arrays.causePictures,
      shape = /** @type {any} */ (this.heads).causePictures?.shape;
    if (!bytes || !shape) return [];
    const [pairs, , high, wide] = shape;
    return Array.from({ length: pairs }, (_, k) => [
      asImage(bytes, high, wide, 2 * k),
      asImage(bytes, high, wide, 2 * k + 1),
    ]);
  }

  /** Is the example of this error on the page? @param {number} error */
  has(error) {
    return this.pictures.has(error) || this.texts.has(error);
  }

  get nErrors() {
    return this.arrays.rows.length;
  }

  /** @param {number} c */
  className(c) {
    return oneLine(this.about.classes[c] ?? "", NAME);
  }

  /** @param {number} j */
  featureName(j) {
    return j < 0 ? "no feature" : oneLine(this.about.features[j] ?? "", NAME);
  }

  /** Errors of a class that are taken for another one; all of them for an empty pair. @param {number[]} pair */
  errorsOf(pair) {
    const { labels, predictions } = this.arrays,
      found = [];
    for (let k = 0; k < labels.length; k++)
      if (pair.length !== 2 || (labels[k] === pair[0] && predictions[k] === pair[1])) found.push(k);
    return found;
  }

  /** Pairs of classes by how often one is taken for the other. @returns {{pair: number[], count: number}[]} */
  confusions() {
    const { labels, predictions } = this.arrays,
      classes = this.about.classes.length;
    /** @type {Map<number, number>} */
    const counts = new Map();
    for (let k = 0; k < labels.length; k++) {
      const key = labels[k] * classes + predictions[k];
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return [...counts]
      .map(([key, count]) => ({ pair: [Math.floor(key / classes), key % classes], count }))
      .sort((a, b) => b.count - a.count);
  }

  /**
   * Rows of the table of classes or groups: name, examples, the share of each stage.
   * @param {"class" | "group"} of
   * @param {DebugRepair | undefined} repair
   */
  shares(of, repair) {
    const { about, arrays } = this;
    const [names, counts, hits, now] =
      of === "class"
        ? [about.classes, arrays.classCounts, arrays.classHits, repair?.classHits]
        : [about.groups, arrays.groupCounts, arrays.groupHits, repair?.groupHits];
    return names.map((name, k) => ({
      name: oneLine(name, NAME),
      count: counts[k],
      stages: about.stages.map((_stage, s) => hits[s * names.length + k] / counts[k]),
      now: now ? now[k] / counts[k] : NaN,
    }));
  }

  /** What is done to the errors in a sentence. @param {DebugRepair} repair */
  repairWords({ silenced }) {
    const names = silenced.slice(0, 4).map((j) => this.featureName(j));
    const more = silenced.length > 4 ? ` and ${silenced.length - 4} more` : "";
    return silenced.length ? `Silenced: ${names.join(", ")}${more}` : "Nothing silenced";
  }
}
