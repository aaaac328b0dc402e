// The elements of the Features panel, without behaviour.

import { capital, make, oneLine, plainButton } from "../../kit/kit.js";
import { check } from "../../kit/parts.js";
import { explained, whatIs } from "../../kit/terms.js";
import { liveParts } from "../../shared/live.js";

/** @import { PathHead } from "../../shared/curves.js" */
/** @import { codeCopier } from "../../kit/code.js" */
/** @import { JobLine } from "../../kit/jobs.js" */

/** @typedef {ReturnType<typeof featuresParts>} FeaturesParts */

const LAYER_CHOICES = /** @type {[string, string][]} */ ([
  ["sparse", "sparse layer"],
  ["both", "sparse beside dense"],
  ["dense", "dense layer"],
]);

/**
 * @param {PathHead} head
 * @param {{kind: string, kernel: boolean}} about
 * @param {JobLine} line
 * @param {ReturnType<typeof codeCopier>} code
 * @param {HTMLElement} files
 * @param {HTMLElement} errors
 * @param {HTMLElement} example
 */
export function featuresParts(head, about, line, code, files, errors, example) {
  const picker = make("select", {
    "aria-label": capital(head.about.one),
    class: "sdw-picker",
    title: "Class whose features are shown",
  });
  head.shortClasses.forEach((name, c) => {
    picker.append(make("option", { value: c, dir: "auto", title: head.classes[c].slice(0, 300) }, oneLine(name, 60)));
  });
  const slider = make("input", {
    type: "range",
    min: 0,
    max: head.K - 1,
    step: 1,
    class: "sdw-slider",
    "aria-label": "Regularisation strength: left is sparse, right is dense",
  });
  const layers = make("select", {
    "aria-label": "Which layer's features are shown",
    title: "The features of the sparse layer, of the model's own dense layer, or both beside each other",
  });
  for (const [value, text] of LAYER_CHOICES)
    layers.append(make("option", { value, disabled: value !== "sparse" && !head.about.dense }, text));
  const least = check("least activating", "Also show the examples that activate a feature least");
  const lime = check(
    about.kind === "text" ? "words" : "LIME",
    about.kind === "text"
      ? "Explain sentences word by word"
      : "Mark the parts of pictures that raise or lower a feature",
  );
  const picture = check("visualisation", "Make pictures that activate a feature as much, or as little, as possible");
  const go = plainButton("Go on", "Go on finding out what features stand for");
  const where = make("div", { class: "sdw-features-where" });
  const live = liveParts(head, "where a feature is silenced");
  const lists = make("div", { class: "sdw-features-lists" });
  const spoken = make("div", { class: "sdw-spoken", role: "status", "aria-live": "polite" });
  const notes = make("div", { class: "sdw-features-notes", role: "status", hidden: true });
  lime.label.hidden = about.kind !== "pictures" && about.kind !== "text";
  picture.label.hidden = about.kind !== "pictures";
  for (const control of [code.button, go]) control.hidden = !about.kernel;
  const root = make(
    "section",
    { class: "sdw sdw-features", "aria-label": "Features of a decision layer" },
    make(
      "header",
      { class: "sdw-head" },
      explained(make("h2", {}, "Features"), "prototype"),
      make("label", { class: "sdw-field" }, make("span", {}, "class"), picker),
      make("div", { class: "sdw-actions" }, layers, code.button, files),
    ),
    make(
      "div",
      { class: "sdw-slider-row" },
      make("span", { "aria-hidden": "true" }, "sparse"),
      slider,
      make("span", { "aria-hidden": "true" }, "dense"),
    ),
    make(
      "div",
      { class: "sdw-features-bar" },
      where,
      least.label,
      make("span", { class: "sdw-told", hidden: about.kind === "rows" }, lime.label, whatIs("lime")),
      picture.label,
    ),
    code.text,
    make("div", { class: "sdw-features-work" }, line.root, go),
    errors,
    notes,
    make("div", { class: "sdw-features-body" }, lists, example),
    live.bar,
    spoken,
    code.spoken,
  );
  return { root, picker, slider, layers, least, lime, picture, go, where, live, lists, spoken, notes };
}
