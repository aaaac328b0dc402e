// The fields of the Fit panel: each says at once what is wrong with what is typed.

/**
 * @typedef {{name: string, label: string, kind: string, help: string, expects: string, value: any,
 *   low?: number | null, high?: number | null, openLow?: boolean, openHigh?: boolean, choices?: string[]}} FieldSpec
 */

/**
 * What is wrong with a text, "" if nothing; and the value it stands for.
 * @param {FieldSpec} spec
 * @param {string} text
 * @returns {{value: any, wrong: string}}
 */
function readField(spec, text) {
  if (spec.kind === "choice") return { value: text, wrong: "" };
  const trimmed = text.trim(), value = Number(trimmed);
  const whole = spec.kind === "int";
  if (trimmed === "" || !Number.isFinite(value)) return { value: null, wrong: `Needs ${whole ? "a whole number" : "a number"}.` };
  if (whole && !Number.isInteger(value)) return { value: null, wrong: "Needs a whole number." };
  const low = spec.low ?? -Infinity, high = spec.high ?? Infinity;
  const tooLow = spec.openLow ? value <= low : value < low, tooHigh = spec.openHigh ? value >= high : value > high;
  if (tooLow) return { value: null, wrong: `Must be ${spec.openLow ? "above" : "at least"} ${plain(low)}.` };
  if (tooHigh) return { value: null, wrong: `Must be ${spec.openHigh ? "below" : "at most"} ${plain(high)}.` };
  return { value, wrong: "" };
}

/** A number as a person would type it. @param {number} value */
const plain = (value) => String(value);

class FitForm {
  /**
   * @param {{fields: FieldSpec[], barred: Record<string, string>, devices: Record<string, {title: string, free: number | null}>}} head
   * @param {Record<string, any>} typed
   * @param {AbortSignal} life
   * @param {() => void} changed
   */
  constructor(head, typed, life, changed) {
    this.head = head;
    /** @type {Map<string, {spec: FieldSpec, control: HTMLInputElement | HTMLSelectElement, wrong: HTMLElement}>} */
    this.entries = new Map();
    this.root = make("div", { class: "sdw-form", role: "group", "aria-label": "Settings of the fit" });
    const prefix = `sdw-${Math.random().toString(36).slice(2, 9)}`;
    for (const spec of head.fields) {
      const id = `${prefix}-${spec.name}`, shared = { id, title: `${spec.help} (${spec.expects})`, "aria-describedby": `${id}-wrong`, name: spec.name };
      const control = spec.choices ? this.select(spec, shared) : make("input", { ...shared, type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false" });
      const wrong = make("span", { class: "sdw-entry-wrong", id: `${id}-wrong`, role: "status" });
      control.value = plain(typed[spec.name] ?? spec.value);
      control.addEventListener("input", () => { this.check(); changed(); }, { signal: life });
      this.entries.set(spec.name, { spec, control, wrong });
      this.root.append(make("label", { class: "sdw-entry", for: id }, make("span", {}, spec.label), control, wrong));
    }
    this.check();
  }

  /** @param {FieldSpec} spec @param {Record<string, string>} shared */
  select(spec, shared) {
    const control = make("select", shared);
    for (const choice of spec.choices ?? []) {
      const device = spec.name === "device" ? this.head.devices[choice] : undefined;
      const free = device?.free ? `, ${bytes(device.free)} free` : "";
      control.append(make("option", { value: choice }, device ? `${choice}${free}` : choice));
      if (device) control.title = `${device.title}${free}`;
    }
    return control;
  }

  /** Check all fields; true if none is wrong. */
  check() {
    let good = true;
    for (const { spec, control } of this.entries.values()) {
      const found = readField(spec, control.value).wrong || (spec.name === "family" ? this.head.barred[control.value] ?? "" : "");
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

/** @param {number} size */
function bytes(size) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) { size /= 1000; unit++; }
  return `${unit ? Number(size.toPrecision(size < 10 ? 2 : 3)) : size} ${units[unit]}`;
}

/** @param {number} seconds */
function duration(seconds) {
  if (!Number.isFinite(seconds)) return "\u2013";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
