// The chart of a Debug panel: the share of right answers of each class and group.

import { percentText } from "../../kit/parts.js";

/** @import { Layers } from "../../kit/draw.js" */
/** @import { Pen } from "../../kit/stills.js" */

/** @typedef {{name: string, count: number, stages: number[], now: number}} Share */

const LEFT = 110,
  TOP = 22,
  MOST = 40;

export const sharesChart = {
  /**
   * @param {Pen} pen
   * @param {Layers} layers
   * @param {Share[]} rows
   * @param {number} sparse
   * @param {any} colours
   */
  draw(pen, { width, height }, rows, sparse, colours) {
    const shown = rows.slice(0, MOST),
      step = (height - TOP - 6) / Math.max(1, shown.length),
      room = width - LEFT - 50,
      x = (/** @type {number} */ share) => LEFT + room * share;
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      pen.line(x(share), TOP - 4, x(share), height - 4, colours.grid);
      pen.text(`${100 * share} %`, x(share), TOP - 12, colours.muted, { align: "center", size: 10 });
    }
    shown.forEach((row, k) => {
      const middle = TOP + (k + 0.5) * step,
        thick = Math.min(12, 0.62 * step);
      pen.text(row.name, LEFT - 8, middle, colours.fg, { align: "right", max: LEFT - 12, size: Math.min(11, step) });
      const share = row.stages[sparse];
      if (!Number.isFinite(share)) return;
      pen.rect(LEFT, middle - thick / 2, Math.max(1, x(share) - LEFT), thick, colours.accent, { alpha: 0.85 });
      row.stages.forEach((one, s) => {
        if (s !== sparse)
          pen.line(x(one), middle - thick / 2 - 2, x(one), middle + thick / 2 + 2, colours.fg, { width: 1.5 });
      });
      const best = Number.isFinite(row.now) ? row.now : share;
      if (Number.isFinite(row.now)) pen.diamond(x(row.now), middle, 5, colours.pin);
      pen.text(percentText(best), width - 44, middle, colours.muted, { size: Math.min(11, step) });
    });
  },
};

/** How tall it should be. @param {number} rows */
export const sharesHeight = (rows) => Math.max(90, TOP + 8 + Math.min(MOST, rows) * (rows > 20 ? 13 : 20));
