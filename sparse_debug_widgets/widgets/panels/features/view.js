// The Features panel: which rows are shown, what is asked for, and when. A drag asks the kernel for nothing: weights
// are in the browser; what features stand for is asked for when everything has come to rest, visible rows first.

import { codeCopier } from "../../kit/code.js";
import { brief } from "../../kit/draw.js";
import { fileButtons } from "../../kit/files.js";
import { JobLine } from "../../kit/jobs.js";
import { complain, followTheme, make, settled, throttled, write } from "../../kit/kit.js";
import { dotted, staleBar } from "../../kit/parts.js";
import { PanelView } from "../../kit/view.js";
import { fromTrait } from "../../kit/wire.js";
import { ClassStore, largest, PathHead, shownAgain } from "../../shared/curves.js";
import { LiveBar } from "../../shared/live.js";
import { ExampleCard } from "./example.js";
import { featuresParts } from "./parts.js";
import { FeatureList } from "./rows.js";
import { featuresFiles } from "./save.js";
/** @import { FeatureRow } from "./rows.js" */

/** @extends {PanelView<FeaturesTraits, FeaturesAnswers>} */
export class FeaturesView extends PanelView {
  /**
   * @param {AnyModel<FeaturesTraits>} model
   * @param {HTMLElement} el
   * @param {AbortSignal} life
   */
  constructor(model, el, life) {
    super(model, life);
    this.head = new PathHead(fromTrait(model.get("head")));
    this.head.rename(model.get("names") ?? {});
    this.about = /** @type {{kind: string, k: number, examples: boolean, kernel: boolean}} */ (
      /** @type {any} */ (this.head.about)
    );
    this.store = new ClassStore(this.client, this.head, fromTrait(model.get("first") ?? {}));
    this.index = Math.min(model.get("idx"), this.head.K - 1);
    this.row = Math.min(model.get("class_index"), this.head.C - 1);
    this.curves = this.store.known.get(this.row) ?? null;
    this.frame = 0;
    this.needed = "";
    this.line = new JobLine(this, this.errors, {
      trait: "job",
      running: "Finding out what features stand for",
      title: "what features stand for",
      changed: () => this.fillWork(),
    });
    this.code = codeCopier(this, this.errors, () => ({ features: this.lists[0].visible() }));
    this.example = new ExampleCard(this);
    this.parts = featuresParts(
      this.head,
      this.about,
      this.line,
      this.code,
      fileButtons(this, featuresFiles(this)),
      this.errors,
      this.example.root,
    );
    el.append(this.parts.root);
    this.parts.root.prepend(staleBar(this, this.errors));
    this.lists = [new FeatureList(this, "sparse"), new FeatureList(this, "dense")];
    this.parts.lists.append(...this.lists.map(({ root }) => root));
    this.saveSoon = throttled(80, () => this.savePosition(), life);
    // While work goes on there is always news: rows are refreshed now and then, not when it has become quiet.
    this.freshSoon = throttled(250, () => this.look(), life);
    this.looked = false;
    const later = settled(120, () => this.look(), life);
    // Nobody waits for the first rows to come to rest.
    this.lookSoon = () => {
      if (this.looked || !this.lists.some(({ seen }) => seen.size)) later();
      else this.look();
    };
    this.speakSoon = settled(400, () => write(this.parts.spoken, this.parts.where.textContent ?? ""), life);
    this.live = new LiveBar(this);
    this.wire();
    this.listen();
    this.fillTyped();
    this.fillTroubles();
    this.line.fill();
    if (!this.curves) this.choose(this.row);
    this.arrangeSoon();
  }

  // -- connections -----------------------------------------------------------------------------------

  wire() {
    const { parts, life } = this,
      on = { signal: life };
    parts.slider.value = String(this.index);
    parts.picker.value = String(this.row);
    parts.slider.addEventListener(
      "input",
      () => {
        this.show(Number(parts.slider.value));
        this.saveSoon();
      },
      on,
    );
    parts.picker.addEventListener("change", () => this.choose(Number(parts.picker.value)), on);
    parts.layers.addEventListener("change", () => this.type({ layers: parts.layers.value }), on);
    parts.least.box.addEventListener("change", () => this.type({ least: parts.least.box.checked }), on);
    parts.lime.box.addEventListener("change", () => this.type({ lime: parts.lime.box.checked }), on);
    parts.picture.box.addEventListener("change", () => this.type({ picture: parts.picture.box.checked }), on);
    parts.go.addEventListener("click", () => this.need(true), on);
    // The job is cancelled by JobLine; that nothing new begins has to be said too.
    this.line.stop.addEventListener("click", () => this.ask("halt", {}), on);
  }

  listen() {
    const { model, life } = this;
    /** @type {[string, () => void][]} */
    const heard = [
      ["change:idx", () => this.show(model.get("idx"))],
      [
        "change:class_index",
        () => {
          if (model.get("class_index") !== this.row) this.choose(model.get("class_index"));
        },
      ],
      [
        "change:silenced",
        () => {
          this.live.changed();
          this.arrangeSoon();
          this.example.predictSoon();
        },
      ],
      ["change:live", () => this.live.fill()],
      ["change:names", () => this.renamed()],
      [
        "change:typed",
        () => {
          this.fillTyped();
          this.refill();
          this.arrangeSoon();
        },
      ],
      [
        "change:ready",
        () => {
          this.fillTroubles();
          this.freshSoon();
        },
      ],
    ];
    followTheme(this.parts.root, life, () => undefined);
    this.follow(this.parts.root, heard, () => cancelAnimationFrame(this.frame));
  }

  /** @returns {{layers: string, shown: number, least: boolean, lime: boolean, picture: boolean}} */
  get typed() {
    return this.model.get("typed");
  }

  /** @returns {Record<string, string>} */
  get troubles() {
    return this.model.get("ready").troubles ?? {};
  }

  /** @param {Record<string, unknown>} change */
  type(change) {
    this.save("typed", { ...this.typed, ...change });
    this.needed = "";
  }

  showMore() {
    this.type({ shown: this.typed.shown + 30 });
  }

  /** The kernel learns of a move when it is saved, not before: see PathView. */
  savePosition() {
    this.save("idx", this.index);
  }

  /**
   * What nobody asked for by hand leaves the errors of the page where they are.
   * @template {keyof FeaturesAnswers & string} Name
   * @param {Name} action
   * @param {Record<string, unknown>} args
   */
  async askQuietly(action, args) {
    try {
      return await this.client.request(action, args).reply;
    } catch (error) {
      if (!this.life.aborted) complain(this.errors, error, this.life);
      return null;
    }
  }

  // -- moving along the path -------------------------------------------------------------------------

  /** @param {number} index */
  show(index) {
    if (index === this.index || !(index >= 0 && index < this.head.K)) return;
    this.index = index;
    this.arrangeSoon();
    this.example.predictSoon();
    if (this.model.get("silenced").length) this.live.measureSoon();
  }

  /** @param {number} row */
  async choose(row) {
    if (!(row >= 0 && row < this.head.C)) return;
    this.row = row;
    this.parts.picker.value = String(row);
    if (this.model.get("class_index") !== row) {
      this.model.set("class_index", row);
      this.savePosition();
    }
    this.curves = this.store.known.get(row) ?? null;
    this.arrangeSoon();
    if (this.curves) return;
    try {
      const curves = await this.store.ask(row).reply;
      if (this.row !== row || this.life.aborted) return;
      this.curves = curves;
    } catch (error) {
      if (this.row === row && !this.life.aborted) complain(this.errors, error, this.life);
    }
    this.arrangeSoon();
  }

  arrangeSoon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.arrange();
    });
  }

  /** Which features are in the lists, in which order, with which weights. */
  arrange() {
    const { curves, index, parts, typed, head, row } = this,
      [sparse, dense] = this.lists;
    parts.slider.value = String(index);
    write(parts.where, this.sentence());
    parts.slider.setAttribute("aria-valuetext", parts.where.textContent ?? "");
    this.speakSoon();
    sparse.root.hidden = typed.layers === "dense";
    dense.root.hidden = typed.layers === "sparse";
    parts.lists.dataset.layers = typed.layers;
    if (curves) {
      const count = head.counts[index * head.C + row];
      sparse.show(typed.layers === "dense" ? [] : curves.strongest(index, typed.shown));
      dense.show(typed.layers === "sparse" ? [] : this.densest(typed.shown));
      const most = {
        sparse: Math.abs(curves.at(sparse.features[0] ?? 0, index)),
        dense: largest(Float32Array.from(curves.dense ?? [0], Math.abs)),
      };
      if (!sparse.features.length) most.sparse = largest(curves.strength);
      for (const list of this.lists) {
        list.features.forEach((j, k) => {
          list.rows.get(j)?.place(k, curves.at(j, index), curves.dense?.[j] ?? 0, most, this.isSilent(j));
        });
      }
      const shown = sparse.features.length;
      write(
        sparse.title,
        `Sparse layer: ${count} ` +
          `${count === 1 ? "feature" : "features"}${shown < count ? `, the ${shown} strongest` : ""}`,
      );
      write(dense.title, `Dense layer: the ${dense.features.length} strongest of ${head.p}`);
      sparse.more.hidden = shown >= count;
      dense.more.hidden = dense.features.length >= head.p;
    }
    Object.assign(parts.root.dataset, {
      idx: index,
      row,
      rows: sparse.features.join(","),
      dense: dense.features.join(","),
    });
    this.example.fill();
    this.lookSoon();
  }

  /** The strongest features of the model's own layer. @param {number} n */
  densest(n) {
    const weights = this.curves?.dense;
    if (!weights) return [];
    return Array.from(weights.keys())
      .filter((j) => weights[j] !== 0)
      .sort((a, b) => Math.abs(weights[b]) - Math.abs(weights[a]))
      .slice(0, n);
  }

  sentence() {
    const { head, index } = this,
      kind = head.scoreName();
    return dotted(
      `\u03bb ${brief(head.lambdas[index])}, ${index + 1} of ${head.K}`,
      `${kind} ${head.score(head.accuracy(index, head.split))}`,
    );
  }

  /** @param {number} feature */
  isSilent(feature) {
    return this.live.silenced.some(([j, c]) => j === feature && (c < 0 || c === this.row));
  }

  /** The row above or below another, in the same list. @param {FeatureRow} row @param {number} step */
  rowBeside(row, step) {
    const list = this.lists.find(({ rows }) => rows.get(row.feature) === row);
    return list?.rows.get(list.features[list.features.indexOf(row.feature) + step]) ?? null;
  }

  // -- what features stand for -----------------------------------------------------------------------

  /** How much has been found for a feature; 0 for nothing. @param {number} feature */
  revision(feature) {
    const { n = 0, base = 0, words = 0, parts = {}, only } = this.model.get("ready");
    if (!n || (only && !only.includes(feature))) return 0;
    return 100_000 * base + words + (parts[feature] ?? 0);
  }

  /** Fetch what is new for the rows on the screen, and say which they are. */
  look() {
    this.looked ||= this.lists.some(({ seen }) => seen.size > 0);
    for (const list of this.lists) {
      for (const j of list.visible()) {
        const row = list.rows.get(j),
          revision = this.revision(j);
        if (row && revision > 0 && revision !== row.revision && revision !== row.asked) this.fetch(row, revision);
      }
    }
    this.need(false);
  }

  /** @param {FeatureRow} row @param {number} revision */
  async fetch(row, revision) {
    row.asked = revision;
    const answer = await this.askQuietly("feature", { feature: row.feature });
    row.asked = -1;
    if (this.life.aborted || !answer) return;
    // Whoever asks later may be answered with the same: newer work is noticed with the next change.
    await row.fill(answer);
    row.revision = Math.max(revision, answer.value.revision);
    this.parts.root.dataset.filled = String(
      this.lists.flatMap(({ rows }) => [...rows.values()]).filter(({ facts }) => facts?.n !== undefined).length,
    );
  }

  /** Rows are painted anew from what they have, after a change of what is shown. */
  refill() {
    for (const list of this.lists) for (const row of list.rows.values()) row.revision = -1;
  }

  /** @param {boolean} go also after it was cancelled */
  async need(go) {
    if (!this.about.kernel || !this.about.examples) return;
    const visible = this.lists.flatMap((list) => list.visible()),
      rest = this.lists.flatMap(({ features }) => features);
    const key = JSON.stringify([visible, rest, this.typed.lime, this.typed.picture]);
    if (!go && key === this.needed) return;
    this.needed = key;
    await this.askQuietly("need", { visible, rest, go });
  }

  fillWork() {
    const { parts, line } = this,
      state = line.job.state;
    parts.go.hidden = !this.about.kernel || !(state === "cancelled" || state === "failed");
    line.root.hidden ||= state === "done";
    parts.root.dataset.job = state ?? "";
  }

  /** What does not work here, and what was warned of. */
  fillTroubles() {
    const { parts } = this,
      names = /** @type {Record<string, string>} */ ({
        lime: this.about.kind === "text" ? "Words" : "LIME",
        picture: "Visualisation",
        model: "The model",
      });
    const lines = [
      ...Object.entries(this.troubles).map(([stage, text]) => `${names[stage] ?? stage}: ${text}`),
      ...(this.model.get("ready").notes ?? []),
    ];
    parts.notes.hidden = lines.length === 0;
    parts.notes.replaceChildren(...lines.map((text) => make("div", { dir: "auto" }, text)));
  }

  fillTyped() {
    const { parts, typed } = this;
    parts.layers.value = typed.layers;
    parts.least.box.checked = typed.least;
    parts.lime.box.checked = typed.lime;
    parts.picture.box.checked = typed.picture;
    this.lookSoon();
  }

  /** @param {number} example */
  markExample(example) {
    for (const button of this.parts.lists.querySelectorAll("button.sdw-example")) {
      button.classList.toggle(
        "sdw-chosen",
        example >= 0 && /** @type {HTMLElement} */ (button).dataset.row === String(example),
      );
    }
    this.parts.root.dataset.example = String(example);
  }

  // -- names -----------------------------------------------------------------------------------------

  /** A person has typed a name. @param {FeatureRow} row */
  async rename(row) {
    const name = row.name.value,
      { feature } = row;
    if (name === this.head.features[feature]) return;
    const answer = await this.ask("rename", { feature, name });
    if (answer) this.head.rename({ [feature]: answer.value.name });
    this.renamed();
  }

  renamed() {
    this.head.rename(this.model.get("names") ?? {});
    for (const list of this.lists)
      for (const row of list.rows.values()) if (document.activeElement !== row.name) row.fillName();
    this.live.fillChips();
    this.arrangeSoon();
  }
}

/** What assets.esm exports. */
export const featuresPanel = shownAgain((model, el, life) => new FeaturesView(model, el, life));
