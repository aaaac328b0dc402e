// needs: pictures
// Maps side by side on their picture: a row for each model and class, a column for each method.

/** @param {MapRow} row @param {boolean} several whether there is more than one model */
function rowTitle(row, several) {
  return several ? `${oneLine(row.model, 40)} \u00b7 ${oneLine(row.targetName, 60)}` : oneLine(row.targetName, 60);
}

/** @param {MapRow} row */
function rowNote(row) {
  const sure = row.confidence === null ? "" : ` (${percentText(row.confidence)})`;
  return row.target === row.predicted ? `predicted${sure}` : `predicted is ${oneLine(row.predictedName, 60)}${sure}`;
}

/** @param {number} share */
const percentText = (share) => `${(100 * share).toFixed(share > 0.9995 || share < 0.0995 ? 2 : 1)} %`;

/** @param {string} name */
const methodTitle = (name) => name.replaceAll("_", " ");

const NOTE_WORDS = /** @type {Record<string, string>} */ ({
  sparsity: "zero", lambda1: "\u03bb\u2081", lambda2: "\u03bb\u2082", largest_eigenvalue: "L", relative_error: "error", completeness_residual: "missing",
});

/** What a method says of one map, in few characters. @param {Record<string, number>} notes */
function noteLine(notes) {
  const said = Object.entries(notes).filter(([name, value]) => value !== null && !(name === "sparsity" && value === 0) && !(name === "lambda1" && value === 0) && name !== "lambda2" && name !== "relative_error");
  return said.map(([name, value]) => `${NOTE_WORDS[name] ?? name} ${name === "sparsity" ? percentText(value) : brief(value, 2)}`).join(" \u00b7 ");
}

/** The place of a map: a canvas, or the words of a text. */
class MapPlace {
  /** @param {MapSheet} sheet @param {MapRow} row @param {string} label */
  constructor(sheet, row, label) {
    this.sheet = sheet;
    this.canvas = pictureCanvas(label);
    /** @type {HTMLElement[]} */
    this.words = [];
    this.box = this.canvas;
    if (!sheet.image) {
      this.words = (row.words ?? []).map((word) => make("span", { class: "sdw-word", dir: "auto" }, oneLine(word, 40)));
      this.box = make("div", { class: "sdw-words", role: "img", "aria-label": `${label}: ${(row.words ?? []).slice(0, 200).join(" ")}` }, ...this.words);
    }
  }

  /** @param {number} c @param {number} k @param {number} cap @param {MapDisplay} display @param {boolean} dark */
  paint(c, k, cap, display, dark) {
    if (this.sheet.image) paintMap(this.canvas, this.sheet, c, k, cap, display, dark);
    else paintWords(this.words, this.sheet, c, k, cap, display, dark);
  }
}

class MapGrid {
  constructor() {
    this.root = make("div", { class: "sdw-maps" });
    /** @type {MapSheet | null} */
    this.sheet = null;
    /** @type {(MapPlace | null)[]} */
    this.places = [];
  }

  /** @param {MapSheet | null} sheet */
  show(sheet) {
    this.sheet = sheet;
    this.places = [];
    if (!sheet) {
      this.root.replaceChildren();
      return;
    }
    const several = new Set(sheet.rows.map((row) => row.model)).size > 1;
    const rows = sheet.rows.map((row, r) => this.row(sheet, row, r, several));
    this.root.replaceChildren(...rows, ...this.failures(sheet));
    this.root.classList.toggle("sdw-texts", !sheet.image);
  }

  /** @param {MapSheet} sheet @param {MapRow} row @param {number} r @param {boolean} several */
  row(sheet, row, r, several) {
    const title = rowTitle(row, several), figures = [];
    if (sheet.image) {
      const canvas = pictureCanvas(`The picture, ${rowNote(row)}`);
      paintPicture(canvas, sheet.pictures[row.picture], { extent: { low: 0, high: 255 } });
      figures.push(make("figure", {}, canvas, make("figcaption", {}, make("b", {}, "picture"))));
    }
    sheet.cells.forEach((cell, c) => {
      if (cell.row !== r || !cell.method) return;
      const place = new MapPlace(sheet, row, `${methodTitle(cell.method)} for ${title}`), notes = cell.notes ?? {};
      this.places[c] = place;
      const all = Object.entries(notes).map(([name, value]) => `${name}: ${brief(value, 4)}`).join("\n");
      figures.push(make("figure", { "data-method": cell.method }, place.box, make("figcaption", { title: all }, make("b", {}, methodTitle(cell.method)), " ", noteLine(notes))));
    });
    return make("section", { class: "sdw-maps-row", "aria-label": title, "data-model": row.model, "data-target": row.target },
      make("div", { class: "sdw-maps-head" }, make("b", { dir: "auto" }, title), make("span", { dir: "auto" }, rowNote(row))), make("div", { class: "sdw-maps-cells" }, ...figures));
  }

  /** @param {MapSheet} sheet */
  failures(sheet) {
    return sheet.cells.filter((cell) => cell.error).map((cell) => make("div", { class: "sdw-maps-failed", role: "note" },
      make("b", {}, `${methodTitle(cell.method ?? "sweep")}${cell.model ? `, ${oneLine(cell.model, 40)}` : ""}: `), cell.error ?? ""));
  }

  /** @param {MapDisplay} display @param {boolean} dark */
  paint(display, dark) {
    const { sheet } = this;
    if (!sheet) return;
    const caps = sheet.capsAt(0, display, (cell) => cell.method ?? "");
    this.places.forEach((place, c) => place?.paint(c, 0, caps[c], display, dark));
  }

  /** Canvases with captions, for a PNG file. */
  get items() {
    return [...this.root.querySelectorAll("section.sdw-maps-row")].flatMap((section) => [...section.querySelectorAll("figure")].map((figure) => ({
      canvas: figure.querySelector("canvas"), caption: `${figure.querySelector("b")?.textContent}: ${section.getAttribute("aria-label")}`,
    }))).filter((item) => item.canvas !== null).map((item) => ({ canvas: /** @type {HTMLCanvasElement} */ (item.canvas), caption: item.caption }));
  }
}
