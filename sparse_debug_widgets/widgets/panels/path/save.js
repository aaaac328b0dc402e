// Files of the Path panel, made in the page.

import { brief } from "../../kit/draw.js";
import { isolate } from "../../kit/kit.js";
import { chartsToPng, chartsToSvg } from "../../kit/stills.js";
import { CHARTS, PAINTERS } from "./charts.js";

/** @import { Makers } from "../../kit/files.js" */
/** @import { Above, Chart } from "../../kit/stills.js" */
/** @import { PathView } from "./view.js" */

const MOST_NAMED = 12;

/** Which features are silenced, in a sentence; empty for none. @param {PathView} view */
function silencedInWords({ head, live: { silenced } }) {
  const names = silenced
    .slice(0, MOST_NAMED)
    .map(([j, c]) => `${isolate(head.features[j])}${c < 0 ? "" : ` for ${isolate(head.shortClasses[c])}`}`);
  const more = silenced.length - names.length;
  return names.length ? `Silenced: ${names.join(", ")}${more ? ` and ${more} more` : ""}.` : "";
}

/** @param {PathView} view @returns {Above} */
function above(view) {
  const { head, colours, shown, mine } = view,
    { splits } = view.parts.switches;
  const scores = splits.flatMap(({ label }, s) =>
    shown[s]
      ? [
          {
            colour: colours[/** @type {"train" | "validation" | "test"} */ (["train", "validation", "test"][s])],
            text: label.textContent ?? "",
          },
        ]
      : [],
  );
  return {
    title: `Regularisation path: ${isolate(head.shortClasses[view.row])}`,
    lines: [
      view.sentence(),
      silencedInWords(view),
      mine && view.showMine ? `Also measured on ${isolate(mine.name)}.` : "",
    ].filter(Boolean),
    legend: [
      { colour: colours.raises, text: head.about.raises },
      { colour: colours.lowers, text: head.about.lowers },
      ...scores,
    ],
    ink: colours,
  };
}

/** @param {PathView} view @returns {Chart[]} */
function charts(view) {
  const { head, parts, row, strongest } = view,
    scene = { ...view.scene(), feature: -1 };
  return CHARTS.map((name) => {
    const painter = PAINTERS[name],
      layers = parts.layers[name],
      own = name === "paths" || name === "bars";
    return {
      layers,
      title: own ? `${painter.title(head)}: ${isolate(head.shortClasses[row])}` : painter.title(head),
      paint: (pen) => {
        painter.still(pen, layers, scene);
        painter.moving(pen, layers, scene, strongest);
      },
    };
  });
}

/** The weights of the class, one feature a line, one lambda a column; first what is silenced. @param {PathView} view */
function table(view) {
  const { head, curves, row } = view;
  if (!curves) return [];
  const quiet = new Set(view.live.silenced.filter(([, c]) => c < 0 || c === row || head.shared).map(([j]) => j));
  return [
    ["feature", "silenced", "enters_at", "dense", ...Array.from(head.lambdas, (value) => `lambda=${value}`)],
    ...Array.from(curves.ranked, (j) => [
      head.features[j],
      quiet.has(j),
      curves.starts[j],
      curves.dense ? curves.dense[j] : "",
      ...Array.from(head.lambdas, (_, i) => Number(curves.at(j, i).toPrecision(5))),
    ]),
  ];
}

/** @param {PathView} view @returns {Makers} */
export const pathFiles = (view) => ({
  name: () => ["path", view.head.shortClasses[view.row], "lambda", brief(view.head.lambdas[view.index])],
  picture: () => chartsToPng(charts(view), above(view)),
  drawing: () => chartsToSvg(charts(view), above(view)),
  table: () => table(view),
});
