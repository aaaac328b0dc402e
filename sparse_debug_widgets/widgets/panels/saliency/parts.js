// The elements of the Saliency panel, without behaviour.

import { choiceField, rangeField } from "../../kit/fields.js";
import { make, plainButton } from "../../kit/kit.js";
import { card, check } from "../../kit/parts.js";
import { DIVERGING_MAPS, pictureCanvas, SEQUENTIAL_MAPS } from "../../shared/pictures.js";

/** @import { JobLine } from "../../kit/jobs.js" */

/** @typedef {ReturnType<typeof saliencyParts>} SaliencyParts */

function displayParts() {
  const percentile = rangeField("cap", "Percentile at which every map is capped", { min: 80, max: 100, step: 0.1 });
  const blend = rangeField("blend", "How much of the map lies over the picture: 0 only the picture, 100 only the map", {
    min: 0,
    max: 100,
    step: 1,
  });
  const size = rangeField("size", "Width of a picture in pixels", { min: 80, max: 420, step: 10 });
  const signed = choiceField("values", "Absolute values, or signed ones: for the class and against it", [
    ["absolute", "absolute"],
    ["signed", "signed"],
  ]);
  const sequential = choiceField(
    "colours",
    "Colour map of absolute values",
    SEQUENTIAL_MAPS.map((name) => [name, name]),
  );
  const diverging = choiceField(
    "colours",
    "Colour map of signed values",
    DIVERGING_MAPS.map((name) => [name, name]),
  );
  const smooth = check("smooth", "Smooth pictures where they are enlarged"),
    together = check("one scale", "One scale for all maps of a method, in place of one for each map");
  const beside = choiceField("side by side", "What stands side by side", [
    ["classes", "classes, models"],
    ["methods", "methods"],
  ]);
  const bar = pictureCanvas("Colours from the lowest to the highest value", { width: 256, height: 1 }),
    low = make("span"),
    high = make("span");
  bar.classList.add("sdw-colourbar");
  const root = make(
    "div",
    { class: "sdw-display", role: "group", "aria-label": "How all maps are shown" },
    percentile.label,
    blend.label,
    size.label,
    signed.label,
    sequential.label,
    diverging.label,
    beside.label,
    smooth.label,
    together.label,
    make("span", { class: "sdw-legend" }, low, bar, high),
  );
  return { percentile, blend, size, signed, sequential, diverging, smooth, together, beside, bar, low, high, root };
}

/**
 * @param {HTMLElement} gallery
 * @param {HTMLElement} fields
 * @param {JobLine} line
 * @param {{button: HTMLElement, text: HTMLElement, spoken: HTMLElement}} code
 * @param {HTMLElement} files
 * @param {HTMLElement} errors
 * @param {HTMLElement} grid
 * @param {HTMLElement} sweep
 */
export function saliencyParts(gallery, fields, line, code, files, errors, grid, sweep) {
  const about = make("div", { class: "sdw-about" });
  const classes = make("div", { class: "sdw-toggles", role: "group", "aria-label": "Classes to explain" });
  const other = make("select", { "aria-label": "Another class", title: "Explain another class", class: "sdw-picker" });
  const methods = make("div", { class: "sdw-toggles", role: "group", "aria-label": "Methods" });
  const sweeps = make("select", {
    "aria-label": "Method of the sweep over lambda 1",
    title: "Method of the sweep over lambda 1",
  });
  const of = make("select", { "aria-label": "Method whose settings are shown" });
  const seed = make("input", {
    type: "text",
    inputmode: "numeric",
    class: "sdw-seed",
    "aria-label": "Seed of the noise",
    title: "Seed of the noise of smooth methods",
  });
  const help = make("div", { class: "sdw-note" });
  const settings = make(
    "details",
    { class: "sdw-settings" },
    make("summary", {}, "Settings"),
    make(
      "div",
      { class: "sdw-head" },
      make("label", { class: "sdw-field" }, make("span", {}, "of"), of),
      make("label", { class: "sdw-field" }, make("span", {}, "seed"), seed),
    ),
    help,
    fields,
  );
  const start = plainButton("Compute", "Compute the maps, beside the notebook", { class: "sdw-button sdw-primary" });
  const auto = check("at once", "Compute as soon as another example, class or method is chosen");
  const display = displayParts();
  const chooser = make(
    "div",
    { class: "sdw-chooser" },
    card("Examples", gallery),
    make(
      "div",
      { class: "sdw-card sdw-choices" },
      make("div", { class: "sdw-choice" }, make("h3", {}, "Classes"), classes, other),
      make("div", { class: "sdw-choice" }, make("h3", {}, "Methods"), methods),
      make(
        "div",
        { class: "sdw-choice" },
        make("label", { class: "sdw-field" }, make("h3", {}, "Sweep over \u03bb\u2081"), sweeps),
      ),
      settings,
      make("div", { class: "sdw-go" }, start, auto.label, code.button),
    ),
  );
  const notes = make("div", { class: "sdw-note", role: "status" });
  const shown = make("div", { class: "sdw-shown" }, display.root, grid, sweep);
  const root = make(
    "section",
    { class: "sdw sdw-saliency", "aria-label": "Saliency" },
    make("header", { class: "sdw-head" }, make("h2", {}, "Saliency"), about, files),
    chooser,
    code.text,
    code.spoken,
    errors,
    line.root,
    notes,
    shown,
  );
  return {
    about,
    classes,
    other,
    methods,
    sweeps,
    of,
    seed,
    help,
    settings,
    start,
    auto,
    display,
    chooser,
    notes,
    shown,
    root,
  };
}
