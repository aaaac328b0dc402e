// Files of the Debug panel.

import { isolate } from "../../kit/kit.js";
import { chartsToPng, chartsToSvg } from "../../kit/stills.js";
import { sharesChart } from "./charts.js";

/** @import { Makers } from "../../kit/files.js" */
/** @import { Above, Chart } from "../../kit/stills.js" */
/** @import { DebugView } from "./view.js" */

/** @param {DebugView} view @returns {Chart[]} */
const debugCharts = ({ parts: { layers }, rows, findings, colours }) => [
  {
    layers,
    title: `Share of right answers, ${findings?.about.split ?? ""} examples`,
    paint: (pen) => sharesChart.draw(pen, layers, rows, findings?.about.sparse ?? 0, colours),
  },
];

/** @param {DebugView} view @returns {Above} */
function debugAbove({ findings, colours, repair }) {
  const lines = (findings?.about.sentences ?? []).map(isolate);
  if (repair && findings) lines.push(isolate(findings.repairWords(repair)));
  const legend = [
    { colour: colours.accent, text: "sparse layer" },
    { colour: colours.fg, text: "other layers" },
    ...(repair ? [{ colour: colours.pin, text: "with the repair" }] : []),
  ];
  return { title: "Why is it wrong?", lines, legend, ink: colours };
}

/** One line for each class and group. @param {DebugView} view */
function debugTable({ findings, repair }) {
  if (!findings) return [];
  const { about } = findings;
  /** @param {"class" | "group"} of */
  const lines = (of) =>
    findings.shares(of, repair).map(({ name, count, stages, now }) => [of, name, count, ...stages, now]);
  return [["of", "name", "examples", ...about.stages, "with the repair"], ...lines("class"), ...lines("group")];
}

/** @param {DebugView} view @returns {Makers} */
export const debugFiles = (view) => ({
  name: () => ["debug", view.head.model],
  picture: async () => (view.findings ? chartsToPng(debugCharts(view), debugAbove(view)) : null),
  drawing: () => (view.findings ? chartsToSvg(debugCharts(view), debugAbove(view)) : null),
  table: () => debugTable(view),
});
