// Files of the Fit panel.

import { brief } from "../../kit/draw.js";
import { isolate, oneLine } from "../../kit/kit.js";
import { chartsToPng, chartsToSvg } from "../../kit/stills.js";
import { gapsChart, growthChart, scoresChart } from "./charts.js";

/** @import { Makers } from "../../kit/files.js" */
/** @import { Above, Chart } from "../../kit/stills.js" */
/** @import { Grown } from "./charts.js" */
/** @import { FitView } from "./view.js" */

/** @param {FitView} view @param {Grown} grown @returns {Chart[]} */
function charts({ colours, parts: { layers }, runs: { rivals } }, grown) {
  return [
    {
      layers: layers.growth,
      title: `Coefficient paths, standardised units, ${oneLine(grown.classes[grown.classIndex] ?? "", 60)}`,
      paint: (pen) => growthChart.draw(pen, layers.growth, grown, colours),
    },
    {
      layers: layers.scores,
      title: `${grown.score} and sparsity`,
      paint: (pen) => scoresChart.draw(pen, layers.scores, grown, rivals, colours),
    },
    {
      layers: layers.gaps,
      title: "Certificates: the duality gap of each lambda",
      paint: (pen) => gapsChart.draw(pen, layers.gaps, grown, colours),
    },
  ];
}

/** @param {FitView} view @param {Grown} grown @returns {Above} */
function above({ colours, runs: { rivals }, parts, model }, grown) {
  return {
    title: `Path fit ${model.get("job").run}`,
    lines: [
      parts.about.textContent ?? "",
      `${grown.K} of ${grown.total} lambdas solved, tolerance ${brief(grown.tol, 2)}`,
    ],
    legend: [
      { colour: colours.accent, text: "this fit" },
      ...rivals.map(({ name, colour }) => ({ colour, text: isolate(oneLine(name, 40)), dashed: true })),
    ],
    ink: colours,
  };
}

/** One line for each lambda. @param {Grown | null} grown */
function table(grown) {
  if (!grown) return [];
  const { K, names } = grown;
  return [
    ["lambda", "features_mean", "score_train", "score_validation", "score_test", "gap", "certified", ...names],
    ...Array.from({ length: K }, (_, k) => [
      grown.lambdas[k],
      grown.means[k],
      ...[0, 1, 2].map((s) => grown.accuracies[3 * k + s]),
      grown.gaps[k],
      grown.gaps[k] <= grown.tol,
      ...names.map((_name, j) => grown.curves[j * K + k]),
    ]),
  ];
}

/** @param {FitView} view @returns {Makers} */
export const fitFiles = (view) => ({
  name: () => [
    "fit",
    view.model.get("job")?.run ?? "",
    view.grown ? (view.grown.classes[view.grown.classIndex] ?? "") : "",
  ],
  picture: async () => (view.grown ? chartsToPng(charts(view, view.grown), above(view, view.grown)) : null),
  drawing: () => (view.grown ? chartsToSvg(charts(view, view.grown), above(view, view.grown)) : null),
  table: () => table(view.grown),
});
