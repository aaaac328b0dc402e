// Files of the Features panel.

import { brief, CanvasPen } from "../../kit/draw.js";
import { isolate, make, oneLine } from "../../kit/kit.js";
import { signed } from "../../shared/features/card.js";

/** @import { Makers } from "../../kit/files.js" */
/** @import { FeaturesView } from "./view.js" */
/** @import { FeatureList, FeatureRow } from "./rows.js" */

const TILE = 96,
  GAP = 10,
  LINE = 18,
  WIDTH = 1000,
  MOST_SENTENCES = 3,
  MOST_ROWS = 60;

/** The lists on show, with what stands in them. @param {FeaturesView} view */
const lists = (view) => view.lists.filter(({ root }) => !root.hidden).map((list) => ({ list, rows: rowsOf(list) }));

/** @param {FeatureList} list @returns {FeatureRow[]} */
const rowsOf = (list) => list.features.flatMap((j) => list.rows.get(j) ?? []);

/** @param {FeaturesView} view @param {FeatureRow} row */
function about(view, row) {
  const name = oneLine(view.head.features[row.feature], 80),
    [sparse, dense] = weights(view, row.feature);
  const quiet = row.root.classList.contains("sdw-silent") ? ", silenced" : "";
  return (
    `${row.rank.textContent}. ${isolate(name)}: weight ` +
    `${signed(sparse)}${view.head.about.dense ? `, in the dense layer ${signed(dense)}` : ""}${quiet}`
  );
}

/**
 * Weights of a feature in the sparse layer that is looked at and in the dense one.
 * @param {FeaturesView} view
 * @param {number} j
 */
function weights({ curves, index }, j) {
  return [curves ? curves.at(j, index) : NaN, curves?.dense ? curves.dense[j] : NaN];
}

/**
 * Rows as one picture: name and weights, then pictures or sentences.
 * @param {FeaturesView} view
 * @returns {Promise<Blob | null>}
 */
async function picture(view) {
  /** @type {((pen: CanvasPen, context: CanvasRenderingContext2D) => void)[]} */
  const steps = [];
  const colours = view.coloursOf(view.parts.root, ["muted"]);
  let y = GAP;
  /** @param {string} text @param {{size?: number, weight?: string, x?: number}} [style] */
  const said = (text, { size = 12, weight = "", x = GAP } = {}) => {
    const at = y + LINE / 2;
    steps.push((pen) => pen.text(text, x, at, colours.fg, { size, weight, max: WIDTH - x - GAP }));
    y += LINE;
  };
  said(`Features of ${isolate(view.head.shortClasses[view.row])}`, { size: 15, weight: "600" });
  said(view.parts.where.textContent ?? "");
  said("Orange raises, blue lowers; activations in standard deviations.");
  for (const { list, rows } of lists(view)) {
    y += GAP;
    said(list.title.textContent ?? "", { size: 13, weight: "600" });
    for (const row of rows.slice(0, MOST_ROWS)) {
      said(about(view, row), { weight: "600" });
      const pictures = [...row.found.querySelectorAll("canvas")].slice(0, Math.floor((WIDTH - GAP) / (TILE + GAP)));
      const top = y;
      pictures.forEach((canvas, k) => {
        steps.push((_, context) =>
          context.drawImage(canvas, GAP + k * (TILE + GAP), top, TILE, TILE * (canvas.height / canvas.width)),
        );
      });
      if (pictures.length) y += Math.max(...pictures.map(({ width, height }) => TILE * (height / width))) + GAP;
      const sentences = [...row.found.querySelectorAll(".sdw-sentences .sdw-example")].slice(0, MOST_SENTENCES);
      for (const sentence of sentences) said(oneLine(sentence.textContent ?? "", 200), { x: 2 * GAP });
    }
  }
  const ratio = Math.min(2, Math.max(1, 16_000 / y)),
    canvas = make("canvas", { width: WIDTH * ratio, height: Math.ceil((y + GAP) * ratio) });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(ratio, ratio);
  const pen = new CanvasPen(context, colours.font);
  pen.rect(0, 0, WIDTH, y + GAP, colours.bg);
  for (const step of steps) step(pen, context);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** One line for each feature on show. @param {FeaturesView} view */
function table(view) {
  const head = [
    "layer",
    "rank",
    "feature",
    "name",
    "weight_sparse",
    "weight_dense",
    "silenced",
    "examples",
    "activations",
    "words_that_raise",
    "words_that_lower",
  ];
  return [
    head,
    ...lists(view).flatMap(({ list, rows }) =>
      rows.map((row) => {
        const top = row.facts?.top ?? [],
          cloud = row.facts?.cloud,
          words = (/** @type {any[] | undefined} */ found) => (found ?? []).map(([word]) => word).join(" ");
        return [
          list.layer,
          row.rank.textContent ?? "",
          row.feature,
          view.head.features[row.feature],
          ...weights(view, row.feature),
          row.root.classList.contains("sdw-silent"),
          top.map((item) => item.row).join(" "),
          top.map((item) => brief(item.activation, 4)).join(" "),
          words(cloud?.positive),
          words(cloud?.negative),
        ];
      }),
    ),
  ];
}

/** @param {FeaturesView} view @returns {Makers} */
export const featuresFiles = (view) => ({
  name: () => ["features", view.head.shortClasses[view.row], "lambda", brief(view.head.lambdas[view.index])],
  picture: () => picture(view),
  table: () => table(view),
});
