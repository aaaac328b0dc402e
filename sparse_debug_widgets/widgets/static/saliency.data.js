// needs: pictures
// Saliency maps as they come from the kernel (maps.py): inflated once, then shown under any rule without it.

/**
 * @typedef {{model: string, picture: number, target: number, targetName: string, predicted: number, predictedName: string,
 *   confidence: number | null, words?: string[]}} MapRow
 * @typedef {{row: number, method?: string, model?: string, error?: string, array?: string, units?: number[], levels?: number, planes?: number,
 *   notes?: Record<string, number>, lambdas?: number[], sparsity?: number[], increase?: number[], chosen?: number}} MapCell
 * @typedef {{percentile: number, blend: number, signed: boolean, sequential: string, diverging: string, smooth: boolean,
 *   together: boolean, size: number, beside: string}} MapDisplay
 */

/** @param {Numbers} packed @returns {Promise<Uint8Array>} */
async function inflated(packed) {
  const stream = new Blob([/** @type {any} */ (packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** K maps of one row: a sweep, or one map. Numbers are steps on a square-root scale of each map's largest value. */
class HeatMaps {
  /**
   * @param {Uint8Array} raw low bytes, then high bytes, of the changes from map to map
   * @param {MapCell} cell
   * @param {number} n places in a map
   */
  constructor(raw, cell, n) {
    const { units = [], levels = 1, planes = 1 } = cell, half = raw.length / 2, block = planes * n;
    this.units = units;
    this.levels = levels;
    this.planes = planes;
    this.n = n;
    this.count = half / block;
    this.steps = new Int16Array(half);
    for (let i = 0; i < half; i++) {
      const zigzag = raw[i] | (raw[half + i] << 8);
      this.steps[i] = ((zigzag >> 1) ^ -(zigzag & 1)) + (i >= block ? this.steps[i - block] : 0);
    }
    /** @type {Map<string, number>} */
    this.caps = new Map();
  }

  /** Which plane shows signed or absolute values. @param {boolean} signed */
  plane(signed) {
    return signed ? this.planes - 1 : 0;
  }

  /** @param {number} k @param {number} plane */
  unit(k, plane) {
    return this.units[k * this.planes + plane];
  }

  /** Where map k is capped; its largest value where the percentile is 0. @param {number} k @param {boolean} signed @param {number} percentile */
  cap(k, signed, percentile) {
    const key = `${k} ${signed} ${percentile}`, known = this.caps.get(key);
    if (known !== undefined) return known;
    const { n, levels, steps } = this, plane = this.plane(signed), start = (k * this.planes + plane) * n, counts = new Uint32Array(levels + 1);
    for (let i = start; i < start + n; i++) counts[Math.abs(steps[i])]++;
    const place = (percentile / 100) * (n - 1), low = Math.floor(place), at = (/** @type {number} */ wanted) => {
      let seen = 0, step = 0;
      while (step < levels && seen + counts[step] <= wanted) seen += counts[step++];
      return (step / levels) ** 2;
    };
    const share = at(low) * (1 - place + low) + at(Math.min(low + 1, n - 1)) * (place - low);
    const cap = (share > 0 ? share : 1) * this.unit(k, plane);
    if (this.caps.size > 4000) this.caps.clear();
    this.caps.set(key, cap);
    return cap;
  }

  /** Places in a table of 256 colours. @param {number} k @param {boolean} signed @param {number} cap */
  colours(k, signed, cap) {
    const { n, levels, steps } = this, plane = this.plane(signed), unit = this.unit(k, plane), start = (k * this.planes + plane) * n;
    const table = new Uint8Array(2 * levels + 1), out = new Uint8Array(n);
    for (let step = -levels; step <= levels; step++) table[step + levels] = heatLevel((Math.sign(step) * (step / levels) ** 2 * unit) / (cap || 1), signed);
    for (let i = 0; i < n; i++) out[i] = table[steps[start + i] + levels];
    return out;
  }

  /** The values themselves, for files. @param {number} k @param {boolean} signed */
  values(k, signed) {
    const { n, levels, steps } = this, plane = this.plane(signed), unit = this.unit(k, plane), start = (k * this.planes + plane) * n;
    return Float32Array.from({ length: n }, (_, i) => Math.sign(steps[start + i]) * (steps[start + i] / levels) ** 2 * unit);
  }
}

/** What a trait holds, ready to be shown. */
class MapSheet {
  /**
   * @param {any} value
   * @param {(HeatMaps | null)[]} maps one for each cell, null where a method failed
   * @param {Record<string, Numbers>} arrays
   */
  constructor(value, maps, arrays) {
    this.value = value;
    this.maps = maps;
    this.rows = /** @type {MapRow[]} */ (value.rows);
    this.cells = /** @type {MapCell[]} */ (value.cells);
    const [height, width] = /** @type {[number, number]} */ (value.shape ?? [1, 1]);
    this.height = height;
    this.width = width;
    this.image = value.layout === "image";
    /** @type {Picture[]} */
    this.pictures = [];
    /** @type {Uint8Array[]} */
    this.greys = [];
    const extent = { low: 0, high: 255 }, size = this.height * this.width;
    if (arrays.pictures) {
      const count = 1 + Math.max(...this.rows.map((row) => row.picture)), channels = arrays.pictures.length / count / size;
      for (let p = 0; p < count; p++) {
        const picture = { values: arrays.pictures.subarray(p * channels * size, (p + 1) * channels * size), channels, height: this.height, width: this.width };
        this.pictures.push(picture);
        // Less bright than the map's own highlights, which would drown in white.
        this.greys.push(greyOf(pictureBytes(picture, { extent })).map((grey) => 0.7 * grey));
      }
    }
  }

  /** @param {any} held a trait @returns {Promise<MapSheet | null>} */
  static async read(held) {
    if (!held?.value?.rows) return null;
    const { value, arrays } = fromTrait(held), [height, width] = value.shape ?? [1, 1];
    const maps = await Promise.all(value.cells.map(async (/** @type {MapCell} */ cell) => (
      cell.array ? new HeatMaps(await inflated(arrays[cell.array]), cell, height * width) : null)));
    return new MapSheet(value, maps, arrays);
  }

  /** One cap for each cell: its own, or the largest of all that are shown. @param {number} k @param {MapDisplay} display @param {(cell: MapCell) => string} [group] */
  capsAt(k, display, group = () => "") {
    const own = this.maps.map((maps) => maps?.cap(Math.min(k, maps.count - 1), display.signed, display.percentile) ?? 0);
    if (!display.together) return own;
    /** @type {Map<string, number>} */
    const most = new Map();
    this.cells.forEach((cell, c) => most.set(group(cell), Math.max(most.get(group(cell)) ?? 0, own[c])));
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
function paintMap(canvas, sheet, c, k, cap, display, dark) {
  const maps = sheet.maps[c], { signed } = display;
  if (!maps) return;
  const levels = maps.colours(Math.min(k, maps.count - 1), signed, cap), table = colourTable(signed ? display.diverging : display.sequential, dark);
  const grey = sheet.greys[sheet.rows[sheet.cells[c].row].picture] ?? null;
  paintHeat(canvas, { levels, width: sheet.width, height: sheet.height, grey }, { table, blend: blendTable(display.blend, signed) });
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
function paintWords(spans, sheet, c, k, cap, display, dark) {
  const maps = sheet.maps[c], { signed } = display;
  if (!maps) return;
  const at = Math.min(k, maps.count - 1), levels = maps.colours(at, signed, cap), table = colourTable(signed ? display.diverging : display.sequential, dark);
  const values = maps.values(at, signed);
  spans.forEach((span, i) => {
    const [red, green, blue] = table.subarray(3 * levels[i], 3 * levels[i] + 3), bright = 0.299 * red + 0.587 * green + 0.114 * blue;
    span.style.background = `rgb(${red} ${green} ${blue})`;
    span.style.color = bright > 140 ? "#14181d" : "#f6f8fa";
    span.title = `${span.textContent}: ${brief(values[i])}`;
  });
}
