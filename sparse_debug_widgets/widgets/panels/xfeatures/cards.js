// The gallery: every picture with the map that is switched on, what that x-feature contributes, and all of them below.

import { brief } from "../../kit/draw.js";
import { make, oneLine, write } from "../../kit/kit.js";
import { percentText } from "../../kit/parts.js";
import { BASELINE, paintLayers, signedText } from "./sheet.js";
/** @import { XColours, XSheet } from "./sheet.js" */

export const PAINT_MS = 6;

/**
 * @typedef {{sheet: XSheet, display: XDisplay, colours: XColours, layersOf: (row: number) => number[],
 *   selected: Set<number>,
 *   names: string[], order: number[]}} XScene
 * @typedef {{root: HTMLElement, value: HTMLElement, picture: HTMLButtonElement, canvas: HTMLCanvasElement,
 *   beside: HTMLCanvasElement,
 *   chips: HTMLButtonElement[]}} XCard
 * @typedef {{select: (row: number, to?: boolean) => void, toggleOwn: (row: number, h: number,
 *   more: boolean) => void}} XCardsUse
 */

/** Which way a contribution goes. @param {number} value */
export const side = (value) => (value > 0 ? "up" : value < 0 ? "down" : "none");

/** @param {XSheet} sheet @param {number} row */
export function pictureCaption({ value }, row) {
  const label = value.labels[row],
    said = value.predictions[row];
  return value.wrong[row] ? `${oneLine(label, 24)} \u2192 ${oneLine(said, 24)}` : oneLine(label || said, 40);
}

/** @param {XSheet} sheet @param {number} row */
export function pictureSentence(sheet, row) {
  const { value } = sheet,
    label = value.labels[row],
    said = oneLine(value.predictions[row]);
  const about =
    label === ""
      ? `predicted ${said}`
      : value.wrong[row]
        ? `${oneLine(label)}, taken for ${said}`
        : `${oneLine(label)}, predicted correctly`;
  return (
    `Picture ${row}: ${about}; score ${brief(sheet.scores[row])}, by the x-features ` +
    `${brief(sheet.reconstructed[row])}`
  );
}

export class XCards {
  /** @param {XCardsUse} use @param {AbortSignal} life */
  constructor(use, life) {
    this.use = use;
    this.root = make("div", { class: "sdw-xf-cards", role: "group", "aria-label": "Pictures" });
    /** @type {XCard[]} */
    this.cards = [];
    /** @type {XScene | null} */
    this.scene = null;
    /** @type {Set<number>} */
    this.waiting = new Set();
    /** @type {Set<number>} */
    this.inSight = new Set();
    /** What the mouse, or the key C, shows for a moment. @type {{row: number, layers: number[]} | null} */
    this.peek = null;
    this.frame = 0;
    this.told = "";
    this.rested = () => {};
    this.sight = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries)
          this.inSight[isIntersecting ? "add" : "delete"](rowOf(target));
      },
      { rootMargin: "200px" },
    );
    const on = { signal: life };
    this.root.addEventListener("click", (event) => this.click(event), on);
    this.root.addEventListener("keydown", (event) => this.key(event), on);
    this.root.addEventListener(
      "keyup",
      (event) => {
        if (event.code === "KeyC") this.look(null);
      },
      on,
    );
    this.root.addEventListener(
      "pointerover",
      (event) => {
        if (event.pointerType === "mouse") this.hover(/** @type {Element} */ (event.target));
      },
      on,
    );
    this.root.addEventListener("pointerleave", () => this.look(null), on);
    this.root.addEventListener("focusin", (event) => this.mark(rowOf(/** @type {Element} */ (event.target))), on);
    life.addEventListener("abort", () => {
      this.sight.disconnect();
      cancelAnimationFrame(this.frame);
    });
  }

  /** Make the cards of another result. @param {XScene} scene */
  show(scene) {
    this.scene = scene;
    this.sight.disconnect();
    this.inSight.clear();
    this.waiting.clear();
    this.told = "";
    this.cards = scene.sheet.pictures.map((_, row) => this.card(scene.sheet, row));
    this.arrange(scene);
    this.cards.forEach(({ root }) => {
      this.sight.observe(root);
    });
    this.mark(scene.order[0] ?? -1);
  }

  /** @param {XSheet} sheet @param {number} row @returns {XCard} */
  card(sheet, row) {
    const value = make("span", { class: "sdw-xf-value" }),
      canvas = make("canvas", { class: "sdw-picture", "aria-hidden": "true" });
    const beside = make("canvas", { class: "sdw-picture", "aria-hidden": "true", hidden: true });
    // Sentences are text; they may be of any script.
    const text = sheet.value.texts[row],
      shown = text === undefined ? [canvas, beside] : [make("span", { class: "sdw-xf-text", dir: "auto" }, text)];
    const picture = make("button", { type: "button", class: "sdw-xf-picture", tabindex: -1 }, ...shown);
    const chips = sheet.layers.slice(1).map((h) => {
      const worth = sheet.contribution(row, h);
      const chip = make(
        "button",
        { type: "button", class: "sdw-xf-chip", tabindex: -1, "data-h": h, "data-side": side(worth) },
        `${h + 1}`,
      );
      chip.style.setProperty("--sdw-worth", (Math.abs(worth) / sheet.largest).toFixed(3));
      return chip;
    });
    const caption = make("figcaption", { dir: "auto" }, pictureCaption(sheet, row));
    caption.classList.toggle("sdw-xf-wrong", sheet.value.wrong[row]);
    const root = make(
      "figure",
      { class: "sdw-xf-card", "data-row": row, title: pictureSentence(sheet, row) },
      make("div", { class: "sdw-xf-head" }, value),
      picture,
      caption,
      make("div", { class: "sdw-xf-chips" }, ...chips),
    );
    return { root, value, picture, canvas, beside, chips };
  }

  /** Put the cards in order. @param {XScene} scene */
  arrange(scene) {
    const had = this.root.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
    this.scene = scene;
    this.root.replaceChildren(...scene.order.map((row) => this.cards[row].root));
    had?.focus();
    this.refresh();
  }

  /** Repaint, those in sight first, so many in a frame that no frame is late. @param {Iterable<number>} [rows] */
  refresh(rows = this.cards.keys()) {
    for (const row of rows) this.waiting.add(row);
    this.frame ||= requestAnimationFrame(() => this.step());
  }

  step() {
    const began = performance.now();
    this.frame = 0;
    for (const near of [true, false]) {
      for (const row of this.waiting) {
        if (near && !this.inSight.has(row)) continue;
        this.paint(row);
        this.waiting.delete(row);
        if (performance.now() - began > PAINT_MS) break;
      }
      if (performance.now() - began > PAINT_MS) break;
    }
    if (this.waiting.size) this.frame = requestAnimationFrame(() => this.step());
    else this.rested();
  }

  /** @param {number} row */
  paint(row) {
    const { scene } = this,
      card = this.cards[row];
    if (!scene || !card) return;
    const { sheet, display, colours } = scene,
      kept = scene.layersOf(row),
      layers = this.peek?.row === row ? this.peek.layers : kept;
    paintLayers(card.canvas, sheet, row, layers, display, colours);
    const beside = display.beside && sheet.value.mapped;
    card.beside.hidden = !beside;
    if (beside) paintLayers(card.beside, sheet, row, [BASELINE], display, colours);
    const worth = layers.filter((h) => h !== BASELINE).map((h) => sheet.contribution(row, h)),
      sum = worth.reduce((a, b) => a + b, 0);
    write(
      card.value,
      layers.length === 0
        ? `score ${brief(sheet.scores[row])}`
        : worth.length === 0
          ? "1-heatmap"
          : worth.length === 1
            ? sheet.said(row, layers[layers.length - 1], display.numbers)
            : `\u03a3 ${signedText(sum)}`,
    );
    card.value.dataset.side = worth.length ? side(sum) : "none";
    // Where no map is on, the place tells what the x-features share out.
    card.value.classList.toggle("sdw-xf-whole", layers.length === 0);
    const chosen = scene.selected.has(row);
    card.root.classList.toggle("sdw-xf-chosen", chosen);
    card.picture.setAttribute("aria-pressed", String(chosen));
    card.chips.forEach((chip, h) => {
      const on = String(kept.includes(h));
      if (chip.getAttribute("aria-pressed") !== on) chip.setAttribute("aria-pressed", on);
    });
  }

  /** Words that only matter at rest: what a screen reader says of a picture, and the tooltips of its numbers. */
  tell() {
    const { scene } = this;
    if (!scene) return;
    const { sheet, display, names } = scene,
      key = JSON.stringify([names, display.numbers]),
      fresh = key !== this.told;
    this.told = key;
    this.cards.forEach(({ picture, value, chips }, row) => {
      const said = scene.layersOf(row).length
        ? `; ${scene
            .layersOf(row)
            .map((h) => layerName(h, names))
            .join(", ")}: ${value.textContent}`
        : "";
      picture.setAttribute("aria-label", `${pictureSentence(sheet, row)}${said}`);
      if (fresh)
        chips.forEach((chip, h) => {
          const mass = sheet.mass[row * sheet.n + h];
          chip.title =
            `${layerName(h, names)}: ` +
            `${sheet.said(row, h, display.numbers)}${Number.isFinite(mass) ? `, mass ${percentText(mass)}` : ""}`;
          chip.setAttribute("aria-label", `${h + 1}, ${chip.title}, on picture ${row}`);
        });
    });
  }

  // -- looking ---------------------------------------------------------------------------------------

  /** @param {{row: number, layers: number[]} | null} peek */
  look(peek) {
    const before = this.peek;
    if (before?.row === peek?.row && `${before?.layers}` === `${peek?.layers}`) return;
    this.peek = peek;
    this.refresh([before, peek].flatMap((at) => (at ? [at.row] : [])));
  }

  /**
   * Over a picture: without its map, or with that of its strongest x-feature. Over a number: that one's map.
   * @param {Element} target
   */
  hover(target) {
    const row = rowOf(target),
      chip = target.closest(".sdw-xf-chip");
    if (chip) this.look({ row, layers: [Number(/** @type {HTMLElement} */ (chip).dataset.h)] });
    else if (row >= 0 && target.closest(".sdw-xf-picture")) this.look({ row, layers: this.other(row) });
    else this.look(null);
  }

  /** @param {number} row */
  other(row) {
    const { scene } = this;
    return !scene || scene.layersOf(row).length ? [] : [scene.sheet.strongest(row)];
  }

  // -- mouse and keys --------------------------------------------------------------------------------

  /** @param {MouseEvent} event */
  click(event) {
    const target = /** @type {Element} */ (event.target),
      row = rowOf(target),
      chip = /** @type {HTMLElement | null} */ (target.closest(".sdw-xf-chip"));
    if (chip) this.use.toggleOwn(row, Number(chip.dataset.h), event.shiftKey || event.ctrlKey || event.metaKey);
    else if (target.closest(".sdw-xf-picture")) this.use.select(row);
  }

  /** One picture can be reached with Tab, the others from there. @param {number} row */
  mark(row) {
    this.cards.forEach(({ picture }, r) => {
      picture.tabIndex = r === row ? 0 : -1;
    });
  }

  /** @param {number} row */
  focus(row) {
    this.cards[row]?.picture.focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { scene } = this,
      row = rowOf(/** @type {Element} */ (event.target)),
      digit = /^Digit([1-9])$/.exec(event.code);
    if (!scene || row < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const { order } = scene,
      at = order.indexOf(row),
      columns = getComputedStyle(this.root).gridTemplateColumns.split(" ").length;
    const step = /** @type {Record<string, number>} */ ({
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns,
      Home: -at,
      End: order.length - 1 - at,
    })[event.key];
    if (step !== undefined) this.focus(order[Math.min(order.length - 1, Math.max(0, at + step))]);
    else if (digit && event.shiftKey && Number(digit[1]) <= scene.sheet.n)
      this.use.toggleOwn(row, Number(digit[1]) - 1, false);
    else if (event.code === "KeyC") this.look({ row, layers: this.other(row) });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** The number of the picture that an element belongs to, -1 for none. @param {Element} element */
function rowOf(element) {
  return Number(/** @type {HTMLElement | null} */ (element.closest("[data-row]"))?.dataset.row ?? -1);
}

/** What an x-feature is called: "H2 red spot". @param {number} h @param {string[]} names */
export function layerName(h, names) {
  if (h === BASELINE) return "1-heatmap";
  const name = oneLine(names[h] ?? "", 60);
  return names[h] && name !== `H${h + 1}` ? `H${h + 1} ${name}` : `H${h + 1}`;
}
