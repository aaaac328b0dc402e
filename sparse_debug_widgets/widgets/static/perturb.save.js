// Downloads of the Perturbation panel.

import { csvField, download, oneLine } from "./kit.js";
import { picturesToPng } from "./pictures.js";
import { classNameOf, frameAt, percent, probabilityAt, stripSentence, supportAt } from "./perturb.film.js";
/** @import { PerturbView } from "./perturb.js" */

/** @param {PerturbView} view */
const perturbFile = (view) => `perturbation-${view.shown.film?.kind === "concept" ? "concepts" : `step-${view.shown.step}`}`;

/** Pictures of what is shown, with their captions. @param {PerturbView} view */
export async function savePerturbPng(view) {
  const items = view.shown.grid ? view.shown.grid.cells.map(({ canvas, strip }) => ({ canvas, caption: `${oneLine(strip.title, 40)}, ${strip.norm}, seed ${strip.seed}: ${percent(strip.after ?? NaN)}` }))
    : view.shown.rows.flatMap((row) => {
      const sentence = stripSentence(row.strip, frameAt(row.strip, view.shown.position));
      return [{ canvas: row.original, caption: oneLine(row.title, 60) }, { canvas: row.change, caption: row.caption.textContent ?? "" }, { canvas: row.mixed, caption: sentence }];
    });
  const columns = view.shown.grid ? Math.max(1, view.shown.grid.cells.filter(({ strip }) => strip.norm === view.shown.grid?.cells[0].strip.norm && strip.title === view.shown.grid.cells[0].strip.title).length) : 3;
  const title = view.shown.grid ? "What the models draw" : `Perturbation, ${view.parts.stepText.textContent}`;
  const blob = await picturesToPng(items, { columns, title, smooth: false, colours: view.colours });
  if (blob) download(`${perturbFile(view)}.png`, blob);
}

/** Every step of what is shown, as a table. @param {PerturbView} view */
export function savePerturbCsv(view) {
  const lines = [];
  if (view.shown.grid) {
    lines.push(["model", "norm", "seed", "eps", "confidence_before", "confidence_after", "support"]);
    for (const { strip } of view.shown.grid.cells) lines.push([strip.title, strip.norm, strip.seed ?? "", strip.eps, strip.before ?? NaN, strip.after ?? NaN, strip.support]);
  } else {
    lines.push(["model", "norm", "eps", "step", "target", "confidence", "prediction", "loss", "gap", "support"]);
    for (const { strip, title } of view.shown.rows) {
      strip.steps.forEach((step, k) => lines.push([title, strip.norm, strip.eps, step, classNameOf(strip, strip.target), probabilityAt(strip, k, strip.target),
        strip.predictionNames?.[k]?.name ?? "", strip.losses?.[step] ?? NaN, strip.gaps?.[step] ?? NaN, supportAt(strip, k)]));
    }
  }
  const text = lines.map((line) => line.map((field) => (typeof field === "number" && !Number.isFinite(field) ? "" : csvField(field))).join(",")).join("\r\n");
  download(`${perturbFile(view)}.csv`, new Blob([`\ufeff${text}\r\n`], { type: "text/csv" }));
}

/** The page that needs no kernel. @param {PerturbView} view */
export async function savePerturbHtml(view) {
  const answer = await view.ask("page", {});
  if (answer) download("perturbation.html", new Blob([answer.value.html], { type: "text/html" }));
}
