// The Debug panel: who is right about what, errors and the features that make them, repairs measured.

import { Embedded } from "../../kit/embedded.js";
import { fileButtons } from "../../kit/files.js";
import { ENDED, JobLine } from "../../kit/jobs.js";
import { followTheme, make, oneLine, plainButton, write } from "../../kit/kit.js";
import { percentText, staleBar } from "../../kit/parts.js";
import { PanelView } from "../../kit/view.js";
import { sharesChart, sharesHeight } from "./charts.js";
import { DebugFindings } from "./findings.js";
import { debugParts } from "./parts.js";
import { debugFiles } from "./save.js";

const MATRIX = 30,
  PAIRS = 60,
  PAGE = 24;

/** @extends {PanelView<DebugTraits, DebugAnswers>} */
export class DebugView extends PanelView {
  /**
   * @param {AnyModel<DebugTraits>} model
   * @param {HTMLElement} el
   * @param {AbortSignal} life
   * @param {WidgetHost} [host]
   */
  constructor(model, el, life, host) {
    super(model, life);
    this.head = model.get("head");
    /** @type {DebugFindings | null} */
    this.findings = null;
    /** @type {import("./charts.js").Share[]} */
    this.rows = [];
    this.frame = 0;
    this.listed = PAGE;
    this.line = new JobLine(this, this.errors, {
      trait: "job",
      running: "Looking",
      title: "debugging",
      changed: () => this.fillButtons(),
    });
    this.parts = debugParts({
      files: fileButtons(this, debugFiles(this)),
      errors: this.errors,
      job: this.line.root,
    });
    this.below = new Embedded(this.parts.place, this.errors, life, host);
    el.append(this.parts.root);
    this.parts.root.prepend(staleBar(this, this.errors));
    write(this.parts.about, oneLine(this.head.model, 80));
    this.colours = this.readColours();
    this.wire();
    this.line.fill();
    this.read();
    this.below.show(this.model.get("shown"));
    this.parts.root.dataset.ready = "1";
  }

  /** The newest repair. @returns {DebugRepair | undefined} */
  get repair() {
    return this.model.get("log").at(-1);
  }

  get silenced() {
    return this.repair?.silenced ?? [];
  }

  wire() {
    const { life, parts } = this,
      on = { signal: life };
    parts.again.addEventListener("click", () => this.ask("begin", {}), on);
    parts.all.addEventListener("click", () => this.choosePair([]), on);
    parts.more.addEventListener("click", () => this.showMore(), on);
    parts.silence.addEventListener("click", () => this.silenceShown(), on);
    parts.undo.addEventListener("click", () => this.ask("take_back", {}), on);
    parts.openPath.addEventListener("click", () => this.ask("show_path", {}), on);
    parts.suggested.addEventListener("click", () => this.measure(this.findings?.about.suggested ?? []), on);
    const sizes = new ResizeObserver(() => this.redraw());
    sizes.observe(parts.layers.host);
    followTheme(parts.root, life, () => {
      this.colours = this.readColours();
      this.fillMatrix();
      this.redraw();
    });
    this.follow(
      parts.root,
      [
        ["change:found", () => this.read()],
        ["change:pair", () => this.fillErrors()],
        ["change:error", () => this.fillError()],
        ["change:log", () => this.fillRepairs()],
        ["change:shown", () => this.below.show(this.model.get("shown"))],
      ],
      () => {
        sizes.disconnect();
        cancelAnimationFrame(this.frame);
      },
    );
  }

  readColours() {
    return this.coloursOf(this.parts.root, ["muted", "grid", "faint", "accent", "warn", "good", "pin"]);
  }

  // -- what a person does ----------------------------------------------------------------------------

  /** @param {number[]} pair */
  choosePair(pair) {
    this.listed = PAGE;
    this.save("pair", pair);
    const [first] = this.findings?.errorsOf(pair) ?? [];
    this.chooseError(first ?? -1);
    this.fillErrors();
  }

  /** @param {number} error */
  chooseError(error) {
    this.save("error", error);
    this.fillError();
  }

  showMore() {
    this.listed += PAGE;
    this.fillErrors();
  }

  silenceShown() {
    const { findings } = this,
      feature = findings?.arrays.features[this.model.get("error")] ?? -1;
    if (feature >= 0) this.toggle(feature);
  }

  /** @param {number} feature */
  toggle(feature) {
    const { silenced } = this;
    const others = silenced.filter((/** @type {number} */ j) => j !== feature);
    return this.measure(others.length < silenced.length ? others : [...silenced, feature]);
  }

  /** @param {number[]} features */
  async measure(features) {
    await this.ask("repair", { features: [...features] });
    const { repair, findings } = this;
    if (repair && findings)
      write(this.parts.spoken, `${findings.repairWords(repair)}: ${percentText(repair.accuracy)} right`);
  }

  // -- what is shown ---------------------------------------------------------------------------------

  read() {
    const held = this.model.get("found");
    this.findings = held?.arrays ? new DebugFindings(held) : null;
    this.listed = PAGE;
    const { parts, findings } = this;
    parts.body.hidden = findings === null;
    parts.root.dataset.found = findings ? String(findings.about.errors) : "";
    if (!findings) return;
    const { about } = findings;
    const classes = about.classes.length > 0;
    for (const element of [parts.overview, parts.errorCards, parts.repairs]) element.hidden = !classes;
    parts.sentences.replaceChildren(...about.sentences.map((text) => make("li", { dir: "auto" }, oneLine(text, 600))));
    parts.leftOut.replaceChildren(...about.leftOut.map((text) => make("li", {}, text)));
    parts.leftOut.hidden = about.leftOut.length === 0;
    this.fillCauses();
    this.fillTiles();
    this.fillMatrix();
    this.fillErrors();
    if (this.model.get("error") < 0 && findings.nErrors) this.save("error", 0);
    this.fillError();
    this.fillRepairs();
  }

  /** The verdicts of the search for small causes, and what shows them. */
  fillCauses() {
    const { findings, parts } = this;
    if (!findings) return;
    const { causes, causePairs } = findings.about;
    parts.causes.hidden = causes.length === 0;
    parts.causeList.replaceChildren(...causes.map((text) => make("li", { dir: "auto" }, oneLine(text, 600))));
    const shown = findings
      .causePictures()
      .flatMap(([before, after]) => [drawn(before, "As it is"), drawn(after, "With the part put in")]);
    const pairs = causePairs.map(([before, after]) =>
      make("p", {}, make("q", { dir: "auto" }, before), " becomes ", make("q", { dir: "auto" }, after)),
    );
    parts.causeShown.replaceChildren(...shown, ...pairs);
    parts.causeShown.hidden = shown.length + pairs.length === 0;
    parts.root.dataset.causes = String(causes.length);
  }

  fillButtons() {
    const { parts } = this,
      { running } = this.line;
    parts.again.disabled = running;
    parts.again.hidden = !this.hasKernel;
    this.line.root.hidden = ENDED.has(this.line.job.state ?? "") && this.line.job.state === "done";
    Object.assign(parts.root.dataset, { state: this.line.job.state ?? "" });
  }

  fillTiles() {
    const { findings, parts } = this;
    if (!findings) return;
    const { about, arrays } = findings,
      { tiles } = parts;
    const [own, sparse] = [about.sparse === 1 ? about.accuracies[0] : null, about.accuracies[about.sparse]];
    const many = about.classes.length > 0;
    const score = (/** @type {number | null} */ value) =>
      value === null ? "\u2013" : many ? percentText(value) : `R\u00b2 ${value.toFixed(3)}`;
    write(tiles.dense.value, score(own));
    write(tiles.sparse.value, score(sparse));
    for (const one of [tiles.dense, tiles.sparse]) write(one.note, `${about.split} examples`);
    for (const [box, of] of /** @type {const} */ ([
      [tiles.weakest, "class"],
      [tiles.group, "group"],
    ])) {
      const rows = this.weakest(of);
      box.box.hidden = rows.length === 0;
      if (rows.length === 0) continue;
      write(box.value, percentText(rows[0].stages[about.sparse]));
      write(box.note, rows[0].name);
    }
    let explained = 0;
    for (let k = 0; k < findings.nErrors; k++) if (arrays.answers[k] === arrays.labels[k]) explained++;
    tiles.explained.box.hidden = findings.nErrors === 0;
    write(tiles.explained.value, findings.nErrors ? percentText(explained / findings.nErrors) : "\u2013");
    write(tiles.explained.note, `of ${findings.nErrors.toLocaleString("en")} errors`);
  }

  /** Classes or groups, the weakest of the sparse layer first. @param {"class" | "group"} of */
  weakest(of) {
    const { findings } = this;
    if (!findings) return [];
    const { sparse } = findings.about;
    return findings
      .shares(of, this.repair)
      .filter(({ count }) => count > 0)
      .sort((a, b) => a.stages[sparse] - b.stages[sparse]);
  }

  fillShares() {
    const { findings, parts, repair } = this;
    if (!findings) return;
    const { about } = findings,
      classes = this.weakest("class"),
      groups = this.weakest("group");
    this.rows = [...classes, ...groups];
    parts.layers.host.style.height = `${sharesHeight(this.rows.length)}px`;
    write(
      parts.legend,
      `Bars: the sparse layer. Lines: ${about.stages.filter((_s, k) => k !== about.sparse).join(", ") || "none"}.` +
        (repair ? " Diamonds: with the repair." : ""),
    );
    const head = ["", "examples", ...about.stages, ...(repair ? ["with the repair"] : [])];
    const body = make("tbody");
    for (const { name, count, stages, now } of [...classes.slice(0, 200), ...groups.slice(0, 200)]) {
      const shares = [...stages, ...(repair ? [now] : [])].map((share) => make("td", {}, percentText(share)));
      body.append(
        make("tr", {}, make("th", { scope: "row", dir: "auto" }, name), make("td", {}, String(count)), ...shares),
      );
    }
    const titles = head.map((word) => (word ? make("th", { scope: "col" }, word) : make("td")));
    parts.table.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...titles)), body));
    this.redraw();
  }

  /** A button that opens the errors of a pair. @param {number[]} pair @param {number} count @param {string} [text] */
  pairButton(pair, count, text = String(count)) {
    const { findings } = this,
      chosen = this.model.get("pair");
    const words = findings ? `${findings.className(pair[0])} taken for ${findings.className(pair[1])}` : "";
    const button = make(
      "button",
      {
        type: "button",
        class: "sdw-debug-cell",
        title: `${words}: ${count} errors`,
        "aria-label": `${words}: ${count} errors`,
        "aria-pressed": String(chosen[0] === pair[0] && chosen[1] === pair[1]),
        "data-pair": pair.join(","),
      },
      text,
    );
    button.addEventListener("click", () => this.choosePair(pair), { signal: this.life });
    return button;
  }

  fillMatrix() {
    const { findings, parts } = this;
    if (!findings) return;
    const { about, arrays } = findings,
      n = about.classes.length,
      confusions = findings.confusions();
    if (n > MATRIX) {
      const rows = confusions
        .slice(0, PAIRS)
        .map(({ pair, count }) =>
          make(
            "tr",
            {},
            make("th", { scope: "row", dir: "auto" }, findings.className(pair[0])),
            make("td", { dir: "auto" }, findings.className(pair[1])),
            make("td", {}, this.pairButton(pair, count)),
          ),
        );
      const head = ["class", "taken for", "times"].map((word) => make("th", { scope: "col" }, word));
      parts.matrix.replaceChildren(
        make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)),
      );
      return;
    }
    const counts = new Map(confusions.map(({ pair, count }) => [pair.join(","), count]));
    const head = make("tr", {}, make("td"));
    for (let c = 0; c < n; c++) head.append(make("th", { scope: "col", dir: "auto" }, findings.className(c)));
    const body = make("tbody");
    for (let c = 0; c < n; c++) {
      const row = make("tr", {}, make("th", { scope: "row", dir: "auto" }, findings.className(c)));
      const total = Math.max(1, arrays.classCounts[c]);
      for (let d = 0; d < n; d++) {
        const count = counts.get(`${c},${d}`) ?? 0,
          cell = make("td");
        if (c === d) {
          const right = make("span", { class: "sdw-debug-right" }, String(arrays.classHits[about.sparse * n + c]));
          cell.append(right);
        } else if (count) {
          const button = this.pairButton([c, d], count),
            strength = Math.round(Math.min(45, (100 * count) / total));
          button.style.background = `color-mix(in srgb, var(--sdw-raises) ${strength}%, transparent)`;
          cell.append(button);
        }
        row.append(cell);
      }
      body.append(row);
    }
    parts.matrix.replaceChildren(make("table", {}, make("thead", {}, head), body));
  }

  /** A picture of an error. @param {number} error */
  canvas(error) {
    const picture = this.findings?.pictures.get(error);
    if (!picture) return null;
    return drawn(picture, `Example ${this.findings?.arrays.rows[error]}`);
  }

  fillErrors() {
    const { findings, parts } = this;
    if (!findings) return;
    const pair = this.model.get("pair"),
      errors = findings.errorsOf(pair),
      shown = errors.slice(0, this.listed);
    for (const button of parts.matrix.querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(button.dataset.pair === pair.join(",")));
    parts.all.disabled = pair.length !== 2;
    const which =
      pair.length === 2 ? `${findings.className(pair[0])} taken for ${findings.className(pair[1])}` : "All errors";
    const cut = pair.length !== 2 && findings.about.errors > findings.nErrors;
    write(parts.listTitle, `${which}: ${errors.length.toLocaleString("en")}${cut ? " surest" : ""}`);
    parts.list.replaceChildren(...shown.map((error) => this.errorButton(error)));
    parts.more.hidden = errors.length <= shown.length;
    this.fetchExamples(shown.filter((error) => !findings.has(error)));
  }

  /** @param {number} error */
  errorButton(error) {
    const { findings } = this,
      { arrays } = /** @type {DebugFindings} */ (findings);
    const words =
      `Example ${arrays.rows[error]}: ${findings?.className(arrays.labels[error])} taken for ` +
      `${findings?.className(arrays.predictions[error])}`;
    const text = findings?.texts.get(error);
    const inside = this.canvas(error) ?? (text ? oneLine(text, 90) : `example ${arrays.rows[error]}`);
    const button = make(
      "button",
      {
        type: "button",
        class: "sdw-debug-one",
        title: words,
        "aria-label": words,
        "aria-pressed": String(this.model.get("error") === error),
        "data-error": error,
        dir: "auto",
      },
      inside,
    );
    button.addEventListener("click", () => this.chooseError(error), { signal: this.life });
    return button;
  }

  /** Examples that are not on the page yet. @param {number[]} errors */
  async fetchExamples(errors) {
    const { findings } = this;
    const examples = findings?.about.form === "sentences" || findings?.about.form === "pictures";
    if (!findings || !errors.length || !this.hasKernel || !examples) return;
    const answer = await this.ask("examples", { errors });
    if (!answer || this.findings !== findings) return;
    for (const [k, text] of answer.value.texts.entries()) findings.texts.set(errors[k], text);
    const [, high, wide] = findings.shape;
    const bytes = answer.arrays.pictures;
    for (const [k, error] of errors.entries()) findings.keepPicture(error, bytes, [errors.length, high, wide, 3], k);
    for (const error of errors) {
      const button = this.parts.list.querySelector(`[data-error="${error}"]`);
      if (button && findings.has(error)) button.replaceWith(this.errorButton(error));
    }
    if (errors.includes(this.model.get("error"))) this.fillError();
  }

  fillError() {
    const { findings, parts } = this;
    if (!findings) return;
    const error = this.model.get("error"),
      { arrays } = findings;
    for (const button of parts.list.querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(button.dataset.error === String(error)));
    const known = error >= 0 && error < findings.nErrors;
    parts.silence.hidden = !known || arrays.features[error] < 0 || !this.hasKernel;
    if (!known) {
      parts.example.replaceChildren();
      write(parts.why, findings.nErrors ? "Choose an error." : "There are no errors.");
      return;
    }
    const text = findings.texts.get(error),
      shown = this.canvas(error) ?? (text ? make("q", { dir: "auto", tabindex: 0 }, text) : "");
    parts.example.replaceChildren(shown);
    const feature = arrays.features[error],
      label = findings.className(arrays.labels[error]),
      answer = findings.className(arrays.answers[error]);
    const margin = `It wins by ${arrays.margins[error].toFixed(2)}`;
    const because =
      feature < 0
        ? `${margin}; no single feature speaks for it.`
        : `${margin}, of which ${findings.featureName(feature)} gives ${arrays.gammas[error].toFixed(2)}. ` +
          (arrays.answers[error] === arrays.predictions[error]
            ? "Without that feature the answer stays the same."
            : `Without that feature the answer is ${answer}${
                arrays.answers[error] === arrays.labels[error] ? ", which is right." : "."
              }`);
    write(
      parts.why,
      `Example ${arrays.rows[error]}: ${label} taken for ${findings.className(arrays.predictions[error])}. ${because}`,
    );
    const silent = this.silenced.includes(feature);
    write(parts.silence, silent ? "Let it speak" : "Silence it");
    const hint = silent ? "No longer silence this feature" : "Silence this feature for all classes, and measure it";
    parts.silence.title = hint;
    parts.silence.setAttribute("aria-label", `${parts.silence.textContent}: ${hint}`);
  }

  fillSuspects() {
    const { findings, parts } = this;
    if (!findings) return;
    const { suspects } = findings.about;
    const head = ["feature", "speaks for", "errors", "end without it", "right without it", "loses most", "carries", ""];
    const body = make("tbody");
    for (const one of suspects) {
      const name = findings.featureName(one.feature),
        silent = this.silenced.includes(one.feature);
      const button = plainButton(silent ? "Silenced" : "Silence", `Silence ${name} for all classes`, {
        "aria-pressed": String(silent),
      });
      button.dataset.feature = String(one.feature);
      button.hidden = !this.hasKernel;
      button.addEventListener("click", () => this.toggle(one.feature), { signal: this.life });
      const lost =
        one.worstChange < 0 ? `${oneLine(one.worstClass, 40)} ${(100 * one.worstChange).toFixed(1)}` : "none";
      const words = [
        oneLine(one.towards, 40),
        String(one.errors),
        String(one.explained),
        percentText(one.accuracy),
        lost,
        one.cause && oneLine(one.cause, 60),
      ];
      body.append(
        make(
          "tr",
          {},
          make("th", { scope: "row", dir: "auto" }, name),
          ...words.map((text) => make("td", { dir: "auto" }, text)),
          make("td", {}, button),
        ),
      );
    }
    const titles = head.map((word) => (word ? make("th", { scope: "col" }, word) : make("td")));
    const focused = /** @type {HTMLElement | null} */ (parts.suspects.querySelector("button:focus"))?.dataset.feature;
    parts.suspects.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...titles)), body));
    if (focused)
      /** @type {HTMLElement | null} */ (parts.suspects.querySelector(`[data-feature="${focused}"]`))?.focus();
  }

  fillRepairs() {
    const { findings, parts } = this;
    if (!findings) return;
    const log = this.model.get("log"),
      { about } = findings,
      before = about.accuracies[about.sparse] ?? NaN;
    parts.log.replaceChildren(
      ...log.map((/** @type {DebugRepair} */ repair) => {
        const words =
          `${findings.repairWords(repair)}. ${percentText(before)} right before, ` +
          `${percentText(repair.accuracy)} now: ` +
          `${repair.mended} mended, ${repair.broken} broken.`;
        return make("li", { dir: "auto" }, words);
      }),
    );
    parts.nothing.hidden = log.length > 0;
    parts.undo.hidden = log.length === 0 || !this.hasKernel;
    parts.suggested.hidden = about.suggested.length === 0 || !this.hasKernel;
    parts.openPath.hidden = !this.hasKernel;
    parts.root.dataset.repairs = String(log.length);
    this.fillSuspects();
    this.fillShares();
    this.fillError();
  }

  redraw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const { findings, colours, parts } = this;
    if (!findings || parts.overview.hidden) return;
    parts.layers.fit();
    sharesChart.draw(parts.layers.pen("still", colours.font), parts.layers, this.rows, findings.about.sparse, colours);
    parts.root.dataset.painted = "1";
  }
}

/** @param {ImageData} picture @param {string} words */
function drawn(picture, words) {
  const canvas = make("canvas", {
    width: picture.width,
    height: picture.height,
    role: "img",
    title: words,
    "aria-label": words,
  });
  canvas.getContext("2d")?.putImageData(picture, 0, 0);
  return canvas;
}

/** What assets.esm exports. */
export const debugPanel = {
  /** @param {{model: AnyModel, el: HTMLElement, signal?: AbortSignal, host?: WidgetHost}} props */
  render({ model, el, signal, host }) {
    const life = new AbortController(),
      end = () => life.abort();
    signal?.addEventListener("abort", end);
    new DebugView(model, el, life.signal, host);
    return end;
  },
};
