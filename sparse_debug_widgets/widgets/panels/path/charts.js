// The four charts of the Path panel. Each has a part that stays during a drag and a part that moves.

import { brief, roundTicks } from "../../kit/draw.js";
import { capital } from "../../kit/kit.js";
import { nearestOf, SPLITS } from "../../shared/curves.js";

/** @import { ClassCurves, PathHead } from "../../shared/curves.js" */
/** @import { Box, CanvasPen, Stroke, SvgPen } from "../../kit/draw.js" */
/** @import { Numbers } from "../../kit/wire.js" */

/**
 * @typedef {CanvasPen | SvgPen} Pen
 * @typedef {Record<"bg"
 *   | "fg" | "muted" | "grid" | "faint" | "raises" | "lowers" | "accent" | "pin" | "warn" | "good" | "train" |
 *   "validation" | "test", string> & {series: string[], font: string}} Colours
 * @typedef {{
 *   head: PathHead, curves: ClassCurves | null, index: number, row: number, pinned: number, feature: number,
 *   silenced: number[][], shown: boolean[], dense: boolean, root: boolean, colours: Colours,
 * slots: Map<number, number>, order: number[], mine: Mine | null, along: Along | null, showMine: boolean, first:
 * number,
 * }} Scene
 * @typedef {{name: string, n: number, own: number, scores: Numbers}} Mine what every layer scores on the panel's data
 * @typedef {{width: number, height: number}} Size
 */

const SPLIT_DASHES = [[6, 3], [], [2, 3]];
const MINE_DASH = [8, 3, 2, 3];
const AGAIN_DASH = [4, 3];

/** Scores of every layer with features silenced, as far as they are known; one is measured exactly. */
export class Along {
  /**
   * @param {string} key what is silenced
   * @param {Numbers | null} scores
   * @param {number} index
   * @param {number} exact
   * @param {number} mean
   */
  constructor(key, scores, index, exact, mean) {
    this.key = key;
    this.scores = scores;
    this.index = index;
    this.exact = exact;
    this.mean = mean;
  }

  /** @param {number} i */
  at(i) {
    return i === this.index ? this.exact : this.scores ? this.scores[i] : NaN;
  }
}

/**
 * Colours of the features on show: each keeps its own for as long as it is shown, so that a line does not change
 * its colour in the middle of a drag. The second eight have the same colours, dashed.
 */
export class ColourSlots {
  constructor() {
    /** @type {Map<number, number>} */
    this.of = new Map();
  }

  /** @param {number[]} shown */
  assign(shown) {
    const stay = new Set(shown);
    for (const j of this.of.keys()) if (!stay.has(j)) this.of.delete(j);
    const taken = new Set(this.of.values());
    for (const j of shown) {
      if (this.of.has(j)) continue;
      let slot = 0;
      while (taken.has(slot)) slot++;
      taken.add(slot);
      this.of.set(j, slot);
    }
  }
}

/** @param {Scene} scene @param {number} j */
function colourOf({ slots, colours }, j) {
  const slot = slots.get(j);
  return slot === undefined ? colours.faint : colours.series[slot % colours.series.length];
}

/** Is it one of the second eight? @param {Scene} scene @param {number} j */
const secondOf = ({ slots, colours }, j) => (slots.get(j) ?? 0) >= colours.series.length;

/** @param {Scene} scene @param {number} j */
export function isSilenced({ silenced, row, head }, j) {
  return silenced.some(([feature, of]) => feature === j && (of < 0 || of === row || head.shared));
}

/** The x axis of counts: even steps for doublings, and a place for zero. @param {number} n */
const countPlace = (n) => Math.log2(1 + n);

/** @param {number} most */
function countTicks(most) {
  const all = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000];
  const ticks = all.filter((n) => n <= most);
  return ticks.length > 7
    ? ticks.filter((n, k) => n === 0 || String(n).startsWith("1") || k === ticks.length - 1)
    : ticks;
}

/**
 * The line that a person drags: full when current, dashed when pinned, a short flag for the 5-point rule.
 * @param {Pen} pen @param {number} x @param {Box} box @param {Colours} colours
 */
function dragLine(pen, x, box, colours) {
  pen.line(x, box.top - 4, x, box.bottom, colours.fg, { width: 1.75 });
  pen.dot(x, box.top - 4, 4.5, colours.fg, colours.bg);
}

/** Coefficient paths of the class: log lambda to the right, standardised weight upwards. */
export const pathsChart = {
  title: () => "Coefficient paths",

  /** @param {Size} size @returns {Box} */
  box({ width, height }) {
    return { left: 46, top: 22, right: width - 14, bottom: height - 44 };
  },

  /** @param {Scene} scene @param {Box} box @returns {(v: number) => number} */
  yScale({ curves, root }, box) {
    const bend = root
      ? (/** @type {number} */ v) => Math.sign(v) * Math.sqrt(Math.abs(v))
      : (/** @type {number} */ v) => v;
    const low = bend(curves?.low ?? 0),
      high = bend(curves?.high ?? 0);
    const span = high - low || 1,
      floor = high > low ? low : -0.5;
    return (v) => box.bottom - 4 - ((bend(v) - floor) / span) * (box.bottom - box.top - 8);
  },

  /** @param {Scene} scene @param {Box} box */
  xs({ head }, box) {
    return Float64Array.from(head.places, (place) => box.left + place * (box.right - box.left));
  },

  /** @param {Pen} pen @param {Size} size @param {Scene} scene */
  still(pen, size, scene) {
    const { head, curves, colours } = scene,
      box = this.box(size),
      y = this.yScale(scene, box),
      xs = this.xs(scene, box);
    this.axes(pen, box, scene, xs, y);
    pen.text(`weight: ${head.about.weightUnit}`, box.left, 6, colours.muted, { size: 10, max: box.right - box.left });
    if (!curves) return;
    pen.clipped(box, () => {
      const ys = new Float64Array(head.K);
      const thin = curves.ranked.length > 300 ? 0.6 : 1,
        alpha = curves.ranked.length > 300 ? 0.45 : 0.7;
      for (let place = curves.ranked.length - 1; place >= 0; place--) {
        const j = curves.ranked[place],
          begin = Math.max(0, curves.starts[j] - 1);
        for (let i = begin; i < head.K; i++) ys[i] = y(curves.at(j, i));
        pen.curve(xs.subarray(begin), ys.subarray(begin), head.K - begin, colours.faint, { width: thin, alpha });
      }
    });
    this.certificates(pen, box, scene, xs);
  },

  /**
   * @param {Pen} pen
   * @param {Box} box
   * @param {Scene} scene
   * @param {Float64Array} xs
   * @param {(v: number) => number} y
   */
  axes(pen, box, { head, curves, colours, root }, xs, y) {
    const low = curves?.low ?? 0,
      high = curves?.high ?? 0;
    let ticks = roundTicks(low, high, 5);
    if (root) ticks = ticks.concat(roundTicks(low / 10, high / 10, 4)).sort((a, b) => a - b);
    let last = Infinity;
    for (const tick of ticks) {
      const at = y(tick);
      if (last - at < 14 && tick !== 0) continue;
      last = at;
      pen.line(box.left, at, box.right, at, tick === 0 ? colours.muted : colours.grid, {
        width: tick === 0 ? 1.25 : 1,
      });
      pen.text(brief(tick), box.left - 6, at, colours.muted, { align: "right" });
    }
    const from = Math.log10(head.lambdas[head.K - 1]),
      to = Math.log10(head.lambdas[0]);
    const steps = to - from > 2.5 ? [1] : to - from > 0.8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
    let end = -Infinity;
    for (let power = Math.ceil(to); power >= Math.floor(from) - 1; power--) {
      for (const step of [...steps].reverse()) {
        const value = step * 10 ** power,
          place = (to - Math.log10(value)) / (to - from || 1);
        if (!(place >= -1e-9 && place <= 1 + 1e-9) || head.K < 2) continue;
        const x = box.left + place * (box.right - box.left);
        pen.line(x, box.top, x, box.bottom, colours.grid);
        if (x - end > 34) {
          pen.text(brief(value), x, box.bottom + 13, colours.muted, { align: "center" });
          end = x;
        }
      }
    }
    const middle = (box.left + box.right) / 2,
      wide = box.right - box.left > 300;
    pen.text(
      wide ? "\u03bb (log scale): sparse on the left, dense on the right" : "\u03bb: sparse \u2192 dense",
      middle,
      box.bottom + 33,
      colours.muted,
      { align: "center" },
    );
    if (xs.length && head.about.rule >= 0) ruleMark(pen, xs[head.about.rule], box, colours, head.about.ruleName);
  },

  /**
   * A strip under the curves: which lambdas are certified.
   * @param {Pen} pen
   * @param {Box} box
   * @param {Scene} scene
   * @param {Float64Array} xs
   */
  certificates(pen, box, { head, colours }, xs) {
    for (let i = 0; i < head.K; i++) {
      const left = i ? (xs[i - 1] + xs[i]) / 2 : xs[0],
        right = i < head.K - 1 ? (xs[i] + xs[i + 1]) / 2 : xs[i];
      const sure = head.certified[i] !== 0;
      pen.rect(left, box.bottom + 1, Math.max(0.75, right - left), sure ? 2 : 5, sure ? colours.good : colours.warn);
    }
  },

  /** @param {Pen} pen @param {Size} size @param {Scene} scene @param {number[]} strongest */
  moving(pen, size, scene, strongest) {
    const { head, curves, colours, index, pinned, feature } = scene,
      box = this.box(size),
      y = this.yScale(scene, box);
    const at = (/** @type {number} */ i) => box.left + head.places[i] * (box.right - box.left);
    if (curves) {
      const xs = this.xs(scene, box),
        ys = new Float64Array(head.K);
      const trace = (/** @type {number} */ j) => {
        const begin = Math.max(0, Math.min(curves.starts[j], head.K) - 1);
        for (let i = begin; i < head.K; i++) ys[i] = y(curves.at(j, i));
        return begin;
      };
      // What is in use now has a colour; what is not is grey, under it.
      for (let k = strongest.length - 1; k >= 0; k--) {
        const j = strongest[k],
          begin = trace(j);
        pen.curve(xs.subarray(begin), ys.subarray(begin), head.K - begin, colourOf(scene, j), {
          width: 1.75,
          dash: secondOf(scene, j) ? AGAIN_DASH : [],
        });
      }
      if (feature >= 0) {
        const begin = trace(feature);
        pen.curve(xs.subarray(begin), ys.subarray(begin), head.K - begin, colours.bg, { width: 6 });
        pen.curve(
          xs.subarray(begin),
          ys.subarray(begin),
          head.K - begin,
          scene.slots.has(feature) ? colourOf(scene, feature) : colours.fg,
          { width: 3 },
        );
      }
    }
    const range = curves?.entries.get(feature);
    if (range) {
      // Between these places it enters; where the second is none of the path's, it need not enter at all.
      const [may, must] = range,
        zero = y(0),
        colour = scene.slots.has(feature) ? colourOf(scene, feature) : colours.fg;
      const first = at(may),
        last = must < head.K ? at(must) : box.right;
      pen.line(first, zero, last, zero, colour, { width: 3, alpha: 0.55 });
      for (const end of must < head.K ? [first, last] : [first])
        pen.line(end, zero - 6, end, zero + 6, colour, { width: 2 });
    }
    if (pinned >= 0) {
      pen.line(at(pinned), box.top, at(pinned), box.bottom, colours.pin, { dash: [5, 4], width: 1.5 });
      pen.text("pinned", at(pinned) + (head.places[pinned] > 0.85 ? -5 : 5), box.bottom - 9, colours.pin, {
        align: head.places[pinned] > 0.85 ? "right" : "left",
      });
    }
    dragLine(pen, at(index), box, colours);
    if (curves)
      for (const j of strongest)
        pen.dot(at(index), y(curves.at(j, index)), j === feature ? 4.5 : 3, colourOf(scene, j), colours.bg);
  },

  /** @param {Scene} scene @param {Size} size @param {number} x @param {number} [_] */
  indexAt({ head }, size, x, _ = 0) {
    const box = this.box(size);
    return head.nearest((x - box.left) / (box.right - box.left));
  },

  /**
   * The curve next to a point, -1 if none is near.
   * @param {Scene} scene
   * @param {Size} size
   * @param {number} x
   * @param {number} yPixel
   */
  featureAt(scene, size, x, yPixel) {
    const { curves, head } = scene,
      box = this.box(size);
    if (!curves || x < box.left - 4 || x > box.right + 4) return -1;
    const y = this.yScale(scene, box),
      place = (x - box.left) / (box.right - box.left),
      i = head.nearest(place);
    const other = Math.max(0, Math.min(head.K - 1, i + (place > head.places[i] ? 1 : -1)));
    const gap = head.places[other] - head.places[i],
      t = gap ? (place - head.places[i]) / gap : 0;
    let best = -1,
      distance = 12;
    for (const j of curves.ranked) {
      const d = Math.abs(y(curves.at(j, i)) * (1 - t) + y(curves.at(j, other)) * t - yPixel);
      if (d < distance && (curves.at(j, i) !== 0 || curves.at(j, other) !== 0)) {
        best = j;
        distance = d;
      }
    }
    return best;
  },
};

/** @param {Pen} pen @param {number} x @param {Box} box @param {Colours} colours @param {string} name */
function ruleMark(pen, x, box, colours, name) {
  pen.line(x, box.top, x, box.bottom, colours.accent, { dash: [1, 3], width: 1.5 });
  const left = x > (box.left + box.right) / 2;
  pen.text(name, x + (left ? -5 : 5), box.top + 6, colours.accent, { align: left ? "right" : "left", size: 10 });
}

/** Accuracy against sparsity: features per class to the right, accuracy upwards. */
const accuracyChart = {
  title: (/** @type {PathHead} */ head) => `${capital(head.about.score)} and sparsity`,

  /** @param {Size} size @returns {Box} */
  box({ width, height }) {
    return { left: 46, top: 14, right: width - 14, bottom: height - 36 };
  },

  /** @param {Scene} scene @param {Box} box */
  scales({ head, shown, mine, along, showMine }, box) {
    let low = Infinity,
      high = -Infinity;
    const reach = (/** @type {number} */ v) => {
      if (Number.isFinite(v)) {
        low = Math.min(low, v);
        high = Math.max(high, v);
      }
    };
    for (let s = 0; s < 3; s++) {
      if (!shown[s]) continue;
      for (let i = 0; i < head.K; i++) reach(head.accuracy(i, s));
      reach(head.denseAccuracies[s]);
    }
    if (mine && showMine) {
      for (let i = 0; i < head.K; i++) reach(mine.scores[i]);
      for (let i = 0; along && i < head.K; i++) reach(along.at(i));
      reach(mine.own);
    }
    if (low > high) [low, high] = [0, 1];
    const pad = (high - low || 0.1) * 0.06,
      floor = low - pad,
      span = high - low + 2 * pad;
    const most = Math.max(1, ...head.means);
    return {
      low,
      high,
      most,
      x: (/** @type {number} */ n) => box.left + (countPlace(n) / countPlace(most)) * (box.right - box.left),
      y: (/** @type {number} */ v) => box.bottom - ((v - floor) / span) * (box.bottom - box.top),
    };
  },

  /** @param {Pen} pen @param {Size} size @param {Scene} scene */
  still(pen, size, scene) {
    const { head, colours, shown } = scene,
      box = this.box(size),
      { low, high, most, x, y } = this.scales(scene, box);
    for (const tick of roundTicks(low, high, 4)) {
      pen.line(box.left, y(tick), box.right, y(tick), colours.grid);
      pen.text(head.about.percent ? `${brief(100 * tick)} %` : brief(tick), box.left - 6, y(tick), colours.muted, {
        align: "right",
      });
    }
    for (const tick of countTicks(most)) {
      pen.line(x(tick), box.top, x(tick), box.bottom, colours.grid);
      pen.text(String(tick), x(tick), box.bottom + 12, colours.muted, { align: "center" });
    }
    pen.text(`features per ${head.about.one} (mean)`, (box.left + box.right) / 2, box.bottom + 28, colours.muted, {
      align: "center",
    });
    const xs = Float64Array.from(head.means, x);
    for (let s = 0; s < 3; s++) {
      if (!shown[s]) continue;
      const colour = colours[SPLITS[s]],
        dense = head.denseAccuracies[s];
      if (Number.isFinite(dense) && scene.dense)
        pen.line(box.left, y(dense), box.right, y(dense), colour, { dash: [1, 4], width: 1.25 });
      const known = Array.from(head.places.keys()).filter((i) => Number.isFinite(head.accuracy(i, s)));
      pen.curve(
        known.map((i) => xs[i]),
        known.map((i) => y(head.accuracy(i, s))),
        known.length,
        colour,
        { width: 2, dash: SPLIT_DASHES[s] },
      );
    }
    const { mine, along } = scene;
    if (mine && scene.showMine) {
      const own = colours.series[3],
        draw = (/** @type {(i: number) => number} */ of, /** @type {Stroke} */ stroke) => {
          const known = Array.from(head.places.keys()).filter((i) => Number.isFinite(of(i)));
          pen.curve(
            known.map((i) => xs[i]),
            known.map((i) => y(of(i))),
            known.length,
            own,
            stroke,
          );
        };
      if (Number.isFinite(mine.own) && scene.dense)
        pen.line(box.left, y(mine.own), box.right, y(mine.own), own, { dash: [1, 4], width: 1.25 });
      draw((i) => mine.scores[i], { width: 2, dash: MINE_DASH, alpha: along ? 0.55 : 1 });
      if (along) draw((i) => along.at(i), { width: 2.5 });
    }
    if (head.about.rule >= 0) ruleMark(pen, xs[head.about.rule], box, colours, head.about.ruleName);
  },

  /** @param {Pen} pen @param {Size} size @param {Scene} scene */
  moving(pen, size, scene) {
    const { head, colours, shown, index, pinned } = scene,
      box = this.box(size),
      { x, y } = this.scales(scene, box);
    if (pinned >= 0)
      pen.line(x(head.means[pinned]), box.top, x(head.means[pinned]), box.bottom, colours.pin, {
        dash: [5, 4],
        width: 1.5,
      });
    dragLine(pen, x(head.means[index]), box, colours);
    for (let s = 0; s < 3; s++) {
      const value = head.accuracy(index, s);
      if (shown[s] && Number.isFinite(value))
        pen.dot(x(head.means[index]), y(value), 4, colours[SPLITS[s]], colours.bg);
    }
    const { mine, along } = scene,
      own = along ? along.at(index) : mine ? mine.scores[index] : NaN;
    if (mine && scene.showMine && Number.isFinite(own))
      pen.dot(x(head.means[index]), y(own), 4.5, colours.series[3], colours.bg);
  },

  /** @param {Scene} scene @param {Size} size @param {number} pixel @param {number} [_] */
  indexAt(scene, size, pixel, _ = 0) {
    const { x } = this.scales(scene, this.box(size));
    return nearestOf(Array.from(scene.head.means, x), pixel, scene.index);
  },
};

/** The strongest features of the layer as signed bars. */
export const barsChart = {
  title: () => "Strongest features",

  /** @param {Size} size */
  geometry({ width, height }) {
    const rows = Math.max(3, Math.floor((height - 22) / 22)),
      name = Math.min(170, Math.max(70, width * 0.34));
    return { rows, rowHeight: 22, top: 4, name, left: name + 16, right: width - 58, value: width - 6 };
  },

  /** @param {Scene} scene @param {number[]} strongest */
  reach({ curves, index, pinned, dense }, strongest) {
    let most = 0;
    for (const j of strongest) {
      most = Math.max(most, Math.abs(curves?.at(j, index) ?? 0));
      if (pinned >= 0) most = Math.max(most, Math.abs(curves?.at(j, pinned) ?? 0));
      if (dense && curves?.dense) most = Math.max(most, Math.abs(curves.dense[j]));
    }
    return most || 1;
  },

  /** @param {Pen} pen @param {Size} size @param {Scene} scene */
  still(pen, size, { colours, head }) {
    const { left, right, top, rows, rowHeight } = this.geometry(size),
      zero = (left + right) / 2,
      bottom = top + rows * rowHeight;
    pen.line(zero, top, zero, bottom, colours.muted);
    pen.text(head.about.lowers, zero - 6, bottom + 9, colours.lowers, { align: "right", size: 10 });
    pen.text(head.about.raises, zero + 6, bottom + 9, colours.raises, { align: "left", size: 10 });
  },

  /** @param {Pen} pen @param {Size} size @param {Scene} scene @param {number[]} strongest */
  moving(pen, size, scene, strongest) {
    const { head, curves, colours, index, pinned, feature, dense } = scene;
    const { left, right, top, rowHeight, name, value } = this.geometry(size),
      zero = (left + right) / 2;
    if (!curves) return;
    const scale = (right - left) / 2 / this.reach(scene, strongest),
      bound = head.bound(index);
    strongest.forEach((j, k) => {
      const y = top + k * rowHeight,
        weight = curves.at(j, index),
        silent = isSilenced(scene, j);
      const colour = weight < 0 ? colours.lowers : colours.raises;
      if (j === feature) pen.rect(0, y, size.width, rowHeight, colours.grid, { alpha: 0.8 });
      const unsure = Math.abs(weight) <= bound;
      pen.dot(8, y + rowHeight / 2, 3.5, colourOf(scene, j));
      if (secondOf(scene, j)) pen.dot(8, y + rowHeight / 2, 1.5, colours.bg);
      pen.text(
        `${curves.entries.has(j) ? "~ " : ""}${head.shortFeatures[j]}`,
        17,
        y + rowHeight / 2,
        silent ? colours.muted : colours.fg,
        { max: name - 12, strike: silent },
      );
      if (silent)
        pen.rect(zero, y + 4, weight * scale, rowHeight - 8, colours.muted, { outline: true, dash: [3, 3], width: 1 });
      else pen.rect(zero, y + 4, weight * scale, rowHeight - 8, colour, unsure ? { outline: true, width: 1 } : {});
      if (pinned >= 0) {
        const before = curves.at(j, pinned);
        if (before !== 0) pen.rect(zero, y + 2, before * scale, rowHeight - 4, colours.pin, { outline: true });
        else pen.line(zero, y + 2, zero, y + rowHeight - 2, colours.pin, { width: 2 });
      }
      if (dense && curves.dense) {
        pen.diamond(zero + curves.dense[j] * scale, y + rowHeight / 2, 6.5, colours.bg);
        pen.diamond(zero + curves.dense[j] * scale, y + rowHeight / 2, 4.5, colours.fg);
      }
      pen.text(
        silent ? "silenced" : `${unsure ? "? " : ""}${brief(weight)}`,
        value,
        y + rowHeight / 2,
        silent ? colours.muted : colours.fg,
        { align: "right", size: silent ? 10 : 11 },
      );
    });
    if (strongest.some((j) => curves.entries.has(j)))
      pen.text("~ entry not proved", 20, this.geometry(size).rows * rowHeight + top + 9, colours.muted, {
        align: "left",
        size: 10,
      });
    if (strongest.length === 0 && scene.first >= 0) {
      pen.text(`No feature of this ${head.about.one} yet:`, zero, top + 40, colours.muted, { align: "center" });
      pen.text("drag towards the dense end", zero, top + 58, colours.muted, { align: "center" });
    }
  },
};

/** Number of features of each class; a window around the class looked at where there are many. */
export const countsChart = {
  title: (/** @type {PathHead} */ head) => `Features per ${head.about.one}`,

  /** @param {Scene} scene @param {Size} size */
  geometry({ order, row }, { width, height }) {
    const fit = Math.max(3, Math.floor((height - 40) / 17)),
      rows = Math.max(1, Math.min(order.length, fit));
    const first = Math.max(0, Math.min(order.length - rows, Math.max(0, order.indexOf(row)) - Math.floor(rows / 2)));
    const name = Math.min(150, Math.max(70, width * 0.3));
    return {
      rows,
      first,
      rowHeight: Math.min(24, (height - 40) / rows),
      top: 4,
      name,
      left: name + 8,
      right: width - 44,
    };
  },

  /** @param {Scene} scene @param {Size} size */
  scale(scene, size) {
    const { left, right } = this.geometry(scene, size),
      most = countPlace(scene.head.mostCount);
    return (/** @type {number} */ n) => left + (countPlace(n) / most) * (right - left);
  },

  /** @param {Pen} pen @param {Size} size @param {Scene} scene */
  still(pen, size, scene) {
    const { head, colours, row, order } = scene,
      { rows, first, rowHeight, top, name, left, right } = this.geometry(scene, size),
      x = this.scale(scene, size);
    const bottom = top + rows * rowHeight;
    for (const tick of countTicks(head.mostCount)) {
      pen.line(x(tick), top, x(tick), bottom, colours.grid);
      pen.text(String(tick), x(tick), bottom + 10, colours.muted, { align: "center", size: 10 });
    }
    for (let k = 0; k < rows && first + k < order.length; k++) {
      const c = order[first + k],
        chosen = c === row;
      if (chosen) pen.rect(0, top + k * rowHeight, size.width, rowHeight, colours.grid, { alpha: 0.6 });
      pen.text(head.shortClasses[c], 6, top + (k + 0.5) * rowHeight, chosen ? colours.fg : colours.muted, {
        max: name - 8,
        weight: chosen ? "600" : "",
      });
    }
    const all = order.length === head.C ? `${head.C}` : `${order.length} found`;
    const note = rows < head.C ? `${head.about.many} ${first + 1} to ${first + rows} of ${all}` : "number of features";
    pen.text(note, (left + right) / 2, bottom + 26, colours.muted, { align: "center" });
  },

  /** @param {Pen} pen @param {Size} size @param {Scene} scene */
  moving(pen, size, scene) {
    const { head, colours, index, pinned, row, order } = scene,
      { rows, first, rowHeight, top, left } = this.geometry(scene, size),
      x = this.scale(scene, size);
    for (let k = 0; k < rows && first + k < order.length; k++) {
      const c = order[first + k],
        n = head.counts[index * head.C + c],
        y = top + k * rowHeight,
        inset = Math.min(5, rowHeight * 0.2);
      pen.rect(
        left,
        y + inset,
        Math.max(x(n) - left, 1),
        rowHeight - 2 * inset,
        c === row ? colours.accent : colours.faint,
      );
      if (pinned >= 0) {
        const at = x(head.counts[pinned * head.C + c]);
        pen.line(at, y + 1, at, y + rowHeight - 1, colours.pin, { width: 2.5 });
      }
      pen.text(String(n), x(n) + 6, y + rowHeight / 2, c === row ? colours.fg : colours.muted);
    }
  },

  /**
   * Dragging the end of a bar: the lambda at which that class has so many features.
   * @param {Scene} scene
   * @param {Size} size
   * @param {number} pixel
   * @param {number} c
   */
  indexAt(scene, size, pixel, c) {
    const { head } = scene,
      x = this.scale(scene, size);
    const ends = Float64Array.from({ length: head.K }, (_, i) => x(head.counts[i * head.C + c]));
    return nearestOf(ends, pixel, scene.index);
  },

  /** @param {Scene} scene @param {Size} size @param {number} y */
  classAt(scene, size, y) {
    const { rows, first, rowHeight, top } = this.geometry(scene, size),
      k = Math.floor((y - top) / rowHeight);
    return k >= 0 && k < rows ? (scene.order[first + k] ?? -1) : -1;
  },
};

export const CHARTS = /** @type {const} */ (["paths", "bars", "accuracy", "counts"]);
export const PAINTERS = { paths: pathsChart, bars: barsChart, accuracy: accuracyChart, counts: countsChart };
