// The table: all maps of the selected pictures in one place, sorted by what an x-feature contributes.

import { brief } from "../../kit/draw.js";
import { make } from "../../kit/kit.js";
import { pictureCanvas } from "../../shared/pictures.js";
import { layerName, PAINT_MS, pictureCaption, pictureSentence, side } from "./cards.js";
import { BASELINE, paintLayers } from "./sheet.js";
/** @import { XScene } from "./cards.js" */
/** @import { XSheet } from "./sheet.js" */

/** @typedef {{hide: (h: number) => void, sort: (by: string) => void, drop: (row: number) => void}} XTableUse */

export class XTable {
  /** @param {XTableUse} use @param {AbortSignal} life */
  constructor(use, life) {
    this.use = use;
    this.life = life;
    this.root = make("table", { class: "sdw-xf-table" });
    this.key = "";
    /** @type {{row: number, h: number | null, canvas: HTMLCanvasElement}[]} */
    this.cells = [];
    /** @type {Set<number>} */
    this.waiting = new Set();
    this.frame = 0;
    this.rested = () => {};
    /** @type {XScene | null} */
    this.scene = null;
    /** @type {Set<number>} */
    this.hidden = new Set();
    life.addEventListener("abort", () => cancelAnimationFrame(this.frame));
  }

  /**
   * @param {XScene} scene
   * @param {{by: string, down: boolean, columns: string}} order
   * @param {Set<number>} hidden
   */
  show(scene, order, hidden) {
    const { sheet, names } = scene,
      rows = scene.order.filter((row) => scene.selected.has(row));
    const worth = (/** @type {number} */ h) => rows.reduce((sum, row) => sum + sheet.contribution(row, h), 0);
    const columns = sheet.layers
      .slice(1)
      .sort((a, b) => (order.columns === "contribution" ? worth(b) - worth(a) : a - b));
    const key = JSON.stringify([rows, columns, names, order, [...hidden], scene.display.numbers]);
    this.scene = scene;
    this.hidden = hidden;
    if (key !== this.key) {
      const at = /** @type {HTMLElement | null} */ (
        this.root.contains(document.activeElement) ? document.activeElement : null
      )?.dataset.key;
      this.key = key;
      this.cells = [];
      const body = rows.map((row) => this.line(sheet, row, columns));
      this.root.replaceChildren(...(rows.length ? [this.head(columns, order), make("tbody", {}, ...body)] : []));
      if (at) /** @type {HTMLElement | null} */ (this.root.querySelector(`[data-key="${at}"]`))?.focus();
    }
    this.refresh();
  }

  /** @param {number[]} columns @param {{by: string, down: boolean}} order */
  head(columns, order) {
    const mark = (/** @type {string} */ by) => (order.by === by ? (order.down ? " \u2193" : " \u2191") : "");
    const sorted = (/** @type {string} */ by) => (order.by === by ? (order.down ? "descending" : "ascending") : null);
    const cells = [...(this.scene?.sheet.value.mapped ? [BASELINE] : []), ...columns].map((h) => {
      const title = layerName(h, this.scene?.names ?? []),
        off = this.hidden.has(h);
      const eye = make(
        "button",
        {
          type: "button",
          class: "sdw-button sdw-xf-eye",
          "aria-pressed": !off,
          "data-key": `eye${h}`,
          "aria-label": `Maps of ${title} in the table`,
          title: `Switch the maps of ${title} ${off ? "on" : "off"}`,
        },
        off ? "off" : "on",
      );
      eye.setAttribute("aria-pressed", String(!off));
      eye.addEventListener("click", () => this.use.hide(h), { signal: this.life });
      eye.hidden = !this.scene?.sheet.value.mapped;
      if (h === BASELINE) return make("th", { scope: "col" }, make("span", { class: "sdw-xf-title" }, title), eye);
      const sort = make(
        "button",
        {
          type: "button",
          class: "sdw-xf-sort",
          dir: "auto",
          "data-key": `sort${h}`,
          title: `Sort by the contribution of ${title}`,
        },
        `${title}${mark(String(h))}`,
      );
      sort.addEventListener("click", () => this.use.sort(String(h)), { signal: this.life });
      return make("th", { scope: "col", "aria-sort": sorted(String(h)) }, sort, eye);
    });
    const score = make(
      "button",
      { type: "button", class: "sdw-xf-sort", "data-key": "sortscore", title: "Sort by the model's score" },
      `score${mark("score")}`,
    );
    score.addEventListener("click", () => this.use.sort("score"), { signal: this.life });
    return make(
      "thead",
      {},
      make(
        "tr",
        {},
        make("th", { scope: "col" }, "picture"),
        ...cells,
        make("th", { scope: "col", "aria-sort": sorted("score") }, score),
      ),
    );
  }

  /** @param {XSheet} sheet @param {number} row @param {number[]} columns */
  line(sheet, row, columns) {
    const drop = make(
      "button",
      {
        type: "button",
        class: "sdw-xf-drop",
        "data-key": `drop${row}`,
        title: "Take it out of the table",
        "aria-label": `Take picture ${row} out of the table`,
      },
      "\u2715",
    );
    drop.addEventListener("click", () => this.use.drop(row), { signal: this.life });
    const numbers = this.scene?.display.numbers ?? "logit",
      sums = [
        ["concepts", sheet.reconstructed[row] - sheet.value.bias],
        ["bias", sheet.value.bias],
        ["together", sheet.reconstructed[row]],
        ["model", sheet.scores[row]],
      ];
    return make(
      "tr",
      { "data-row": row },
      make(
        "th",
        { scope: "row" },
        sheet.value.texts.length
          ? make("div", { class: "sdw-xf-text", dir: "auto" }, sheet.value.texts[row])
          : this.canvas(row, null, pictureSentence(sheet, row)),
        make("div", { class: "sdw-xf-caption", dir: "auto" }, pictureCaption(sheet, row)),
        drop,
      ),
      ...(sheet.value.mapped
        ? [make("td", {}, make("div", { class: "sdw-xf-value" }, "\u00a0"), this.mapOf(row, BASELINE, ""))]
        : []),
      ...columns.map((h) =>
        make(
          "td",
          { "data-h": h },
          make(
            "div",
            { class: "sdw-xf-value", "data-side": side(sheet.contribution(row, h)) },
            sheet.said(row, h, numbers),
          ),
          this.mapOf(row, h, sheet.said(row, h, numbers)),
        ),
      ),
      make(
        "td",
        { class: "sdw-xf-sums" },
        make(
          "dl",
          {},
          ...sums.flatMap(([name, value]) => [make("dt", {}, `${name}`), make("dd", {}, brief(Number(value)))]),
        ),
      ),
    );
  }

  /** @param {number} row @param {number} h @param {string} said */
  mapOf(row, h, said) {
    if (!this.scene?.sheet.value.mapped) return "";
    if (this.hidden.has(h)) return make("div", { class: "sdw-xf-off" }, "off");
    return this.canvas(row, h, `${layerName(h, this.scene?.names ?? [])} on picture ${row}${said ? `: ${said}` : ""}`);
  }

  /** @param {number} row @param {number | null} h null for the picture itself @param {string} label */
  canvas(row, h, label) {
    const canvas = pictureCanvas(label);
    this.cells.push({ row, h, canvas });
    return canvas;
  }

  refresh() {
    this.cells.forEach((_, c) => {
      this.waiting.add(c);
    });
    this.frame ||= requestAnimationFrame(() => this.step());
  }

  step() {
    const began = performance.now(),
      { scene } = this;
    this.frame = 0;
    for (const c of this.waiting) {
      this.waiting.delete(c);
      const cell = this.cells[c];
      if (scene && cell)
        paintLayers(cell.canvas, scene.sheet, cell.row, cell.h === null ? [] : [cell.h], scene.display, scene.colours);
      if (performance.now() - began > PAINT_MS) break;
    }
    if (this.waiting.size) this.frame = requestAnimationFrame(() => this.step());
    else this.rested();
  }
}
