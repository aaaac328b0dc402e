// The Saliency panel: what is chosen, the run, and one display for all maps.

import { codeCopier } from "../../kit/code.js";
import { Fields } from "../../kit/fields.js";
import { fileButtons } from "../../kit/files.js";
import { JobLine } from "../../kit/jobs.js";
import { complain, followTheme, make, oneLine, settled, throttled, write } from "../../kit/kit.js";
import { dotted, percentText, staleBar } from "../../kit/parts.js";
import { whatIs } from "../../kit/terms.js";
import { PanelView } from "../../kit/view.js";
import { fromTrait, KernelError } from "../../kit/wire.js";
import { Gallery } from "../../shared/gallery.js";
import { colourTable, paintColourBar, smoothPictures } from "../../shared/pictures.js";
import { MapGrid, methodTitle } from "./grid.js";
import { saliencyParts } from "./parts.js";
import { saliencyFiles } from "./save.js";
import { MapSheet } from "./sheet.js";
import { SweepPart } from "./sweep.js";

/** @import { Term } from "../../kit/terms.js" */

const PREDICTED = -1;

/** @extends {PanelView<SaliencyTraits, SaliencyAnswers>} */
export class SaliencyView extends PanelView {
  /**
   * @param {AnyModel<SaliencyTraits>} model
   * @param {HTMLElement} el
   * @param {AbortSignal} life
   */
  constructor(model, el, life) {
    super(model, life);
    this.head = model.get("head");
    this.live = this.head.models.length > 0;
    this.painted = "";
    this.arranged = "";
    this.complained = -1;
    this.display = /** @type {MapDisplay} */ ({ ...model.get("display") });
    this.frame = 0;
    this.fresh = true;
    this.reading = { maps: 0, swept: 0 };
    this.gallery = new Gallery(
      {
        label: "Examples",
        count: 24,
        turn: (which, first) => this.ask("turn", { which, first }),
        more: () => this.ask("look", {}),
        choose: (row) => this.choose(row),
      },
      life,
    );
    this.fields = new Fields([], {}, life, () => this.edited(), "Settings of the method");
    this.line = new JobLine(this, this.errors, {
      trait: "job",
      running: "Computing",
      title: "saliency maps",
      changed: () => this.fillButtons(),
    });
    this.code = codeCopier(this, this.errors, () => ({ typed: this.typed }));
    this.grid = new MapGrid();
    this.sweep = new SweepPart(life, () => {
      this.paintSoon();
      this.saveIndex();
    });
    this.parts = saliencyParts(
      this.gallery.root,
      this.fields.root,
      this.line,
      this.code,
      fileButtons(this, saliencyFiles(this)),
      this.errors,
      this.grid.root,
      this.sweep.root,
    );
    el.append(this.parts.root);
    this.parts.root.prepend(staleBar(this, this.errors));
    this.colours = this.readColours();
    this.saveSoon = throttled(80, () => this.save("display", { ...this.display }), life);
    this.saveIndex = throttled(80, () => this.save("index", this.sweep.index), life);
    this.beginSoon = settled(350, () => this.begin(), life);
    this.wire();
    this.fillChoices();
    this.fillDisplay();
    this.showGallery();
    this.line.fill();
    this.read("maps");
    this.read("swept");
    this.redraw();
  }

  wire() {
    const { life, model, parts } = this,
      on = { signal: life };
    parts.root.classList.toggle("sdw-reading", this.head.text);
    parts.chooser.hidden = this.head.models.length === 0;
    parts.start.addEventListener("click", () => this.begin(), on);
    parts.auto.box.addEventListener(
      "change",
      () => {
        this.type({ auto: parts.auto.box.checked });
        if (parts.auto.box.checked) this.beginSoon();
      },
      on,
    );
    parts.sweeps.addEventListener("change", () => this.choice({ sweep: parts.sweeps.value }), on);
    parts.other.addEventListener(
      "change",
      () => {
        if (parts.other.value !== "") this.toggleClass(Number(parts.other.value));
        parts.other.value = "";
      },
      on,
    );
    parts.of.addEventListener("change", () => this.buildFields(), on);
    parts.seed.addEventListener(
      "change",
      () => {
        const seed = Number(parts.seed.value);
        if (Number.isInteger(seed) && seed >= 0) this.choice({ seed });
        else parts.seed.value = String(this.typed.seed);
      },
      on,
    );
    this.wireDisplay();
    /** @type {[string, () => void][]} */
    const heard = [
      ["change:maps", () => this.read("maps")],
      ["change:swept", () => this.read("swept")],
      [
        "change:example",
        () => {
          this.gallery.mark(model.get("example"));
          this.paintSoon();
        },
      ],
      ["change:about", () => this.fillChoices()],
      ["change:typed", () => this.fillChoices()],
      ["change:gallery", () => this.showGallery()],
      [
        "change:head",
        () => {
          this.head = model.get("head");
          this.fillChoices();
        },
      ],
      [
        "change:index",
        () => {
          if (model.get("index") !== this.sweep.index) {
            this.sweep.index = Math.min(model.get("index"), this.sweep.last);
            this.paintSoon();
          }
        },
      ],
      [
        "change:display",
        () => {
          this.display = { ...model.get("display") };
          this.fillDisplay();
          this.paintSoon();
        },
      ],
    ];
    const sizes = new ResizeObserver(() => this.redraw());
    for (const { host } of Object.values(this.sweep.layers)) sizes.observe(host);
    followTheme(parts.root, life, () => {
      this.colours = this.readColours();
      this.fillDisplay();
      this.redraw();
    });
    this.follow(parts.root, heard, () => {
      sizes.disconnect();
      cancelAnimationFrame(this.frame);
    });
  }

  wireDisplay() {
    const { display: d } = this.parts,
      on = { signal: this.life };
    const heard = (
      /** @type {HTMLElement} */ control,
      /** @type {string} */ event,
      /** @type {() => Partial<MapDisplay>} */ change,
    ) =>
      control.addEventListener(
        event,
        () => {
          Object.assign(this.display, change());
          this.fillDisplay();
          this.paintSoon();
          this.saveSoon();
        },
        on,
      );
    heard(d.percentile.input, "input", () => ({ percentile: Number(d.percentile.input.value) }));
    heard(d.blend.input, "input", () => ({ blend: Number(d.blend.input.value) / 100 }));
    heard(d.size.input, "input", () => ({ size: Number(d.size.input.value) }));
    heard(d.signed.select, "change", () => ({ signed: d.signed.select.value === "signed" }));
    heard(d.sequential.select, "change", () => ({ sequential: d.sequential.select.value }));
    heard(d.diverging.select, "change", () => ({ diverging: d.diverging.select.value }));
    heard(d.beside.select, "change", () => ({ beside: d.beside.select.value }));
    heard(d.smooth.box, "change", () => ({ smooth: d.smooth.box.checked }));
    heard(d.together.box, "change", () => ({ together: d.together.box.checked }));
  }

  readColours() {
    return this.coloursOf(this.parts.root, ["muted", "grid", "accent"]);
  }

  // -- asking the kernel -----------------------------------------------------------------------------

  async begin() {
    if (!this.fields.check()) return;
    await this.ask("begin", { typed: this.typed });
  }

  /** @param {number} row */
  choose(row) {
    this.ask("choose", { row });
  }

  // -- what is chosen --------------------------------------------------------------------------------

  /**
   * @returns {{methods: string[], values: Record<string, Record<string, any>>, classes: number[], sweep: string,
   *   seed: number, auto: boolean}}
   */
  get typed() {
    return this.model.get("typed");
  }

  /** @param {Record<string, unknown>} change */
  type(change) {
    this.save("typed", { ...this.typed, ...change });
  }

  /** A choice that the maps depend on. @param {Record<string, unknown>} change */
  choice(change) {
    this.type(change);
    this.fillChoices();
    if (this.typed.auto && (this.typed.methods.length || this.typed.sweep)) this.beginSoon();
  }

  edited() {
    const of = this.parts.of.value,
      { values } = this.typed;
    this.fillButtons();
    if (!this.fields.check()) return;
    /** @type {Record<string, any>} */
    const changed = {};
    for (const spec of /** @type {FieldSpec[]} */ (this.head.fields[of]))
      if (this.fields.values[spec.name] !== spec.value) changed[spec.name] = this.fields.values[spec.name];
    this.choice({ values: { ...values, [of]: changed } });
  }

  /** @param {number} index */
  toggleClass(index) {
    const now = this.typed.classes,
      next = now.includes(index) ? now.filter((k) => k !== index) : [...now, index];
    if (next.length >= 1 && next.length <= this.head.most) this.choice({ classes: next });
    else this.fillChoices();
  }

  /** @param {string} name */
  toggleMethod(name) {
    const now = this.typed.methods,
      next = now.includes(name)
        ? now.filter((m) => m !== name)
        : this.head.methods.filter((/** @type {string} */ m) => now.includes(m) || m === name);
    this.choice({ methods: next });
  }

  fillChoices() {
    const { parts, head, typed } = this,
      about = this.model.get("about") ?? {},
      tops = /** @type {[string, [number, number][]][]} */ (Object.entries(about.top ?? {}));
    const types = head.models.map((/** @type {string} */ name, /** @type {number} */ m) =>
      name === head.types[m] ? name : `${oneLine(name, 40)}: ${oneLine(head.types[m], 40)}`,
    );
    if (about.failure?.message && this.complained !== about.row)
      complain(this.errors, new KernelError(about.failure), this.life);
    this.complained = about.row;
    const said = tops.map(
      ([name, top]) =>
        `${tops.length > 1 ? `${oneLine(name, 40)} ` : ""}predicts ` +
        `${this.className(top[0][0])}${Number.isFinite(top[0][1] ?? NaN) ? ` (${percentText(top[0][1])})` : ""}`,
    );
    if (about.label >= 0) said.push(`label ${this.className(about.label)}`);
    write(parts.about, dotted(types.join(", "), about.row === undefined ? "" : `example ${about.row}`, ...said));
    const shares = new Map(tops[0]?.[1] ?? []),
      listed = [
        ...new Set([
          ...tops.flatMap(([, top]) => top.slice(0, 3).map(([k]) => k)),
          ...(about.label >= 0 ? [about.label] : []),
          ...typed.classes.filter((k) => k !== PREDICTED),
        ]),
      ];
    const share = (/** @type {number} */ k) =>
      shares.has(k) && Number.isFinite(shares.get(k) ?? NaN) ? ` ${percentText(shares.get(k) ?? 0)}` : "";
    this.toggles(
      parts.classes,
      [
        { key: PREDICTED, text: "prediction", hint: "Explain what the first model predicts" },
        ...listed.map((k) => ({
          key: k,
          text: `${this.className(k)}${share(k)}`,
          hint: `Explain ${this.className(k)}`,
        })),
      ],
      (key) => typed.classes.includes(Number(key)),
      (key) => this.toggleClass(Number(key)),
    );
    this.fillOptions(
      parts.other,
      [
        ["", "another class\u2026"],
        ...head.classes.map(
          (/** @type {string} */ name, /** @type {number} */ k) =>
            /** @type {[string, string]} */ ([String(k), oneLine(name, 60)]),
        ),
      ],
      "",
    );
    parts.other.hidden = head.classes.length <= listed.length;
    this.toggles(
      parts.methods,
      head.methods.map((/** @type {string} */ name) => ({
        key: name,
        text: methodTitle(name),
        hint: head.about[name].says,
        what: { name: methodTitle(name), ...head.about[name] },
      })),
      (key) => typed.methods.includes(String(key)),
      (key) => this.toggleMethod(String(key)),
    );
    this.fillOptions(
      parts.sweeps,
      [
        ["", "none"],
        ...head.sweeps.map((/** @type {string} */ name) => /** @type {[string, string]} */ ([name, methodTitle(name)])),
      ],
      typed.sweep,
    );
    parts.seed.value = String(typed.seed);
    parts.auto.box.checked = typed.auto;
    const wanted = [...typed.methods, ...(typed.sweep ? ["sweep"] : [])].filter((name) => head.fields[name]?.length);
    const kept = wanted.includes(parts.of.value) ? parts.of.value : (wanted.at(0) ?? "");
    const key = `${kept} ${wanted.join()}`;
    if (parts.of.dataset.key !== key) {
      parts.of.dataset.key = key;
      this.fillOptions(
        parts.of,
        wanted.map((name) => [name, methodTitle(name)]),
        kept,
      );
      this.buildFields();
    }
    parts.settings.hidden = wanted.length === 0;
    this.fillButtons();
  }

  /** @param {number} k */
  className(k) {
    return oneLine(this.head.classes[k] ?? `class ${k}`, 40);
  }

  buildFields() {
    const of = this.parts.of.value;
    write(
      this.parts.help,
      of === "sweep"
        ? "The whole sweep is computed once; the slider needs no kernel."
        : (this.head.about[of]?.says ?? ""),
    );
    this.fields.build(this.head.fields[of] ?? [], this.typed.values[of] ?? {});
  }

  /** @param {HTMLSelectElement} select @param {[string, string][]} options @param {string} value */
  fillOptions(select, options, value) {
    const key = JSON.stringify(options);
    if (select.dataset.options !== key) {
      select.dataset.options = key;
      select.replaceChildren(...options.map(([name, text]) => make("option", { value: name, dir: "auto" }, text)));
    }
    select.value = value;
  }

  /**
   * Buttons that are on or off; made anew only where they differ, so that the focus stays.
   * @param {HTMLElement} place @param {{key: string | number, text: string, hint: string, what?: Term}[]} wanted
   * @param {(key: string | number) => boolean} on @param {(key: string | number) => void} flip
   */
  toggles(place, wanted, on, flip) {
    const shape = JSON.stringify(wanted),
      buttons = () => /** @type {NodeListOf<HTMLElement>} */ (place.querySelectorAll(".sdw-toggle"));
    if (place.dataset.shape !== shape) {
      const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.key,
        had = place.contains(document.activeElement);
      place.dataset.shape = shape;
      place.replaceChildren(
        ...wanted.map(({ key, text, hint, what }) => {
          const button = make(
            "button",
            { type: "button", class: "sdw-button sdw-toggle", title: hint, dir: "auto", "data-key": key },
            text,
          );
          button.addEventListener("click", () => flip(key), { signal: this.life });
          return what
            ? make(
                "span",
                { class: "sdw-told" },
                button,
                whatIs(() => what, what.name),
              )
            : button;
        }),
      );
      if (had) [...buttons()].find((button) => button.dataset.key === focused)?.focus();
    }
    wanted.forEach(({ key }, i) => {
      buttons()[i].setAttribute("aria-pressed", String(on(key)));
    });
  }

  showGallery() {
    const held = this.model.get("gallery");
    if (held?.value) this.gallery.show(fromTrait(held), this.live);
    this.gallery.mark(this.model.get("example"));
  }

  fillButtons() {
    const { typed } = this,
      nothing = typed.methods.length === 0 && !typed.sweep,
      wrong = !this.fields.check();
    this.parts.start.disabled = nothing || wrong;
    this.parts.start.hidden = this.line.running;
    const { value } = this.model.get("maps") ?? {},
      warned = Object.entries(value?.warned ?? {}).map(
        ([what, texts]) => `${what}: ${/** @type {string[]} */ (texts).join(" ")}`,
      );
    write(this.parts.notes, nothing ? "Choose a method or a sweep." : warned.join("\n"));
    this.parts.notes.hidden = !this.parts.notes.textContent;
    this.parts.root.dataset.state = this.model.get("job")?.state ?? "";
  }

  // -- what is shown ---------------------------------------------------------------------------------

  /**
   * Inflating takes a moment: what comes later is shown, whatever order it is finished in.
   * @param {"maps" | "swept"} name
   */
  async read(name) {
    const turn = ++this.reading[name];
    const sheet = await MapSheet.read(this.model.get(name));
    if (turn !== this.reading[name] || this.life.aborted) return;
    if (name === "maps") this.arrange(sheet);
    else {
      this.sweep.index = this.model.get("index");
      this.sweep.show(sheet);
    }
    this.fillButtons();
    this.redraw();
  }

  /** @param {MapSheet | null} sheet */
  arrange(sheet) {
    this.arranged = this.display.beside;
    this.grid.show(sheet, this.display.beside);
    this.fillDisplay();
  }

  fillDisplay() {
    const {
      display,
      parts: { display: d, root },
    } = this;
    d.percentile.input.value = String(display.percentile);
    write(d.percentile.value, `${display.percentile.toFixed(1)} %`);
    d.blend.input.value = String(Math.round(100 * display.blend));
    write(d.blend.value, `${Math.round(100 * display.blend)} %`);
    d.size.input.value = String(display.size);
    write(d.size.value, `${display.size} px`);
    d.signed.select.value = display.signed ? "signed" : "absolute";
    d.sequential.select.value = display.sequential;
    d.diverging.select.value = display.diverging;
    d.sequential.label.hidden = display.signed;
    d.diverging.label.hidden = !display.signed;
    d.beside.select.value = display.beside;
    d.beside.label.hidden = (this.grid.sheet?.rows.length ?? 0) < 2 || (this.grid.sheet?.value.methods.length ?? 0) < 2;
    d.smooth.box.checked = display.smooth;
    d.together.box.checked = display.together;
    paintColourBar(d.bar, colourTable(display.signed ? display.diverging : display.sequential, this.colours.dark));
    write(d.low, display.signed ? "against the class" : "0");
    write(d.high, display.signed ? "for the class" : "much");
    root.style.setProperty("--sdw-cell", `${display.size}px`);
    smoothPictures(root, display.smooth);
  }

  redraw() {
    this.fresh = true;
    this.paintSoon();
  }

  paintSoon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const { display, colours, sweep } = this,
      key = JSON.stringify([display, colours.dark]);
    const image = this.grid.sheet?.image ?? sweep.sheet?.image ?? true,
      texts = [this.parts.display.blend.label, this.parts.display.smooth.label, this.parts.display.size.label];
    for (const label of texts) label.hidden = !image;
    this.parts.shown.hidden = !this.grid.sheet?.maps.some(Boolean) && !sweep.sheet?.maps.some(Boolean);
    if (display.beside !== this.arranged) this.arrange(this.grid.sheet);
    for (const [part, sheet] of /** @type {[HTMLElement, MapSheet | null][]} */ ([
      [this.grid.root, this.grid.sheet],
      [sweep.root, sweep.sheet],
    ])) {
      part.classList.toggle(
        "sdw-former",
        this.live && sheet !== null && sheet.value.example >= 0 && sheet.value.example !== this.model.get("example"),
      );
    }
    const fresh = this.fresh || key !== this.painted;
    if (fresh) this.grid.paint(display, colours.dark);
    if (this.fresh) sweep.paintStill(colours);
    this.painted = key;
    this.fresh = false;
    sweep.paintMaps(display, colours);
    sweep.paintMoving(colours);
    if (fresh) MapGrid.sharpen(this.parts.shown, display.size);
    Object.assign(this.parts.root.dataset, {
      ready: "1",
      idx: sweep.index,
      maps: this.grid.places.filter(Boolean).length,
      swept: sweep.places.filter(Boolean).length,
    });
  }
}

/** What assets.esm exports. */
export const saliencyPanel = {
  /** @param {{model: AnyModel, el: HTMLElement, signal?: AbortSignal}} props */
  render({ model, el, signal }) {
    const life = new AbortController(),
      end = () => life.abort();
    signal?.addEventListener("abort", end);
    new SaliencyView(model, el, life.signal);
    return end;
  },
};
