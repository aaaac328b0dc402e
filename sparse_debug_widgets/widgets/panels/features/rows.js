// Rows of the Features panel: one feature each; what has been found for it is painted when it comes.

import { brief } from "../../kit/draw.js";
import { make, oneLine, plainButton, write } from "../../kit/kit.js";
import { dotted } from "../../kit/parts.js";
import { histogram, openTiles, paintTiles, signed, tintWord } from "../../shared/features/card.js";
/** @import { Answer } from "../../kit/wire.js" */
/** @import { FeaturesView } from "./view.js" */

/** A bar from the middle of its track. */
export class SignedBar {
  /** @param {string} label @param {string} className */
  constructor(label, className) {
    this.label = label;
    this.fill = make("i");
    this.number = make("span", { class: "sdw-signed-number" });
    this.root = make(
      "div",
      { class: `sdw-signed ${className}`, role: "img" },
      make("span", { class: "sdw-signed-label", "aria-hidden": "true" }, label),
      make("div", { class: "sdw-signed-track" }, this.fill),
      this.number,
    );
  }

  /** @param {number} value @param {number} most */
  set(value, most) {
    const share = 50 * Math.min(1, Math.abs(value) / (most || 1));
    Object.assign(this.fill.style, { left: `${value < 0 ? 50 - share : 50}%`, width: `${share}%` });
    this.fill.dataset.sign = value < 0 ? "-" : "+";
    const text = value === 0 ? "0" : signed(value);
    write(this.number, text);
    this.root.setAttribute("aria-label", `${this.label} ${text}`);
  }
}

export class FeatureRow {
  /**
   * @param {FeaturesView} view
   * @param {number} feature
   */
  constructor(view, feature) {
    this.view = view;
    this.feature = feature;
    this.revision = -1;
    this.asked = -1;
    /** @type {FeatureFacts | null} */
    this.facts = null;
    const on = { signal: view.life };
    this.rank = make("span", { class: "sdw-feature-rank", "aria-hidden": "true" });
    this.name = make("input", {
      class: "sdw-feature-name",
      type: "text",
      dir: "auto",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 200,
      readonly: !view.about.kernel,
    });
    this.quiet = make("button", { type: "button", class: "sdw-button sdw-quiet", "aria-pressed": "false" }, "Silence");
    this.sparse = new SignedBar("sparse", "sdw-signed-sparse");
    this.dense = new SignedBar("dense", "sdw-signed-dense");
    this.dense.root.hidden = !view.head.about.dense;
    this.spread = make("div", { class: "sdw-feature-spread" });
    this.note = make("div", { class: "sdw-feature-note" });
    this.found = make("div", { class: "sdw-feature-found" });
    this.root = make(
      "div",
      { class: "sdw-feature", role: "listitem", "data-feature": feature },
      make(
        "div",
        { class: "sdw-feature-about" },
        make("div", { class: "sdw-feature-head" }, this.rank, this.name, this.quiet),
        this.sparse.root,
        this.dense.root,
        this.spread,
        this.note,
      ),
      this.found,
    );
    this.name.addEventListener("change", () => view.rename(this), on);
    this.name.addEventListener(
      "keydown",
      (event) => {
        if (event.key === "Enter") this.name.blur();
        else if (event.key === "Escape") {
          this.fillName();
          this.name.blur();
        } else return;
        event.preventDefault();
        event.stopPropagation();
      },
      on,
    );
    this.quiet.addEventListener("click", () => view.live.toggle(feature), on);
    this.found.addEventListener("keydown", (event) => this.arrow(event), on);
    this.fillName();
    this.wait();
  }

  /** Nothing has been found yet. */
  wait() {
    const { about } = this.view;
    const words = about.examples && about.kernel ? "Looking for its examples\u2026" : "";
    this.found.replaceChildren(make("div", { class: "sdw-feature-waits" }, words));
  }

  fillName() {
    const name = this.view.head.features[this.feature];
    this.name.value = name;
    this.name.title = `${name}\nType to give this feature a name; it is kept with the path.`;
    this.name.setAttribute("aria-label", `Name of feature ${this.feature}`);
  }

  /**
   * @param {number} rank
   * @param {number} weight
   * @param {number} dense
   * @param {{sparse: number, dense: number}} most
   * @param {boolean} silent
   */
  place(rank, weight, dense, most, silent) {
    write(this.rank, String(rank + 1));
    this.sparse.set(weight, most.sparse);
    this.dense.set(dense, most.dense);
    this.root.classList.toggle("sdw-silent", silent);
    this.quiet.setAttribute("aria-pressed", String(silent));
    const name = oneLine(this.view.head.features[this.feature], 60);
    write(this.quiet, silent ? "Silenced" : "Silence");
    this.quiet.title = silent ? "Hear this feature again" : "Hold this feature at its mean, and see what changes";
    this.quiet.setAttribute("aria-label", silent ? `Silenced: ${name}` : `Silence ${name}`);
  }

  // -- what has been found ---------------------------------------------------------------------------

  /** @param {Answer} answer */
  async fill({ value, arrays }) {
    // Decoded before anything is replaced: a row that is painted again does not flicker.
    const facts = /** @type {FeatureFacts} */ (value),
      bitmap = await openTiles(arrays.sheet);
    const focus = /** @type {HTMLElement | null} */ (
      this.found.contains(document.activeElement) ? document.activeElement : null
    );
    const key = focus?.dataset.key;
    this.facts = facts;
    this.revision = facts.revision;
    if (facts.n === undefined) return;
    const marks = (facts.top ?? []).map((item) => item.activation),
      ends = arrays.edges;
    const label =
      `Activations of ${facts.n.toLocaleString("en")} examples from ${brief(ends[0])} to ` +
      `${brief(ends[1])} standard deviations, counted on a logarithmic scale`;
    this.spread.replaceChildren(histogram(arrays.counts, ends, marks, label));
    this.spread.title = label;
    write(this.note, this.said(facts));
    /** @type {Map<number, HTMLCanvasElement>} */
    const canvases = new Map();
    this.found.replaceChildren(
      ...(facts.kind === "text"
        ? this.texts(facts)
        : facts.kind === "pictures"
          ? this.pictures(facts, canvases)
          : this.numbers(facts)),
    );
    this.rove(key);
    if (key !== undefined) /** @type {HTMLElement | null} */ (this.found.querySelector(`[data-key="${key}"]`))?.focus();
    paintTiles(bitmap, facts.tiles ?? [], canvases);
    Object.assign(this.root.dataset, { painted: facts.revision, found: facts.kind });
  }

  /** @param {FeatureFacts} facts */
  said(facts) {
    if (facts.constant) return "constant: the same for all examples";
    const resting = (facts.atMinimum ?? 0) / (facts.n || 1);
    const parts = [
      resting > 0.5 ? `at its lowest for ${Math.round(100 * resting)} % of them` : "",
      facts.complete ? "" : `${facts.n?.toLocaleString("en")} examples so far`,
    ];
    return dotted(...parts);
  }

  /**
   * One example to click on; what it shows is its name, where that is text.
   * @param {FeatureExample} item
   * @param {string} key
   * @param {...(Node | string)} children
   */
  button(item, key, ...children) {
    const label = dotted(
      item.labelName ? oneLine(item.labelName, 80) : `example ${item.row}`,
      `${brief(item.activation)} standard deviations`,
      `higher than ${brief(item.percentile, 4)} % of examples`,
    );
    const open = this.view.example.opens(item.row);
    const made = make(
      "button",
      {
        type: "button",
        class: "sdw-example",
        "data-key": key,
        "data-row": item.row,
        title: `${label}\nExample ${item.row}${open ? ": click for its contributions" : ""}`,
        disabled: !open,
      },
      ...children,
    );
    if (!made.textContent) made.setAttribute("aria-label", `Example ${item.row}: ${label}`);
    made.addEventListener("click", () => this.view.example.open(item.row), { signal: this.view.life });
    return made;
  }

  /** @param {FeatureFacts} facts @param {Map<number, HTMLCanvasElement>} canvases */
  pictures(facts, canvases) {
    const canvas = (/** @type {number} */ tile, /** @type {string} */ label) => {
      // A picture inside a button is part of what the button says.
      const made = make("canvas", {
        class: "sdw-tile-picture",
        ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }),
      });
      canvases.set(tile, made);
      return made;
    };
    const strip = (/** @type {FeatureExample[]} */ items, /** @type {string} */ end) =>
      items.map((item, k) => {
        const parts = [canvas(item.tile ?? 0, "")];
        const made = this.button(item, `${end}${k}`, ...parts);
        const below =
          item.lime !== undefined
            ? make(
                "div",
                {
                  class: `sdw-lime${item.poor ? " sdw-poor" : ""}`,
                  title:
                    "LIME: parts that raise the feature are orange, that lower it blue. R\u00b2 " +
                    `${brief(item.r2 ?? NaN)}${item.poor ? ": poor, do not trust it" : ""}`,
                },
                canvas(item.lime, `Parts of example ${item.row} that raise (orange) or lower (blue) the feature`),
                item.poor ? make("span", {}, "poor fit") : "",
              )
            : item.waits && this.view.typed.lime && this.view.about.kernel
              ? make("div", { class: "sdw-lime sdw-pending", "aria-hidden": "true" })
              : "";
        return make("div", { class: "sdw-example-cell" }, made, below);
      });
    const made = [
      make(
        "div",
        { class: "sdw-strip", role: "group", "aria-label": "Examples that activate it most" },
        ...this.empty(facts.top),
        ...strip(facts.top ?? [], "t"),
      ),
    ];
    if (this.view.typed.least)
      made.push(
        make(
          "div",
          { class: "sdw-strip sdw-strip-least", role: "group", "aria-label": "Examples that activate it least" },
          ...strip(facts.bottom ?? [], "b"),
        ),
      );
    const seen = (facts.visual ?? []).map(({ sign, tile, activation, beyond }) =>
      make(
        "figure",
        {
          class: "sdw-visual",
          title:
            `Made to be as ${sign > 0 ? "active" : "inactive"} as possible: ${brief(activation)} standard ` +
            `deviations${beyond === null ? "" : `, beyond ${brief(beyond, 4)} % of real examples`}`,
        },
        canvas(tile, `Picture that makes the feature as ${sign > 0 ? "active" : "inactive"} as possible`),
        make("figcaption", {}, `${sign > 0 ? "most" : "least"} ${brief(activation, 2)}`),
      ),
    );
    const waits =
      !seen.length &&
      this.view.typed.picture &&
      this.view.about.kernel &&
      !facts.constant &&
      !this.view.troubles.picture;
    made.push(
      make(
        "div",
        { class: "sdw-visuals" },
        ...seen,
        ...(waits ? [make("div", { class: "sdw-visual sdw-pending", "aria-hidden": "true" })] : []),
      ),
    );
    return made;
  }

  /** @param {FeatureExample[] | undefined} items */
  empty(items) {
    return items?.length ? [] : [make("div", { class: "sdw-feature-waits" }, "No example stands out.")];
  }

  /** @param {FeatureFacts} facts */
  texts(facts) {
    const sentence = (/** @type {FeatureExample} */ item, /** @type {string} */ key) => {
      const weights = (item.pieces ?? []).map(([, weight]) => Math.abs(weight ?? 0)),
        most = Math.max(0, ...weights);
      const pieces = (item.pieces ?? []).map(([piece, weight]) => {
        const word = make("span", {}, piece);
        if (weight !== null) tintWord(word, weight, most);
        return word;
      });
      const text = make(
        "span",
        { class: "sdw-sentence", dir: "auto" },
        ...(pieces.length ? pieces : [item.text || "(empty sentence)"]),
        item.cut ? "\u2026" : "",
      );
      const poor = item.poor
        ? make("span", { class: "sdw-poor-note", title: `R\u00b2 ${brief(item.r2 ?? NaN)}` }, "poor fit")
        : "";
      return this.button(
        item,
        key,
        make("span", { class: "sdw-sentence-value" }, brief(item.activation, 2)),
        text,
        poor,
      );
    };
    const list = (
      /** @type {FeatureExample[] | undefined} */ items,
      /** @type {string} */ end,
      /** @type {string} */ label,
    ) =>
      make(
        "div",
        { class: "sdw-sentences", role: "group", "aria-label": label },
        ...this.empty(items),
        ...(items ?? []).map((item, k) => sentence(item, `${end}${k}`)),
      );
    const made = [list(facts.top, "t", "Sentences that activate it most")];
    if (this.view.typed.least) made.push(list(facts.bottom, "b", "Sentences that activate it least"));
    const cloud = facts.cloud;
    if (cloud)
      made.unshift(
        make(
          "div",
          { class: "sdw-clouds" },
          this.cloud(cloud.positive, "+", cloud.sentences),
          this.cloud(cloud.negative, "-", cloud.sentences),
        ),
      );
    return made;
  }

  /**
   * Words in their sizes; they are text, of any script.
   * @param {CloudWord[]} words
   * @param {string} sign
   * @param {number} sentences
   */
  cloud(words, sign, sentences) {
    const most = Math.max(0, ...words.map(([, weight]) => Math.abs(weight)));
    const made = words.slice(0, 30).map(([word, weight, count, low, high]) => {
      const interval = low === null || high === null ? "" : ` (${signed(low)} to ${signed(high)})`;
      const share = Math.abs(weight) / (most || 1);
      const span = make(
        "span",
        { class: "sdw-cloud-word", title: `${signed(weight)}${interval}, ${count} of ${sentences} sentences` },
        make("bdi", {}, oneLine(word, 40)),
      );
      span.style.fontSize = `${(9.5 + 9.5 * share).toFixed(1)}px`;
      return span;
    });
    const label = sign === "+" ? "Words that raise it" : "Words that lower it";
    const waits = sentences === 0 && this.view.typed.lime && this.view.about.kernel ? "\u2026" : "none";
    return make(
      "div",
      { class: "sdw-cloud", "data-sign": sign, role: "group", "aria-label": `${label}, from ${sentences} sentences` },
      ...(made.length ? made : [make("span", { class: "sdw-feature-waits" }, `${label}: ${waits}`)]),
    );
  }

  /** Examples that cannot be shown: their rows. @param {FeatureFacts} facts */
  numbers(facts) {
    const row = (/** @type {FeatureExample} */ item, /** @type {string} */ key) =>
      this.button(
        item,
        key,
        make("span", { class: "sdw-sentence-value" }, brief(item.activation, 2)),
        make("span", { dir: "auto" }, `example ${item.row}${item.labelName ? `, ${oneLine(item.labelName, 60)}` : ""}`),
      );
    const made = [
      make(
        "div",
        { class: "sdw-sentences", role: "group", "aria-label": "Examples that activate it most" },
        ...this.empty(facts.top),
        ...(facts.top ?? []).map((item, k) => row(item, `t${k}`)),
      ),
    ];
    if (this.view.typed.least)
      made.push(
        make(
          "div",
          { class: "sdw-sentences", role: "group", "aria-label": "Examples that activate it least" },
          ...(facts.bottom ?? []).map((item, k) => row(item, `b${k}`)),
        ),
      );
    return made;
  }

  // -- keyboard --------------------------------------------------------------------------------------

  /** @returns {HTMLButtonElement[]} */
  get buttons() {
    return [...this.found.querySelectorAll("button.sdw-example")].map(
      (button) => /** @type {HTMLButtonElement} */ (button),
    );
  }

  /** One of the examples is reached with Tab, the others with arrows. @param {string} [key] */
  rove(key) {
    const { buttons } = this,
      at = Math.max(
        0,
        buttons.findIndex((button) => button.dataset.key === key),
      );
    buttons.forEach((button, k) => {
      button.tabIndex = k === at ? 0 : -1;
    });
  }

  /** @param {KeyboardEvent} event */
  arrow(event) {
    const { buttons } = this,
      at = buttons.indexOf(/** @type {any} */ (document.activeElement));
    if (at < 0) return;
    const sideways = this.facts?.kind === "pictures",
      on = sideways ? "ArrowRight" : "ArrowDown",
      back = sideways ? "ArrowLeft" : "ArrowUp";
    const next =
      event.key === on
        ? at + 1
        : event.key === back
          ? at - 1
          : event.key === "Home"
            ? 0
            : event.key === "End"
              ? buttons.length - 1
              : NaN;
    const across = sideways ? { ArrowDown: 1, ArrowUp: -1 }[event.key] : { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (Number.isNaN(next) && across === undefined) return;
    const to =
      across !== undefined
        ? (this.view.rowBeside(this, across)?.buttons[Math.min(at, 99)] ??
          this.view.rowBeside(this, across)?.buttons[0])
        : buttons[next];
    to?.focus();
    if (to && across === undefined) this.rove(to.dataset.key);
    event.preventDefault();
    event.stopPropagation();
  }
}

/** A list of rows in an order that changes; rows that left are kept for a while. */
export class FeatureList {
  /**
   * @param {FeaturesView} view
   * @param {string} layer "sparse" or "dense"
   */
  constructor(view, layer) {
    this.view = view;
    this.layer = layer;
    /** @type {Map<number, FeatureRow>} */
    this.rows = new Map();
    /** @type {number[]} */
    this.features = [];
    /** @type {Set<number>} */
    this.seen = new Set();
    this.title = make("h3", {});
    this.more = plainButton("Show more", "Show more features of this layer");
    this.scroller = make("div", {
      class: "sdw-features-rows",
      role: "list",
      tabindex: 0,
      "aria-label": `Features of the ${layer} layer`,
    });
    this.root = make("div", { class: "sdw-features-list", "data-layer": layer }, this.title, this.scroller, this.more);
    this.more.addEventListener("click", () => view.showMore(), { signal: view.life });
    this.watcher = new IntersectionObserver((entries) => this.crossed(entries), {
      root: this.scroller,
      rootMargin: "160px",
    });
    view.life.addEventListener("abort", () => this.watcher.disconnect());
  }

  /** @param {IntersectionObserverEntry[]} entries */
  crossed(entries) {
    for (const { target, isIntersecting } of entries) {
      const j = Number(/** @type {HTMLElement} */ (target).dataset.feature);
      if (isIntersecting) this.seen.add(j);
      else this.seen.delete(j);
    }
    this.view.lookSoon();
  }

  /** Features in their order; only rows that are new or elsewhere are touched. @param {number[]} features */
  show(features) {
    const kept = new Set(features);
    for (const j of this.features) {
      if (kept.has(j)) continue;
      const row = this.rows.get(j);
      if (row) this.watcher.unobserve(row.root);
      row?.root.remove();
      this.seen.delete(j);
    }
    this.features = features;
    features.forEach((j, k) => {
      let row = this.rows.get(j);
      if (!row) {
        row = new FeatureRow(this.view, j);
        this.rows.set(j, row);
      }
      const here = this.scroller.children[k];
      if (here !== row.root) this.scroller.insertBefore(row.root, here ?? null);
      this.watcher.observe(row.root);
    });
    for (const j of this.rows.keys()) {
      if (this.rows.size <= 200) break;
      if (!kept.has(j)) this.rows.delete(j);
    }
  }

  /** Rows on the screen, from the top. */
  visible() {
    return this.features.filter((j) => this.seen.has(j));
  }
}
