// Maps side by side on their picture: a row for each model and class, a column for each method.

import { brief } from "../../kit/draw.js";
import { make, oneLine } from "../../kit/kit.js";
import { dotted, percentText } from "../../kit/parts.js";
import { paintPicture, pictureCanvas } from "../../shared/pictures.js";
import { paintMap, paintWords } from "./sheet.js";
/** @import { MapSheet } from "./sheet.js" */

/** @param {MapRow} row @param {boolean} several whether there is more than one model */
export function rowTitle(row, several) {
  return several ? `${oneLine(row.model, 40)} \u00b7 ${oneLine(row.targetName, 60)}` : oneLine(row.targetName, 60);
}

/** @param {MapRow} row */
function rowNote(row) {
  const sure = row.confidence === null ? "" : ` (${percentText(row.confidence)})`;
  return row.target === row.predicted ? `predicted${sure}` : `predicted is ${oneLine(row.predictedName, 60)}${sure}`;
}

/** @param {string} name */
export const methodTitle = (name) => name.replaceAll("_", " ");

const NOTE_WORDS = /** @type {Record<string, string>} */ ({
  sparsity: "zero",
  lambda1: "\u03bb\u2081",
  lambda2: "\u03bb\u2082",
  largest_eigenvalue: "L",
  relative_error: "error",
  completeness_residual: "missing",
});

/** What a method says of one map, in few characters. @param {Record<string, number | null>} notes */
function noteLine(notes) {
  const said = Object.entries(notes).filter(
    ([name, value]) =>
      value !== null &&
      !(name === "sparsity" && value === 0) &&
      !(name === "lambda1" && value === 0) &&
      name !== "lambda2" &&
      name !== "relative_error",
  );
  return said
    .map(
      ([name, value]) =>
        `${NOTE_WORDS[name] ?? name} ${name === "sparsity" ? percentText(value ?? NaN) : brief(value ?? NaN, 2)}`,
    )
    .join(" \u00b7 ");
}

/** The place of a map: a canvas, or the words of a text. */
export class MapPlace {
  /** @param {MapSheet} sheet @param {MapRow} row @param {string} label */
  constructor(sheet, row, label) {
    this.sheet = sheet;
    this.canvas = pictureCanvas(label);
    /** @type {HTMLElement[]} */
    this.words = [];
    this.box = this.canvas;
    if (!sheet.image) {
      this.words = (row.words ?? []).map((word) => make("span", { class: "sdw-word", dir: "auto" }, oneLine(word, 40)));
      this.box = make(
        "div",
        { class: "sdw-words", role: "img", "aria-label": `${label}: ${(row.words ?? []).slice(0, 200).join(" ")}` },
        ...this.words,
      );
    }
  }

  /** @param {number} c @param {number} k @param {number} cap @param {MapDisplay} display @param {boolean} dark */
  paint(c, k, cap, display, dark) {
    if (this.sheet.image) paintMap(this.canvas, this.sheet, c, k, cap, display, dark);
    else paintWords(this.words, this.sheet, c, k, cap, display, dark);
  }
}

export class MapGrid {
  constructor() {
    this.root = make("div", { class: "sdw-maps" });
    /** @type {MapSheet | null} */
    this.sheet = null;
    /** @type {(MapPlace | null)[]} */
    this.places = [];
  }

  /** @param {MapSheet | null} sheet @param {string} beside "classes" (and models) or "methods" beside each other */
  show(sheet, beside) {
    this.sheet = sheet;
    this.places = [];
    if (!sheet) {
      this.root.replaceChildren();
      return;
    }
    const several = new Set(sheet.rows.map((row) => row.model)).size > 1;
    const sections =
      beside === "classes" && sheet.rows.length > 1
        ? this.byMethod(sheet, several)
        : sheet.rows.map((row, r) => this.byRow(sheet, row, r, several));
    this.root.replaceChildren(...sections, ...this.failures(sheet));
    this.root.classList.toggle("sdw-texts", !sheet.image);
  }

  /**
   * One picture, model and class: its methods beside each other.
   * @param {MapSheet} sheet
   * @param {MapRow} row
   * @param {number} r
   * @param {boolean} several
   */
  byRow(sheet, row, r, several) {
    const title = rowTitle(row, several),
      figures = sheet.image ? [this.picture(sheet, row.picture)] : [];
    sheet.cells.forEach((cell, c) => {
      if (cell.row === r && cell.method)
        figures.push(this.figure(sheet, c, methodTitle(cell.method), `${methodTitle(cell.method)} for ${title}`));
    });
    return this.section(title, rowNote(row), figures);
  }

  /** One method: models and classes beside each other. @param {MapSheet} sheet @param {boolean} several */
  byMethod(sheet, several) {
    return /** @type {string[]} */ (sheet.value.methods).flatMap((method) => {
      const shown = sheet.cells.flatMap((cell, c) => (cell.method === method && !cell.error ? [c] : []));
      let last = -1;
      const figures = shown.flatMap((c) => {
        const row = sheet.rows[sheet.cells[c].row],
          title = rowTitle(row, several),
          figure = this.figure(sheet, c, title, `${methodTitle(method)} for ${title}`, rowNote(row));
        const before = sheet.image && row.picture !== last ? [this.picture(sheet, row.picture)] : [];
        last = row.picture;
        return [...before, figure];
      });
      return shown.length ? [this.section(methodTitle(method), "", figures)] : [];
    });
  }

  /** @param {MapSheet} sheet @param {number} p */
  picture(sheet, p) {
    const canvas = pictureCanvas("The picture itself");
    paintPicture(canvas, sheet.pictures[p], { extent: { low: 0, high: 255 } });
    return make("figure", {}, canvas, make("figcaption", {}, make("b", {}, "picture")));
  }

  /** @param {MapSheet} sheet @param {number} c @param {string} title @param {string} label @param {string} [more] */
  figure(sheet, c, title, label, more = "") {
    const cell = sheet.cells[c],
      notes = cell.notes ?? {},
      row = sheet.rows[cell.row],
      place = new MapPlace(sheet, row, label);
    this.places[c] = place;
    const all = Object.entries(notes)
      .map(([name, value]) => `${name}: ${brief(value ?? NaN, 4)}`)
      .join("\n");
    return make(
      "figure",
      { "data-method": cell.method, "data-model": row.model, "data-target": row.target },
      place.box,
      make("figcaption", { title: all, dir: "auto" }, make("b", {}, title), " ", dotted(more, noteLine(notes))),
    );
  }

  /** @param {string} title @param {string} note @param {HTMLElement[]} figures */
  section(title, note, figures) {
    return make(
      "section",
      { class: "sdw-maps-row", "aria-label": title },
      make("div", { class: "sdw-maps-head" }, make("b", { dir: "auto" }, title), make("span", { dir: "auto" }, note)),
      make("div", { class: "sdw-maps-cells" }, ...figures),
    );
  }

  /** @param {MapSheet} sheet */
  failures(sheet) {
    const several =
      new Set([...sheet.rows, ...sheet.cells.filter((cell) => cell.error)].map(({ model }) => model)).size > 1;
    return sheet.cells
      .filter((cell) => cell.error)
      .map((cell) =>
        make(
          "div",
          { class: "sdw-maps-failed", role: "note" },
          make(
            "b",
            {},
            `${methodTitle(cell.method ?? "sweep")}${several ? `, ${oneLine(cell.model ?? "", 40)}` : ""}: `,
          ),
          cell.error ?? "",
        ),
      );
  }

  /** @param {MapDisplay} display @param {boolean} dark */
  paint(display, dark) {
    const { sheet } = this;
    if (!sheet) return;
    const caps = sheet.capsAt(0, display, (cell) => cell.method ?? "");
    this.places.forEach((place, c) => {
      place?.paint(c, 0, caps[c], display, dark);
    });
  }

  /**
   * Sharp pixels are for pictures that are enlarged: a shrunk one would lose single pixels.
   * @param {HTMLElement} root
   * @param {number} size
   */
  static sharpen(root, size) {
    for (const canvas of root.querySelectorAll("canvas"))
      if (canvas.classList.contains("sdw-picture"))
        canvas.classList.toggle("sdw-shrunk", canvas.width > size * (globalThis.devicePixelRatio || 1));
  }

  /** Canvases with captions, for a PNG file. */
  get items() {
    return [...this.root.querySelectorAll("section.sdw-maps-row")]
      .flatMap((section) =>
        [...section.querySelectorAll("figure")].map((figure) => ({
          canvas: figure.querySelector("canvas"),
          caption: `${figure.querySelector("b")?.textContent}: ${section.getAttribute("aria-label")}`,
        })),
      )
      .filter((item) => item.canvas !== null)
      .map((item) => ({ canvas: /** @type {HTMLCanvasElement} */ (item.canvas), caption: item.caption }));
  }
}
