// Fields for the parameters of a function (`fields.field` in the kernel): each says at once what is wrong with it.

import { make, write } from "./kit.js";
import { FIELD_TERMS, whatIs } from "./terms.js";

/** @import { Term } from "./terms.js" */

/**
 * @typedef {{spec: FieldSpec, control: HTMLInputElement | HTMLSelectElement, wrong: HTMLElement}} FieldEntry
 */

/**
 * What is wrong with a text, "" if nothing; and the value it stands for.
 * @param {FieldSpec} spec
 * @param {string} text
 * @returns {{value: any, wrong: string}}
 */
function readField(spec, text) {
  const trimmed = text.trim(),
    value = Number(trimmed),
    whole = spec.kind === "int",
    good = (/** @type {any} */ v) => ({ value: v, wrong: "" });
  if (spec.optional && trimmed === "") return good(null);
  if (spec.kind === "choice" || spec.kind === "str" || spec.words?.includes(trimmed)) return good(trimmed);
  if (spec.kind === "bool") return good(trimmed === "true");
  const or = spec.words?.length ? ` or ${spec.words.join(", ")}` : "";
  if (trimmed === "" || !Number.isFinite(value))
    return { value: null, wrong: `Needs ${whole ? "a whole number" : "a number"}${or}.` };
  if (whole && !Number.isInteger(value)) return { value: null, wrong: "Needs a whole number." };
  const low = spec.low ?? -Infinity,
    high = spec.high ?? Infinity;
  const tooLow = spec.openLow ? value <= low : value < low,
    tooHigh = spec.openHigh ? value >= high : value > high;
  if (tooLow) return { value: null, wrong: `Must be ${spec.openLow ? "above" : "at least"} ${plain(low)}.` };
  if (tooHigh) return { value: null, wrong: `Must be ${spec.openHigh ? "below" : "at most"} ${plain(high)}.` };
  return good(value);
}

/** A value as a person would type it. @param {any} value */
const plain = (value) => (value === null || value === undefined ? "" : String(value));

export class Fields {
  /**
   * @param {FieldSpec[]} specs
   * @param {Record<string, any>} typed
   * @param {AbortSignal} life
   * @param {() => void} changed
   * @param {string} label
   */
  constructor(specs, typed, life, changed, label) {
    this.life = life;
    this.changed = changed;
    /** @type {Map<string, FieldEntry>} */
    this.entries = new Map();
    this.root = make("div", { class: "sdw-form", role: "group", "aria-label": label });
    this.build(specs, typed);
  }

  /** Make the fields anew, for other parameters. @param {FieldSpec[]} specs @param {Record<string, any>} typed */
  build(specs, typed) {
    const prefix = `sdw-${Math.random().toString(36).slice(2, 9)}`;
    this.entries.clear();
    const labels = specs.map((spec) => {
      const id = `${prefix}-${spec.name}`,
        shared = { id, title: `${spec.help} (${spec.expects})`, "aria-describedby": `${id}-wrong`, name: spec.name };
      const control =
        spec.choices || spec.kind === "bool"
          ? this.select(spec, shared)
          : make("input", {
              ...shared,
              type: "text",
              inputmode: spec.words?.length ? "text" : "decimal",
              autocomplete: "off",
              spellcheck: "false",
              placeholder: spec.optional ? "none" : null,
            });
      const wrong = make("span", { class: "sdw-entry-wrong", id: `${id}-wrong`, role: "status" });
      control.value = plain(typed[spec.name] ?? spec.value);
      control.addEventListener(
        "input",
        () => {
          this.check();
          this.changed();
        },
        { signal: this.life },
      );
      this.entries.set(spec.name, { spec, control, wrong });
      const label = make("label", { class: "sdw-entry", for: id }, make("span", {}, spec.label), control, wrong),
        term = FIELD_TERMS[spec.label];
      // Beside the label, not in it: the name of the field is its label only.
      const what = spec.told
        ? whatIs(() => this.told(spec), `this ${spec.name.replaceAll("_", " ")}`)
        : term
          ? whatIs(term)
          : null;
      return what ? make("div", { class: "sdw-entry-told" }, label, what) : label;
    });
    this.root.replaceChildren(...labels);
    this.root.hidden = labels.length === 0;
    this.check();
  }

  /** @param {FieldSpec} spec @param {Record<string, string>} shared */
  select(spec, shared) {
    const control = make("select", shared),
      choices = spec.choices ?? ["true", "false"];
    if (spec.optional) control.append(make("option", { value: "" }, "none"));
    for (const choice of choices)
      control.append(make("option", { value: choice }, spec.choices ? choice : choice === "true" ? "yes" : "no"));
    return control;
  }

  /** What the choice of a field means that is made now. @param {FieldSpec} spec @returns {Term} */
  told(spec) {
    const choice = this.entries.get(spec.name)?.control.value ?? "",
      { says, formula } = spec.told?.[choice] ?? { says: spec.help, formula: "" };
    return { name: `${spec.label}: ${choice}`, says, formula };
  }

  /**
   * What else is wrong with a value; for those who know more than its range.
   * @param {FieldSpec} _spec
   * @param {string} _text
   */
  refuse(_spec, _text) {
    return "";
  }

  /** Check all fields; true if none is wrong. */
  check() {
    let good = true;
    for (const { spec, control } of this.entries.values()) {
      const found = readField(spec, control.value).wrong || this.refuse(spec, control.value);
      this.mark(spec.name, found);
      good &&= found === "";
    }
    return good;
  }

  /** @param {string} name @param {string} text */
  mark(name, text) {
    const entry = this.entries.get(name);
    if (!entry) return;
    write(entry.wrong, text);
    entry.control.setAttribute("aria-invalid", String(text !== ""));
  }

  /** The values; those of wrong fields are left out. */
  get values() {
    /** @type {Record<string, any>} */
    const values = {};
    for (const { spec, control } of this.entries.values()) {
      const { value, wrong } = readField(spec, control.value);
      if (!wrong) values[spec.name] = value;
    }
    return values;
  }

  /** @param {Record<string, any>} values */
  set(values) {
    for (const [name, value] of Object.entries(values)) {
      const entry = this.entries.get(name);
      if (entry && document.activeElement !== entry.control) entry.control.value = plain(value);
    }
    this.check();
  }
}

/**
 * A slider with its value beside it.
 * @param {string} text @param {string} hint @param {{min: number, max: number, step: number}} range
 */
export function rangeField(text, hint, { min, max, step }) {
  const input = make("input", { type: "range", min, max, step, "aria-label": hint, title: hint }),
    value = make("output");
  return { input, value, label: make("label", { class: "sdw-range" }, make("span", {}, text), input, value) };
}

/** @param {string} text @param {string} hint @param {[string, string][]} choices */
export function choiceField(text, hint, choices) {
  const select = make(
    "select",
    { "aria-label": hint, title: hint },
    ...choices.map(([value, shown]) => make("option", { value }, shown)),
  );
  return { select, label: make("label", { class: "sdw-field" }, make("span", {}, text), select) };
}
