// The sweep over lambda_1: a slider over maps that are all here, sparsity and loss beside it.

import { brief, Layers, roundTicks } from "../../kit/draw.js";
import { make, oneLine, plainButton, write } from "../../kit/kit.js";
import { card, percentText, tile } from "../../kit/parts.js";
import { MapPlace, rowTitle } from "./grid.js";
/** @import { MapSheet } from "./sheet.js" */

export class SweepPart {
  /**
   * @param {AbortSignal} life
   * @param {(index: number) => void} moved
   */
  constructor(life, moved) {
    this.life = life;
    this.moved = moved;
    this.index = 0;
    /** @type {MapSheet | null} */
    this.sheet = null;
    /** @type {(MapPlace | null)[]} */
    this.places = [];
    /** @type {(HTMLElement | null)[]} */
    this.captions = [];
    /** @type {HTMLElement[]} */
    this.dots = [];
    this.title = make("h3");
    this.slider = make("input", {
      type: "range",
      class: "sdw-slider",
      min: 0,
      max: 1,
      step: 1,
      "aria-label": "Lambda 1, from all zero to dense",
    });
    this.jump = plainButton(
      "Automatic choice",
      "Go to the map that the automatic rule chooses, without looking at the label",
    );
    this.tiles = {
      ratio: tile("\u03bb\u2081 / \u2016g\u2016\u221e", "lambda1"),
      lambda: tile("\u03bb\u2081"),
      sparsity: tile("zeros in the map", "zeros"),
      increase: tile("loss without the map", "increase"),
      rule: tile("automatic choice", "automatic"),
    };
    this.layers = {
      sparsity: new Layers("Share of zeros against lambda 1", "sdw-curve"),
      increase: new Layers("Increase of the loss against lambda 1", "sdw-curve"),
    };
    this.grid = make("div", { class: "sdw-maps-cells" });
    this.root = make(
      "div",
      { class: "sdw-sweep", hidden: true },
      make("div", { class: "sdw-card-head" }, this.title, this.jump),
      make("div", { class: "sdw-slider-row" }, make("span", {}, "sparse"), this.slider, make("span", {}, "dense")),
      make("div", { class: "sdw-tiles" }, ...Object.values(this.tiles).map((t) => t.box)),
      this.grid,
      make(
        "div",
        { class: "sdw-grid sdw-curves" },
        card("Share of zeros in the map", this.layers.sparsity.host),
        card("Increase of the loss when the map is taken away", this.layers.increase.host),
      ),
    );
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)), { signal: life });
    this.jump.addEventListener("click", () => this.automatic(), { signal: life });
    for (const layers of Object.values(this.layers)) this.draggable(layers);
  }

  get last() {
    return (this.sheet?.value.ratios.length ?? 1) - 1;
  }

  /** @param {MapSheet | null} sheet */
  show(sheet) {
    this.sheet = sheet;
    this.root.hidden = !sheet || sheet.cells.length === 0;
    if (!sheet) return;
    this.places = [];
    this.captions = [];
    this.dots = [];
    const several = new Set(sheet.rows.map((row) => row.model)).size > 1;
    const figures = sheet.cells.map((cell, c) => {
      if (cell.error)
        return make(
          "div",
          { class: "sdw-maps-failed", role: "note" },
          make("b", {}, `${oneLine(cell.model ?? "", 40)}: `),
          cell.error,
        );
      const row = sheet.rows[cell.row],
        title = rowTitle(row, several),
        place = new MapPlace(sheet, row, `Sweep for ${title}`),
        caption = make("span");
      this.dots[c] = make("i", { class: "sdw-dot", "aria-hidden": "true" });
      this.places[c] = place;
      this.captions[c] = caption;
      return make(
        "figure",
        { "data-row": cell.row },
        place.box,
        make("figcaption", {}, this.dots[c], make("b", { dir: "auto" }, title), " ", caption),
      );
    });
    this.grid.replaceChildren(...figures);
    this.grid.classList.toggle("sdw-texts", !sheet.image);
    write(this.title, `Sweep over \u03bb\u2081: ${sheet.value.method.replaceAll("_", " ").toUpperCase()}`);
    this.slider.max = String(this.last);
    this.index = Math.min(this.index, this.last);
  }

  /** @param {number} index */
  go(index) {
    this.index = Math.max(0, Math.min(this.last, index));
    this.moved(this.index);
  }

  /** The next example's automatic choice; the same one where there is no other. */
  automatic() {
    const choices = [
      ...new Set((this.sheet?.cells ?? []).flatMap((cell) => (cell.chosen === undefined ? [] : [cell.chosen]))),
    ].sort((a, b) => a - b);
    if (choices.length) this.go(choices.find((k) => k > this.index) ?? choices[0]);
  }

  /** @param {Layers} layers */
  draggable(layers) {
    const on = { signal: this.life },
      to = (/** @type {PointerEvent} */ event) => {
        const box = this.box(layers),
          x = event.clientX - layers.moving.getBoundingClientRect().left;
        this.go(Math.round(((x - box.left) / (box.right - box.left)) * this.last));
      };
    layers.moving.addEventListener(
      "pointerdown",
      (event) => {
        layers.moving.setPointerCapture(event.pointerId);
        to(event);
      },
      on,
    );
    layers.moving.addEventListener(
      "pointermove",
      (event) => {
        if (event.buttons) to(event);
      },
      on,
    );
  }

  /** @param {Layers} layers */
  box(layers) {
    return { left: 58, top: 8, right: layers.width - 12, bottom: layers.height - 32 };
  }

  /** @param {MapDisplay} display @param {any} colours */
  paintMaps(display, colours) {
    const { sheet, index } = this;
    if (!sheet || this.root.hidden) return;
    const caps = sheet.capsAt(index, display);
    this.places.forEach((place, c) => {
      place?.paint(c, index, caps[c], display, colours.dark);
    });
    this.fill();
  }

  fill() {
    const { sheet, index, tiles } = this,
      cells = sheet?.cells ?? [],
      ratio = sheet?.value.ratios[index] ?? NaN;
    sheet?.cells.forEach((cell, c) => {
      const caption = this.captions[c];
      if (caption)
        write(
          caption,
          `${percentText(cell.sparsity?.[index] ?? 0)} zero \u00b7 loss ` +
            `${changeText(cell.increase?.[index])}${cell.chosen === index ? " \u00b7 \u2713 automatic" : ""}`,
        );
    });
    const first = cells.find((cell) => cell.lambdas),
      more = cells.filter((cell) => cell.lambdas).length > 1;
    if (!first || !sheet) return;
    const which = more ? rowTitle(sheet.rows[first.row], new Set(sheet.rows.map((row) => row.model)).size > 1) : "";
    write(tiles.ratio.value, brief(ratio));
    write(tiles.ratio.note, `${index + 1} of ${this.last + 1}`);
    write(tiles.lambda.value, brief(first.lambdas?.[index] ?? NaN));
    write(tiles.sparsity.value, percentText(first.sparsity?.[index] ?? 0));
    write(tiles.increase.value, changeText(first.increase?.[index]));
    for (const name of /** @type {const} */ (["lambda", "sparsity", "increase"])) write(tiles[name].note, which);
    const here = cells.filter((cell) => cell.chosen === index),
      at = [...new Set(cells.flatMap((cell) => (cell.chosen === undefined ? [] : [cell.chosen + 1])))];
    write(tiles.rule.value, here.length ? "\u2713 here" : `at ${at.join(", ")}`);
    write(tiles.rule.note, here.length ? "sparse, and the highest loss" : `of ${this.last + 1}`);
    this.slider.value = String(index);
    this.slider.setAttribute(
      "aria-valuetext",
      `lambda 1 is ${brief(ratio)} of its largest, ${percentText(first.sparsity?.[index] ?? 0)} ` +
        `zero${here.length ? ", the automatic choice" : ""}`,
    );
  }

  /** What stays while a person scrubs. @param {any} colours */
  paintStill(colours) {
    const { sheet } = this;
    if (!sheet || this.root.hidden) return;
    for (const layers of Object.values(this.layers)) layers.fit();
    this.curves(
      this.layers.sparsity,
      sheet,
      colours,
      (cell) => cell.sparsity ?? [],
      [0, 1],
      (v) => `${Math.round(100 * v)} %`,
    );
    const all = sheet.cells.flatMap((cell) => cell.increase ?? []).filter(Number.isFinite);
    this.curves(
      this.layers.increase,
      sheet,
      colours,
      (cell) => cell.increase ?? [],
      [Math.min(0, ...all), Math.max(1e-9, ...all)],
      (v) => brief(v, 2),
    );
  }

  /**
   * @param {Layers} layers
   * @param {MapSheet} sheet
   * @param {any} colours
   * @param {(cell: MapCell) => number[]} of
   * @param {[number, number]} ends
   * @param {(v: number) => string} format
   */
  curves(layers, sheet, colours, of, [low, high], format) {
    const pen = layers.pen("still", colours.font),
      box = this.box(layers),
      room = 0.05 * (high - low);
    const y = (/** @type {number} */ v) =>
        box.bottom - ((v - low + room) / (high - low + 2 * room)) * (box.bottom - box.top),
      x = (/** @type {number} */ k) => box.left + (k / (this.last || 1)) * (box.right - box.left);
    for (const tick of roundTicks(low, high, 4)) {
      pen.line(box.left, y(tick), box.right, y(tick), colours.grid);
      pen.text(format(tick), box.left - 6, y(tick), colours.muted, { align: "right", size: 10.5 });
    }
    const ratios = /** @type {number[]} */ (sheet.value.ratios),
      marks = [0, Math.round(this.last / 3), Math.round((2 * this.last) / 3), this.last];
    marks.forEach((k, i) => {
      pen.text(brief(ratios[k], 2), x(k), box.bottom + 11, colours.muted, {
        align: i === 0 ? "left" : i === 3 ? "right" : "center",
        size: 10.5,
      });
    });
    pen.text("\u03bb\u2081 / \u2016g\u2016\u221e", (box.left + box.right) / 2, box.bottom + 24, colours.muted, {
      align: "center",
      size: 10.5,
    });
    sheet.cells.forEach((cell, c) => {
      const values = of(cell),
        colour = colours.series[c % colours.series.length];
      if (!values.length) return;
      this.dots[c].style.background = colour;
      pen.curve(
        values.map((_, k) => x(k)),
        values.map(y),
        values.length,
        colour,
        { width: 1.8, dash: c >= colours.series.length ? [5, 3] : [] },
      );
      if (cell.chosen !== undefined) pen.diamond(x(cell.chosen), y(values[cell.chosen]), 5, colour);
    });
  }

  /** What moves. @param {any} colours */
  paintMoving(colours) {
    const { sheet, index } = this;
    if (!sheet || this.root.hidden) return;
    for (const [name, layers] of Object.entries(this.layers)) {
      if (!layers.width) continue;
      const pen = layers.pen("moving", colours.font),
        box = this.box(layers),
        x = box.left + (index / (this.last || 1)) * (box.right - box.left);
      pen.line(x, box.top, x, box.bottom, colours.accent, { width: 1.5 });
      layers.moving.dataset.chart = name;
    }
  }

  /** One line a lambda and row. */
  table() {
    const { sheet } = this;
    if (!sheet) return [];
    /** @type {(string | number | boolean)[][]} */
    const lines = [["model", "target", "ratio", "lambda1", "sparsity", "loss_increase", "automatic"]];
    for (const cell of sheet.cells) {
      if (!cell.lambdas) continue;
      const row = sheet.rows[cell.row];
      cell.lambdas.forEach((value, k) => {
        lines.push([
          row.model,
          row.targetName,
          sheet.value.ratios[k],
          value,
          cell.sparsity?.[k] ?? NaN,
          cell.increase?.[k] ?? NaN,
          cell.chosen === k,
        ]);
      });
    }
    return lines;
  }
}

/** A change with its sign; a dash where there is none. @param {number | undefined} value */
function changeText(value) {
  if (value === undefined || value === null || !Number.isFinite(value)) return "\u2013";
  return `${value > 0 ? "+" : ""}${brief(value, 3)}`;
}
