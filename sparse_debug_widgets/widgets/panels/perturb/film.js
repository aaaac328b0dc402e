// Films of perturbations: the mirror of film.py. All steps are in the browser; a frame is looked up, not asked for.

import { brief } from "../../kit/draw.js";
import { oneLine } from "../../kit/kit.js";
/** @import { Answer, Numbers } from "../../kit/wire.js" */
/** @import { Picture } from "../../shared/pictures.js" */

/**
 * What a drawing lacks that has no steps; nobody asks it for them.
 * @typedef {Required<Pick<StripFacts, "steps" | "total" | "classes" | "target" | "label">>} Timed
 * @typedef {StripFacts & Timed & {codes: Int8Array, table: Float32Array, original: Float32Array, frame: Float32Array,
 *   mixed: Float32Array,
 *   probabilities: Numbers | null, losses: Numbers | null, gaps: Numbers | null, supports: Numbers | null}} Strip
 * @typedef {{run: number, kind: string, strips: Strip[]}} Film
 */

/** @param {Answer} held @returns {Promise<Film>} */
export async function readFilm({ value, arrays }) {
  const strips = await Promise.all(
    (value.strips ?? []).map((/** @type {StripFacts} */ facts, /** @type {number} */ i) => {
      const own = (/** @type {string} */ name) => arrays[`${i}.${name}`] ?? null;
      return readStrip(facts, own);
    }),
  );
  return { run: value.run ?? 0, kind: value.kind ?? "perturb", strips };
}

/** @param {StripFacts} facts @param {(name: string) => Numbers | null} own @returns {Promise<Strip>} */
async function readStrip(facts, own) {
  const n = facts.shape.reduce((a, b) => a * b, 1),
    count = facts.shrinks.length;
  const packed = /** @type {Uint8Array} */ (own("frames"));
  const inflated = new Blob([/** @type {any} */ (packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const codes = new Int8Array(await new Response(inflated).arrayBuffer());
  for (let k = 1; k < count; k++) {
    const shrink = facts.shrinks[k],
      now = k * n,
      before = now - n;
    for (let i = 0; i < n; i++) codes[now + i] = codes[now + i] + Math.floor(codes[before + i] * shrink + 0.5);
  }
  const table = Float32Array.from({ length: 256 }, (_, b) => {
    const c = b < 128 ? b : b - 256;
    return Math.sign(c) * facts.scale * (c / 127) ** 2;
  });
  const original = Float32Array.from(/** @type {Numbers} */ (own("original")), (v) => v / 255);
  return {
    .../** @type {StripFacts & Timed} */ (facts),
    codes,
    table,
    original,
    frame: new Float32Array(n),
    mixed: new Float32Array(n),
    probabilities: own("probabilities"),
    losses: own("losses"),
    gaps: own("gaps"),
    supports: own("supports"),
  };
}

/** Which frame of a strip stands at a position of the shared slider. @param {Strip} strip @param {number} position */
export const frameAt = (strip, position) => Math.max(0, Math.min(position, strip.shrinks.length - 1));

/**
 * The perturbation of a frame, in units of the pixel range; the array is used again.
 * @param {Strip} strip
 * @param {number} k
 */
export function frameOf(strip, k) {
  const { codes, table, frame } = strip,
    start = k * frame.length;
  for (let i = 0; i < frame.length; i++) frame[i] = table[codes[start + i] & 255];
  return frame;
}

/** Original and perturbation together. @param {Strip} strip @param {Float32Array} frame */
export function mixedOf(strip, frame) {
  const { original, mixed } = strip;
  for (let i = 0; i < mixed.length; i++) mixed[i] = Math.min(1, Math.max(0, original[i] + frame[i]));
  return mixed;
}

/** @param {Strip} strip @param {ArrayLike<number>} values @returns {Picture} */
export const stripPicture = ({ shape: [channels, height, width] }, values) => ({ values, channels, height, width });

/**
 * Probability of a class in a frame; NaN where it is not known.
 * @param {Strip} strip
 * @param {number} k
 * @param {number} index
 */
export function probabilityAt(strip, k, index) {
  const place = strip.classes?.findIndex((c) => c.index === index) ?? -1;
  return strip.probabilities && place >= 0 ? strip.probabilities[k * strip.classes.length + place] : NaN;
}

/** Coordinates that differ in a frame. @param {Strip} strip @param {number} k */
export const supportAt = (strip, k) =>
  strip.supports ? strip.supports[Math.min(strip.steps[k], strip.supports.length - 1)] : k ? strip.support : 0;

/** @param {number} share */
export const percent = (share) =>
  Number.isFinite(share) ? `${(100 * share).toFixed(share < 0.0995 && share > 5e-4 ? 1 : 0)} %` : "\u2013";

/** Name of a class that a strip knows. @param {Strip} strip @param {number} index */
export const classNameOf = (strip, index) =>
  oneLine(
    strip.classes?.find((c) => c.index === index)?.name ??
      strip.predictionNames?.find((c) => c.index === index)?.name ??
      `class ${index}`,
    60,
  );

/** Name of a frame among the others of its strip. @param {Strip} strip @param {number} k */
export function stepName(strip, k) {
  const step = strip.steps?.[k] ?? 0;
  if (strip.stepNames) return strip.stepNames[k] ?? "";
  if (!strip.losses) return step ? "perturbed" : "original";
  return `step ${step} of ${strip.total}${step === strip.best ? ", the best" : ""}`;
}

/** What a frame is, in a sentence. @param {Strip} strip @param {number} k */
export function stripSentence(strip, k) {
  const says = strip.predictionNames?.[k]?.name,
    share = probabilityAt(strip, k, strip.target),
    words = [];
  if (says !== undefined) words.push(`says ${oneLine(says, 40)}`);
  if (Number.isFinite(share)) words.push(`${percent(share)} sure of ${classNameOf(strip, strip.target)}`);
  words.push(`${supportAt(strip, k).toLocaleString("en")} of ${strip.dims.toLocaleString("en")} changed`);
  if (strip.best !== undefined && strip.steps[k] !== strip.best && k > 0)
    words.push(`the best is step ${strip.best}: ${percent(strip.after ?? NaN)}`);
  if (strip.effort !== undefined)
    words.push(strip.effort === null ? "all of it is not enough" : `a norm of ${brief(strip.effort)} is enough`);
  if (strip.cancelled) words.push("cancelled");
  return words.join(" \u00b7 ");
}
