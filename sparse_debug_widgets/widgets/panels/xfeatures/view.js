// The x-feature panel: which maps are on, which pictures are compared, what concepts are called.

import { fileButtons } from "../../kit/files.js";
import { classWords, complain, followTheme, make, oneLine, settled, throttled, write } from "../../kit/kit.js";
import { dotted, staleBar } from "../../kit/parts.js";
import { PanelView } from "../../kit/view.js";
import { KernelError } from "../../kit/wire.js";
import { colourTable, paintColourBar, smoothPictures } from "../../shared/pictures.js";
import { layerName, XCards } from "./cards.js";
import { XConcepts } from "./concepts.js";
import { XForm } from "./form.js";
import { fillXTiles, xfeaturesParts, xNotes } from "./parts.js";
import { xfeaturesFiles } from "./save.js";
import { BASELINE, XSheet } from "./sheet.js";
import { XTable } from "./table.js";
/** @import { XScene } from "./cards.js" */

/** @extends {PanelView<XFeaturesTraits, XFeaturesAnswers>} */
export class XFeaturesView extends PanelView {
  /**
   * @param {AnyModel<XFeaturesTraits>} model
   * @param {HTMLElement} el
   * @param {AbortSignal} life
   */
  constructor(model, el, life) {
    super(model, life);
    this.display = /** @type {XDisplay} */ ({ ...model.get("display") });
    /** @type {XSheet | null} */
    this.sheet = null;
    this.reading = 0;
    this.concepts = new XConcepts(
      { toggle: (h, more) => this.toggle(h, more), name: (h, text) => this.name(h, text) },
      life,
    );
    this.cards = new XCards(
      { select: (row) => this.select(row), toggleOwn: (row, h, more) => this.toggleOwn(row, h, more) },
      life,
    );
    this.table = new XTable(
      { hide: (h) => this.hide(h), sort: (by) => this.sort(by), drop: (row) => this.select(row) },
      life,
    );
    this.form = new XForm(this, this.errors);
    this.parts = xfeaturesParts(
      this.form.root,
      fileButtons(this, xfeaturesFiles(this)),
      this.errors,
      this.concepts.root,
      this.cards.root,
      this.table.root,
    );
    el.append(this.parts.root);
    this.parts.root.prepend(staleBar(this, this.errors));
    this.colours = this.readColours();
    this.saveSoon = throttled(80, () => this.save("display", { ...this.display }), life);
    this.tellSoon = settled(300, () => this.cards.tell(), life);
    this.cards.rested = () => {
      this.tellSoon();
      this.tellState();
    };
    this.table.rested = () => this.tellState();
    this.wire();
    this.fillDisplay();
    this.read();
  }

  wire() {
    const { life, model, parts } = this,
      on = { signal: life };
    parts.pictures.addEventListener("click", () => this.showAll([]), on);
    parts.several.box.addEventListener("change", () => this.change({ several: parts.several.box.checked }), on);
    parts.by.addEventListener("change", () => this.sorted({ by: parts.by.value }), on);
    parts.down.addEventListener("click", () => this.sorted({ down: !this.order.down }), on);
    parts.all.addEventListener("click", () => this.selectAll(true), on);
    parts.none.addEventListener("click", () => this.selectAll(false), on);
    parts.go.addEventListener("click", () => parts.compared.querySelector("h3")?.focus(), on);
    parts.columns.select.addEventListener("change", () => this.sorted({ columns: parts.columns.select.value }), on);
    parts.root.addEventListener("keydown", (event) => this.key(event), on);
    this.wireDisplay();
    /** @type {[string, () => void][]} */
    const heard = [
      ["change:sheet", () => this.read()],
      ["change:shown", () => this.fillShown()],
      ["change:own", () => this.fillShown()],
      ["change:names", () => this.fillNames()],
      ["change:selected", () => this.fillSelected()],
      ["change:hidden", () => this.fillTable()],
      ["change:order", () => this.arrange()],
      ["change:head", () => this.fillAbout()],
      [
        "change:display",
        () => {
          this.display = { ...model.get("display") };
          this.fillDisplay();
          this.repaint();
        },
      ],
    ];
    followTheme(parts.root, life, () => {
      this.colours = this.readColours();
      this.fillDisplay();
      this.fillShown();
      this.repaint();
    });
    this.follow(parts.root, heard);
  }

  wireDisplay() {
    const { display: d } = this.parts;
    const heard = (
      /** @type {HTMLElement} */ control,
      /** @type {string} */ event,
      /** @type {() => Partial<XDisplay>} */ change,
    ) => control.addEventListener(event, () => this.change(change()), { signal: this.life });
    heard(d.blend.input, "input", () => ({ blend: Number(d.blend.input.value) / 100 }));
    heard(d.percentile.input, "input", () => ({ percentile: Number(d.percentile.input.value) }));
    heard(d.size.input, "input", () => ({ size: Number(d.size.input.value) }));
    heard(d.fade.box, "change", () => ({ fade: d.fade.box.checked }));
    heard(d.beside.box, "change", () => ({ beside: d.beside.box.checked }));
    heard(d.smooth.box, "change", () => ({ smooth: d.smooth.box.checked }));
    for (const name of /** @type {const} */ (["sequential", "diverging", "scale", "under", "numbers"]))
      heard(d[name].select, "change", () => ({ [name]: d[name].select.value }));
  }

  readColours() {
    return this.coloursOf(this.parts.root, ["muted"]);
  }

  // -- what is on --------------------------------------------------------------------------------------

  /** @returns {number[]} */
  get shown() {
    return this.model.get("shown");
  }

  /** @returns {{by: string, down: boolean, columns: string}} */
  get order() {
    return this.model.get("order");
  }

  /** @returns {string[]} */
  get names() {
    return this.model.get("names");
  }

  /** The maps over a picture: its own, or those over all. @param {number} row */
  layersOf(row) {
    const { sheet } = this,
      own = this.model.get("own")[String(row)];
    return (own ?? this.shown).filter((/** @type {number} */ h) => h >= BASELINE && h < (sheet?.n ?? 0));
  }

  /** @param {number[]} now @param {number} h @param {boolean} more */
  flipped(now, h, more) {
    if (more || this.display.several)
      return now.includes(h) ? now.filter((other) => other !== h) : [...now, h].sort((a, b) => a - b);
    return now.length === 1 && now[0] === h ? [] : [h];
  }

  /** @param {number} h @param {boolean} more */
  toggle(h, more) {
    this.showAll(this.flipped(this.shown, h, more));
  }

  /** What is on for all pictures; none keeps anything of its own. @param {number[]} layers */
  showAll(layers) {
    if (Object.keys(this.model.get("own")).length) this.save("own", {});
    this.save("shown", layers);
    this.fillShown();
  }

  /** @param {number} row @param {number} h @param {boolean} more */
  toggleOwn(row, h, more) {
    this.save("own", { ...this.model.get("own"), [row]: this.flipped(this.layersOf(row), h, more) });
    this.cards.refresh([row]);
  }

  /** Take an entry into a list, or out of it. @param {"shown" | "selected" | "hidden"} trait @param {number} entry */
  flip(trait, entry) {
    const now = new Set(this.model.get(trait));
    if (!now.delete(entry)) now.add(entry);
    this.save(trait, [...now]);
  }

  /** @param {number} row */
  select(row) {
    this.flip("selected", row);
    this.fillSelected();
  }

  /** @param {boolean} every */
  selectAll(every) {
    this.save("selected", every ? [...this.sorting()] : []);
    this.fillSelected();
  }

  /** @param {number} h */
  hide(h) {
    this.flip("hidden", h);
    this.fillTable();
  }

  /** A click on a column: sort by it; a second one turns the order around. @param {string} by */
  sort(by) {
    this.sorted(by === this.order.by ? { down: !this.order.down } : { by, down: true });
  }

  /** @param {Partial<{by: string, down: boolean, columns: string}>} change */
  sorted(change) {
    this.save("order", { ...this.order, ...change });
    this.arrange();
  }

  /** @param {number} h @param {string} text */
  name(h, text) {
    const name = text.replace(/\s+/g, " ").trim().slice(0, 200) || `H${h + 1}`;
    if (name === this.names[h]) return;
    const other = this.names.findIndex((known, i) => known === name && i !== h);
    if (other >= 0) {
      const failure = {
        type: "Name",
        message: `H${other + 1} has this name.`,
        hint: "Give every concept a name of its own.",
        traceback: "",
      };
      complain(this.errors, new KernelError(failure), this.life);
      this.fillNames();
      return;
    }
    this.errors.replaceChildren();
    this.save(
      "names",
      this.names.map((known, i) => (i === h ? name : known)),
    );
    this.fillNames();
  }

  /** @param {Partial<XDisplay>} change */
  change(change) {
    Object.assign(this.display, change);
    this.fillDisplay();
    this.repaint();
    this.saveSoon();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const target = /** @type {Element} */ (event.target),
      { sheet } = this;
    if (
      !sheet ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      target.matches("input:not([type=checkbox]), select, textarea, summary")
    )
      return;
    const digit = /^Digit(\d)$/.exec(event.code),
      last = this.shown.at(-1) ?? BASELINE;
    if (digit && Number(digit[1]) <= sheet.n && !event.shiftKey) this.toggle(Number(digit[1]) - 1, false);
    else if (event.key === "Escape") this.showAll([]);
    else if (event.code === "KeyS" && last >= 0) this.sort(String(last));
    else if (event.code === "KeyN" && last >= 0) this.concepts.concepts[last + 1]?.input?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // -- what is seen ------------------------------------------------------------------------------------

  /** Inflating takes a moment: the newest is shown, whatever order they are finished in. */
  async read() {
    const turn = ++this.reading,
      sheet = await XSheet.read(this.model.get("sheet"));
    if (turn !== this.reading || this.life.aborted) return;
    this.sheet = sheet;
    this.parts.shown.hidden = sheet === null;
    this.fillAbout();
    if (sheet) {
      fillXTiles(this.parts.tiles, sheet);
      this.concepts.show(sheet);
      this.table.key = "";
      this.cards.show(this.scene);
      this.fillSorting(sheet);
      this.fillDisplay();
      this.fillShown();
      this.fillNames();
      this.fillSelected();
    } else this.tellState();
  }

  /** @returns {XScene} */
  get scene() {
    const sheet = /** @type {XSheet} */ (this.sheet);
    const selected = new Set(/** @type {number[]} */ (this.model.get("selected")).filter((row) => row < sheet.k));
    return {
      sheet,
      display: this.display,
      colours: this.colours,
      layersOf: (row) => this.layersOf(row),
      selected,
      names: this.names,
      order: this.sorting(),
    };
  }

  /** Numbers of the pictures in their order. */
  sorting() {
    const {
      sheet,
      order: { by, down },
    } = this;
    if (!sheet) return [];
    const rows = Array.from({ length: sheet.k }, (_, row) => row),
      h = Number(by);
    const value =
      by === "score"
        ? (/** @type {number} */ row) => sheet.scores[row]
        : by === "error"
          ? (/** @type {number} */ row) => Math.abs(sheet.scores[row] - sheet.reconstructed[row])
          : Number.isInteger(h) && h >= 0 && h < sheet.n && by !== ""
            ? (/** @type {number} */ row) => sheet.contribution(row, h)
            : null;
    return value ? rows.sort((a, b) => (down ? value(b) - value(a) : value(a) - value(b))) : rows;
  }

  fillAbout() {
    const { parts, sheet } = this,
      v = sheet?.value;
    write(
      parts.about,
      v
        ? dotted(
            classWords(v.className),
            `${v.method.toUpperCase()}, n = ${v.n}`,
            v.layer ? `layer ${oneLine(v.layer, 60)}` : "",
            `${v.k} ${v.texts.length ? "sentences" : "pictures"}`,
          )
        : "",
    );
    const text = sheet ? xNotes(sheet, this.names) : "";
    write(parts.notes, text);
    parts.notes.hidden = text === "";
  }

  /** @param {XSheet} sheet */
  fillSorting(sheet) {
    const options = [
      ["given", "as given"],
      ["score", "score"],
      ["error", "error of the x-features"],
      ...sheet.layers.slice(1).map((h) => [String(h), layerName(h, this.names)]),
    ];
    this.parts.by.replaceChildren(...options.map(([value, text]) => make("option", { value, dir: "auto" }, text)));
    this.parts.by.value = this.order.by;
    write(this.parts.down, this.order.down ? "\u2193" : "\u2191");
    this.parts.down.disabled = this.order.by === "given";
    this.parts.columns.select.value = this.order.columns;
  }

  fillShown() {
    if (!this.sheet) return;
    this.concepts.fill(this.shown, this.names, this.colours, this.display.several || this.shown.length > 1);
    this.parts.pictures.setAttribute("aria-pressed", String(this.shown.length === 0));
    this.cards.scene = this.scene;
    this.cards.refresh();
  }

  fillNames() {
    const { sheet } = this;
    if (!sheet) return;
    this.fillSorting(sheet);
    this.fillAbout();
    this.fillShown();
    this.fillTable();
  }

  fillSelected() {
    if (!this.sheet) return;
    this.cards.scene = this.scene;
    this.cards.refresh();
    this.fillTable();
  }

  fillTable() {
    const { sheet, parts } = this;
    if (!sheet) return;
    const { scene } = this,
      count = scene.selected.size;
    parts.compared.hidden = count === 0;
    write(parts.count, count === 1 ? "1 picture" : `${count} pictures`);
    write(parts.go, count ? `Compare ${count} \u2193` : "Compare");
    parts.go.disabled = count === 0;
    this.table.show(scene, this.order, new Set(this.model.get("hidden")));
  }

  arrange() {
    if (!this.sheet) return;
    this.fillSorting(this.sheet);
    this.cards.arrange(this.scene);
    this.fillTable();
  }

  fillDisplay() {
    const {
        display,
        colours,
        parts,
        parts: { display: d, root, several },
        sheet,
      } = this,
      signed = sheet?.signed ?? false;
    d.blend.input.value = String(Math.round(100 * display.blend));
    write(d.blend.value, `${Math.round(100 * display.blend)} %`);
    d.percentile.input.value = String(display.percentile);
    write(d.percentile.value, `${display.percentile.toFixed(1)} %`);
    d.size.input.value = String(display.size);
    write(d.size.value, `${display.size} px`);
    for (const name of /** @type {const} */ (["sequential", "diverging", "scale", "under", "numbers"]))
      d[name].select.value = display[name];
    for (const name of /** @type {const} */ (["fade", "beside", "smooth"])) d[name].box.checked = display[name];
    several.box.checked = display.several;
    const mapped = sheet?.value.mapped ?? true;
    // Without maps there is nothing to colour, to cap or to lay over.
    for (const part of [
      d.blend.label,
      d.percentile.label,
      d.scale.label,
      d.under.label,
      d.fade.label,
      d.beside.label,
      d.legend,
      parts.several.label,
      parts.pictures,
    ])
      part.hidden = !mapped;
    d.sequential.label.hidden = signed || !mapped;
    d.diverging.label.hidden = !signed || !mapped;
    root.classList.toggle("sdw-xf-words", (sheet?.value.texts.length ?? 0) > 0);
    paintColourBar(d.bar, colourTable(signed ? display.diverging : display.sequential, colours.dark));
    write(d.low, signed ? "against the class" : "0");
    write(d.high, signed ? "for the class" : "much");
    root.style.setProperty("--sdw-cell", `${display.size}px`);
    root.classList.toggle("sdw-xf-two", display.beside);
    smoothPictures(
      root,
      display.smooth || (sheet !== null && sheet.width > display.size * (globalThis.devicePixelRatio || 1)),
    );
  }

  repaint() {
    if (!this.sheet) return;
    this.concepts.fill(this.shown, this.names, this.colours, this.display.several || this.shown.length > 1);
    this.cards.scene = this.scene;
    this.cards.refresh();
    this.fillTable();
  }

  /** For those who wait until everything is painted. */
  tellState() {
    if (this.cards.waiting.size || this.table.waiting.size) return;
    Object.assign(this.parts.root.dataset, {
      ready: "1",
      pictures: this.sheet?.k ?? 0,
      shown: this.shown.join(" "),
      selected: this.sheet ? this.scene.selected.size : 0,
      state: this.model.get("job")?.state ?? "",
    });
  }
}

/** What assets.esm exports. */
export const xfeaturesPanel = {
  /** @param {{model: AnyModel, el: HTMLElement, signal?: AbortSignal}} props */
  render({ model, el, signal }) {
    const life = new AbortController(),
      end = () => life.abort();
    signal?.addEventListener("abort", end);
    new XFeaturesView(model, el, life.signal);
    return end;
  },
};
