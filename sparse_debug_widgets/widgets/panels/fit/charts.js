// The pictures of the Fit panel: the path as it grows, accuracy against sparsity, the certificate of each lambda.

import { brief, roundTicks } from "../../kit/draw.js";
import { oneLine } from "../../kit/kit.js";
/** @import { Box, Layers } from "../../kit/draw.js" */
/** @import { Answer, Numbers } from "../../kit/wire.js" */
/** @import { Pen } from "../../kit/stills.js" */

/**
 * What is drawn.
 * @typedef {{lambdas: Numbers, gaps: Numbers, means: Numbers, accuracies: Numbers, curves: Numbers, names: string[],
 * total: number, tol: number, classes: string[], classIndex: number, eps: number, percent: boolean, score: string, one:
 * string, many: string, K: number, split: number}} Grown
 * @typedef {{bg: string, fg: string, muted: string, grid: string, faint: string, accent: string, warn: string,
 *   good: string,
 *   pin: string, series: string[], font: string}} FitColours
 * @typedef {{name: string, means: number[], scores: number[], colour: string}} Rival
 */

/** @param {Answer} held @returns {Grown | null} */
export function readGrown({ value, arrays }) {
  if (!arrays.lambdas || arrays.lambdas.length === 0) return null;
  const K = arrays.lambdas.length,
    accuracies = arrays.accuracies;
  const split = [1, 0].find((s) => Number.isFinite(accuracies[3 * (K - 1) + s])) ?? 0;
  return /** @type {any} */ ({ ...value, ...arrays, K, split });
}

/** Place of each lambda on the axis of the whole path, 0 to 1. @param {Grown} grown @param {number} k */
function growthPlace(grown, k) {
  return grown.total > 1 ? k / (grown.total - 1) : 0;
}

/**
 * Axes with ticks; gives the box inside.
 * @param {Pen} pen
 * @param {Layers} layers
 * @param {FitColours} colours
 * @param {{low: number, high: number, ticks: number[], format: (v: number) => string}} y
 * @param {{places: [number, string][], label: string}} x
 * @returns {Box & {at: (v: number) => number}}
 */
function fitAxes(pen, layers, colours, y, x) {
  const box = { left: 46, top: 10, right: layers.width - 12, bottom: layers.height - 34 };
  const at = (/** @type {number} */ v) => box.bottom - ((v - y.low) / (y.high - y.low || 1)) * (box.bottom - box.top);
  for (const tick of y.ticks) {
    pen.line(box.left, at(tick), box.right, at(tick), colours.grid);
    pen.text(y.format(tick), box.left - 6, at(tick), colours.muted, { align: "right", size: 10.5 });
  }
  for (const [place, text] of x.places) {
    pen.text(text, box.left + place * (box.right - box.left), box.bottom + 12, colours.muted, {
      align: place < 0.02 ? "left" : place > 0.98 ? "right" : "center",
      size: 10.5,
    });
  }
  pen.text(x.label, (box.left + box.right) / 2, box.bottom + 27, colours.muted, { align: "center", size: 10.5 });
  return { ...box, at };
}

/** @param {Grown} grown @returns {[number, string][]} */
function lambdaTicks(grown) {
  const first = grown.lambdas[0],
    last = first * (grown.total > 1 ? grown.eps : 1);
  return [
    [0, brief(first, 2)],
    [0.5, brief(Math.sqrt(first * last), 2)],
    [1, brief(last, 2)],
  ];
}

export const growthChart = {
  /**
   * Coefficient paths of one class, up to where the fit has come.
   * @param {Pen} pen
   * @param {Layers} layers
   * @param {Grown} grown
   * @param {FitColours} colours
   */
  draw(pen, layers, grown, colours) {
    const { K, curves, names } = grown;
    let low = 0,
      high = 0;
    for (let i = 0; i < curves.length; i++) {
      if (curves[i] < low) low = curves[i];
      if (curves[i] > high) high = curves[i];
    }
    const room = 0.06 * (high - low) || 1;
    const box = fitAxes(
      pen,
      layers,
      colours,
      {
        low: low - room,
        high: high + room,
        ticks: roundTicks(low - room, high + room, 4),
        format: (v) => brief(v),
      },
      { places: lambdaTicks(grown), label: "\u03bb (sparse \u2192 dense)" },
    );
    const width = box.right - box.left,
      xs = Float64Array.from({ length: K }, (_, k) => box.left + growthPlace(grown, k) * width);
    pen.line(box.left, box.at(0), box.right, box.at(0), colours.faint);
    const front = xs[K - 1];
    if (K < grown.total) {
      pen.rect(front, box.top, box.right - front, box.bottom - box.top, colours.grid, { alpha: 0.45 });
      pen.line(front, box.top, front, box.bottom, colours.accent, { width: 1.5 });
    }
    const ends = names.map((name, j) => {
      const ys = Float64Array.from({ length: K }, (_, k) => box.at(curves[j * K + k]));
      pen.curve(xs, ys, K, colours.series[j % colours.series.length], {
        width: 1.7,
        dash: j >= colours.series.length ? [5, 3] : [],
      });
      return { name, y: ys[K - 1], colour: colours.series[j % colours.series.length] };
    });
    if (front < box.right - 90) this.label(pen, ends, front + 6, box, colours);
  },

  /**
   * @param {Pen} pen
   * @param {{name: string, y: number, colour: string}[]} ends
   * @param {number} x
   * @param {Box} box
   * @param {FitColours} colours
   */
  label(pen, ends, x, box, colours) {
    let last = -Infinity;
    for (const { name, y } of ends.sort((a, b) => a.y - b.y)) {
      if (y - last < 12) continue;
      pen.text(oneLine(name), x, y, colours.muted, { size: 10.5, max: Math.max(30, box.right - x - 2) });
      last = y;
    }
  },
};

export const scoresChart = {
  /**
   * Held-out accuracy against features per class, of this fit and of the pinned ones.
   * @param {Pen} pen
   * @param {Layers} layers
   * @param {Grown | null} grown
   * @param {Rival[]} rivals
   * @param {FitColours} colours
   */
  draw(pen, layers, grown, rivals, colours) {
    const mine = grown ? this.own(grown) : { means: [], scores: [] };
    const all = [...rivals, mine],
      xs = all.flatMap((r) => r.means),
      ys = all.flatMap((r) => r.scores.filter(Number.isFinite));
    if (!ys.length) return;
    const most = Math.max(1, ...xs),
      low = Math.min(...ys),
      high = Math.max(...ys),
      room = 0.08 * (high - low) || 0.05;
    const squeeze = (/** @type {number} */ n) => Math.log1p(n) / Math.log1p(most),
      share = grown?.percent ?? true;
    const stops = [0, 1, 3, 10, 30, 100, 300, 1000, 3000].filter((n) => n < 0.7 * most || n === 0).concat(most);
    const box = fitAxes(
      pen,
      layers,
      colours,
      {
        low: low - room,
        high: high + room,
        ticks: roundTicks(low - room, high + room, 4),
        format: (v) => (share ? `${Number((100 * v).toFixed(1))} %` : brief(v)),
      },
      {
        places: stops.map((n) => /** @type {[number, string]} */ ([squeeze(n), brief(n, 2)])),
        label: `features per ${grown?.one ?? "class"}`,
      },
    );
    const place = (/** @type {number} */ n) => box.left + squeeze(n) * (box.right - box.left);
    for (const { means, scores, colour } of rivals) {
      pen.curve(means.map(place), scores.map(box.at), means.length, colour, { width: 1.5, dash: [5, 3] });
    }
    if (!grown) return;
    pen.curve(mine.means.map(place), mine.scores.map(box.at), mine.means.length, colours.accent, { width: 2 });
    const end = mine.means.length - 1;
    if (Number.isFinite(mine.scores[end]))
      pen.dot(place(mine.means[end]), box.at(mine.scores[end]), 4, colours.accent, colours.bg);
  },

  /** @param {Grown} grown */
  own(grown) {
    const k = Array.from({ length: grown.K }, (_, i) => i);
    return { means: k.map((i) => grown.means[i]), scores: k.map((i) => grown.accuracies[3 * i + grown.split]) };
  },
};

export const gapsChart = {
  /**
   * The duality gap of each lambda against the tolerance.
   * @param {Pen} pen
   * @param {Layers} layers
   * @param {Grown} grown
   * @param {FitColours} colours
   */
  draw(pen, layers, grown, colours) {
    const { K, gaps, tol } = grown;
    const top = Math.ceil(Math.log10(Math.max(tol, largestOf(gaps))) + 0.15),
      floor = Math.floor(Math.log10(tol)) - 3;
    const ticks = Array.from({ length: top - floor + 1 }, (_, i) => floor + i).filter(
      (t, _, all) => all.length < 6 || (t - floor) % 2 === 0,
    );
    const box = fitAxes(
      pen,
      layers,
      colours,
      { low: floor, high: top, ticks, format: (v) => brief(10 ** v, 2) },
      { places: lambdaTicks(grown), label: "\u03bb" },
    );
    const width = (box.right - box.left) / Math.max(1, grown.total),
      bar = Math.max(1, Math.min(10, 0.7 * width));
    for (let k = 0; k < K; k++) {
      const x = box.left + growthPlace(grown, k) * (box.right - box.left),
        sure = gaps[k] <= tol;
      const y = box.at(Math.max(floor, Math.log10(Math.max(gaps[k], 10 ** floor))));
      pen.rect(
        Math.min(x, box.right - bar),
        Math.min(y, box.bottom - 2),
        bar,
        Math.max(2, box.bottom - y),
        sure ? colours.good : colours.warn,
      );
    }
    pen.line(box.left, box.at(Math.log10(tol)), box.right, box.at(Math.log10(tol)), colours.fg, { dash: [4, 3] });
    pen.text(`tolerance ${brief(tol, 2)}`, box.right, box.at(Math.log10(tol)) - 8, colours.fg, {
      align: "right",
      size: 10.5,
    });
  },
};

/** @param {Numbers} values */
export function largestOf(values) {
  let most = 0;
  for (let i = 0; i < values.length; i++) if (values[i] > most) most = values[i];
  return most;
}
