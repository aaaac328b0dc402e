// Downloads of the Perturbation panel.

/** @param {PerturbView} view */
const perturbFile = (view) => `perturbation-${view.film?.kind === "concept" ? "concepts" : `step-${view.position}`}`;

/** Pictures of what is shown, with their captions. @param {PerturbView} view */
async function savePerturbPng(view) {
  const items = view.grid ? view.grid.cells.map(({ canvas, strip }) => ({ canvas, caption: `${oneLine(strip.title, 40)}, ${strip.norm}, seed ${strip.seed}: ${percent(strip.after ?? NaN)}` }))
    : view.rows.flatMap((row) => {
      const sentence = stripSentence(row.strip, frameAt(row.strip, view.position));
      return [{ canvas: row.original, caption: oneLine(row.title, 60) }, { canvas: row.change, caption: row.caption.textContent ?? "" }, { canvas: row.mixed, caption: sentence }];
    });
  const columns = view.grid ? Math.max(1, view.grid.cells.filter(({ strip }) => strip.norm === view.grid?.cells[0].strip.norm && strip.title === view.grid.cells[0].strip.title).length) : 3;
  const title = view.grid ? "What the models draw" : `Perturbation, step ${view.position}`;
  const blob = await picturesToPng(items, { columns, title, smooth: false, colours: view.colours });
  if (blob) download(`${perturbFile(view)}.png`, blob);
}

/** Every step of what is shown, as a table. @param {PerturbView} view */
function savePerturbCsv(view) {
  const lines = [];
  if (view.grid) {
    lines.push(["model", "norm", "seed", "eps", "confidence_before", "confidence_after", "support"]);
    for (const { strip } of view.grid.cells) lines.push([strip.title, strip.norm, strip.seed ?? "", strip.eps, strip.before ?? NaN, strip.after ?? NaN, strip.support]);
  } else {
    lines.push(["model", "norm", "eps", "step", "target", "confidence", "prediction", "loss", "gap", "support"]);
    for (const { strip, title } of view.rows) {
      strip.steps.forEach((step, k) => lines.push([title, strip.norm, strip.eps, step, classNameOf(strip, strip.target), probabilityAt(strip, k, strip.target),
        strip.predictionNames?.[k]?.name ?? "", strip.losses?.[step] ?? NaN, strip.gaps?.[step] ?? NaN, supportAt(strip, k)]));
    }
  }
  const text = lines.map((line) => line.map((field) => (typeof field === "number" && !Number.isFinite(field) ? "" : csvField(field))).join(",")).join("\r\n");
  download(`${perturbFile(view)}.csv`, new Blob([`\ufeff${text}\r\n`], { type: "text/csv" }));
}

/** The page that needs no kernel. @param {PerturbView} view */
async function savePerturbHtml(view) {
  const answer = await view.ask("page", {});
  if (answer) download("perturbation.html", new Blob([answer.value.html], { type: "text/html" }));
}
