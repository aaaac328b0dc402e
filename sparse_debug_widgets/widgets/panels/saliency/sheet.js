// Saliency maps as they come from the kernel (heat.py): inflated once, then shown under any rule without it.

import { brief } from "../../kit/draw.js";
import { fromTrait } from "../../kit/wire.js";
import { HeatMaps, inflated } from "../../shared/heat.js";
import { blendTable, colourTable, greyOf, paintHeat, pictureBytes } from "../../shared/pictures.js";
/** @import { Numbers } from "../../kit/wire.js" */
/** @import { Picture } from "../../shared/pictures.js" */

/**
 * @typedef {MapsAbout & Required<Pick<MapsAbout, "methods" | "method" | "ratios">>} AnyMaps maps have methods,
 *   a sweep the rest
 */
/** @typedef {MapCell & {row: number}} RowCell a cell without an error, which has a row; of others nobody asks for it */

/** What a trait holds, ready to be shown. */
export class MapSheet {
  /**
   * @param {MapsAbout} value
   * @param {(HeatMaps | null)[]} maps one for each cell, null where a method failed
   * @param {Record<string, Numbers>} arrays
   */
  constructor(value, maps, arrays) {
    this.value = /** @type {AnyMaps} */ (value);
    this.maps = maps;
    this.rows = value.rows;
    this.cells = /** @type {RowCell[]} */ (value.cells);
    const [height, width] = /** @type {[number, number]} */ (value.shape ?? [1, 1]);
    this.height = height;
    this.width = width;
    this.image = value.layout === "image";
    /** @type {Picture[]} */
    this.pictures = [];
    /** @type {Uint8Array[]} */
    this.greys = [];
    const extent = { low: 0, high: 255 },
      size = this.height * this.width;
    if (arrays.pictures) {
      const count = 1 + Math.max(...this.rows.map((row) => row.picture)),
        channels = arrays.pictures.length / count / size;
      for (let p = 0; p < count; p++) {
        const picture = {
          values: arrays.pictures.subarray(p * channels * size, (p + 1) * channels * size),
          channels,
          height: this.height,
          width: this.width,
        };
        this.pictures.push(picture);
        // Less bright than the map's own highlights, which would drown in white.
        this.greys.push(greyOf(pictureBytes(picture, { extent })).map((grey) => 0.7 * grey));
      }
    }
  }

  /** @param {Held<MapsAbout>} held @returns {Promise<MapSheet | null>} */
  static async read(held) {
    if (!held?.value?.rows) return null;
    const { value, arrays } = fromTrait(held),
      [height, width] = value.shape ?? [1, 1];
    const maps = await Promise.all(
      value.cells.map(async (/** @type {MapCell} */ cell) =>
        cell.array ? new HeatMaps(await inflated(arrays[cell.array]), cell, height * width) : null,
      ),
    );
    return new MapSheet(value, maps, arrays);
  }

  /**
   * One cap for each cell: its own, or the largest of all that are shown.
   * @param {number} k
   * @param {MapDisplay} display
   * @param {(cell: MapCell) => string} [group]
   */
  capsAt(k, display, group = () => "") {
    const own = this.maps.map(
      (maps) => maps?.cap(Math.min(k, maps.count - 1), display.signed, display.percentile) ?? 0,
    );
    if (!display.together) return own;
    /** @type {Map<string, number>} */
    const most = new Map();
    this.cells.forEach((cell, c) => {
      most.set(group(cell), Math.max(most.get(group(cell)) ?? 0, own[c]));
    });
    return this.cells.map((cell) => most.get(group(cell)) ?? 0);
  }
}

/**
 * Paint map k of a cell under the shared display.
 * @param {HTMLCanvasElement} canvas
 * @param {MapSheet} sheet
 * @param {number} c
 * @param {number} k
 * @param {number} cap
 * @param {MapDisplay} display
 * @param {boolean} dark
 */
export function paintMap(canvas, sheet, c, k, cap, display, dark) {
  const maps = sheet.maps[c],
    { signed } = display;
  if (!maps) return;
  const levels = maps.colours(Math.min(k, maps.count - 1), signed, cap),
    table = colourTable(signed ? display.diverging : display.sequential, dark);
  const grey = sheet.greys[sheet.rows[sheet.cells[c].row].picture] ?? null;
  paintHeat(
    canvas,
    { levels, width: sheet.width, height: sheet.height, grey },
    { table, blend: blendTable(display.blend, signed) },
  );
}

/**
 * Colour the words of a text, or the numbers of a feature vector.
 * @param {HTMLElement[]} spans
 * @param {MapSheet} sheet
 * @param {number} c
 * @param {number} k
 * @param {number} cap
 * @param {MapDisplay} display
 * @param {boolean} dark
 */
export function paintWords(spans, sheet, c, k, cap, display, dark) {
  const maps = sheet.maps[c],
    { signed } = display;
  if (!maps) return;
  const at = Math.min(k, maps.count - 1),
    levels = maps.colours(at, signed, cap),
    table = colourTable(signed ? display.diverging : display.sequential, dark);
  const values = maps.values(at, signed);
  spans.forEach((span, i) => {
    const [red, green, blue] = table.subarray(3 * levels[i], 3 * levels[i] + 3),
      bright = 0.299 * red + 0.587 * green + 0.114 * blue;
    span.style.background = `rgb(${red} ${green} ${blue})`;
    span.style.color = bright > 140 ? "#14181d" : "#f6f8fa";
    span.title =
      `${span.textContent}: ` +
      `${brief(values[i])}${signed && values[i] ? (values[i] > 0 ? ", for the class" : ", against the class") : ""}`;
  });
}
