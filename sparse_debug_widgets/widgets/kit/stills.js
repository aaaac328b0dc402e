// Charts as files: all charts of a panel as one picture or one drawing, with title, sentences and legend.

import { CanvasPen, SVG_NAMESPACE, SvgPen } from "./draw.js";
import { make } from "./kit.js";

/** @import { Layers } from "./draw.js" */

/** @typedef {CanvasPen | SvgPen} Pen */
/** @typedef {{layers: Layers, title: string, paint: (pen: Pen) => void}} Chart */
/** @typedef {{colour: string, text: string, dashed?: boolean}} Sign */
/** @typedef {{bg: string, fg: string, muted: string, font: string}} Ink */

/**
 * What stands above the charts: a title, sentences, and what the colours mean.
 * @typedef {{title: string, lines: string[], legend: Sign[], ink: Ink}} Above
 */

const MARGIN = 16,
  LINE = 19,
  ABOVE_CHART = 26;

/** @param {CanvasRenderingContext2D} ruler @param {string} text @param {number} room @param {string} font */
function wrapped(ruler, text, room, font) {
  ruler.font = `12px ${font}`;
  /** @type {string[]} */
  const lines = [];
  for (const word of text.split(" ")) {
    const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines.length && ruler.measureText(longer).width <= room) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/**
 * Places of the charts: in rows as on the page, without what lies between the rows there.
 * @param {Chart[]} charts
 * @param {Above} above
 */
function arranged(charts, above) {
  const ruler = /** @type {CanvasRenderingContext2D} */ (make("canvas").getContext("2d"));
  const boxes = charts.map(({ layers }) => layers.host.getBoundingClientRect());
  const left = Math.min(...boxes.map((box) => box.left));
  const width = Math.max(...boxes.map((box) => box.right)) - left + 2 * MARGIN;
  const lines = above.lines.flatMap((line) => wrapped(ruler, line, width - 2 * MARGIN, above.ink.font));
  let bottom = MARGIN + 22 + LINE * lines.length + (above.legend.length ? LINE : 0);
  /** @type {{x: number, y: number}[]} */
  const places = [];
  for (let waiting = boxes.map((_, k) => k); waiting.length; ) {
    const top = Math.min(...waiting.map((k) => boxes[k].top)),
      first = waiting.find((k) => boxes[k].top === top) ?? waiting[0];
    const row = waiting.filter((k) => boxes[k].top < boxes[first].bottom);
    for (const k of row) places[k] = { x: boxes[k].left - left + MARGIN, y: bottom + ABOVE_CHART + boxes[k].top - top };
    bottom = Math.max(...row.map((k) => places[k].y + boxes[k].height));
    waiting = waiting.filter((k) => !row.includes(k));
  }
  return { width, height: bottom + MARGIN, lines, places, ruler };
}

/**
 * @param {Pen} pen
 * @param {Above} above
 * @param {string[]} lines
 * @param {number} width
 * @param {CanvasRenderingContext2D} ruler
 */
function titled(pen, { title, legend, ink }, lines, width, ruler) {
  let y = MARGIN + 6;
  pen.text(title, MARGIN, y, ink.fg, { size: 15, weight: "600", max: width - 2 * MARGIN });
  y += 22;
  for (const line of lines) {
    pen.text(line, MARGIN, y, ink.muted, { size: 12 });
    y += LINE;
  }
  let x = MARGIN;
  ruler.font = `11px ${ink.font}`;
  for (const { colour, text, dashed = false } of legend) {
    pen.line(x, y, x + 18, y, colour, { width: 3, dash: dashed ? [4, 3] : [] });
    pen.text(text, x + 24, y, ink.fg, { size: 11 });
    x += 24 + ruler.measureText(text).width + 18;
  }
}

/**
 * @param {Chart[]} charts
 * @param {Above} above
 * @returns {Promise<Blob | null>}
 */
export function chartsToPng(charts, above) {
  const { width, height, lines, places, ruler } = arranged(charts, above),
    ratio = Math.max(2, devicePixelRatio || 1);
  const canvas = make("canvas", { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(ratio, ratio);
  const pen = new CanvasPen(context, above.ink.font);
  pen.rect(0, 0, width, height, above.ink.bg);
  titled(pen, above, lines, width, ruler);
  charts.forEach(({ layers, title, paint }, k) => {
    context.save();
    context.translate(places[k].x, places[k].y);
    pen.text(title, 0, -12, above.ink.fg, { size: 12, weight: "600", max: layers.width });
    paint(pen);
    context.restore();
  });
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/**
 * @param {Chart[]} charts
 * @param {Above} above
 */
export function chartsToSvg(charts, above) {
  const { width, height, lines, places, ruler } = arranged(charts, above);
  const svg = document.createElementNS(SVG_NAMESPACE, "svg");
  svg.setAttribute("viewBox", `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`);
  const page = new SvgPen(svg, above.ink.font, ruler);
  page.rect(0, 0, width, height, above.ink.bg);
  titled(page, above, lines, width, ruler);
  charts.forEach(({ layers, title, paint }, k) => {
    const group = page.add("g", { transform: `translate(${places[k].x} ${places[k].y})` });
    const pen = new SvgPen(group, above.ink.font, ruler);
    pen.text(title, 0, -12, above.ink.fg, { size: 12, weight: "600", max: layers.width });
    paint(pen);
  });
  return new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" });
}
