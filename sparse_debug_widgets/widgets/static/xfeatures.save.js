// Files of the x-feature panel: numbers, pictures.

import { csvField } from "./kit.js";
import { dotted } from "./parts.js";
import { layerName, pictureCaption } from "./xfeatures.cards.js";
import { BASELINE } from "./xfeatures.data.js";
/** @import { XCards, XScene } from "./xfeatures.cards.js" */
/** @import { XTable } from "./xfeatures.table.js" */

/** One line for each picture: classes, score, and what every x-feature contributes. @param {XScene} scene */
export function xCsv({ sheet, names, order, selected }) {
  const layers = sheet.layers.slice(1), number = (/** @type {number} */ value) => (Number.isFinite(value) ? Number(value.toPrecision(7)) : "");
  const head = ["picture", "label", "prediction", "selected", "score", "reconstructed", "bias", ...layers.map((h) => `contribution ${layerName(h, names)}`), ...layers.map((h) => `mass ${layerName(h, names)}`)];
  const lines = order.map((row) => [row, sheet.value.labels[row], sheet.value.predictions[row], selected.has(row) ? 1 : 0, number(sheet.scores[row]), number(sheet.reconstructed[row]), number(sheet.value.bias),
    ...layers.map((h) => number(sheet.contribution(row, h))), ...layers.map((h) => number(sheet.mass[row * sheet.n + h]))]);
  return [head, ...lines].map((line) => line.map(csvField).join(",")).join("\r\n");
}

/**
 * Pictures with captions for a PNG file: all maps of the selected pictures, or the gallery as it is.
 * @param {XScene} scene
 * @param {XCards} cards
 * @param {XTable} table
 */
export function xPictures(scene, cards, table) {
  const { sheet, names, order, display } = scene;
  if (scene.selected.size === 0) {
    return { columns: 8, items: order.map((row) => ({ canvas: cards.cards[row].canvas, caption: dotted(cards.cards[row].value.textContent ?? "", pictureCaption(sheet, row)) })) };
  }
  const caption = (/** @type {number} */ row, /** @type {number | null} */ h) => (h === null ? pictureCaption(sheet, row) : h === BASELINE ? "1-heatmap" : `${layerName(h, names)}: ${sheet.said(row, h, display.numbers)}`);
  const items = table.cells.map(({ row, h, canvas }) => ({ canvas, caption: caption(row, h) }));
  return { columns: items.length / scene.selected.size, items };
}
