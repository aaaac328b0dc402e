// Downloads of the Path panel, made in the page.

import { CanvasPen, SVG_NAMESPACE, SvgPen } from "./draw.js";
import { csvField, download, isolate, make } from "./kit.js";
import { CHARTS, PAINTERS } from "./path.charts.js";
/** @import { Pen } from "./path.charts.js" */
/** @import { PathView } from "./path.js" */

/** @param {PathView} view */
const pathFile = (view) => `path-${view.head.about.one}-${view.row + 1}-lambda-${view.index + 1}`;

/**
 * All charts with their titles, placed as on the page.
 * @param {PathView} view
 * @param {(x: number, y: number) => Pen} begin
 * @param {() => void} end
 */
function composed(view, begin, end) {
  const { head, parts, colours, row, strongest } = view, scene = { ...view.scene(), feature: -1 };
  const origin = parts.root.getBoundingClientRect();
  for (const name of CHARTS) {
    const layers = parts.layers[name], painter = PAINTERS[name], box = layers.host.getBoundingClientRect();
    const pen = begin(box.left - origin.left, box.top - origin.top);
    const title = name === "paths" || name === "bars" ? `${painter.title(head)}: ${isolate(head.shortClasses[row])}` : painter.title(head);
    pen.text(title, 4, -10, colours.fg, { size: 12, weight: "600", max: layers.width - 8 });
    painter.still(pen, layers, scene);
    painter.moving(pen, layers, scene, strongest);
    end();
  }
}

/** Empty head of the picture above the charts. @param {PathView} view @param {Pen} pen */
function caption(view, pen) {
  const { parts, colours } = view, { width } = parts.root.getBoundingClientRect();
  pen.text("Regularisation path", 16, 22, colours.fg, { size: 15, weight: "600" });
  pen.text(view.sentence(), 16, 46, colours.muted, { size: 12, max: width - 32 });
}

/** Space that the controls leave above the charts in a picture. @param {PathView} view */
function headroom(view) {
  const top = view.parts.layers.paths.host.getBoundingClientRect().top - view.parts.root.getBoundingClientRect().top;
  return Math.max(0, top - 90);
}

/** @param {PathView} view */
function pictureSize(view) {
  const root = view.parts.root.getBoundingClientRect(), last = view.parts.layers.counts.host.getBoundingClientRect();
  const accuracy = view.parts.layers.accuracy.host.getBoundingClientRect();
  return { width: root.width, height: Math.max(last.bottom, accuracy.bottom) - root.top - headroom(view) + 12 };
}

/** @param {PathView} view */
export function savePng(view) {
  const { width, height } = pictureSize(view), ratio = Math.max(2, devicePixelRatio || 1), up = headroom(view);
  const canvas = make("canvas", { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = view.colours.bg;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(ratio, ratio);
  caption(view, new CanvasPen(context, view.colours.font));
  composed(view, (x, y) => {
    context.save();
    context.translate(x, y - up);
    return new CanvasPen(context, view.colours.font);
  }, () => context.restore());
  canvas.toBlob((blob) => { if (blob) download(`${pathFile(view)}.png`, blob); });
}

/** @param {PathView} view */
export function saveSvg(view) {
  const { width, height } = pictureSize(view), up = headroom(view), { font, bg } = view.colours;
  const svg = document.createElementNS(SVG_NAMESPACE, "svg");
  svg.setAttribute("viewBox", `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`);
  const ruler = /** @type {CanvasRenderingContext2D} */ (make("canvas").getContext("2d"));
  const page = new SvgPen(svg, font, ruler);
  page.rect(0, 0, width, height, bg);
  caption(view, page);
  composed(view, (x, y) => new SvgPen(page.add("g", { transform: `translate(${x} ${y - up})` }), font, ruler), () => undefined);
  download(`${pathFile(view)}.svg`, new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" }));
}

/** The weights of the class, one feature a line, one lambda a column. @param {PathView} view */
export function saveCsv(view) {
  const { head, curves } = view;
  if (!curves) return;
  const lines = [["feature", "enters_at", "dense", ...Array.from(head.lambdas, (value) => `lambda=${value}`)]];
  for (const j of curves.ranked) {
    const weights = Array.from(head.lambdas, (_, i) => String(Number(curves.at(j, i).toPrecision(5))));
    lines.push([csvField(head.features[j]), String(curves.starts[j]), curves.dense ? String(curves.dense[j]) : "", ...weights]);
  }
  const text = lines.map((line) => line.join(",")).join("\r\n");
  download(`${pathFile(view)}.csv`, new Blob(["\ufeff", text, "\r\n"], { type: "text/csv;charset=utf-8" }));
}
