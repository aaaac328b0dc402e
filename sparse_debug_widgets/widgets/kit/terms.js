// What the words of a panel mean: one table, and the "?" beside a word that tells it.

import { make } from "./kit.js";

/**
 * @typedef {{name: string, says: string, formula: string}} Term a sentence for everybody, and the formula one click
 *   further
 */

/** @type {Record<string, Term>} */
const TERMS = {
  lambda: {
    name: "\u03bb, the strength",
    says:
      "How hard the fit is pressed to use few features: a large \u03bb leaves a few strong ones, a small " +
      "\u03bb lets nearly all in.",
    formula:
      "minimise over W, b:  (1/n) \u03a3\u1d62 loss(W z\u1d62 + b, y\u1d62) + \u03bb \u03a3\u2c7c ((1 \u2212 " +
      "\u03b1)/2 w\u2c7c\u00b2 + \u03b1 |w\u2c7c|)",
  },
  feature: {
    name: "Features in use",
    says:
      "Deep features, the inputs of the decision layer, whose weight for the class or output on show is not " +
      "zero; silenced ones do not count. \u201c3 open\u201d: of three features it is not proved whether their " +
      "weight is zero.",
    formula: "number of j with w\u2c7c \u2260 0 in the row of the class",
  },
  mean: {
    name: "Mean number of features",
    says: "How many features each class or output uses on average: the measure of how sparse the layer is.",
    formula: "(1/C) \u03a3\u1d9c #{ j : w\u1d9c\u2c7c \u2260 0 }",
  },
  score: {
    name: "Score of the split",
    says:
      "How often the layer is right on the examples of this split, or for a regression how much of the spread " +
      "it explains; measured when the path was fitted, before anything was silenced.",
    formula:
      "accuracy = share of examples with argmax of the logits = label;   R\u00b2 = 1 \u2212 \u03a3 (y \u2212 " +
      "\u0177)\u00b2 / \u03a3 (y \u2212 mean y)\u00b2",
  },
  mine: {
    name: "Score on the panel's data",
    says:
      "The same score on the data that the panel was given, for every \u03bb, and with the silenced features " +
      "held at their mean.",
    formula:
      "score of W\u2032 z + b, where w\u2032\u1d9c\u2c7c = 0 for silenced (c, j), and z = (feature \u2212 mean) / " +
      "standard deviation",
  },
  certificate: {
    name: "Certificate",
    says:
      "A proof, computed from the solution itself, of how far it can be from the best one: certified means " +
      "within the tolerance that was asked for.",
    formula:
      "gap = (objective \u2212 dual objective) / min(objective, objective of W = 0) \u2264 tolerance;   weights to " +
      "within \u03b5: max |W \u2212 W*| \u2264 \u03b5 in standardised units",
  },
  gap: {
    name: "Gap",
    says: "The largest share by which the solution can be worse than the best one; 0.001 is a tenth of a per cent.",
    formula: "gap = (P(W) \u2212 D(v)) / min(P(W), P(0)), where D(v) \u2264 P(W*) for every feasible v",
  },
  rule: {
    name: "Rule for a sparse layer",
    says:
      "Takes the layer with the fewest features whose validation score is at most five points (0.05) below the " +
      "best on the path.",
    formula: "argmin over k of #{W\u2096 \u2260 0}  subject to  score(k) \u2265 max score \u2212 0.05",
  },
  alpha: {
    name: "\u03b1, the mix of the penalty",
    says:
      "1 is the lasso, which sets weights to zero; 0 is ridge, which only shrinks them; just below 1 is sparse " +
      "and steady.",
    formula: "\u03bb ((1 \u2212 \u03b1)/2 \u2016W\u2016\u00b2 + \u03b1 \u2016W\u2016\u2081)",
  },
  eps: {
    name: "\u03b5, the size of a change",
    says:
      "How far the picture may be moved, measured in the norm that is chosen; another norm needs another " +
      "number for the same change.",
    formula: "\u2016x\u2032 \u2212 x\u2016 \u2264 \u03b5",
  },
  q: {
    name: "q, the share that may change",
    says: "A step changes this share of the pixels, those that matter most; a small share gives sparse changes.",
    formula: "a step moves m = \u2308q d\u2309 of the d values, by \u03b5 / m each",
  },
  norm: {
    name: "Norm",
    says:
      "The ruler for a change: l\u2082 spreads it over the picture, l\u2081 puts it on few pixels, l\u221e " +
      "bounds every pixel alike.",
    formula:
      "\u2016\u03b4\u2016\u2081 = \u03a3 |\u03b4\u1d62|,   \u2016\u03b4\u2016\u2082 = \u221a(\u03a3 " +
      "\u03b4\u1d62\u00b2),   \u2016\u03b4\u2016\u221e = max |\u03b4\u1d62|",
  },
  L: {
    name: "L, the curvature",
    says:
      "How strongly the loss bends around the picture; second-order maps add enough of a penalty that the bend " +
      "cannot run away.",
    formula: "L = largest eigenvalue of H = \u2207\u00b2 loss(x);   \u03bb\u2082 = L/2 + c\u2081",
  },
  lambda1: {
    name: "\u03bb\u2081, the sparsity of a map",
    says: "How much a pixel must matter to be in the map: 0 keeps all of them, a larger value only the strongest.",
    formula:
      "maximise over \u0394:  g\u1d40\u0394 + \u00bd \u0394\u1d40H\u0394 \u2212 \u03bb\u2081 " +
      "\u2016\u0394\u2016\u2081 \u2212 \u03bb\u2082 \u2016\u0394\u2016\u00b2,   g and H of the loss at the " +
      "picture; the map is \u2212\u0394",
  },
  paths: {
    name: "Coefficient paths",
    says:
      "How strongly each feature speaks for or against the class at every strength; those that enter first are " +
      "what the class can least do without.",
    formula: "w\u2c7c(\u03bb) for the class on show; one line for each feature j",
  },
  weight: {
    name: "Weight",
    says:
      "How much the answer changes when the feature is one standard deviation above its mean; a weight that " +
      "the bound on the weights leaves undecided has a \u201c?\u201d.",
    formula:
      "logit or output = \u03a3\u2c7c w\u2c7c z\u2c7c + b,   z\u2c7c = (feature \u2212 mean) / standard deviation",
  },
  entry: {
    name: "An entry that is not proved",
    says:
      "The exact solution may take this feature up a little earlier or later than shown: the path is solved " +
      "only so exactly. Hover over the feature to see the range; a smaller tolerance narrows it.",
    formula:
      "first k that is not proved to have w\u2c7c = 0  \u2264  entry  \u2264  first k with |w\u2c7c| > " +
      "\u03b5\u2096,   where max |W \u2212 W*| \u2264 \u03b5\u2096",
  },
  attackgap: {
    name: "Gap of the search",
    says:
      "An estimate of how much more the search could still gain; small and steady means that it has found what " +
      "it can.",
    formula:
      "gap = max over s in the ball of \u2207loss(x)\u1d40 (x \u2212 s), where the loss is to fall; a bound on the " +
      "error only where the loss is convex in x",
  },
  zeros: {
    name: "Zeros in the map",
    says: "The share of the pixels that the map leaves out: the sparser, the fewer pixels have to be looked at.",
    formula: "#{ i : \u03b4\u1d62 = 0 } / d",
  },
  increase: {
    name: "Loss without the map",
    says:
      "How far the loss rises when what the map marks is taken away from the picture: a map that matters " +
      "raises it much.",
    formula: "loss(x \u2212 map) \u2212 loss(x)",
  },
  automatic: {
    name: "Rule that chooses \u03bb\u2081",
    says:
      "Of the maps that leave out three quarters of the pixels or more, but not all, the one that raises the " +
      "loss most; no label is looked at.",
    formula:
      "argmax over \u03bb\u2081 of g\u1d40\u0394 + \u00bd \u0394\u1d40H\u0394  subject to  0.75 \u2264 share of " +
      "zeros < 1",
  },
  mass: {
    name: "Mass that arrives",
    says:
      "The share of an x-feature's activation that can be followed back to the picture; what does not arrive " +
      "is not in the map.",
    formula: "sum of the map over pixels / excitation that was sent back",
  },
  decisions: {
    name: "Decisions kept",
    says:
      "On how many held-out pictures the model decides alike when the class's score is replaced by what the " +
      "x-features say.",
    formula:
      "share of examples whose argmax stays when the class's score s becomes \u015d = \u03a3 w\u1d62 h\u1d62 + b",
  },
  mimic: {
    name: "Error of the score",
    says: "How far the score that the x-features add up to is from the model's own, on held-out pictures.",
    formula: "mean |s \u2212 \u015d|, in logits",
  },
  r2: {
    name: "R\u00b2",
    says: "How much of the spread is explained: 1 is all of it, 0 is no better than always saying the mean.",
    formula: "R\u00b2 = 1 \u2212 \u03a3 (y \u2212 \u0177)\u00b2 / \u03a3 (y \u2212 mean y)\u00b2",
  },
  lime: {
    name: "LIME",
    says:
      "Which parts of an example drive a feature: parts are greyed out at random, and a sparse linear model " +
      "learns which of them count.",
    formula:
      "minimise over \u03b2:  \u03a3\u2096 \u03c0(m\u2096) (f(x \u2299 m\u2096) \u2212 \u03b2\u1d40m\u2096)\u00b2 " +
      "+ penalty(\u03b2)",
  },
  prototype: {
    name: "Prototypes",
    says: "The examples that activate a feature most, from the data that the features were taken from.",
    formula: "top k of z\u2c7c over examples, z = (feature \u2212 mean) / standard deviation",
  },
};

/** Labels of fields that are explained, too. @type {Record<string, string>} */
export const FIELD_TERMS = {
  alpha: "alpha",
  lambdas: "lambda",
  "smallest lambda": "lambda",
  tolerance: "gap",
  norm: "norm",
  eps: "eps",
  "eps (l2)": "eps",
  q: "q",
  lambda1: "lambda1",
  lambda2: "L",
  c1: "L",
};

/**
 * The same element with a "?" at its end.
 * @template {HTMLElement} T
 * @param {T} element
 * @param {string} term
 */
export function explained(element, term) {
  element.append(whatIs(term));
  return element;
}

/** The "?" that is open now. @type {(() => void) | null} */
let closeTerm = null;
let termCount = 0;

/**
 * A "?" that explains a word: a sentence, and the formula one click further. Escape or a second click closes it.
 * @param {string | (() => Term)} term one of the table, or what an entry of a registry brings with it
 * @param {string} [word] what is asked about, where it is not in the table
 */
export function whatIs(term, word = "") {
  const told = typeof term === "string" ? () => TERMS[term] : term,
    id = `sdw-term-${++termCount}`;
  const button = make(
    "button",
    {
      type: "button",
      class: "sdw-what",
      "aria-label": `What is ${word || told().name}?`,
      "aria-expanded": "false",
      "data-term": typeof term === "string" ? term : word,
    },
    "?",
  );
  const place = make("span", { class: "sdw-what-place" }, button);
  /** @type {HTMLElement | null} */
  let box = null;
  const close = () => {
    // Removing it takes the focus from it, which closes it: that happens once.
    const gone = box;
    box = null;
    gone?.remove();
    button.setAttribute("aria-expanded", "false");
    button.removeAttribute("aria-controls");
    if (closeTerm === close) closeTerm = null;
  };
  const onEscape = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" || !box) return;
    event.stopPropagation();
    close();
    button.focus();
  };
  button.addEventListener("click", (event) => {
    // Inside a label the click would flip the switch, too.
    event.preventDefault();
    event.stopPropagation();
    const open = box !== null,
      panel = /** @type {HTMLElement | null} */ (button.closest(".sdw"));
    closeTerm?.();
    if (open || !panel) return;
    const { name, says, formula } = told();
    box = make(
      "div",
      { class: "sdw-term", id, role: "note", tabindex: "-1", "aria-label": name },
      make("b", {}, name),
      make("span", { class: "sdw-term-says" }, says),
      formula
        ? make("details", { class: "sdw-term-more" }, make("summary", {}, "Formula"), make("code", {}, formula))
        : "",
    );
    box.addEventListener("keydown", onEscape);
    // Whoever goes on, by key or mouse, has read it.
    box.addEventListener("focusout", ({ relatedTarget }) => {
      if (box && relatedTarget !== button && !(relatedTarget instanceof Node && box?.contains(relatedTarget))) close();
    });
    button.setAttribute("aria-expanded", "true");
    button.setAttribute("aria-controls", id);
    // At the end of the panel: a tile would cut it off. Focus goes with it, so that it is read and Tab finds the
    // formula.
    panel.append(box);
    closeTerm = close;
    keepInside(box, button, panel);
    box.focus({ preventScroll: true });
  });
  button.addEventListener("keydown", onEscape);
  return place;
}

/** Under its "?", inside the panel. @param {HTMLElement} box @param {HTMLElement} button @param {HTMLElement} panel */
function keepInside(box, button, panel) {
  const around = panel.getBoundingClientRect(),
    at = button.getBoundingClientRect(),
    width = Math.min(320, around.width - 16);
  const left = Math.max(8, Math.min(at.left - around.left, around.width - width - 8));
  Object.assign(box.style, { width: `${width}px`, left: `${left}px`, top: `${at.bottom - around.top + 4}px` });
}
