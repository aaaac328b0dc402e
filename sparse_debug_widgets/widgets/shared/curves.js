// What panels know of a path: its head, and the curves of the classes looked at (see curves.py).

import { scoreText } from "../kit/draw.js";
import { oneLine } from "../kit/kit.js";

/** @import { Answer, Client, Numbers } from "../kit/wire.js" */

const KEPT_CLASSES = 24;
export const SPLITS = /** @type {const} */ (["train", "validation", "test"]);

/** The whole path, without the curves. */
export class PathHead {
  /** @param {Answer} held */
  constructor({ value, arrays }) {
    this.lambdas = arrays.lambdas;
    this.accuracies = arrays.accuracies;
    this.denseAccuracies = arrays.denseAccuracies;
    this.gaps = arrays.gaps;
    this.certified = arrays.certified;
    this.counts = arrays.counts;
    this.bounds = arrays.bounds ?? null;
    /** @type {string[]} */
    this.features = value.features;
    /** @type {string[]} */
    this.classes = value.classes;
    /** @type {PathAbout & Partial<PathPanelAbout & FeaturesAbout> & {saved?: boolean}} a saved page says so itself */
    this.about = value;
    this.K = this.lambdas.length;
    this.C = this.classes.length;
    this.p = this.features.length;
    this.shortFeatures = this.features.map((name) => oneLine(name));
    this.shortClasses = this.classes.map((name) => oneLine(name));
    this.places = this.placeLambdas();
    this.means = Float64Array.from({ length: this.K }, (_, i) => this.meanCount(i));
    this.mostCount = Math.max(1, largest(this.counts));
    this.split = [1, 2, 0].find((s) => Number.isFinite(this.accuracies[3 * (this.K - 1) + s])) ?? 0;
  }

  /** Names that a person has given since the head was written. @param {Record<string, string>} names feature -> name */
  rename(names) {
    for (const [j, name] of Object.entries(names)) {
      this.features[Number(j)] = name;
      this.shortFeatures[Number(j)] = oneLine(name);
    }
  }

  /** Where each lambda lies on the axis, 0 (sparsest) to 1: the logarithm of lambda. */
  placeLambdas() {
    const logs = Array.from(this.lambdas, (value) => Math.log(Math.max(value, 1e-300)));
    const span = logs[0] - logs[this.K - 1];
    return Float64Array.from(logs, (log, i) => (span > 0 ? (logs[0] - log) / span : this.K > 1 ? i / (this.K - 1) : 0));
  }

  /** @param {number} i */
  meanCount(i) {
    let sum = 0;
    for (let c = 0; c < this.C; c++) sum += this.counts[i * this.C + c];
    return sum / Math.max(1, this.C);
  }

  /** @param {number} i @param {number} split */
  accuracy(i, split) {
    return this.accuracies[3 * i + split];
  }

  /** What the scores of a split are called. @param {number} split */
  scoreName(split = this.split) {
    return `${SPLITS[split]} ${this.about.score}`;
  }

  /** "3 classes", "1 output". */
  get rowsInWords() {
    return `${this.C} ${this.C === 1 ? this.about.one : this.about.many}`;
  }

  /** Two classes that share one row of weights: who silences for the one silences for the other. */
  get shared() {
    return this.about.shared === true;
  }

  /**
   * How far the weights of a lambda can be from the exact ones; NaN where that is not known or not bounded.
   * @param {number} i
   */
  bound(i) {
    return this.bounds && Number.isFinite(this.bounds[i]) ? this.bounds[i] : NaN;
  }

  /** The lambda whose place is nearest. @param {number} place */
  nearest(place) {
    return nearestOf(this.places, place, 0);
  }

  /** A score for people: a percentage, or R squared. @param {number} value */
  score(value) {
    return scoreText(value, this.about.percent);
  }
}

/**
 * Index of the nearest value; among equals the one next to `current`.
 * @param {ArrayLike<number>} values
 * @param {number} wanted
 * @param {number} current
 */
export function nearestOf(values, wanted, current) {
  let best = 0,
    distance = Infinity;
  for (let i = 0; i < values.length; i++) {
    const d = Math.abs(values[i] - wanted);
    if (d < distance || (d === distance && Math.abs(i - current) < Math.abs(best - current))) {
      best = i;
      distance = d;
    }
  }
  return best;
}

/** The curves of one class. */
export class ClassCurves {
  /**
   * @param {Answer} answer
   * @param {number} K
   */
  constructor({ value, arrays }, K) {
    this.index = /** @type {number} */ (value.index);
    this.K = K;
    this.starts = arrays.starts;
    this.p = this.starts.length;
    this.first = new Int32Array(this.p + 1);
    for (let j = 0; j < this.p; j++) this.first[j + 1] = this.first[j] + K - this.starts[j];
    this.values = arrays.planes
      ? this.unsqueeze(arrays.planes, arrays.scales, value.unit / value.levels)
      : scaled(arrays.values, value.unit);
    this.dense = arrays.dense ? scaled(arrays.dense, value.denseUnit) : null;
    /**
     * Where the bound on the weights leaves open at which lambda a feature enters: the first at which it may, and must.
     */
    this.entries = new Map(Array.from(arrays.open ?? [], (j, k) => [j, [arrays.mayEnter[k], arrays.mustEnter[k]]]));
    /** How many weights of each lambda it leaves undecided: zero or not. */
    this.undecided = arrays.undecided ?? null;
    this.low = 0;
    this.high = 0;
    this.strength = new Float32Array(this.p);
    for (let j = 0; j < this.p; j++) {
      for (let at = this.first[j]; at < this.first[j + 1]; at++) {
        const v = this.values[at];
        if (v < this.low) this.low = v;
        if (v > this.high) this.high = v;
        if (Math.abs(v) > this.strength[j]) this.strength[j] = Math.abs(v);
      }
    }
    /** Features that ever enter, strongest first. */
    this.ranked = Array.from(this.starts.keys())
      .filter((j) => this.starts[j] < K)
      .sort((a, b) => this.strength[b] - this.strength[a]);
    /** Place of each feature in that order: its colour for the whole path. */
    this.rank = new Int32Array(this.p).fill(this.p);
    this.ranked.forEach((j, place) => {
      this.rank[j] = place;
    });
  }

  /** Mirror of curves.squeeze. @param {Numbers} planes @param {Numbers} scales @param {number} level */
  unsqueeze(planes, scales, level) {
    const n = planes.length / 2,
      values = new Float32Array(n);
    for (let j = 0; j < this.p; j++) {
      const step = scales[j] * level;
      let slope = 0,
        height = 0;
      for (let at = this.first[j]; at < this.first[j + 1]; at++) {
        const zigzag = planes[at] | (planes[n + at] << 8);
        slope += (zigzag >> 1) ^ -(zigzag & 1);
        height += slope;
        values[at] = height * step;
      }
    }
    return values;
  }

  /** Weight of feature j at lambda i. @param {number} j @param {number} i */
  at(j, i) {
    return i < this.starts[j] ? 0 : this.values[this.first[j] + i - this.starts[j]];
  }

  /** Where feature j enters, and between which places it is proved to. @param {number} j */
  entry(j) {
    const at = `enters at ${this.starts[j] + 1} of ${this.K}`,
      range = this.entries.get(j);
    if (!range) return at;
    const [may, must] = range;
    if (must < this.K) return `${at}, proved: between ${may + 1} and ${must + 1}`;
    return may > 0 ? `${at}, proved: not before ${may + 1}` : `${at}, not proved`;
  }

  /**
   * The strongest features at lambda i, strongest first.
   * @param {number} i
   * @param {number} n
   * @returns {number[]}
   */
  strongest(i, n) {
    /** @type {number[]} */
    const features = [];
    /** @type {number[]} */
    const sizes = [];
    for (const j of this.ranked) {
      const length = features.length;
      // The rest never gets stronger than the weakest one found.
      if (length === n && this.strength[j] <= sizes[n - 1]) break;
      const size = Math.abs(this.at(j, i));
      if (size === 0 || (length === n && size <= sizes[n - 1])) continue;
      let place = Math.min(length, n - 1);
      while (place > 0 && sizes[place - 1] < size) {
        sizes[place] = sizes[place - 1];
        features[place] = features[place - 1];
        place--;
      }
      sizes[place] = size;
      features[place] = j;
    }
    return features;
  }
}

/** @param {Numbers} values */
export function largest(values) {
  let most = -Infinity;
  for (let i = 0; i < values.length; i++) if (values[i] > most) most = values[i];
  return most;
}

/** @param {Numbers} values @param {number} unit */
function scaled(values, unit) {
  const wide = new Float32Array(values.length);
  for (let i = 0; i < wide.length; i++) wide[i] = values[i] * unit;
  return wide;
}

/** The classes looked at; asks for a class when it is looked at, and for its neighbours when idle. */
export class ClassStore {
  /**
   * @param {Client} client
   * @param {PathHead} head
   * @param {Answer} first
   */
  constructor(client, head, first) {
    this.client = client;
    this.head = head;
    /** @type {Map<number, ClassCurves>} */
    this.known = new Map();
    /** @type {Map<number, {reply: Promise<ClassCurves>, cancel: () => void}>} */
    this.asked = new Map();
    if (first.arrays.starts) this.keep(new ClassCurves(first, head.K));
  }

  /** @param {ClassCurves} curves */
  keep(curves) {
    this.known.delete(curves.index);
    this.known.set(curves.index, curves);
    for (const index of this.known.keys()) {
      if (this.known.size <= KEPT_CLASSES) break;
      this.known.delete(index);
    }
    return curves;
  }

  /** @param {number} index */
  ask(index) {
    const asked = this.asked.get(index);
    if (asked) return asked;
    const { reply, cancel } = this.client.request("class_path", { index });
    const curves = reply
      .then((answer) => this.keep(new ClassCurves(answer, this.head.K)))
      .finally(() => this.asked.delete(index));
    const entry = { reply: curves, cancel };
    this.asked.set(index, entry);
    return entry;
  }

  /** @param {number} index */
  prefetch(index) {
    for (const next of [index + 1, index - 1]) {
      if (next >= 0 && next < this.head.C && !this.known.has(next)) this.ask(next).reply.catch(() => undefined);
    }
  }
}

/**
 * A panel of a path: a refresh brings another one, and the view is made anew for it.
 * @param {(model: AnyModel, el: HTMLElement, life: AbortSignal) => unknown} view
 */
export function shownAgain(view) {
  return {
    /** @param {{model: AnyModel, el: HTMLElement, signal?: AbortSignal}} props */
    render({ model, el, signal }) {
      let life = new AbortController();
      const begin = () => {
        life.abort();
        life = new AbortController();
        view(model, el, life.signal);
      };
      const end = () => {
        model.off("change:head", begin);
        life.abort();
      };
      model.on("change:head", begin);
      signal?.addEventListener("abort", end);
      begin();
      return end;
    },
  };
}
