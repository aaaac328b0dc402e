// Files of the Perturbation panel.

import { brief } from "../../kit/draw.js";
import { oneLine } from "../../kit/kit.js";
import { chartsToSvg } from "../../kit/stills.js";
import { picturesToPng } from "../../shared/pictures.js";
import { drawSteps, STEP_CHARTS } from "./charts.js";
import { classNameOf, frameAt, percent, probabilityAt, stripSentence, supportAt } from "./film.js";

/** @import { Makers } from "../../kit/files.js" */
/** @import { PerturbView } from "./view.js" */

const CHART_TITLES = { losses: "Loss", gaps: "Gap: at most so far from the best", supports: "Values changed" };

/** What was asked for, in a sentence. @param {PerturbView} view */
function asked({ shown }) {
  const strip = shown.grid?.cells[0]?.strip ?? shown.rows[0]?.strip;
  if (!strip) return "";
  const towards = shown.grid ? "drawn" : strip.ascent ? "away from" : "towards";
  return `${towards} ${classNameOf(strip, strip.target)}, ${strip.norm} ball of radius ${brief(strip.eps)}`;
}

/** @param {PerturbView} view */
function picture(view) {
  const { shown, parts, colours } = view,
    grid = shown.grid;
  const items = grid
    ? grid.cells.map(({ canvas, strip }) => ({
        canvas,
        caption: `${oneLine(strip.title, 40)}, ${strip.norm}, seed ${strip.seed}: ${percent(strip.after ?? NaN)}`,
      }))
    : shown.rows.flatMap((row) => {
        const sentence = stripSentence(row.strip, frameAt(row.strip, shown.position));
        return [
          { canvas: row.original, caption: oneLine(row.title, 60) },
          { canvas: row.change, caption: row.caption.textContent ?? "" },
          { canvas: row.mixed, caption: sentence },
        ];
      });
  const columns = grid
    ? Math.max(
        1,
        grid.cells.filter(
          ({ strip }) => strip.norm === grid.cells[0].strip.norm && strip.title === grid.cells[0].strip.title,
        ).length,
      )
    : 3;
  const title = grid ? "What the models draw" : `Perturbation, ${parts.stepText.textContent}`;
  const bar = parts.legend.hidden
    ? null
    : { canvas: parts.bar, low: parts.ends[0].textContent ?? "", high: parts.ends[1].textContent ?? "" };
  return picturesToPng(items, { columns, title, lines: [asked(view)], smooth: false, colours, bar });
}

/** The curves of all steps; concepts have none. @param {PerturbView} view */
function drawing(view) {
  const { shown, parts, colours } = view,
    curves = shown.curves;
  if (shown.grid || !curves.some(({ strip }) => strip.losses)) return null;
  const charts = STEP_CHARTS.map((which) => {
    const layers = parts.layers[which];
    return {
      layers,
      title: CHART_TITLES[which],
      paint: (/** @type {any} */ pen) => void drawSteps(pen, layers, which, curves, colours),
    };
  });
  const legend = curves.map(({ strip, colour }, i) => ({ colour, text: oneLine(strip.title, 40), dashed: i >= 2 }));
  return chartsToSvg(charts, { title: "Perturbation, all steps", lines: [asked(view)], legend, ink: colours });
}

/** Every step of what is shown. @param {PerturbView} view */
function table({ shown }) {
  if (shown.grid) {
    return [
      ["model", "norm", "seed", "eps", "confidence_before", "confidence_after", "support"],
      ...shown.grid.cells.map(({ strip }) => [
        strip.title,
        strip.norm,
        strip.seed ?? "",
        strip.eps,
        strip.before ?? NaN,
        strip.after ?? NaN,
        strip.support,
      ]),
    ];
  }
  return [
    ["model", "norm", "eps", "step", "target", "confidence", "prediction", "loss", "gap", "support"],
    ...shown.rows.flatMap(({ strip, title }) =>
      strip.steps.map((step, k) => [
        title,
        strip.norm,
        strip.eps,
        step,
        classNameOf(strip, strip.target),
        probabilityAt(strip, k, strip.target),
        strip.predictionNames?.[k]?.name ?? "",
        strip.losses?.[step] ?? NaN,
        strip.gaps?.[step] ?? NaN,
        supportAt(strip, k),
      ]),
    ),
  ];
}

/** @param {PerturbView} view */
function name(view) {
  const { shown } = view,
    strip = shown.grid?.cells[0]?.strip ?? shown.rows[0]?.strip;
  if (!strip) return ["perturbation"];
  const target = classNameOf(strip, strip.target);
  if (shown.grid) return ["drawn", target];
  const row = view.model.get("picked")?.number ?? view.model.get("picked")?.row ?? "";
  return [
    "perturbation",
    "example",
    row,
    strip.ascent ? "away-from" : "to",
    target,
    strip.norm,
    "eps",
    brief(strip.eps),
    "step",
    shown.step,
  ];
}

/** @param {PerturbView} view @returns {Makers} */
export const perturbFiles = (view) => ({
  name: () => name(view),
  picture: () => picture(view),
  drawing: () => drawing(view),
  table: () => table(view),
});
