// A gallery of thumbnails to choose from: pages, two orders, arrows; the pictures come from gallery.py.

import { make, oneLine, plainButton, write } from "../kit/kit.js";

/** @import { Answer, Numbers } from "../kit/wire.js" */

/**
 * @typedef {{label: string, count: number, turn: (which: string, first: number) => void, more: () => void,
 *   choose: (row: number) => void}} GalleryUse
 */

/** What stands under a thumbnail. @param {GalleryRow} row */
function galleryCaption(row) {
  if (row.note) return oneLine(row.note, 160);
  if (row.prediction < 0) return row.label < 0 ? `${row.number ?? row.row}` : oneLine(row.labelName, 40);
  if (row.wrong) return `${oneLine(row.labelName, 24)} \u2192 ${oneLine(row.predictionName, 24)}`;
  return oneLine(row.predictionName, 40);
}

/** The same in a sentence, for screen readers and the tooltip. @param {GalleryRow} row */
export function gallerySentence(row) {
  const sure = row.confidence === null || row.prediction < 0 ? "" : `, ${Math.round(100 * row.confidence)} % sure`;
  if (row.note) return `Example ${row.number ?? row.row}: ${oneLine(row.note, 200)}`;
  if (row.prediction < 0)
    return `Example ${row.number ?? row.row}${row.label < 0 ? "" : `: ${oneLine(row.labelName)}`}`;
  if (row.label < 0) return `Example ${row.number ?? row.row}: predicted ${oneLine(row.predictionName)}${sure}`;
  return row.wrong
    ? `Example ${row.number ?? row.row}: ${oneLine(row.labelName)}, taken for ${oneLine(row.predictionName)}${sure}`
    : `Example ${row.number ?? row.row}: ${oneLine(row.labelName)}, predicted correctly${sure}`;
}

/**
 * One thumbnail on a canvas of its own size; CSS enlarges it.
 * @param {Numbers} thumbs
 * @param {number} k
 * @param {number} h
 * @param {number} w
 * @param {number} channels
 */
function thumbCanvas(thumbs, k, h, w, channels) {
  const canvas = make("canvas", { width: w, height: h, "aria-hidden": "true" });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")),
    image = context.createImageData(w, h);
  const start = k * h * w * channels;
  for (let i = 0; i < h * w; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = thumbs[start + channels * i + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** A grid of thumbnails; one of them is chosen. */
export class Gallery {
  /**
   * @param {GalleryUse} use
   * @param {AbortSignal} life
   */
  constructor(use, life) {
    this.use = use;
    this.life = life;
    this.chosen = -1;
    /** @type {HTMLButtonElement[]} */
    this.buttons = [];
    this.focusNext = "";
    const tab = (/** @type {string} */ which) => {
      const made = make("button", { type: "button", role: "radio", class: "sdw-button", "data-which": which });
      made.addEventListener("click", () => use.turn(which, 0), { signal: life });
      return made;
    };
    this.tabs = [tab("errors"), tab("all")];
    this.orders = make("div", { class: "sdw-group", role: "radiogroup", "aria-label": "Which examples" }, ...this.tabs);
    this.back = plainButton("\u2039", "Earlier examples");
    this.next = plainButton("\u203a", "Further examples");
    this.more = plainButton("Look at more", "Let the model look at more of the data");
    this.place = make("span", { class: "sdw-gallery-place" });
    this.grid = make("div", { class: "sdw-gallery-grid", role: "listbox", "aria-label": use.label });
    this.empty = make("div", { class: "sdw-gallery-empty", hidden: true });
    this.root = make(
      "div",
      { class: "sdw-gallery" },
      make("div", { class: "sdw-gallery-head" }, this.orders, this.back, this.place, this.next, this.more),
      this.grid,
      this.empty,
    );
    this.back.addEventListener("click", () => this.turn(-1), { signal: life });
    this.next.addEventListener("click", () => this.turn(1), { signal: life });
    this.more.addEventListener("click", () => use.more(), { signal: life });
    this.grid.addEventListener("keydown", (event) => this.key(event), { signal: life });
    /** @type {GalleryPage | null} */
    this.page = null;
  }

  /** @param {Answer} held @param {boolean} live */
  show(held, live) {
    const page = /** @type {GalleryPage} */ (held.value),
      { thumbs } = held.arrays,
      shape = held.value.shape ?? [];
    this.page = page;
    const rows = page.rows ?? [],
      [, h, w, channels] = shape,
      had = this.grid.contains(document.activeElement);
    this.buttons = rows.map((row, k) => {
      const sentence = gallerySentence(row),
        caption = make("span", { class: "sdw-gallery-caption", dir: "auto" }, galleryCaption(row));
      // Its name is what is seen, and the sentence after it.
      const made = make(
        "button",
        { type: "button", role: "option", class: "sdw-gallery-item", "data-row": row.row, title: sentence },
        thumbs ? thumbCanvas(thumbs, k, h, w, channels) : "",
        caption,
        make("span", { class: "sdw-spoken" }, sentence),
      );
      made.classList.toggle("sdw-gallery-wrong", row.wrong);
      made.addEventListener("click", () => this.choose(row.row), { signal: this.life });
      return made;
    });
    this.grid.replaceChildren(...this.buttons);
    this.fillHead(page, live);
    this.mark(this.chosen);
    if (had || this.focusNext) this.buttons[this.focusNext === "last" ? this.buttons.length - 1 : 0]?.focus();
    this.focusNext = "";
  }

  /** @param {GalleryPage} page @param {boolean} live */
  fillHead(page, live) {
    const count = page.counts?.[page.which] ?? page.rows.length,
      words = { errors: "Errors", all: "All" };
    for (const button of this.tabs) {
      const which = /** @type {"errors" | "all"} */ (button.dataset.which);
      write(button, `${words[which]} ${(page.counts?.[which] ?? 0).toLocaleString("en")}`);
      button.setAttribute("aria-checked", String(which === page.which));
      button.disabled = !live;
    }
    this.orders.hidden = !page.labelled;
    const shown = page.rows.length;
    const of =
      page.total !== null && page.total > page.seen
        ? `; ${page.seen.toLocaleString("en")} of ${page.total.toLocaleString("en")} looked at`
        : "";
    write(
      this.place,
      shown ? `${page.first + 1}\u2013${page.first + shown} of ${count.toLocaleString("en")}${of}` : of.slice(2),
    );
    this.back.disabled = !live || page.first === 0;
    this.next.disabled = !live || page.first + shown >= count;
    this.back.hidden = this.next.hidden = shown === count;
    this.more.hidden = !live || page.complete;
    this.empty.hidden = shown > 0;
    const none = page.which === "errors" && page.counts?.all > 0;
    write(
      this.empty,
      none ? "No mistakes among the examples looked at so far." : "No examples: pass data to choose from.",
    );
    this.root.dataset.shown = String(shown);
  }

  /** Show which one is chosen, without telling anybody. @param {number} row */
  mark(row) {
    this.chosen = row;
    let reachable = false;
    for (const button of this.buttons) {
      const on = Number(button.dataset.row) === row;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
      reachable ||= on;
    }
    if (!reachable && this.buttons[0]) this.buttons[0].tabIndex = 0;
  }

  /** @param {number} row */
  choose(row) {
    this.mark(row);
    this.use.choose(row);
  }

  /** @param {number} step @param {string} [focus] */
  turn(step, focus = "") {
    const { page } = this;
    if (!page) return;
    const first = page.first + step * this.use.count;
    if (first < 0 && page.first === 0) return;
    if (step > 0 && page.first + page.rows.length >= (page.counts?.[page.which] ?? 0)) return;
    this.focusNext = focus;
    this.use.turn(page.which, Math.max(0, first));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const at = this.buttons.indexOf(/** @type {any} */ (document.activeElement));
    if (at < 0) return;
    const columns = getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
    const step = /** @type {Record<string, number>} */ ({
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns,
    })[event.key];
    const to =
      event.key === "Home" ? 0 : event.key === "End" ? this.buttons.length - 1 : step === undefined ? NaN : at + step;
    if (event.key === "PageUp" || event.key === "PageDown") this.turn(event.key === "PageUp" ? -1 : 1, "first");
    else if (Number.isNaN(to)) return;
    else if (to < 0) this.turn(-1, "last");
    else if (to >= this.buttons.length) this.turn(1, "first");
    else this.buttons[to].focus();
    event.preventDefault();
    event.stopPropagation();
  }
}
