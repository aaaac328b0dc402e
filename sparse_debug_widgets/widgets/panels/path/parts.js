// The elements of the Path panel, without behaviour.

import { brief, Layers } from "../../kit/draw.js";
import { capital, make, plainButton, write } from "../../kit/kit.js";
import { card, check, dotted, heading, tile } from "../../kit/parts.js";
import { whatIs } from "../../kit/terms.js";
import { SPLITS } from "../../shared/curves.js";
import { liveParts } from "../../shared/live.js";
import { PAINTERS } from "./charts.js";
import { toolParts } from "./tools.js";

/** @import { PathHead } from "../../shared/curves.js" */
/** @import { codeCopier } from "../../kit/code.js" */
/** @import { Scene } from "./charts.js" */

/** @typedef {ReturnType<typeof pathParts>} PathParts */

// So many classes or features are found by looking; more are searched and sorted.
const FEW = 12;

/** @param {string} label @param {[string, string][]} choices value -> text */
function sorter(label, choices) {
  return make(
    "select",
    { "aria-label": label, title: label, class: "sdw-sorter" },
    ...choices.map(([value, text]) => make("option", { value }, text)),
  );
}

/** @param {string} what */
function searchField(what) {
  return make("input", {
    type: "search",
    class: "sdw-search",
    "aria-label": `Search ${what}`,
    placeholder: "search",
    spellcheck: "false",
    autocomplete: "off",
  });
}

/**
 * @param {PathHead} head
 * @param {{code: ReturnType<typeof codeCopier>, files: HTMLElement, errors: HTMLElement}} given
 */
export function pathParts(head, given) {
  const { one, many, score } = head.about;
  const picker = make("select", {
    "aria-label": capital(one),
    class: "sdw-picker",
    title: `${capital(one)} whose paths are shown`,
  });
  const classes = {
    search: searchField(many),
    sort: sorter(`Order of ${many}`, [
      ["given", "as given"],
      ["name", "by name"],
      ["many", "most features first"],
      ["few", "fewest features first"],
    ]),
    found: make("span", { class: "sdw-found", role: "status" }),
  };
  const narrowing = make(
    "span",
    { class: "sdw-narrowing", hidden: head.C <= FEW },
    classes.search,
    classes.sort,
    classes.found,
  );
  const tiles = {
    lambda: tile("\u03bb", "lambda"),
    own: tile("features in use", "feature"),
    mean: tile(`mean per ${one}`, "mean"),
    score: tile(head.scoreName(), "score"),
    mine: tile("", "mine"),
    gap: tile("certificate", "certificate"),
  };
  tiles.mine.box.classList.add("sdw-tile-wide"); // it names the data
  const slider = make("input", {
    type: "range",
    min: 0,
    max: head.K - 1,
    step: 1,
    class: "sdw-slider",
    "aria-label": "Regularisation strength: left is sparse, right is dense",
  });
  const pin = plainButton("Pin", "Pin this lambda, to compare others with it (P)", { "aria-pressed": "false" });
  const rule = plainButton(
    capital(head.about.ruleName),
    `Jump to the sparsest layer within ${head.about.near} of the best validation ${score}`,
  );
  rule.disabled = head.about.rule < 0;
  const layers = {
    paths: new Layers(`Coefficient paths of the ${one}`, "sdw-paths"),
    bars: new Layers("Strongest features of the current layer", "sdw-bars"),
    accuracy: new Layers(`${capital(score)} against number of features`, "sdw-accuracy"),
    counts: new Layers(`Number of features of each ${one}`, "sdw-counts"),
  };
  const tip = make("div", { class: "sdw-tip", "aria-hidden": "true", hidden: true });
  const waiting = make("div", { class: "sdw-waiting", hidden: true }, `Loading the paths of this ${one}\u2026`);
  const rows = make("div", { class: "sdw-rows" }),
    sees = make("div", { class: "sdw-sees", hidden: true });
  layers.paths.host.append(sees, tip, waiting);
  const openEntry = make("span", { class: "sdw-open-entry", hidden: true }, whatIs("entry"));
  rows.append(openEntry);
  layers.bars.host.append(rows);
  const features = {
    search: searchField("features"),
    sort: sorter("Order of features", [
      ["strong", "strongest"],
      ["signed", "most positive"],
      ["negative", "most negative"],
      ["entry", "first to enter"],
      ["name", "by name"],
    ]),
    earlier: plainButton("\u2039", "Stronger features"),
    later: plainButton("\u203a", "Weaker features"),
    range: make("span", { class: "sdw-which" }),
  };
  const switches = {
    bent: check("compress", "Square-root scale, so that small weights show"),
    dense: check("\u25c6 dense layer", "Compare with the model's own dense layer"),
    splits: SPLITS.map((name, s) => check(name, `Show ${head.scoreName(s)}`, name)),
    mine: check("", "", "mine"),
  };
  const live = liveParts(head, "click a bar to silence its feature"),
    tools = toolParts(head);
  live.outcome.before(...tools.buttons);
  live.bar.append(tools.form);
  const spoken = make("div", { class: "sdw-spoken", role: "status", "aria-live": "polite" });
  const bars = card(heading(PAINTERS.bars.title(), "weight"), layers.bars.host, switches.dense.label);
  layers.bars.host.before(
    make(
      "div",
      { class: "sdw-card-tools" },
      features.search,
      features.sort,
      make("span", { class: "sdw-pager" }, features.earlier, features.range, features.later),
    ),
  );
  const paths = card(heading(PAINTERS.paths.title(), "paths"), layers.paths.host, switches.bent.label);
  const root = make(
    "section",
    { class: "sdw sdw-path", "aria-label": "Regularisation path of a decision layer" },
    make(
      "header",
      { class: "sdw-head" },
      make("h2", {}, "Regularisation path"),
      make("label", { class: "sdw-field" }, make("span", {}, one), picker),
      narrowing,
      make("div", { class: "sdw-actions" }, given.code.button, given.files),
    ),
    make("div", { class: "sdw-tiles" }, ...Object.values(tiles).map((t) => t.box)),
    make(
      "div",
      { class: "sdw-slider-row" },
      make("span", { "aria-hidden": "true" }, "sparse"),
      slider,
      make("span", { "aria-hidden": "true" }, "dense"),
      make("span", { class: "sdw-jumps" }, make("span", { class: "sdw-told" }, rule, whatIs("rule")), pin),
    ),
    make("div", { class: "sdw-grid" }, paths, bars),
    given.code.text,
    given.code.spoken,
    live.bar,
    given.errors,
    make(
      "div",
      { class: "sdw-grid" },
      card(
        PAINTERS.accuracy.title(head),
        layers.accuracy.host,
        ...switches.splits.map((s) => s.label),
        switches.mine.label,
      ),
      card(PAINTERS.counts.title(head), layers.counts.host),
    ),
    tools.tried,
    tools.log,
    spoken,
  );
  if (head.about.shortened) {
    root.append(
      make(
        "p",
        { class: "sdw-note" },
        `This saved copy keeps the ${head.about.shortened} strongest features of each ${one}; the downloaded page ` +
          "has all of them.",
      ),
    );
  }
  return {
    root,
    picker,
    classes,
    features,
    tiles,
    slider,
    pin,
    rule,
    layers,
    tip,
    waiting,
    rows,
    openEntry,
    sees,
    switches,
    spoken,
    live,
    tools,
  };
}

/**
 * The numbers over the charts.
 * @param {PathParts["tiles"]} tiles
 * @param {Scene} scene
 */
export function fillTiles({ lambda, own, mean, score, mine, gap }, scene) {
  const { head, curves, index, row, pinned, silenced } = scene;
  const count = (/** @type {number} */ i) => String(head.counts[i * head.C + row]);
  const versus = (/** @type {(i: number) => string} */ of) => (pinned >= 0 ? `pinned ${of(pinned)}` : "");
  const scored = (/** @type {number} */ i) => head.score(head.accuracy(i, head.split)),
    dense = head.denseAccuracies[head.split];
  const quiet = new Set(
    silenced
      .filter(([j, c]) => (c < 0 || c === row || head.shared) && curves && curves.at(j, index) !== 0)
      .map(([j]) => j),
  ).size;
  write(lambda.value, brief(head.lambdas[index]));
  write(
    lambda.note,
    dotted(
      `${index + 1} of ${head.K}`,
      versus((i) => brief(head.lambdas[i])),
    ),
  );
  write(own.value, String(head.counts[index * head.C + row] - quiet));
  const open = curves?.undecided ? curves.undecided[index] : 0;
  write(
    own.note,
    dotted(
      quiet ? `${quiet} of ${count(index)} silenced` : `of ${head.p}`,
      open && !quiet ? `${open} open` : "",
      versus(count),
    ),
  );
  const heard =
    silenced.length && scene.along && Number.isFinite(scene.along.mean) && scene.along.index === index
      ? scene.along.mean
      : head.means[index];
  write(mean.value, brief(heard));
  write(
    mean.note,
    dotted(
      head.rowsInWords,
      silenced.length && heard === head.means[index] ? "before silencing" : "",
      versus((i) => brief(head.means[i])),
    ),
  );
  write(score.value, scored(index));
  // One thing at a time fits into a tile: beside what silencing does, what is compared with it.
  write(
    score.note,
    dotted(
      silenced.length ? "before silencing" : Number.isFinite(dense) ? `dense ${head.score(dense)}` : "",
      versus(scored),
    ),
  );
  fillMine(mine, scene);
  const sure = head.certified[index] !== 0,
    bound = head.bound(index);
  write(gap.value, sure ? "\u2713 certified" : "\u26a0 not certified");
  const within = Number.isFinite(bound)
    ? `weights to within ${brief(bound, 2)}`
    : head.bounds
      ? "weights: no bound proved"
      : "";
  const against = within && sure ? "" : ` ${sure ? "\u2264" : ">"} ${brief(head.about.tol, 2)}`;
  write(gap.note, dotted(`gap ${brief(head.gaps[index], 2)}${against}`, within));
  gap.box.classList.toggle("sdw-unsure", !sure);
}

/**
 * The score on the panel's own data: of the sparse layer, and of what is left of it after silencing.
 * @param {PathParts["tiles"]["mine"]} tile
 * @param {Scene} scene
 */
function fillMine({ box, value, note }, { head, index, pinned, silenced, mine, along }) {
  box.hidden = !mine && !head.about.measurable;
  if (box.hidden) return;
  if (!mine) {
    write(value, "\u2026");
    return;
  }
  const plain = mine.scores[index],
    quiet = along ? along.at(index) : NaN;
  write(value, head.score(silenced.length ? quiet : plain));
  write(
    note,
    dotted(
      silenced.length ? `sparse ${head.score(plain)}` : `${mine.n.toLocaleString("en")} examples`,
      Number.isFinite(mine.own) ? `dense ${head.score(mine.own)}` : "",
      pinned >= 0 ? `pinned ${head.score(mine.scores[pinned])}` : "",
    ),
  );
}
