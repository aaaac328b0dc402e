// Pictures of any channel count on canvases: colour maps, heat maps over images, signed changes, PNG files.
// A canvas has the picture's own size and is stretched by the style sheet; nothing is computed twice for a zoom.

import { CanvasPen } from "../kit/draw.js";
import { make } from "../kit/kit.js";

/**
 * @typedef {{values: ArrayLike<number>, channels: number, height: number, width: number}} Picture (channels, height,
 *   width)
 * @typedef {{low: number, high: number}} Extent
 */

// Nine stops of each sequential map. They are perceptually uniform, and so are straight lines between so many stops.
const SEQUENTIAL_STOPS = /** @type {Record<string, string>} */ ({
  inferno: "000004 210c4a 57106e 8a226a bc3754 e45a31 f98e09 f9cb35 fcffa4",
  viridis: "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725",
  cividis: "00224e 1a386f 434e6c 61656f 7d7c78 9b9476 bcae6c dec958 fee838",
  grey: "000000 1b1b1b 303030 474747 5e5e5e 777777 ababab d4d4d4 ffffff",
});
// Hues in degrees of OKLCh of the negative and of the positive end, told apart by people of every colour vision.
const DIVERGING_HUES = /** @type {Record<string, [number, number]>} */ ({
  "blue-orange": [250, 55],
  "purple-green": [315, 145],
});
export const SEQUENTIAL_MAPS = Object.keys(SEQUENTIAL_STOPS);
export const DIVERGING_MAPS = Object.keys(DIVERGING_HUES);

/** @type {Map<string, Uint8Array>} */
const colourTables = new Map();

/**
 * 256 colours (r, g, b in a row). Diverging maps have their zero at 128, in the colour of the page: light or dark.
 * @param {string} name
 * @param {boolean} dark
 */
export function colourTable(name, dark) {
  const key = `${name} ${dark}`,
    known = colourTables.get(key);
  if (known) return known;
  const table = new Uint8Array(768),
    hues = DIVERGING_HUES[name];
  const stops = (SEQUENTIAL_STOPS[name] ?? SEQUENTIAL_STOPS.inferno)
    .split(" ")
    .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  for (let i = 0; i < 256; i++) {
    if (hues) {
      const side = Math.max(-1, (i - 128) / 127),
        size = Math.abs(side),
        hue = hues[side < 0 ? 0 : 1];
      const lightness = dark ? 0.24 + 0.54 * size : 0.97 - 0.47 * size;
      table.set(fromOklch(lightness, 0.155 * size ** 0.85, hue), 3 * i);
    } else {
      const place = (i / 255) * (stops.length - 1),
        k = Math.min(stops.length - 2, Math.floor(place)),
        part = place - k;
      for (let c = 0; c < 3; c++) table[3 * i + c] = Math.round(stops[k][c] * (1 - part) + stops[k + 1][c] * part);
    }
  }
  colourTables.set(key, table);
  return table;
}

/**
 * sRGB bytes of a colour in OKLCh: equal steps look equally large there.
 * @param {number} lightness
 * @param {number} chroma
 * @param {number} hue in degrees
 */
function fromOklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180),
    b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3,
    m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return linear.map((v) =>
    Math.round(
      255 * Math.min(1, Math.max(0, v <= 0.0031308 ? 12.92 * v : 1.055 * Math.max(v, 0) ** (1 / 2.4) - 0.055)),
    ),
  );
}

/**
 * What black and white stand for: 0 and 1 where all values lie between, else the ends of the picture.
 * @param {Picture} picture
 * @returns {Extent}
 */
function extentOf({ values }) {
  let low = Infinity,
    high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return low >= 0 && high <= 1 ? { low: 0, high: 1 } : { low, high: high > low ? high : low + 1 };
}

/**
 * A picture as RGBA bytes: three channels are red, green and blue, four have an opacity, any other number is
 * shown in grey, as the mean of all channels or as one of them.
 * @param {Picture} picture
 * @param {{extent?: Extent, channel?: number | null}} [options]
 */
export function pictureBytes(picture, { extent = extentOf(picture), channel = null } = {}) {
  const { values, channels, height, width } = picture,
    n = height * width,
    bytes = new Uint8ClampedArray(4 * n);
  const scale = 255 / (extent.high - extent.low),
    coloured = channel === null && (channels === 3 || channels === 4);
  for (let i = 0; i < n; i++) {
    if (coloured) {
      for (let c = 0; c < 3; c++) bytes[4 * i + c] = (values[c * n + i] - extent.low) * scale;
    } else {
      let sum = channel === null ? 0 : values[channel * n + i] * channels;
      if (channel === null) for (let c = 0; c < channels; c++) sum += values[c * n + i];
      bytes[4 * i] = bytes[4 * i + 1] = bytes[4 * i + 2] = (sum / channels - extent.low) * scale;
    }
    bytes[4 * i + 3] = coloured && channels === 4 ? (values[3 * n + i] - extent.low) * scale : 255;
  }
  return bytes;
}

/** Brightness of RGBA bytes. @param {Uint8ClampedArray} bytes */
export function greyOf(bytes) {
  const grey = new Uint8Array(bytes.length / 4);
  for (let i = 0; i < grey.length; i++)
    grey[i] = 0.299 * bytes[4 * i] + 0.587 * bytes[4 * i + 1] + 0.114 * bytes[4 * i + 2];
  return grey;
}

/**
 * One number per pixel out of all channels.
 * @param {Picture} picture
 * @param {"sum" | "absolute" | "largest"} how
 */
function overChannels({ values, channels, height, width }, how) {
  const n = height * width,
    out = new Float32Array(n);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < n; i++) {
      const value = values[c * n + i];
      if (how === "sum") out[i] += value;
      else if (how === "absolute") out[i] += Math.abs(value);
      else if (Math.abs(value) > Math.abs(out[i])) out[i] = value;
    }
  }
  return out;
}

/**
 * Places in a table of 256 colours: absolute values from 0 to the cap, or signed ones with 0 at 128.
 * @param {ArrayLike<number>} values
 * @param {number} cap
 * @param {boolean} signed
 */
function heatLevels(values, cap, signed) {
  const levels = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) levels[i] = heatLevel(values[i] / cap, signed);
  return levels;
}

/**
 * The place of one share of the cap; what is no number has the colour of 0.
 * @param {number} share
 * @param {boolean} signed
 */
export function heatLevel(share, signed) {
  if (Number.isNaN(share)) return signed ? 128 : 0;
  return signed
    ? 128 + Math.round(127 * Math.max(-1, Math.min(1, share)))
    : Math.round(255 * Math.min(1, Math.abs(share)));
}

/**
 * Opacity of each of the 256 levels of a heat map: nothing where the map is 0, `blend` where it is largest; at
 * a blend of 1 the map hides the picture, at 0 it is not there.
 * @param {number} blend in [0, 1]
 * @param {boolean} signed
 */
export function blendTable(blend, signed) {
  return Float32Array.from(
    { length: 256 },
    (_, i) => blend * (signed ? Math.abs(i - 128) / 127 : i / 255) ** (1 - blend),
  );
}

/**
 * The canvas, cleared, of the size of a picture.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
export function sized(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Picture} picture
 * @param {{extent?: Extent, channel?: number | null}} [options]
 */
export function paintPicture(canvas, picture, options) {
  sized(canvas, picture.width, picture.height).putImageData(
    new ImageData(pictureBytes(picture, options), picture.width, picture.height),
    0,
    0,
  );
}

/**
 * A heat map, over a grey picture where there is one.
 * @param {HTMLCanvasElement} canvas
 * @param {{levels: Uint8Array, width: number, height: number, grey?: Uint8Array | null}} what
 * @param {{table: Uint8Array, blend?: Float32Array | null}} colours
 */
export function paintHeat(canvas, { levels, width, height, grey = null }, { table, blend = null }) {
  const image = new ImageData(width, height),
    { data } = image;
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i],
      over = grey && blend ? blend[level] : 1,
      under = grey ? (1 - over) * grey[i] : 0;
    data[4 * i] = over * table[3 * level] + under;
    data[4 * i + 1] = over * table[3 * level + 1] + under;
    data[4 * i + 2] = over * table[3 * level + 2] + under;
    data[4 * i + 3] = 255;
  }
  sized(canvas, width, height).putImageData(image, 0, 0);
}

/**
 * A signed change: three channels in their colours around middle grey, others summed, in a diverging map.
 * @param {HTMLCanvasElement} canvas
 * @param {Picture} change
 * @param {{limit: number, table: Uint8Array, coloured?: boolean}} options
 */
export function paintSigned(canvas, change, { limit, table, coloured = false }) {
  if (coloured && change.channels === 3) {
    paintPicture(canvas, change, { extent: { low: -limit, high: limit } });
  } else {
    const values = overChannels(change, "sum");
    paintHeat(
      canvas,
      { levels: heatLevels(values, limit || 1, true), width: change.width, height: change.height },
      { table },
    );
  }
}

/** A colour bar: the whole table from left to right. @param {HTMLCanvasElement} canvas @param {Uint8Array} table */
export function paintColourBar(canvas, table) {
  paintHeat(canvas, { levels: Uint8Array.from({ length: 256 }, (_, i) => i), width: 256, height: 1 }, { table });
}

/**
 * A canvas for a picture, with a name for those who do not see it.
 * @param {string} label
 * @param {Record<string, string | number>} [more]
 */
export function pictureCanvas(label, more = {}) {
  return make("canvas", { class: "sdw-picture", role: "img", "aria-label": label, ...more });
}

/** Large pixels with sharp edges, or smoothed. @param {HTMLElement} root @param {boolean} smooth */
export function smoothPictures(root, smooth) {
  root.classList.toggle("sdw-smooth", smooth);
}

/**
 * Several pictures with their captions as one PNG file, under a title, sentences and the colours' meaning.
 * @param {{canvas: HTMLCanvasElement, caption: string}[]} items
 * @param {{columns: number, title: string, lines?: string[], smooth: boolean, colours: {bg: string, fg: string,
 *   muted: string, font: string},
 *   bar?: {canvas: HTMLCanvasElement, low: string, high: string} | null}} style
 * @returns {Promise<Blob | null>}
 */
export async function picturesToPng(items, { columns, title, lines = [], smooth, colours, bar = null }) {
  if (!items.length) return null;
  const across = Math.max(1, Math.min(columns, items.length)),
    down = Math.ceil(items.length / across);
  const widest = Math.max(1, ...items.map(({ canvas }) => canvas.width)),
    cell = Math.max(224, Math.min(448, widest)),
    gap = 12,
    line = 34;
  const tallest = Math.max(...items.map(({ canvas }) => (canvas.height / canvas.width) * cell));
  const top = line + 20 * lines.length + (bar ? 24 : 0),
    width = Math.max(gap + across * (cell + gap), 480);
  const sheet = make("canvas", { width, height: Math.ceil(top + down * (tallest + line) + gap) });
  const context = /** @type {CanvasRenderingContext2D} */ (sheet.getContext("2d"));
  const pen = new CanvasPen(context, colours.font);
  pen.rect(0, 0, sheet.width, sheet.height, colours.bg);
  pen.text(title, gap, line / 2, colours.fg, { size: 14, weight: "600", max: width - 2 * gap });
  lines.forEach((text, k) => {
    pen.text(text, gap, line + 20 * k + 6, colours.muted, { size: 12, max: width - 2 * gap });
  });
  if (bar) {
    const y = top - 14,
      room = 150;
    pen.text(bar.low, gap + room, y, colours.fg, { size: 11, align: "right", max: room });
    context.drawImage(bar.canvas, gap + room + 8, y - 5, 128, 10);
    pen.text(bar.high, gap + room + 144, y, colours.fg, { size: 11, max: room });
  }
  items.forEach(({ canvas, caption }, k) => {
    const x = gap + (k % across) * (cell + gap),
      y = top + Math.floor(k / across) * (tallest + line);
    context.imageSmoothingEnabled = smooth;
    context.drawImage(canvas, x, y, cell, (canvas.height / canvas.width) * cell);
    pen.text(caption, x, y + tallest + line / 2 - 2, colours.fg, { size: 12, max: cell });
  });
  return new Promise((resolve) => sheet.toBlob(resolve, "image/png"));
}
