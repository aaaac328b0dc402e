// Heat maps as they come from the kernel (heat.py): inflated once, then shown under any rule without it.

import { heatLevel } from "./pictures.js";
/** @import { Numbers } from "../kit/wire.js" */

/** @param {Numbers} packed @returns {Promise<Uint8Array>} */
export async function inflated(packed) {
  const stream = new Blob([/** @type {any} */ (packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** K maps of one row: a sweep, or one map. Numbers are steps on a square-root scale of each map's largest value. */
export class HeatMaps {
  /**
   * @param {Uint8Array} raw low bytes, then high bytes, of the changes from map to map
   * @param {{units?: number[], levels?: number, planes?: number}} packed what `maps.Packed` says of them
   * @param {number} n places in a map
   */
  constructor(raw, packed, n) {
    const { units = [], levels = 1, planes = 1 } = packed,
      half = raw.length / 2,
      block = planes * n;
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

  /** Maps that have nothing to do with each other come as planes of one: from now on each is a map of its own. */
  apart() {
    this.count *= this.planes;
    this.planes = 1;
    return this;
  }

  /** Which plane shows signed or absolute values. @param {boolean} signed */
  plane(signed) {
    return signed ? this.planes - 1 : 0;
  }

  /** @param {number} k @param {number} plane */
  unit(k, plane) {
    return this.units[k * this.planes + plane];
  }

  /**
   * Where map k is capped; its largest value where the percentile is 0.
   * @param {number} k
   * @param {boolean} signed
   * @param {number} percentile
   */
  cap(k, signed, percentile) {
    const key = `${k} ${signed} ${percentile}`,
      known = this.caps.get(key);
    if (known !== undefined) return known;
    const { n, levels, steps } = this,
      plane = this.plane(signed),
      start = (k * this.planes + plane) * n,
      counts = new Uint32Array(levels + 1);
    for (let i = start; i < start + n; i++) counts[Math.abs(steps[i])]++;
    const place = (percentile / 100) * (n - 1),
      low = Math.floor(place),
      at = (/** @type {number} */ wanted) => {
        let seen = 0,
          step = 0;
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
    const { n, levels, steps } = this,
      plane = this.plane(signed),
      unit = this.unit(k, plane),
      start = (k * this.planes + plane) * n;
    const table = new Uint8Array(2 * levels + 1),
      out = new Uint8Array(n);
    for (let step = -levels; step <= levels; step++)
      table[step + levels] = heatLevel((Math.sign(step) * (step / levels) ** 2 * unit) / (cap || 1), signed);
    for (let i = 0; i < n; i++) out[i] = table[steps[start + i] + levels];
    return out;
  }

  /** The values themselves, for files. @param {number} k @param {boolean} signed */
  values(k, signed) {
    const { n, levels, steps } = this,
      plane = this.plane(signed),
      unit = this.unit(k, plane),
      start = (k * this.planes + plane) * n;
    return Float32Array.from(
      { length: n },
      (_, i) => Math.sign(steps[start + i]) * (steps[start + i] / levels) ** 2 * unit,
    );
  }
}
