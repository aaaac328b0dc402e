// Files of the Saliency panel.

import { brief } from "../../kit/draw.js";
import { picturesToPng } from "../../shared/pictures.js";

/** @import { Makers } from "../../kit/files.js" */
/** @import { HeatMaps } from "../../shared/heat.js" */
/** @import { SaliencyView } from "./view.js" */

/** @param {SaliencyView} view */
function picture({ sweep, grid, display, parts, colours }) {
  const ratio = sweep.sheet?.value.ratios[sweep.index] ?? NaN;
  const swept = [...sweep.grid.querySelectorAll("figure")].flatMap((figure) => {
    const canvas = figure.querySelector("canvas");
    return canvas
      ? [
          {
            canvas,
            caption: `\u03bb\u2081 = ${brief(ratio, 2)} \u2016g\u2016\u221e: ${figure.querySelector("b")?.textContent}`,
          },
        ]
      : [];
  });
  const items = [...grid.items, ...swept],
    columns = Math.max(1, grid.root.querySelector(".sdw-maps-cells")?.children.length ?? swept.length);
  const d = parts.display,
    capped =
      "Each map is capped at its percentile " +
      `${brief(display.percentile)}${display.together ? ", on one scale for each method" : ""}.`;
  const bar = { canvas: d.bar, low: d.low.textContent ?? "", high: d.high.textContent ?? "" };
  return picturesToPng(items, {
    columns,
    title: `Saliency: ${parts.about.textContent}`,
    lines: [capped],
    smooth: display.smooth,
    colours,
    bar,
  });
}

/** All values: one line a place of a map; below it the sweep's table. @param {SaliencyView} view */
function table(view) {
  const { sheet } = view.grid,
    lines = [];
  if (sheet) {
    const held = sheet.cells.flatMap((cell, c) =>
      sheet.maps[c] ? [{ cell, maps: /** @type {HeatMaps} */ (sheet.maps[c]), row: sheet.rows[cell.row] }] : [],
    );
    const columns = held.map(({ maps }) => maps.values(0, true)),
      sizes = held.map(({ maps }) => maps.values(0, false).map(Math.abs));
    lines.push([
      "y",
      "x",
      "word",
      ...held.flatMap(({ cell, row }) =>
        [`${cell.method} ${row.model} ${row.targetName}`, `|${cell.method}| ${row.model} ${row.targetName}`].map(
          (text) => text.trim(),
        ),
      ),
    ]);
    const words = sheet.rows[0]?.words ?? [];
    for (let i = 0; i < sheet.height * sheet.width; i++) {
      lines.push([
        Math.floor(i / sheet.width),
        i % sheet.width,
        words[i] ?? "",
        ...columns.flatMap((values, c) => [Number(values[i].toPrecision(5)), Number(sizes[c][i].toPrecision(5))]),
      ]);
    }
  }
  const sweep = view.sweep.table();
  return [...lines, ...(lines.length && sweep.length ? [[""]] : []), ...sweep];
}

/** @param {SaliencyView} view */
function name(view) {
  const methods = /** @type {string[]} */ (view.model.get("typed").methods ?? []);
  const classes = [...new Set((view.grid.sheet?.rows ?? []).map(({ targetName }) => targetName))];
  return ["saliency", "example", String(view.model.get("example")), ...classes.slice(0, 2), ...methods.slice(0, 3)];
}

/** @param {SaliencyView} view @returns {Makers} */
export const saliencyFiles = (view) => ({
  name: () => name(view),
  picture: () => picture(view),
  table: () => table(view),
});
