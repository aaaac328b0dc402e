// The runs of the Perturbation panel: one line each; pinned ones are shown beside the newest.

import { brief } from "../../kit/draw.js";
import { duration, ENDED } from "../../kit/jobs.js";
import { make, oneLine, plainButton } from "../../kit/kit.js";
import { percent } from "./film.js";

/** @import { PerturbView } from "./view.js" */

/** @param {PerturbSummary} run @param {string[]} classes */
function runSettings({ kind, values, about, sparse, more }, classes) {
  const name = (/** @type {any} */ t) =>
    /^\d+$/.test(String(t)) ? oneLine(classes[Number(t)] ?? `class ${t}`, 30) : String(t);
  if (kind === "concept")
    return `${oneLine(about, 60)}, eps ${brief(values.eps_l2)}, q ${brief(values.q)}, ${values.steps} steps`;
  const q = sparse ? `, q ${brief(values.q)}` : "";
  return [
    `${oneLine(about, 60)}, ${values.direction} ${name(values.target)}, ${values.norm}, eps ` +
      `${brief(values.eps)}${q}, ${values.steps} steps`,
    ...(more ?? []),
  ].join(", ");
}

/** @param {PerturbSummary} run */
function runOutcome({ kind, state, outcomes }) {
  if (!ENDED.has(state)) return state;
  const words = outcomes.map((o) =>
    kind === "concept"
      ? `${oneLine(o.title, 20)} ${percent(o.after)}`
      : `${oneLine(o.title, 20)} ${percent(o.before ?? NaN)} \u2192 ` +
        `${percent(o.after)}${o.success ? " \u2713" : ""}, ${(o.support ?? 0).toLocaleString("en")} changed`,
  );
  return `${state === "done" ? "" : `${state}: `}${words.join("; ") || (state === "done" ? "" : "nothing found")}`;
}

export class PerturbRuns {
  /** @param {PerturbView} view */
  constructor(view) {
    this.view = view;
    this.body = make("tbody");
    const heads = ["run", "settings", "confidence in the target", "time"].map((text) =>
      make("th", { scope: "col" }, text),
    );
    heads.push(make("th", { scope: "col" }, make("span", { class: "sdw-spoken" }, "what to do with it")));
    this.root = make(
      "div",
      { class: "sdw-history", role: "region", "aria-label": "Runs so far", hidden: true },
      make("h3", {}, "Runs"),
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), this.body),
    );
    this.key = "";
  }

  /** @returns {PerturbSummary[]} */
  get list() {
    return this.view.model.get("runs") ?? [];
  }

  /** Runs that are kept to be compared with the one that is shown. @param {number} shown */
  rivals(shown) {
    return this.list.filter((run) => run.pinned && run.run !== shown && run.kind === "perturb" && run.outcomes.length);
  }

  fill() {
    const { list, view } = this,
      shown = view.shown.film?.run ?? 0,
      key = JSON.stringify([list, shown]);
    if (key === this.key) return;
    this.key = key;
    this.root.hidden = list.length === 0;
    this.body.replaceChildren(...[...list].reverse().map((run) => this.line(run, shown)));
  }

  /** @param {PerturbSummary} run @param {number} shown */
  line(run, shown) {
    const { view } = this,
      button = (
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
    if (view.live && ENDED.has(run.state)) {
      if (run.outcomes.length) {
        buttons.append(
          button("Show", "Show run", () => view.ask("show_run", { run: run.run })),
          button(
            run.pinned ? "Unpin" : "Pin",
            "Keep for comparison: run",
            () => view.ask("pin", { run: run.run, on: !run.pinned }),
            { "aria-pressed": String(run.pinned) },
          ),
        );
      }
      buttons.append(
        button("Code", "Copy the code of run", () => void view.code.copy({ run: run.run })),
        button("Use", "Put into the fields the settings of run", () => view.use(run)),
        button("\u2715", "Take off the list: run", () => view.ask("drop", { run: run.run })),
      );
    }
    const cells = [
      make("td", {}, String(run.run)),
      make("td", { class: "sdw-said", dir: "auto" }, runSettings(run, view.head.classes)),
      make("td", { class: "sdw-said", dir: "auto" }, runOutcome(run)),
      make("td", {}, ENDED.has(run.state) ? duration(run.seconds) : "\u2026"),
      make("td", {}, buttons),
    ];
    return make(
      "tr",
      { "data-run": run.run, "data-state": run.state, "aria-current": run.run === shown ? "true" : null },
      ...cells,
    );
  }
}
