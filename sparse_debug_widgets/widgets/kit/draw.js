// Drawing shared by the charts: one set of strokes, put on a canvas or into an SVG file; axes and scales.

import { isolate, make } from "./kit.js";

/**
 * @typedef {{dash?: number[], width?: number, alpha?: number}} Stroke
 * @typedef {{size?: number, align?: "left" | "center" | "right", weight?: string, max?: number, strike?: boolean,
 *   alpha?: number}} Lettering
 * @typedef {{left: number, top: number, right: number, bottom: number}} Box
 */

export const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/** Strokes on a canvas. */
export class CanvasPen {
  /**
   * @param {CanvasRenderingContext2D} context
   * @param {string} font
   */
  constructor(context, font) {
    this.context = context;
    this.font = font;
  }

  /**
   * @param {number} x1
   * @param {number} y1
   * @param {number} x2
   * @param {number} y2
   * @param {string} colour
   * @param {Stroke} [stroke]
   */
  line(x1, y1, x2, y2, colour, stroke = {}) {
    this.curve([x1, x2], [y1, y2], 2, colour, stroke);
  }

  /**
   * @param {ArrayLike<number>} xs
   * @param {ArrayLike<number>} ys
   * @param {number} n
   * @param {string} colour
   * @param {Stroke} [stroke]
   */
  curve(xs, ys, n, colour, { dash = [], width = 1, alpha = 1 } = {}) {
    const c = this.context;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.globalAlpha = alpha;
    c.lineJoin = "round";
    c.setLineDash(dash);
    c.beginPath();
    for (let i = 0; i < n; i++) c.lineTo(xs[i], ys[i]);
    c.stroke();
    if (dash.length) c.setLineDash([]);
    c.globalAlpha = 1;
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} w
   * @param {number} h
   * @param {string} colour
   * @param {{outline?: boolean, alpha?: number, width?: number, dash?: number[]}} [style]
   */
  rect(x, y, w, h, colour, { outline = false, alpha = 1, width = 1.5, dash = [] } = {}) {
    const c = this.context;
    c.globalAlpha = alpha;
    if (outline) {
      c.strokeStyle = colour;
      c.lineWidth = width;
      c.setLineDash(dash);
      c.strokeRect(x, y, w, h);
      c.setLineDash([]);
    } else {
      c.fillStyle = colour;
      c.fillRect(x, y, w, h);
    }
    c.globalAlpha = 1;
  }

  /** @param {number} x @param {number} y @param {number} r @param {string} colour @param {string} [ring] */
  dot(x, y, r, colour, ring) {
    const c = this.context;
    c.beginPath();
    c.arc(x, y, r, 0, 2 * Math.PI);
    c.fillStyle = colour;
    c.fill();
    if (ring) {
      c.strokeStyle = ring;
      c.lineWidth = 1.5;
      c.stroke();
    }
  }

  /** @param {number} x @param {number} y @param {number} r @param {string} colour */
  diamond(x, y, r, colour) {
    const c = this.context;
    c.beginPath();
    c.moveTo(x, y - r);
    c.lineTo(x + r, y);
    c.lineTo(x, y + r);
    c.lineTo(x - r, y);
    c.closePath();
    c.fillStyle = colour;
    c.fill();
  }

  /** @param {string} text @param {number} x @param {number} y @param {string} colour @param {Lettering} [style] */
  text(text, x, y, colour, { size = 11, align = "left", weight = "", max = 0, strike = false, alpha = 1 } = {}) {
    const c = this.context;
    const font = `${weight} ${size}px ${this.font}`;
    if (c.font !== font) c.font = font;
    const shown = max ? fitted(c, text, max) : text;
    c.textBaseline = "middle";
    c.textAlign = align;
    c.fillStyle = colour;
    c.globalAlpha = alpha;
    c.fillText(shown, x, y);
    if (strike) {
      const width = c.measureText(shown).width,
        begin = align === "right" ? x - width : align === "center" ? x - width / 2 : x;
      c.fillRect(begin, y, width, 1);
    }
    c.globalAlpha = 1;
  }

  /** @param {Box} box @param {() => void} paint */
  clipped(box, paint) {
    const c = this.context;
    c.save();
    c.beginPath();
    c.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    c.clip();
    paint();
    c.restore();
  }
}

/** The same strokes as elements of an SVG file. */
export class SvgPen {
  /**
   * @param {Element} parent
   * @param {string} font
   * @param {CanvasRenderingContext2D} ruler
   */
  constructor(parent, font, ruler) {
    this.parent = parent;
    this.font = font;
    this.ruler = ruler;
  }

  /** @param {string} tag @param {Record<string, string | number>} attributes */
  add(tag, attributes) {
    const element = document.createElementNS(SVG_NAMESPACE, tag);
    for (const [name, value] of Object.entries(attributes)) {
      element.setAttribute(name, typeof value === "number" ? String(Math.round(value * 100) / 100) : value);
    }
    this.parent.append(element);
    return element;
  }

  /**
   * @param {number} x1
   * @param {number} y1
   * @param {number} x2
   * @param {number} y2
   * @param {string} colour
   * @param {Stroke} [stroke]
   */
  line(x1, y1, x2, y2, colour, stroke = {}) {
    this.curve([x1, x2], [y1, y2], 2, colour, stroke);
  }

  /**
   * @param {ArrayLike<number>} xs
   * @param {ArrayLike<number>} ys
   * @param {number} n
   * @param {string} colour
   * @param {Stroke} [stroke]
   */
  curve(xs, ys, n, colour, { dash = [], width = 1, alpha = 1 } = {}) {
    const points = Array.from({ length: n }, (_, i) => `${xs[i].toFixed(1)},${ys[i].toFixed(1)}`).join(" ");
    this.add("polyline", {
      points,
      fill: "none",
      stroke: colour,
      "stroke-width": width,
      opacity: alpha,
      "stroke-dasharray": dash.join(" "),
    });
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} w
   * @param {number} h
   * @param {string} colour
   * @param {{outline?: boolean, alpha?: number, width?: number, dash?: number[]}} [style]
   */
  rect(x, y, w, h, colour, { outline = false, alpha = 1, width = 1.5, dash = [] } = {}) {
    const box = {
      x: Math.min(x, x + w),
      y: Math.min(y, y + h),
      width: Math.abs(w),
      height: Math.abs(h),
      opacity: alpha,
    };
    this.add(
      "rect",
      outline
        ? { ...box, fill: "none", stroke: colour, "stroke-width": width, "stroke-dasharray": dash.join(" ") }
        : { ...box, fill: colour },
    );
  }

  /** @param {number} x @param {number} y @param {number} r @param {string} colour @param {string} [ring] */
  dot(x, y, r, colour, ring) {
    this.add("circle", { cx: x, cy: y, r, fill: colour, stroke: ring ?? "none", "stroke-width": 1.5 });
  }

  /** @param {number} x @param {number} y @param {number} r @param {string} colour */
  diamond(x, y, r, colour) {
    this.add("path", { d: `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`, fill: colour });
  }

  /** @param {string} text @param {number} x @param {number} y @param {string} colour @param {Lettering} [style] */
  text(text, x, y, colour, { size = 11, align = "left", weight = "", max = 0, strike = false, alpha = 1 } = {}) {
    this.ruler.font = `${weight} ${size}px ${this.font}`;
    const element = this.add("text", {
      x,
      y: y + size * 0.35,
      fill: colour,
      opacity: alpha,
      "font-size": size,
      "font-family": this.font,
      "font-weight": weight || "normal",
      "text-decoration": strike ? "line-through" : "none",
      "text-anchor": align === "right" ? "end" : align === "center" ? "middle" : "start",
    });
    element.textContent = max ? fitted(this.ruler, text, max) : text;
  }

  /** @param {Box} box @param {() => void} paint */
  clipped(box, paint) {
    const id = `clip-${Math.random().toString(36).slice(2)}`,
      outer = this.parent;
    const clip = this.add("clipPath", { id });
    this.parent = clip;
    this.rect(box.left, box.top, box.right - box.left, box.bottom - box.top, "#000");
    this.parent = outer;
    this.parent = this.add("g", { "clip-path": `url(#${id})` });
    paint();
    this.parent = outer;
  }
}

/** @type {Map<string, string>} */
const fittedTexts = new Map();

/**
 * The text, cut with an ellipsis where it is wider than `max` pixels.
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} max
 */
function fitted(context, text, max) {
  const key = `${context.font}|${max}|${text}`;
  const known = fittedTexts.get(key);
  if (known !== undefined) return known;
  if (fittedTexts.size > 5000) fittedTexts.clear();
  let shown = isolate(text);
  if (context.measureText(shown).width > max) {
    const points = [...text];
    let low = 0,
      high = points.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(isolate(`${points.slice(0, middle).join("")}\u2026`)).width <= max) low = middle;
      else high = middle - 1;
    }
    shown = isolate(`${points.slice(0, low).join("").trimEnd()}\u2026`);
  }
  fittedTexts.set(key, shown);
  return shown;
}

/**
 * Round numbers that divide an interval into about `n` parts.
 * @param {number} low
 * @param {number} high
 * @param {number} n
 */
export function roundTicks(low, high, n) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / n,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((s) => s * power).find((s) => s >= rough) ?? rough;
  const ticks = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-9; t += step)
    ticks.push(Math.abs(t) < step * 1e-9 ? 0 : t);
  return ticks;
}

/**
 * A number in few characters.
 * @param {number} value
 * @param {number} [digits]
 */
export function brief(value, digits = 3) {
  if (!Number.isFinite(value)) return "\u2013";
  const size = Math.abs(value);
  const text =
    size !== 0 && (size < 1e-4 || size >= 1e5)
      ? value.toExponential(Math.max(0, digits - 2))
      : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "\u2212").replace("e+", "e");
}

/**
 * A score for people: a percentage, or a plain number such as R squared.
 * @param {number} value
 * @param {boolean} percent
 */
export function scoreText(value, percent) {
  if (!Number.isFinite(value)) return "\u2013";
  return percent ? `${(100 * value).toFixed(1)} %` : value.toFixed(3).replace("-", "\u2212");
}

/**
 * Two canvases on top of each other: what stays while the person drags, and what moves.
 */
export class Layers {
  /**
   * @param {string} label
   * @param {string} className
   */
  constructor(label, className) {
    this.still = make("canvas", { "aria-hidden": "true" });
    this.moving = make("canvas", { class: "sdw-moving" });
    this.host = make(
      "div",
      { class: `sdw-chart ${className}`, role: "group", "aria-label": label },
      this.still,
      this.moving,
    );
    this.width = 0;
    this.height = 0;
    this.ratio = 1;
  }

  /** Fit the canvases to their host. @returns {boolean} whether anything changed */
  fit() {
    const width = Math.max(120, Math.floor(this.host.clientWidth)),
      height = Math.max(80, Math.floor(this.host.clientHeight));
    const ratio = Math.min(3, globalThis.devicePixelRatio || 1);
    if (width === this.width && height === this.height && ratio === this.ratio) return false;
    Object.assign(this, { width, height, ratio });
    for (const canvas of [this.still, this.moving]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    return true;
  }

  /**
   * A cleared canvas to draw on.
   * @param {"still" | "moving"} which
   * @param {string} font
   */
  pen(which, font) {
    const context = /** @type {CanvasRenderingContext2D} */ (this[which].getContext("2d"));
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return new CanvasPen(context, font);
  }
}
