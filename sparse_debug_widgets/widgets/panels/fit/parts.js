// The elements of the Fit panel, without behaviour.

import { Layers } from "../../kit/draw.js";
import { make, oneLine, plainButton } from "../../kit/kit.js";
import { card, heading, tile } from "../../kit/parts.js";
/** @import { codeCopier } from "../../kit/code.js" */

/** @typedef {ReturnType<typeof fitParts>} FitParts */

/**
 * @param {any} head
 * @param {{form: HTMLElement, history: HTMLElement, code: ReturnType<typeof codeCopier>, files: HTMLElement,
 *   errors: HTMLElement}} given
 */
export function fitParts(head, given) {
  const title = make("h2", {}, "Path fits");
  const about = make("div", { class: "sdw-about" }, aboutSource(head));
  const start = plainButton("Start fit", "Start a fit with these settings; the notebook stays free", {
    class: "sdw-button sdw-primary",
  });
  const stop = plainButton("Cancel", "Stop the fit; what was solved is kept", { hidden: "" });
  const openPath = plainButton("Open in Path panel", "Show the finished path in the Path panel below", {
    hidden: "",
    class: "sdw-button sdw-primary",
  });
  const estimate = make("div", { class: "sdw-needs", role: "status" });
  const state = make("span", { class: "sdw-doing-state" });
  const counted = make("span");
  const note = make("span", { class: "sdw-doing-note" });
  const fillBar = make("div");
  const bar = make(
    "div",
    {
      class: "sdw-bar",
      role: "progressbar",
      "aria-label": "Progress of the fit",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    },
    fillBar,
  );
  const doing = make(
    "div",
    { class: "sdw-doing", hidden: true },
    make("div", { class: "sdw-doing-row" }, state, counted, note),
    bar,
  );
  const picker = make("select", { "aria-label": "Class whose paths are drawn", class: "sdw-picker" });
  const tiles = {
    lambda: tile("\u03bb solved", "lambda"),
    mean: tile("features per class", "mean"),
    score: tile("held-out accuracy", "score"),
    time: tile("time"),
    gap: tile("certificates", "certificate"),
  };
  const layers = {
    growth: new Layers("Coefficient paths of the class, as far as solved", "sdw-growth"),
    scores: new Layers("Accuracy against number of features", "sdw-scores"),
    gaps: new Layers("Duality gap of every lambda", "sdw-gaps"),
  };
  for (const { moving } of Object.values(layers)) moving.remove();
  const one = make("span", {}, "class"),
    against = make("h3", {}, "Accuracy and sparsity");
  const pictures = make(
    "div",
    { class: "sdw-grid" },
    card("Coefficient paths", layers.growth.host, make("label", { class: "sdw-field" }, one, picker)),
    card(against, layers.scores.host),
    card(heading("Certificates", "gap"), layers.gaps.host),
  );
  pictures.lastElementChild?.classList.add("sdw-wide");
  const picture = make(
    "div",
    { hidden: true },
    make("div", { class: "sdw-tiles" }, ...Object.values(tiles).map((t) => t.box)),
    pictures,
  );
  const notes = make("div", { class: "sdw-note", hidden: true });
  const spoken = make("div", { class: "sdw-spoken", role: "status", "aria-live": "polite" });
  const place = make("div", { class: "sdw-embedded" });
  const root = make(
    "section",
    { class: "sdw sdw-fit", "aria-label": "Path fits" },
    make("header", { class: "sdw-head" }, title, about, given.files),
    given.form,
    make("div", { class: "sdw-go" }, start, stop, openPath, given.code.button, estimate),
    given.code.text,
    given.code.spoken,
    given.errors,
    doing,
    notes,
    picture,
    given.history,
    place,
    spoken,
  );
  return {
    about,
    start,
    stop,
    openPath,
    estimate,
    state,
    counted,
    note,
    fillBar,
    bar,
    doing,
    picker,
    one,
    against,
    tiles,
    layers,
    picture,
    notes,
    spoken,
    place,
    root,
  };
}

/** @param {any} head */
export function aboutSource({ size, layer, model }) {
  const words = [
    size
      ? `${size.n.toLocaleString("en")} examples \u00d7 ${size.p.toLocaleString("en")} features, ${size.outputs} ` +
        `${size.outputs === 1 ? "output" : "outputs"}`
      : "features are taken when the first fit starts",
  ];
  if (model) words.push(oneLine(model, 60));
  if (layer) words.push(`layer ${oneLine(layer, 80)}`);
  return words.join(" \u00b7 ");
}
