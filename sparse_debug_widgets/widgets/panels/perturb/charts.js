// The curves of the Perturbation panel: loss, gap and support at every step, with the step that is looked at.

import { brief, roundTicks } from "../../kit/draw.js";
/** @import { Layers } from "../../kit/draw.js" */
/** @import { Pen } from "../../kit/stills.js" */
/** @import { Strip } from "./film.js" */

/**
 * @typedef {{bg: string, fg: string, muted: string, grid: string, faint: string, accent: string, warn: string,
 *   series: string[], font: string}} PerturbColours
 * @typedef {{strip: Strip, colour: string}} Curve
 */

export const STEP_CHARTS = /** @type {const} */ (["losses", "gaps", "supports"]);

/**
 * @param {Pen} pen
 * @param {Layers} layers
 * @param {"losses" | "gaps" | "supports"} which
 * @param {Curve[]} curves
 * @param {PerturbColours} colours
 * @returns {(step: number) => number} where a step is, in pixels
 */
export function drawSteps(pen, layers, which, curves, colours) {
  const log = which === "gaps",
    last = Math.max(1, ...curves.map(({ strip }) => strip.total));
  const box = { left: 46, top: 8, right: layers.width - 10, bottom: layers.height - 22 };
  const x = (/** @type {number} */ step) => box.left + (step / last) * (box.right - box.left);
  const known = curves.flatMap(({ strip }) =>
    Array.from(strip[which] ?? []).filter((v) => Number.isFinite(v) && (!log || v > 0)),
  );
  if (!known.length) {
    pen.text(
      which === "gaps" ? "this method has no gap" : "nothing yet",
      (box.left + box.right) / 2,
      (box.top + box.bottom) / 2,
      colours.muted,
      { align: "center" },
    );
    return x;
  }
  const scaled = (/** @type {number} */ v) => (log ? Math.log10(Math.max(v, 1e-12)) : v);
  let low = Math.min(...known.map(scaled)),
    high = Math.max(...known.map(scaled));
  if (!log) low = Math.min(0, low);
  if (log) [low, high] = [Math.max(low, high - 6), high];
  if (high - low < 1e-9) high = low + 1;
  const y = (/** @type {number} */ v) =>
    box.bottom - ((Math.max(scaled(v), low) - low) / (high - low)) * (box.bottom - box.top);
  const ticks = log
    ? Array.from({ length: 12 }, (_, i) => Math.ceil(low) + i).filter((t) => t <= high)
    : roundTicks(low, high, 3);
  for (const tick of ticks.length ? ticks : [high]) {
    const at = log ? y(10 ** tick) : y(tick);
    pen.line(box.left, at, box.right, at, colours.grid);
    pen.text(brief(log ? 10 ** tick : tick, 2), box.left - 6, at, colours.muted, { align: "right", size: 10.5 });
  }
  for (const step of roundTicks(0, last, 4)) {
    if (Number.isInteger(step))
      pen.text(String(step), x(step), box.bottom + 11, colours.muted, {
        align: step === 0 ? "left" : step === last ? "right" : "center",
        size: 10.5,
      });
  }
  curves.forEach(({ strip, colour }, i) => {
    const values = strip[which];
    if (!values) return;
    const steps = Array.from(values, (_, k) => k).filter((k) => Number.isFinite(values[k]) && (!log || values[k] > 0));
    pen.curve(
      steps.map(x),
      steps.map((k) => y(values[k])),
      steps.length,
      colour,
      { width: 1.8, dash: i >= 2 ? [5, 3] : [] },
    );
    const best = strip.best ?? -1;
    if (which === "losses" && best >= 0 && Number.isFinite(values[best]))
      pen.dot(x(best), y(values[best]), 3.5, colour, colours.bg);
  });
  return x;
}

/** @param {Layers} layers @param {(step: number) => number} x @param {number} step @param {PerturbColours} colours */
export function drawStepLine(layers, x, step, colours) {
  const pen = layers.pen("moving", colours.font);
  pen.line(x(step), 4, x(step), layers.height - 20, colours.accent, { width: 1.5 });
}
