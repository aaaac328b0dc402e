// The elements of the Perturbation panel, without behaviour.

import { Layers } from "../../kit/draw.js";
import { make, plainButton } from "../../kit/kit.js";
import { card, check, heading } from "../../kit/parts.js";

/** @typedef {ReturnType<typeof perturbParts>} PerturbParts */

/**
 * A few buttons of which one is on.
 * @param {string} label
 * @param {[string, string, string][]} choices value, text, hint
 */
function choiceGroup(label, choices) {
  const buttons = choices.map(([value, text, hint]) =>
    make("button", { type: "button", role: "radio", class: "sdw-button", "data-value": value, title: hint }, text),
  );
  return {
    root: make("div", { class: "sdw-group sdw-choices", role: "radiogroup", "aria-label": label }, ...buttons),
    buttons,
  };
}

/** Show which one is on. @param {HTMLButtonElement[]} buttons @param {string} value */
export function markChoice(buttons, value) {
  for (const button of buttons) {
    const on = button.dataset.value === value;
    button.setAttribute("aria-checked", String(on));
    button.tabIndex = on ? 0 : -1;
  }
}

/**
 * @param {{gallery: HTMLElement, fields: HTMLElement, options: HTMLElement, conceptFields: HTMLElement,
 *   job: HTMLElement, runs: HTMLElement, errors: HTMLElement,
 *   files: HTMLElement, code: {button: HTMLElement, text: HTMLElement, spoken: HTMLElement}}} given
 */
export function perturbParts(given) {
  const about = make("div", { class: "sdw-about" });
  const tabs = choiceGroup("What to do", [
    ["perturb", "Perturb a picture", "Why this prediction, and what would have changed it?"],
    ["concept", "Draw a class", "Let the model draw a class on noise"],
  ]);
  const target = make("select", { "aria-label": "Class that the picture is pushed towards", class: "sdw-picker" });
  const drawn = make("select", { "aria-label": "Class to draw", class: "sdw-picker" });
  const targetWrong = make("span", { class: "sdw-entry-wrong", role: "status" });
  const picked = make("div", { class: "sdw-picked", dir: "auto", "aria-live": "polite" });
  const warning = make("div", { class: "sdw-height", role: "status" });
  const start = plainButton("Run", "Perturb the chosen picture; the notebook stays free", {
    class: "sdw-button sdw-primary",
  });
  const draw = plainButton("Draw", "Let the models draw the class", { class: "sdw-button sdw-primary" });
  const entry = (/** @type {string} */ text, /** @type {HTMLElement[]} */ ...inside) =>
    make("label", { class: "sdw-entry sdw-entry-wide" }, make("span", {}, text), ...inside);
  const more = make("details", { class: "sdw-more" }, make("summary", {}, "More settings"), given.options);
  const perturbForm = make(
    "div",
    { class: "sdw-perturb-form" },
    picked,
    entry("class to push the picture towards", target, targetWrong),
    given.fields,
    more,
    warning,
  );
  const conceptForm = make(
    "div",
    { class: "sdw-perturb-form" },
    make("div", { class: "sdw-picked" }, "A class drawn on noise, in a sparse and in a dense ball."),
    entry("class to draw", drawn),
    given.conceptFields,
  );
  const choose = make(
    "div",
    { class: "sdw-perturb-choose" },
    given.gallery,
    make("div", {}, perturbForm, conceptForm, make("div", { class: "sdw-go" }, start, draw, given.code.button)),
  );
  const play = plainButton("\u25b6", "Play all steps");
  const slider = make("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 1,
    value: 0,
    "aria-label": "Step of the perturbation",
  });
  const stepText = make("output", { class: "sdw-step-text" });
  const times = make(
    "select",
    { "aria-label": "How many times the perturbation is enlarged" },
    ...[1, 2, 5, 10, 20].map((n) => make("option", { value: n, selected: n === 5 }, `\u00d7${n}`)),
  );
  const coloured = check("channels", "Show the three channels in their colours, in place of their sum");
  const bar = make("canvas", { "aria-hidden": "true" });
  const ends = [make("span"), make("span")];
  const legend = make(
    "div",
    { class: "sdw-legend", role: "img", "aria-label": "Colours of the perturbation, from less to more" },
    ends[0],
    bar,
    ends[1],
  );
  const looks = choiceGroup("What is shown", [
    ["drawing", "Drawing", "Noise and perturbation together"],
    ["change", "Perturbation", "The perturbation alone"],
    ["noise", "Noise", "Where it began"],
  ]);
  const scrub = make("div", { class: "sdw-scrub" }, play, slider, stepText);
  const rows = make("div", { class: "sdw-strips" });
  const layers = {
    losses: new Layers("Loss at every step", "sdw-steps"),
    gaps: new Layers("Frank-Wolfe gap at every step", "sdw-steps"),
    supports: new Layers("Changed pixels at every step", "sdw-steps"),
  };
  const charts = make(
    "div",
    { class: "sdw-step-charts" },
    card("Loss", layers.losses.host),
    card(heading("Gap: at most so far from the best", "attackgap"), layers.gaps.host),
    card("Values changed", layers.supports.host),
  );
  const shown = make(
    "div",
    { class: "sdw-shown", hidden: true },
    make(
      "div",
      { class: "sdw-shown-bar" },
      scrub,
      looks.root,
      make("label", { class: "sdw-check" }, "perturbation", times),
      coloured.label,
      legend,
      make("div", { class: "sdw-actions" }, given.files),
    ),
    rows,
    charts,
  );
  const notes = make("div", { class: "sdw-note", hidden: true });
  const empty = make(
    "p",
    { class: "sdw-note" },
    "Choose a picture, then Run: the steps appear here, to be scrubbed through.",
  );
  const root = make(
    "section",
    { class: "sdw sdw-perturb", "aria-label": "Perturbations" },
    make("header", { class: "sdw-head" }, make("h2", {}, "Perturbations"), about, tabs.root),
    choose,
    given.code.text,
    given.code.spoken,
    given.errors,
    given.job,
    notes,
    empty,
    shown,
    given.runs,
  );
  return {
    about,
    tabs,
    target,
    targetWrong,
    drawn,
    picked,
    warning,
    start,
    draw,
    more,
    perturbForm,
    conceptForm,
    choose,
    play,
    slider,
    stepText,
    times,
    coloured,
    bar,
    ends,
    legend,
    looks,
    scrub,
    rows,
    layers,
    charts,
    shown,
    notes,
    empty,
    root,
  };
}
