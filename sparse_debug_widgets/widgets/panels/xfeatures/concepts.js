// The concepts: one switch, one name and one bar for each x-feature, and the 1-heatmap beside them.

import { brief } from "../../kit/draw.js";
import { make } from "../../kit/kit.js";
import { side } from "./cards.js";
import { BASELINE, layerColour } from "./sheet.js";

/** @import { XColours, XSheet } from "./sheet.js" */

/**
 * @typedef {{toggle: (h: number, more: boolean) => void, name: (h: number, text: string) => void}} XConceptsUse
 * @typedef {{root: HTMLElement, button: HTMLButtonElement, input: HTMLInputElement | null, worth: HTMLElement,
 *   bar: HTMLElement}} XConcept
 */

/** Two decimals are enough, and all there is room for. @param {number} mean */
const meanText = (mean) =>
  `${mean > 0 ? "+" : mean < 0 ? "\u2212" : ""}${Math.abs(mean).toFixed(Math.abs(mean) < 100 ? 2 : 0)}`;

export class XConcepts {
  /** @param {XConceptsUse} use @param {AbortSignal} life */
  constructor(use, life) {
    this.use = use;
    this.life = life;
    this.root = make("div", { class: "sdw-xf-concepts", role: "group", "aria-label": "Maps over all pictures" });
    /** @type {XConcept[]} */
    this.concepts = [];
  }

  /** @param {XSheet} sheet */
  show(sheet) {
    const means = sheet.layers.slice(1).map((h) => sheet.mean(h)),
      most = Math.max(...means.map(Math.abs)) || 1;
    this.concepts = sheet.layers.map((h) => this.concept(sheet, h, means[h] ?? 0, most));
    this.root.replaceChildren(...this.concepts.map(({ root }) => root));
  }

  /** @param {XSheet} sheet @param {number} h @param {number} mean @param {number} most @returns {XConcept} */
  concept(sheet, h, mean, most) {
    const { life, use } = this,
      baseline = h === BASELINE,
      title = baseline ? "1-heatmap" : `H${h + 1}`;
    const button = make(
      "button",
      { type: "button", class: "sdw-button sdw-xf-toggle" },
      make("i", { class: "sdw-dot", "aria-hidden": "true" }),
      title,
    );
    const keys = h < 9 ? `; key ${h + 1}` : "";
    button.title =
      `Show or hide ${baseline ? "the map of the class score itself" : `the map of ${title}`} on all ` +
      `pictures (Shift: beside others${keys})`;
    button.setAttribute("aria-label", `${title} on all pictures`);
    button.addEventListener("click", (event) => use.toggle(h, event.shiftKey || event.ctrlKey || event.metaKey), {
      signal: life,
    });
    const bar = make("div", { class: "sdw-xf-bar", "aria-hidden": "true" }),
      worth = make("div", { class: "sdw-xf-worth" });
    if (baseline) {
      worth.append("the class score itself");
      return {
        root: make("div", { class: "sdw-xf-concept", "data-h": h, hidden: !sheet.value.mapped }, button, worth),
        button,
        input: null,
        worth,
        bar,
      };
    }
    const input = make("input", {
      type: "text",
      class: "sdw-xf-name",
      maxlength: 200,
      placeholder: "name it",
      autocomplete: "off",
      spellcheck: "false",
      dir: "auto",
      "aria-label": `Name of the concept ${title}`,
      title: "Type what the maps show; the name stays with the result",
    });
    input.addEventListener("change", () => use.name(h, input.value), { signal: life });
    input.addEventListener(
      "keydown",
      (event) => {
        if (event.key === "Enter") input.blur();
        event.stopPropagation();
      },
      { signal: life },
    );
    const share = sheet.contributions.filter((value, i) => i % sheet.n === h && value !== 0).length / sheet.k;
    worth.append(`mean; on ${Math.round(100 * share)} %`);
    worth.title =
      `Contribution v E of ${title}: ${brief(mean)} on average; not 0 on ${Math.round(100 * share)} % ` +
      `of the pictures; v = ${brief(sheet.value.weights[h])}`;
    const fill = make("div", { "data-side": side(mean) });
    fill.style.width = `${(50 * Math.abs(mean)) / most}%`;
    bar.append(fill);
    const line = make(
      "div",
      { class: "sdw-xf-line" },
      button,
      make("b", { class: "sdw-xf-mean", "data-side": side(mean) }, meanText(mean)),
    );
    return {
      root: make("div", { class: "sdw-xf-concept", "data-h": h }, line, input, bar, worth),
      button,
      input,
      worth,
      bar,
    };
  }

  /** @param {number[]} shown @param {string[]} names @param {XColours} colours @param {boolean} several */
  fill(shown, names, colours, several) {
    for (const { root, button, input } of this.concepts) {
      const h = Number(root.dataset.h),
        on = shown.includes(h);
      button.setAttribute("aria-pressed", String(on));
      button.style.setProperty("--sdw-layer", layerColour(h, colours));
      root.classList.toggle("sdw-xf-dotted", several);
      const name = names[h] === `H${h + 1}` ? "" : (names[h] ?? "");
      if (input && document.activeElement !== input && input.value !== name) input.value = name;
    }
  }
}
