// The elements of the x-feature panel, without behaviour.

import { brief } from "../../kit/draw.js";
import { choiceField, rangeField } from "../../kit/fields.js";
import { make, plainButton, write } from "../../kit/kit.js";
import { check, tile } from "../../kit/parts.js";
import { DIVERGING_MAPS, pictureCanvas, SEQUENTIAL_MAPS } from "../../shared/pictures.js";
import { layerName } from "./cards.js";

/** @import { XSheet } from "./sheet.js" */

/** @typedef {ReturnType<typeof xfeaturesParts>} XParts */

function xDisplayParts() {
  const blend = rangeField("blend", "How much of a map lies over the picture: 0 only the picture, 100 only the map", {
    min: 0,
    max: 100,
    step: 1,
  });
  const percentile = rangeField("cap", "Percentile at which every map is capped", { min: 80, max: 100, step: 0.1 });
  const size = rangeField("size", "Width of a picture in pixels", { min: 56, max: 320, step: 4 });
  const sequential = choiceField(
    "colours",
    "Colour map",
    SEQUENTIAL_MAPS.map((name) => [name, name]),
  );
  const diverging = choiceField(
    "colours",
    "Colour map of signed maps",
    DIVERGING_MAPS.map((name) => [name, name]),
  );
  const scale = choiceField("scale", "What a map is scaled by", [
    ["map", "each map"],
    ["feature", "each x-feature"],
    ["picture", "each picture"],
  ]);
  const under = choiceField("under it", "The picture under a map", [
    ["grey", "grey"],
    ["colour", "colour"],
  ]);
  const numbers = choiceField("numbers", "What stands above a map", [
    ["logit", "logits"],
    ["share", "share"],
  ]);
  const fade = check("fade", "Fade each map by the size of its contribution"),
    beside = check("1-heatmap beside", "The 1-heatmap beside every picture");
  const smooth = check("smooth", "Smooth pictures where they are enlarged");
  const bar = pictureCanvas("Colours from the lowest to the highest value", { width: 256, height: 1 }),
    low = make("span"),
    high = make("span");
  bar.classList.add("sdw-colourbar");
  const legend = make("span", { class: "sdw-xf-legend" }, low, bar, high);
  const root = make(
    "div",
    { class: "sdw-display", role: "group", "aria-label": "How all maps are shown" },
    blend.label,
    percentile.label,
    size.label,
    sequential.label,
    diverging.label,
    scale.label,
    under.label,
    numbers.label,
    fade.label,
    beside.label,
    smooth.label,
    legend,
  );
  return {
    legend,
    blend,
    percentile,
    size,
    sequential,
    diverging,
    scale,
    under,
    numbers,
    fade,
    beside,
    smooth,
    bar,
    low,
    high,
    root,
  };
}

const X_KEYS =
  "Keys: 1 to 9 show H1 to H9 on all pictures and 0 the 1-heatmap, with Shift (1 to 9) on the picture in focus " +
  "only; Esc shows the pictures; " +
  "arrows go from picture to picture, Space or Enter selects, C held down compares, S sorts by the map that is on, " +
  "N names it.";

/**
 * @param {HTMLElement} form what computes other x-features, for a live model
 * @param {HTMLElement} files
 * @param {HTMLElement} errors
 * @param {HTMLElement} concepts
 * @param {HTMLElement} cards
 * @param {HTMLElement} table
 */
export function xfeaturesParts(form, files, errors, concepts, cards, table) {
  const about = make("div", { class: "sdw-about", dir: "auto" });
  const tiles = {
    kept: tile("Decisions kept", "decisions"),
    error: tile("Error of the score", "mimic"),
    fit: tile("R\u00b2", "r2"),
    mass: tile("Mass that arrives", "mass"),
    verdict: tile("In short"),
  };
  const pictures = plainButton("Pictures", "Show the pictures without maps (key: Esc)"),
    several = check("several at once", "Switch maps on beside each other, each in a colour of its own");
  const by = make("select", { "aria-label": "Sort pictures by", title: "Sort pictures by" }),
    down = plainButton("\u2193", "Largest first, or smallest first");
  const all = plainButton("Select all", "Put all pictures into the table"),
    none = plainButton("Clear", "Take all pictures out of the table");
  const count = make("span", { class: "sdw-xf-count", role: "status" }),
    go = plainButton("Compare", "Go to the table of the selected pictures");
  const columns = choiceField("columns", "Order of the columns", [
    ["number", "as numbered"],
    ["contribution", "by contribution"],
  ]);
  const display = xDisplayParts(),
    help = make("details", { class: "sdw-xf-keys" }, make("summary", {}, "Keys"), make("p", {}, X_KEYS));
  const bar = make(
    "div",
    { class: "sdw-xf-tools" },
    pictures,
    several.label,
    make("label", { class: "sdw-field" }, make("span", {}, "sort by"), by),
    down,
    all,
    go,
    help,
  );
  const compared = make(
    "div",
    { class: "sdw-card sdw-xf-compared", hidden: true },
    make(
      "div",
      { class: "sdw-card-head" },
      make("h3", { tabindex: -1 }, "Selected pictures"),
      count,
      columns.label,
      none,
    ),
    make(
      "div",
      { class: "sdw-xf-scroll", tabindex: 0, role: "region", "aria-label": "Maps of the selected pictures" },
      table,
    ),
  );
  const notes = make("div", { class: "sdw-note", role: "status", hidden: true });
  const shown = make(
    "div",
    { class: "sdw-shown", hidden: true },
    make("div", { class: "sdw-tiles" }, ...Object.values(tiles).map(({ box }) => box)),
    notes,
    concepts,
    bar,
    display.root,
    make("div", { class: "sdw-xf-gallery" }, cards),
    compared,
  );
  const root = make(
    "section",
    { class: "sdw sdw-xfeatures", "aria-label": "x-features", tabindex: -1 },
    make("header", { class: "sdw-head" }, make("h2", {}, "x-features"), about, files),
    form,
    errors,
    shown,
  );
  return {
    about,
    tiles,
    pictures,
    several,
    by,
    down,
    all,
    none,
    count,
    go,
    columns,
    display,
    compared,
    notes,
    shown,
    root,
  };
}

/**
 * How far the x-features can be believed: what they were measured by, on examples held out where there are some.
 * @param {XParts["tiles"]} tiles
 * @param {XSheet} sheet
 */
export function fillXTiles(tiles, sheet) {
  const { fidelity } = sheet.value,
    known = (/** @type {string} */ name) => fidelity[name] ?? NaN;
  const held = Number.isFinite(known("F_cls_test")) ? "test" : "train",
    at = (/** @type {string} */ name) => known(`${name}_${held}`);
  const other = (/** @type {string} */ name, /** @type {(v: number) => string} */ say) =>
    held === "test" ? `held out; training ${say(known(`${name}_train`))}` : "on training data only";
  const size = (/** @type {number} */ v) => `${brief(v)}`;
  const rounded = (/** @type {number} */ v) => (Number.isFinite(v) ? `${Number((100 * v).toFixed(1))} %` : "\u2013");
  write(tiles.kept.value, rounded(at("F_cls")));
  write(tiles.kept.note, other("F_cls", rounded));
  write(tiles.error.value, `${brief(at("F_reg"))} logits`);
  write(tiles.error.note, other("F_reg", size));
  write(tiles.fit.value, brief(at("R2")));
  write(tiles.fit.note, other("R2", size));
  const used = Array.from(sheet.mass).filter((value, i) => Number.isFinite(value) && sheet.contributions[i] !== 0);
  write(tiles.mass.value, used.length ? rounded(used.reduce((a, b) => a + b, 0) / used.length) : "\u2013");
  write(tiles.mass.note, sheet.value.contrastive ? "left after the contrast, mean" : "of the excitation, mean");
  tiles.mass.box.hidden = !sheet.value.mapped;
  const [value, note, good] = xVerdict(
    at("F_cls"),
    at("R2"),
    sheet.value.mapped,
    used.reduce((a, b) => a + b, 0) / used.length,
  );
  tiles.verdict.box.classList.toggle("sdw-unsure", !good);
  write(tiles.verdict.value, value);
  write(tiles.verdict.note, note);
  for (const { note } of Object.values(tiles)) note.title = note.textContent ?? "";
}

/**
 * In short: whether the numbers can be believed, and whether the maps can. Maps that nothing arrives in show noise.
 * @param {number} kept
 * @param {number} fit
 * @param {boolean} mapped
 * @param {number} mass mean share of the excitation that arrives; NaN where no x-feature is active
 * @returns {[string, string, boolean]} words, the reason, whether all is well
 */
function xVerdict(kept, fit, mapped, mass) {
  if (!(kept >= 0.95 && fit >= 0.8)) return ["Do not rely on it", "under 95 % kept or R\u00b2 0.8", false];
  if (!mapped) return ["Faithful numbers", "95 % kept, R\u00b2 0.8", true];
  if (!(mass >= 0.01)) return ["Numbers yes, maps no", "under 1 % of the mass arrives", false];
  return ["Faithful", "95 % kept and R\u00b2 0.8", true];
}

/** What a careful reader should know about the maps on show. @param {XSheet} sheet @param {string[]} names */
export function xNotes(sheet, names) {
  const silent = sheet.layers
    .slice(1)
    .filter((h) =>
      Array.from({ length: sheet.k }, (_, row) => sheet.contribution(row, h)).every((value) => value === 0),
    );
  const said = [];
  if (sheet.value.why) said.push(`No heat maps: ${sheet.value.why}`);
  if (silent.length)
    said.push(
      `${silent.map((h) => layerName(h, names)).join(", ")}: never active on these ` +
        `pictures${sheet.value.mapped ? ", so the maps are empty" : ""}.`,
    );
  if (sheet.k < sheet.value.of)
    said.push(`This page holds ${sheet.k} of ${sheet.value.of} pictures; to_html() has all of them.`);
  const notes = /** @type {string[]} */ (sheet.value.notes ?? []).filter(
    (note) => !(sheet.value.why && note.includes(sheet.value.why)),
  );
  return [...said, ...notes].join(" ");
}
