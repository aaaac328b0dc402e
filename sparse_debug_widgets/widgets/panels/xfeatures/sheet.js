// x-features as they come from the kernel (sheet.py): everything is here, nothing is asked for later.

import { brief } from "../../kit/draw.js";
import { fromTrait } from "../../kit/wire.js";
import { HeatMaps, inflated } from "../../shared/heat.js";
import { blendTable, colourTable, greyOf, pictureBytes, sized } from "../../shared/pictures.js";
/** @import { Numbers } from "../../kit/wire.js" */
/** @import { Picture } from "../../shared/pictures.js" */

export const BASELINE = -1;

/**
 * @typedef {{dark: boolean, series: string[], muted: string, bg: string, fg: string, font: string}} XColours
 */

/**
 * (h, w) -> (height, width), linear between the centres of the cells.
 * @param {Uint8Array} levels
 * @param {number[]} from
 * @param {number[]} to
 */
function resizedLevels(levels, [h, w], [height, width]) {
  if (h === height && w === width) return levels;
  const places = (/** @type {number} */ cells, /** @type {number} */ size) =>
    Array.from({ length: size }, (_, i) => {
      const place = Math.min(cells - 1, Math.max(0, ((i + 0.5) * cells) / size - 0.5)),
        low = Math.floor(place);
      return { low, high: Math.min(low + 1, cells - 1), part: place - low };
    });
  const across = places(w, width),
    out = new Uint8Array(height * width);
  places(h, height).forEach((y, i) => {
    const top = y.low * w,
      below = y.high * w;
    for (let j = 0; j < width; j++) {
      const x = across[j],
        above = levels[top + x.low] * (1 - x.part) + levels[top + x.high] * x.part;
      const under = levels[below + x.low] * (1 - x.part) + levels[below + x.high] * x.part;
      out[i * width + j] = above * (1 - y.part) + under * y.part + 0.5;
    }
  });
  return out;
}

/** What a trait holds, ready to be shown. Pictures and x-features are numbered from 0, the 1-heatmap is number -1. */
export class XSheet {
  /**
   * @param {any} value
   * @param {Record<string, Numbers>} arrays
   * @param {HeatMaps} heat
   */
  constructor(value, arrays, heat) {
    this.value = value;
    this.heat = heat;
    this.k = /** @type {number} */ (value.k);
    this.n = /** @type {number} */ (value.n);
    this.signed = /** @type {boolean} */ (value.signed);
    this.contributions = arrays.contributions;
    this.scores = arrays.scores;
    this.reconstructed = arrays.reconstructed;
    this.mass = arrays.mass;
    const [channels, height, width] = /** @type {number[]} */ (value.picture),
      size = channels * height * width;
    this.height = height;
    this.width = width;
    /** @type {Picture[]} */
    this.pictures = Array.from({ length: this.k }, (_, row) => ({
      values: arrays.pictures.subarray(row * size, (row + 1) * size),
      channels,
      height,
      width,
    }));
    /** @type {(Uint8ClampedArray | undefined)[]} */
    this.bytes = [];
    /** @type {(Uint8ClampedArray | undefined)[]} */
    this.greys = [];
    /** @type {({key: string, levels: Uint8Array} | undefined)[]} */
    this.levels = [];
    this.largest = Math.max(...Array.from(this.contributions, Math.abs)) || 1;
    this.layers = [BASELINE, ...Array.from({ length: this.n }, (_, h) => h)];
  }

  /** @param {any} held a trait @returns {Promise<XSheet | null>} */
  static async read(held) {
    if (!held?.value?.k) return null;
    const { value, arrays } = fromTrait(held),
      [h, w] = value.shape;
    const heat = new HeatMaps(await inflated(arrays.maps), { ...value, planes: value.k * (value.n + 1) }, h * w);
    return new XSheet(value, arrays, heat.apart());
  }

  /** What an x-feature adds to the score of a picture, in logits. @param {number} row @param {number} h */
  contribution(row, h) {
    return this.contributions[row * this.n + h];
  }

  /** All contributions of a picture. @param {number} row */
  contributionsOf(row) {
    return Array.from({ length: this.n }, (_, h) => this.contribution(row, h));
  }

  /** The x-feature that matters most on a picture. @param {number} row */
  strongest(row) {
    const sizes = this.contributionsOf(row).map(Math.abs);
    return sizes.indexOf(Math.max(...sizes));
  }

  /**
   * A contribution as it is written: in logits, or as a share of all that the x-features of the picture add and take
   * away.
   * @param {number} row
   * @param {number} h
   * @param {string} numbers
   */
  said(row, h, numbers) {
    const value = this.contribution(row, h);
    if (numbers === "logit") return signedText(value);
    const total = this.contributionsOf(row).reduce((sum, v) => sum + Math.abs(v), 0);
    return total > 0 ? `${signedText(Math.round((100 * value) / total))} %` : "0 %";
  }

  /** Mean contribution over the gallery. @param {number} h */
  mean(h) {
    let sum = 0;
    for (let row = 0; row < this.k; row++) sum += this.contribution(row, h);
    return sum / this.k;
  }

  /** @param {number} row @param {number} h */
  index(row, h) {
    return row * (this.n + 1) + h + 1;
  }

  /**
   * Where a map is capped: by itself, or with all maps of its x-feature or of its picture.
   * @param {number} row
   * @param {number} h
   * @param {XDisplay} display
   */
  cap(row, h, { scale, percentile }) {
    const own = (/** @type {number} */ r, /** @type {number} */ l) =>
      this.heat.cap(this.index(r, l), this.signed, percentile);
    if (scale === "map") return own(row, h);
    if (scale === "picture") return Math.max(...this.layers.map((l) => own(row, l)));
    return Math.max(...this.pictures.map((_, r) => own(r, h)));
  }

  /**
   * Places in a table of 256 colours, of the picture's size.
   * @param {number} row
   * @param {number} h
   * @param {XDisplay} display
   */
  coloursOf(row, h, display) {
    const index = this.index(row, h),
      cap = this.cap(row, h, display),
      key = `${cap}`,
      known = this.levels[index];
    if (known?.key === key) return known.levels;
    const levels = resizedLevels(this.heat.colours(index, this.signed, cap), this.value.shape, [
      this.height,
      this.width,
    ]);
    this.levels[index] = { key, levels };
    return levels;
  }

  /** The picture as RGBA bytes. @param {number} row */
  pictureOf(row) {
    this.bytes[row] ??= pictureBytes(this.pictures[row], { extent: { low: 0, high: 255 } });
    return this.bytes[row];
  }

  /**
   * What lies under a map: less bright than the map's own highlights, which would drown in white.
   * @param {number} row
   */
  greyOf(row) {
    const known = this.greys[row];
    if (known) return known;
    const bytes = this.pictureOf(row).slice();
    greyOf(bytes).forEach((grey, i) => {
      bytes[4 * i] = bytes[4 * i + 1] = bytes[4 * i + 2] = 0.7 * grey;
    });
    this.greys[row] = bytes;
    return bytes;
  }
}

/** A number that may be negative, with its sign. @param {number} value */
export function signedText(value) {
  return value > 0 ? `+${brief(value)}` : brief(value === 0 ? 0 : value);
}

/** @param {string} hex */
function channelsOf(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/**
 * A picture with maps over it: one in the colour map, several each in a colour of its own.
 * @param {HTMLCanvasElement} canvas
 * @param {XSheet} sheet
 * @param {number} row
 * @param {number[]} layers x-features; none for the picture itself
 * @param {XDisplay} display
 * @param {XColours} colours
 */
export function paintLayers(canvas, sheet, row, layers, display, colours) {
  const { width, height } = sheet,
    image = new ImageData(width, height),
    out = image.data;
  if (!sheet.value.mapped) layers = [];
  out.set(layers.length && display.under === "grey" ? sheet.greyOf(row) : sheet.pictureOf(row));
  const strength = (/** @type {number} */ h) =>
    display.fade && h !== BASELINE ? Math.min(1, Math.abs(sheet.contribution(row, h)) / sheet.largest) : 1;
  if (layers.length === 1) overOne(out, sheet, row, layers[0], strength(layers[0]), display, colours);
  else if (layers.length)
    overSeveral(
      out,
      layers.map((h) => ({
        levels: sheet.coloursOf(row, h, display),
        strength: strength(h),
        colour: channelsOf(layerColour(h, colours)),
      })),
      sheet.signed,
      display,
    );
  sized(canvas, width, height).putImageData(image, 0, 0);
}

/** @param {number} h @param {XColours} colours */
export function layerColour(h, { series, muted }) {
  return h === BASELINE ? muted : series[h % series.length];
}

/**
 * @param {Uint8ClampedArray} out
 * @param {XSheet} sheet
 * @param {number} row
 * @param {number} h
 * @param {number} strength
 * @param {XDisplay} display
 * @param {XColours} colours
 */
function overOne(out, sheet, row, h, strength, display, colours) {
  const levels = sheet.coloursOf(row, h, display),
    table = colourTable(sheet.signed ? display.diverging : display.sequential, colours.dark);
  const blend = blendTable(display.blend, sheet.signed);
  for (let i = 0, at = 0; i < levels.length; i++, at += 4) {
    const level = levels[i],
      over = blend[level] * strength,
      under = 1 - over;
    out[at] = over * table[3 * level] + under * out[at];
    out[at + 1] = over * table[3 * level + 1] + under * out[at + 1];
    out[at + 2] = over * table[3 * level + 2] + under * out[at + 2];
  }
}

/**
 * Opacities join as of independent layers, colours as their mean: which was switched on first does not matter.
 * @param {Uint8ClampedArray} out
 * @param {{levels: Uint8Array, strength: number, colour: number[]}[]} layers
 * @param {boolean} signed
 * @param {XDisplay} display
 */
function overSeveral(out, layers, signed, display) {
  // A signed map says with its positive part where it looks.
  const blend = blendTable(display.blend, signed).map((value, level) => (signed && level < 128 ? 0 : value));
  for (let i = 0, at = 0; i < layers[0].levels.length; i++, at += 4) {
    let left = 1,
      total = 0,
      red = 0,
      green = 0,
      blue = 0;
    for (const { levels, strength, colour } of layers) {
      const over = blend[levels[i]] * strength;
      left *= 1 - over;
      total += over;
      red += over * colour[0];
      green += over * colour[1];
      blue += over * colour[2];
    }
    if (total === 0) continue;
    const share = (1 - left) / total;
    out[at] = share * red + left * out[at];
    out[at + 1] = share * green + left * out[at + 1];
    out[at + 2] = share * blue + left * out[at + 2];
  }
}
