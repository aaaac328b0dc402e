// The elements of the Path panel, without behaviour.

/** @typedef {ReturnType<typeof pathParts>} PathParts */

/** @param {PathHead} head @param {HTMLElement} errors */
function pathParts(head, errors) {
  const picker = make("select", { "aria-label": capital(head.about.one), class: "sdw-picker", title: `${capital(head.about.one)} whose paths are shown` });
  head.shortClasses.forEach((name, c) => {
    picker.append(make("option", { value: c, dir: "auto", title: head.classes[c].slice(0, 300) }, oneLine(name, 60)));
  });
  const tiles = {
    lambda: tile("\u03bb"), own: tile("features in use"), mean: tile(`mean per ${head.about.one}`),
    score: tile(head.scoreName()), gap: tile("certificate"),
  };
  const slider = make("input", {
    type: "range", min: 0, max: head.K - 1, step: 1, class: "sdw-slider",
    "aria-label": "Regularisation strength: left is sparse, right is dense",
  });
  const pin = plainButton("Pin", "Pin this lambda, to compare others with it (P)", { "aria-pressed": "false" });
  const rule = plainButton(capital(head.about.ruleName), `Jump to the sparsest layer within ${head.about.near} of the best validation ${head.about.score}`);
  rule.disabled = head.about.rule < 0;
  const png = plainButton("PNG", "Download the picture as PNG"), svg = plainButton("SVG", "Download the picture as SVG");
  const csv = plainButton("CSV", `Download the weights of this ${head.about.one} as CSV`);
  const layers = {
    paths: new Layers(`Coefficient paths of the ${head.about.one}`, "sdw-paths"),
    bars: new Layers("Strongest features of the current layer", "sdw-bars"),
    accuracy: new Layers(`${capital(head.about.score)} against number of features`, "sdw-accuracy"),
    counts: new Layers(`Number of features of each ${head.about.one}`, "sdw-counts"),
  };
  const tip = make("div", { class: "sdw-tip", "aria-hidden": "true", hidden: true });
  const waiting = make("div", { class: "sdw-waiting", hidden: true }, `Loading the paths of this ${head.about.one}\u2026`);
  const rows = make("div", { class: "sdw-rows" });
  layers.paths.host.append(tip, waiting);
  layers.bars.host.append(rows);
  const switches = {
    bent: check("compress", "Square-root scale, so that small weights show"),
    dense: check("\u25c6 dense layer", "Compare with the model's own dense layer"),
    splits: SPLITS.map((name, s) => check(name, `Show ${head.scoreName(s)}`, name)),
  };
  const live = liveParts(head, "click a bar to silence its feature");
  const spoken = make("div", { class: "sdw-spoken", role: "status", "aria-live": "polite" });
  const root = make("section", { class: "sdw sdw-path", "aria-label": "Regularisation path of a decision layer" },
    make("header", { class: "sdw-head" }, make("h2", {}, "Regularisation path"),
      make("label", { class: "sdw-field" }, make("span", {}, head.about.one), picker),
      make("div", { class: "sdw-actions" }, rule, pin, make("div", { class: "sdw-group", role: "group", "aria-label": "Download" }, png, svg, csv))),
    make("div", { class: "sdw-tiles" }, ...Object.values(tiles).map((t) => t.box)),
    make("div", { class: "sdw-slider-row" }, make("span", { "aria-hidden": "true" }, "sparse"), slider, make("span", { "aria-hidden": "true" }, "dense")),
    make("div", { class: "sdw-grid" },
      card(PAINTERS.paths.title(), layers.paths.host, switches.bent.label),
      card(PAINTERS.bars.title(), layers.bars.host, switches.dense.label),
      card(PAINTERS.accuracy.title(head), layers.accuracy.host, ...switches.splits.map((s) => s.label)),
      card(PAINTERS.counts.title(head), layers.counts.host)),
    live.bar, errors, spoken);
  if (head.about.shortened) {
    root.append(make("p", { class: "sdw-note" }, `This saved copy keeps the ${head.about.shortened} strongest features of each ${head.about.one}; panel.to_html(file) writes all of them.`));
  }
  return { root, picker, tiles, slider, pin, rule, png, svg, csv, layers, tip, waiting, rows, switches, spoken, live };
}

/**
 * The numbers over the charts.
 * @param {PathParts["tiles"]} tiles
 * @param {Scene} scene
 */
function fillTiles({ lambda, own, mean, score, gap }, { head, index, row, pinned }) {
  const count = (/** @type {number} */ i) => String(head.counts[i * head.C + row]);
  const versus = (/** @type {(i: number) => string} */ of) => (pinned >= 0 ? `pinned ${of(pinned)}` : "");
  const scored = (/** @type {number} */ i) => head.score(head.accuracy(i, head.split)), dense = head.denseAccuracies[head.split];
  write(lambda.value, brief(head.lambdas[index]));
  write(lambda.note, dotted(`${index + 1} of ${head.K}`, versus((i) => brief(head.lambdas[i]))));
  write(own.value, count(index));
  write(own.note, dotted(`of ${head.p}`, versus(count)));
  write(mean.value, brief(head.means[index]));
  write(mean.note, dotted(head.rowsInWords, versus((i) => brief(head.means[i]))));
  write(score.value, scored(index));
  write(score.note, dotted(Number.isFinite(dense) ? `dense ${head.score(dense)}` : "", versus(scored)));
  const sure = head.certified[index] !== 0;
  write(gap.value, sure ? "\u2713 certified" : "\u26a0 not certified");
  write(gap.note, `gap ${brief(head.gaps[index], 2)} ${sure ? "\u2264" : ">"} ${brief(head.about.tol, 2)}`);
  gap.box.classList.toggle("sdw-unsure", !sure);
}
