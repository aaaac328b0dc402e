// Files of the x-feature panel.

import { dotted } from "../../kit/parts.js";
import { picturesToPng } from "../../shared/pictures.js";
import { layerName, pictureCaption } from "./cards.js";
import { BASELINE } from "./sheet.js";

/** @import { Makers } from "../../kit/files.js" */
/** @import { XScene } from "./cards.js" */
/** @import { XFeaturesView } from "./view.js" */

/** One line for each picture: classes, score, and what every x-feature contributes. @param {XScene} scene */
function table({ sheet, names, order, selected }) {
  const layers = sheet.layers.slice(1),
    number = (/** @type {number} */ value) => (Number.isFinite(value) ? Number(value.toPrecision(7)) : NaN);
  const head = [
    "picture",
    "label",
    "prediction",
    "selected",
    "score",
    "reconstructed",
    "bias",
    ...layers.map((h) => `contribution ${layerName(h, names)}`),
    ...layers.map((h) => `mass ${layerName(h, names)}`),
  ];
  const lines = order.map((row) => [
    row,
    sheet.value.labels[row],
    sheet.value.predictions[row],
    selected.has(row),
    number(sheet.scores[row]),
    number(sheet.reconstructed[row]),
    number(sheet.value.bias),
    ...layers.map((h) => number(sheet.contribution(row, h))),
    ...layers.map((h) => number(sheet.mass[row * sheet.n + h])),
  ]);
  return [head, ...lines];
}

/** All maps of the selected pictures, or the gallery as it is. @param {XFeaturesView} view */
function pictures({ scene, cards, table: compared }) {
  const { sheet, names, order, display } = scene;
  if (scene.selected.size === 0) {
    return {
      columns: 8,
      items: order.map((row) => ({
        canvas: cards.cards[row].canvas,
        caption: dotted(cards.cards[row].value.textContent ?? "", pictureCaption(sheet, row)),
      })),
    };
  }
  const caption = (/** @type {number} */ row, /** @type {number | null} */ h) =>
    h === null
      ? pictureCaption(sheet, row)
      : h === BASELINE
        ? "1-heatmap"
        : `${layerName(h, names)}: ${sheet.said(row, h, display.numbers)}`;
  const items = compared.cells.map(({ row, h, canvas }) => ({ canvas, caption: caption(row, h) }));
  return { columns: items.length / scene.selected.size, items };
}

/** @param {XFeaturesView} view */
function picture(view) {
  if (!view.sheet) return Promise.resolve(null);
  const { items, columns } = pictures(view),
    { parts, display, colours } = view,
    d = parts.display,
    { names } = view.scene;
  const on = view.shown.map((/** @type {number} */ h) => (h === BASELINE ? "1-heatmap" : layerName(h, names)));
  const lines = [on.length ? `Maps over all pictures: ${on.join(", ")}.` : ""].filter(Boolean);
  const bar = d.legend.hidden ? null : { canvas: d.bar, low: d.low.textContent ?? "", high: d.high.textContent ?? "" };
  return picturesToPng(items, {
    columns,
    title: `x-features: ${parts.about.textContent}`,
    lines,
    smooth: display.smooth,
    colours,
    bar,
  });
}

/** @param {XFeaturesView} view @returns {Makers} */
export const xfeaturesFiles = (view) => ({
  name: () => ["x-features", view.sheet?.value.className ?? "class"],
  picture: () => picture(view),
  table: () => (view.sheet ? table(view.scene) : []),
});
