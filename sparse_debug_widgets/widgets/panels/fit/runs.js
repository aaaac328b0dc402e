// The history of the Fit panel: one line a fit, pinned ones drawn beside the one at work.

import { brief, scoreText } from "../../kit/draw.js";
import { duration } from "../../kit/jobs.js";
import { make, plainButton, write } from "../../kit/kit.js";

/** @import { Rival } from "./charts.js" */
/** @import { FitView } from "./view.js" */

const USUAL_SETTINGS = ["family", "solver", "alpha", "n_lambdas", "eps", "tol"];

/**
 * Names of the settings that tell the fits of the list from each other; of fits that are all alike the usual ones.
 * @param {RunSummary[]} list
 */
function tellingSettings(list) {
  const names = [...new Set(list.flatMap((run) => Object.keys(run.values)))];
  const differ = names.filter((name) => new Set(list.map((run) => JSON.stringify(run.values[name]))).size > 1);
  return differ.length ? differ : names.filter((name) => USUAL_SETTINGS.includes(name));
}

/**
 * Settings as they are written in code, a line's worth.
 * @param {RunSummary} run
 * @param {string[]} names
 */
const settingsText = (run, names) => names.map((name) => `${name}=${run.values[name]}`).join(", ");

// Neighbours in the list look unlike each other and unlike the fit at work.
const RIVAL_SERIES = [1, 2, 3, 6, 4, 7];

export class FitRuns {
  /** @param {FitView} view */
  constructor(view) {
    this.view = view;
    this.body = make("tbody");
    const heads = ["fit", "settings", "outcome", "best", "rule", "time", ""].map((text) =>
      make("th", { scope: "col" }, text),
    );
    this.ruled = heads[4];
    heads[heads.length - 1].append(make("span", { class: "sdw-spoken" }, "actions"));
    this.root = make(
      "div",
      { class: "sdw-history", role: "region", "aria-label": "Fits so far", hidden: true },
      make("h3", {}, "Fits"),
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), this.body),
    );
    this.shown = "";
  }

  /** @returns {RunSummary[]} */
  get list() {
    return this.view.model.get("runs") ?? [];
  }

  /** @returns {Rival[]} */
  get rivals() {
    const newest = this.list.at(-1)?.run;
    return this.list
      .filter((run) => run.pinned && run.run !== newest && run.means)
      .map((run) => ({
        name: `fit ${run.run}`,
        means: run.means ?? [],
        scores: (run.scores ?? []).map((s) => s ?? NaN),
        colour: this.colour(run),
      }));
  }

  /** @param {RunSummary} run */
  colour(run) {
    const { series } = this.view.colours;
    return series[RIVAL_SERIES[(run.run - 1) % RIVAL_SERIES.length]];
  }

  fill() {
    const list = this.list,
      key = JSON.stringify([list, this.view.colours.series]);
    if (key === this.shown) return;
    this.shown = key;
    this.root.hidden = list.length === 0;
    const names = tellingSettings(list),
      rules = [...new Set(list.flatMap((run) => run.rule?.name ?? []))];
    if (rules.length) write(this.ruled, rules.join(", "));
    this.body.replaceChildren(...[...list].reverse().map((run) => this.line(run, names)));
  }

  /** @param {RunSummary} run @param {string[]} names settings that are shown */
  line(run, names) {
    const { view } = this,
      running = run.state === "running" || run.state === "queued";
    const percent = (/** @type {number | undefined} */ v) => scoreText(v ?? NaN, run.percent);
    const outcome = running
      ? run.state
      : run.solved
        ? `${run.state === "done" ? "" : `${run.state}, `}${run.certified} of ${run.asked} certified`
        : run.state;
    const mark = make("i", { class: "sdw-mark", "aria-hidden": "true" });
    if (run.pinned) mark.style.background = this.colour(run);
    const button = (
      /** @type {string} */ text,
      /** @type {string} */ hint,
      /** @type {() => void} */ act,
      /** @type {Record<string, string>} */ more = {},
    ) => {
      const made = plainButton(text, `${hint} ${run.run}`, more);
      made.addEventListener("click", act, { signal: view.life });
      return made;
    };
    const buttons = make("div", { class: "sdw-buttons" });
    if (!running) {
      if (run.solved) {
        buttons.append(
          button("Open", "Open in the Path panel: fit", () => view.open(run.run)),
          button(
            run.pinned ? "Unpin" : "Pin",
            "Keep for comparison: fit",
            () => view.ask("pin", { run: run.run, on: !run.pinned }),
            { "aria-pressed": String(run.pinned) },
          ),
        );
      }
      buttons.append(
        button("Code", "Copy the code of fit", () => void view.code.copy({ run: run.run })),
        button("Use", "Put into the fields the settings of fit", () => view.use(run.values)),
        button("\u2715", "Take off the list: fit", () => view.ask("drop", { run: run.run })),
      );
    }
    const cells = [
      make("td", {}, mark, String(run.run)),
      make("td", { class: "sdw-said", title: settingsText(run, Object.keys(run.values)) }, settingsText(run, names)),
      make("td", {}, outcome),
      make("td", {}, percent(run.best)),
      make("td", {}, run.rule ? `${brief(run.rule.features, 2)} features, ${percent(run.rule.score)}` : "\u2013"),
      make("td", {}, running ? "\u2026" : duration(run.seconds)),
      make("td", {}, buttons),
    ];
    return make("tr", { "data-run": run.run, "data-state": run.state }, ...cells);
  }
}
