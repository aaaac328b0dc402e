// Pieces of panels, without behaviour: switches, tiles, cards.

/** @param {string} text @param {string} hint @param {string} [swatch] */
function check(text, hint, swatch) {
  const box = make("input", { type: "checkbox", "aria-label": hint }), label = make("label", { class: "sdw-check", title: hint }, box);
  if (swatch) label.append(make("i", { class: `sdw-swatch sdw-swatch-${swatch}`, "aria-hidden": "true" }));
  label.append(text);
  return { box, label };
}

/** @param {string} label */
function tile(label) {
  const value = make("div", { class: "sdw-tile-value" }), note = make("div", { class: "sdw-tile-note" });
  return { box: make("div", { class: "sdw-tile" }, make("div", { class: "sdw-tile-label" }, label), value, note), value, note };
}

/** @param {string} title @param {HTMLElement} body @param {...HTMLElement} switches */
function card(title, body, ...switches) {
  return make("div", { class: "sdw-card" }, make("div", { class: "sdw-card-head" }, make("h3", {}, title), ...switches), body);
}

/** @param {...string} parts */
function dotted(...parts) {
  return parts.filter(Boolean).join(" \u00b7 ");
}
