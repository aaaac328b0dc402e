// The Path panel: its state and what happens on input. Nothing in a drag waits for the kernel.

import { codeCopier } from "../../kit/code.js";
import { brief } from "../../kit/draw.js";
import { fileButtons } from "../../kit/files.js";
import { complain, followTheme, make, oneLine, settled, throttled, write } from "../../kit/kit.js";
import { dotted, staleBar } from "../../kit/parts.js";
import { PanelView } from "../../kit/view.js";
import { fromTrait, KernelError } from "../../kit/wire.js";
import { ClassStore, PathHead, shownAgain } from "../../shared/curves.js";
import { FeatureCard } from "../../shared/features/card.js";
import { LiveBar } from "../../shared/live.js";
import { Along, barsChart, CHARTS, ColourSlots, countsChart, isSilenced, PAINTERS, pathsChart } from "./charts.js";
import { fillTiles, pathParts } from "./parts.js";
import { pathFiles } from "./save.js";
import { PathTools } from "./tools.js";

/** @import { Answer } from "../../kit/wire.js" */
/** @import { Colours, Mine, Scene } from "./charts.js" */

const COLOUR_NAMES = [
  "bg",
  "fg",
  "muted",
  "grid",
  "faint",
  "raises",
  "lowers",
  "accent",
  "pin",
  "warn",
  "good",
  "train",
  "validation",
  "test",
];

/** @extends {PanelView<PathTraits, PathAnswers>} */
export class PathView extends PanelView {
  /**
   * @param {AnyModel<PathTraits>} model
   * @param {HTMLElement} el
   * @param {AbortSignal} life
   */
  constructor(model, el, life) {
    super(model, life);
    const first = fromTrait(model.get("first") ?? {});
    this.head = new PathHead(fromTrait(model.get("head")));
    this.head.rename(model.get("names") ?? {});
    this.store = new ClassStore(this.client, this.head, first);
    this.index = Math.min(model.get("idx"), this.head.K - 1);
    this.row = Math.min(model.get("class_index"), this.head.C - 1);
    this.curves = this.store.known.get(this.row) ?? null;
    this.feature = -1;
    this.dense = this.head.about.dense;
    this.bent = false;
    this.shown = [0, 1, 2].map((s) => Number.isFinite(this.head.accuracy(this.head.K - 1, s)));
    this.frame = 0;
    this.staleStill = true;
    /** @type {number[]} */
    this.strongest = [];
    this.slots = new ColourSlots();
    this.order = Array.from(this.head.classes.keys());
    this.from = 0;
    this.showMine = true;
    this.orderedAt = -1;
    /** @type {Mine | null} */
    this.mine = null;
    /** @type {Along | null} */
    this.along = null;
    const code = codeCopier(this, this.errors, () => ({})),
      files = fileButtons(this, pathFiles(this));
    this.parts = pathParts(this.head, { code, files, errors: this.errors });
    el.append(this.parts.root);
    this.parts.root.prepend(staleBar(this, this.errors));
    this.colours = this.readColours();
    this.saveSoon = throttled(80, () => this.savePosition(), life);
    this.announceSoon = settled(250, () => this.announce(), life);
    /** @type {HTMLButtonElement[]} */
    this.rows = [];
    /** @type {HTMLButtonElement[]} */
    this.looks = [];
    this.live = new LiveBar(this);
    this.tools = new PathTools(this);
    this.card = new FeatureCard(this, this.head.about.cards ?? { able: false });
    this.parts.sees.append(this.card.root);
    this.readMine();
    this.wire();
    this.listen();
    if (this.curves) this.whenIdle(() => this.store.prefetch(this.row));
    else this.choose(this.row);
    this.showCard();
    this.redraw();
    if (this.head.about.measurable && !this.mine && !model.get("scoring")?.state) {
      this.whenIdle(() => {
        this.client.request("score", {}).reply.catch((error) => complain(this.errors, error, life));
      });
    }
  }

  // -- connections -----------------------------------------------------------------------------------

  /** Controls to methods. */
  wire() {
    const { parts, life, head } = this,
      { switches } = parts,
      on = { signal: life };
    parts.slider.value = String(this.index);
    this.orderClasses();
    parts.slider.addEventListener("input", () => this.go(Number(parts.slider.value)), on);
    parts.picker.addEventListener("change", () => this.choose(Number(parts.picker.value)), on);
    parts.rule.addEventListener("click", () => this.go(head.about.rule), on);
    parts.pin.addEventListener("click", () => this.pin(), on);
    const { classes, features } = parts;
    for (const event of ["input", "change"]) classes.search.addEventListener(event, () => this.orderClasses(), on);
    classes.search.addEventListener(
      "keydown",
      (event) => {
        if (event.key === "Enter" && this.order.length) this.choose(this.order[0]);
      },
      on,
    );
    classes.sort.addEventListener("change", () => this.orderClasses(), on);
    const afresh = () => {
      this.from = 0;
      this.redraw();
    };
    features.search.addEventListener("input", afresh, on);
    features.sort.addEventListener("change", afresh, on);
    features.earlier.addEventListener("click", () => this.turn(-1), on);
    features.later.addEventListener("click", () => this.turn(1), on);
    parts.root.addEventListener("keydown", (event) => this.shortcut(event), on);
    const flip = (
      /** @type {HTMLInputElement} */ box,
      /** @type {boolean} */ first,
      /** @type {(on: boolean) => void} */ set,
    ) => {
      box.checked = first;
      box.addEventListener(
        "change",
        () => {
          set(box.checked);
          this.redraw();
        },
        on,
      );
    };
    flip(switches.bent.box, this.bent, (is) => {
      this.bent = is;
    });
    flip(switches.dense.box, this.dense, (is) => {
      this.dense = is;
    });
    switches.dense.label.hidden = !head.about.dense;
    switches.splits.forEach(({ box, label }, s) => {
      label.hidden = !this.shown[s];
      flip(box, this.shown[s], (is) => {
        this.shown[s] = is;
      });
    });
    flip(switches.mine.box, this.showMine, (is) => {
      this.showMine = is;
    });
    for (const name of /** @type {const} */ (["paths", "accuracy", "counts"])) this.draggable(name);
  }

  /** Changes that come from elsewhere: the kernel, another view, the page. */
  listen() {
    const { model, life, parts } = this;
    /** @type {[string, () => void][]} */
    const heard = [
      ["change:idx", () => this.show(model.get("idx"))],
      [
        "change:class_index",
        () => {
          if (model.get("class_index") !== this.row) this.choose(model.get("class_index"));
        },
      ],
      ["change:pinned", () => this.redraw()],
      [
        "change:silenced",
        () => {
          this.freshAlong();
          this.live.changed();
          this.tools.fill();
          this.redraw();
        },
      ],
      ["change:log", () => this.tools.fill()],
      [
        "change:chosen",
        () => {
          this.showCard();
          this.redraw();
        },
      ],
      ["change:card_news", () => this.card.news()],
      [
        "change:scored",
        () => {
          this.readMine();
          this.redraw();
        },
      ],
      ["change:scoring", () => this.tellScoring()],
      ["change:live", () => this.live.fill()],
      [
        "change:names",
        () => {
          this.head.rename(model.get("names"));
          this.live.fillChips();
          this.tools.fill();
          this.redraw();
        },
      ],
    ];
    const sizes = new ResizeObserver(() => this.redraw());
    for (const name of CHARTS) sizes.observe(parts.layers[name].host);
    followTheme(parts.root, life, () => {
      this.colours = this.readColours();
      this.redraw();
    });
    this.follow(parts.root, heard, () => {
      sizes.disconnect();
      cancelAnimationFrame(this.frame);
    });
  }

  /** @param {() => void} run */
  whenIdle(run) {
    const wait = globalThis.requestIdleCallback ?? ((/** @type {() => void} */ later) => setTimeout(later, 200));
    // A page that is never idle, beside a busy machine, gets to it all the same.
    wait(
      () => {
        if (!this.life.aborted) run();
      },
      { timeout: 2000 },
    );
  }

  /** @returns {Colours} */
  readColours() {
    return this.coloursOf(this.parts.root, COLOUR_NAMES);
  }

  /**
   * The model learns of a move only when it is saved: an echo of an older position, which comes back from the
   * kernel in the middle of a drag, then changes nothing.
   */
  savePosition() {
    this.save("idx", this.index);
  }

  // -- painting --------------------------------------------------------------------------------------

  /** @returns {Scene} */
  scene() {
    const { head, curves, index, row, feature, shown, dense, bent, colours, model } = this;
    return {
      head,
      curves,
      index,
      row,
      feature,
      shown,
      dense,
      root: bent,
      colours,
      pinned: model.get("pinned"),
      silenced: model.get("silenced"),
      ...this.beyond(),
    };
  }

  /** What the scene has beside the path itself. */
  beyond() {
    const { slots, order, mine, showMine } = this;
    return {
      slots: slots.of,
      order,
      mine,
      showMine,
      along: this.model.get("silenced").length ? this.along : null,
      first: this.from,
    };
  }

  /** The features of the bars, in the order that was asked for. @param {number} n @returns {number[]} */
  listed(n) {
    const { curves, index, head, from } = this,
      { search, sort } = this.parts.features;
    if (!curves) return [];
    const wanted = search.value.trim().toLowerCase();
    if (!wanted && sort.value === "strong") return curves.strongest(index, from + n).slice(from);
    // Who searches also finds what is not in use here.
    const found = curves.ranked.filter((j) =>
      wanted ? head.features[j].toLowerCase().includes(wanted) : curves.at(j, index) !== 0,
    );
    /** @type {Record<string, (a: number, b: number) => number>} */
    const orders = {
      strong: (a, b) => Math.abs(curves.at(b, index)) - Math.abs(curves.at(a, index)),
      signed: (a, b) => curves.at(b, index) - curves.at(a, index),
      negative: (a, b) => curves.at(a, index) - curves.at(b, index),
      entry: (a, b) => curves.starts[a] - curves.starts[b] || curves.rank[a] - curves.rank[b],
      name: (a, b) => head.features[a].localeCompare(head.features[b], undefined, { numeric: true }),
    };
    return found.sort(orders[sort.value]).slice(from, from + n);
  }

  /** How many features the bars could show. */
  countListed() {
    const { curves, head, index, row } = this,
      wanted = this.parts.features.search.value.trim().toLowerCase();
    if (!wanted || !curves) return head.counts[index * head.C + row];
    return curves.ranked.filter((j) => head.features[j].toLowerCase().includes(wanted)).length;
  }

  /** One page of bars on or back. @param {number} way */
  turn(way) {
    const rows = barsChart.geometry(this.parts.layers.bars).rows;
    this.from = Math.max(0, Math.min(this.countListed() - 1, this.from + way * rows));
    this.redraw();
  }

  /** Classes that match what is searched, in the order that was asked for: in the list and in the chart. */
  orderClasses() {
    const { head, index, parts } = this,
      { search, sort, found } = parts.classes,
      wanted = search.value.trim().toLowerCase();
    const count = (/** @type {number} */ c) => head.counts[index * head.C + c];
    /** @type {Record<string, (a: number, b: number) => number>} */
    const orders = {
      given: (a, b) => a - b,
      name: (a, b) => head.classes[a].localeCompare(head.classes[b], undefined, { numeric: true }),
      many: (a, b) => count(b) - count(a) || a - b,
      few: (a, b) => count(a) - count(b) || a - b,
    };
    const all = Array.from(head.classes.keys());
    this.order = all.filter((c) => head.classes[c].toLowerCase().includes(wanted)).sort(orders[sort.value]);
    write(found, wanted ? `${this.order.length} found` : "");
    // The class on show stays in the list, so that the list says what is shown.
    const listed = this.order.includes(this.row) ? this.order : [this.row, ...this.order];
    parts.picker.replaceChildren(
      ...listed.map((c) =>
        make(
          "option",
          { value: c, dir: "auto", title: head.classes[c].slice(0, 300) },
          oneLine(head.shortClasses[c], 60),
        ),
      ),
    );
    parts.picker.value = String(this.row);
    this.redraw();
  }

  /** What all layers score on the panel's data, once the kernel has measured it. */
  readMine() {
    const held = fromTrait(this.model.get("scored") ?? {}),
      { switches, tiles } = this.parts,
      { about } = this.head;
    this.mine = held.arrays.scores
      ? { name: held.value.name, n: held.value.n, own: held.value.own ?? NaN, scores: held.arrays.scores }
      : null;
    const name = oneLine(this.mine?.name ?? about.dataName ?? "", 60);
    write(tiles.mine.name, `${about.score} on ${name}`);
    switches.mine.label.hidden = this.mine === null;
    switches.mine.label.lastChild?.remove();
    switches.mine.label.append(name);
    switches.mine.box.setAttribute("aria-label", `Show ${about.score} on ${name}`);
    this.tellScoring();
  }

  tellScoring() {
    const { model, parts, mine } = this,
      job = model.get("scoring") ?? {};
    if (mine || !job.state) return;
    const share = job.total > 0 ? ` ${Math.round((100 * job.done) / job.total)} %` : "";
    write(
      parts.tiles.mine.note,
      job.state === "failed"
        ? "could not be measured"
        : job.state === "cancelled"
          ? "measuring was cancelled"
          : `measuring${share}\u2026`,
    );
    if (job.state === "failed" && job.failure) complain(this.errors, new KernelError(job.failure), this.life);
  }

  /** Scores of other silenced features say nothing of these. */
  freshAlong() {
    if (this.along && this.along.key !== JSON.stringify(this.model.get("silenced"))) this.along = null;
  }

  /** The kernel has measured with the features silenced. @param {Answer} answer @param {number} index */
  measured({ value, arrays }, index) {
    this.along = new Along(
      JSON.stringify(this.model.get("silenced")),
      arrays.along ?? null,
      index,
      value.silenced ?? NaN,
      value.meanCount ?? NaN,
    );
    this.redraw();
  }

  redraw() {
    this.staleStill = true;
    this.paintSoon();
    this.announceSoon();
  }

  paintSoon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const scene = this.scene(),
      { parts, index } = this,
      { layers } = parts;
    const fresh = this.staleStill;
    if (fresh) for (const name of CHARTS) layers[name].fit();
    this.staleStill = false;
    this.strongest = this.listed(barsChart.geometry(layers.bars).rows);
    this.slots.assign(this.strongest);
    for (const name of CHARTS) {
      const size = layers[name],
        painter = PAINTERS[name];
      if (fresh) painter.still(size.pen("still", this.colours.font), size, scene);
      painter.moving(size.pen("moving", this.colours.font), size, scene, this.strongest);
    }
    parts.slider.value = String(index);
    fillTiles(parts.tiles, scene);
    Object.assign(parts.root.dataset, { idx: index, row: this.row, strongest: this.strongest.join(",") });
    if (fresh) this.placeRows();
  }

  sentence() {
    const { head, index, row, mine } = this,
      kind = head.scoreName();
    const own = mine ? `; on ${oneLine(mine.name, 60)} ${head.score(mine.scores[index])}` : "";
    return (
      `lambda ${brief(head.lambdas[index])}, ${index + 1} of ${head.K}; ${head.counts[index * head.C + row]} ` +
      `features; ${kind} ${head.score(head.accuracy(index, head.split))}${own}`
    );
  }

  /** What screen readers, tooltips and the buttons over the bars say, once the drag has come to rest. */
  announce() {
    const { head, index, parts, curves, model } = this,
      text = this.sentence(),
      scene = this.scene();
    write(parts.spoken, text);
    parts.slider.setAttribute("aria-valuetext", text);
    for (const name of /** @type {const} */ (["paths", "accuracy", "counts"])) {
      parts.layers[name].moving.setAttribute("aria-valuenow", String(index));
      parts.layers[name].moving.setAttribute("aria-valuetext", text);
    }
    this.rows.forEach((element, k) => {
      const j = this.strongest[k];
      element.hidden = j === undefined || curves === null;
      if (j === undefined || curves === null) return;
      const silent = isSilenced(scene, j),
        bound = head.bound(index);
      const unsure =
        Math.abs(curves.at(j, index)) <= bound ? `, sign not certain: weights to within ${brief(bound, 2)}` : "";
      const weight = `${brief(curves.at(j, index))}${unsure}`;
      element.dataset.feature = String(j);
      element.title =
        `${head.features[j]}\nweight ${weight}, ` +
        `${curves.entry(j)}\n${silent ? "Click to hear it again" : "Click to silence it"}`;
      element.setAttribute(
        "aria-label",
        `${oneLine(head.features[j])}, weight ${weight}${curves.entries.has(j) ? `, ${curves.entry(j)}` : ""}: ` +
          `${silent ? "silenced" : "silence this feature"}`,
      );
      element.setAttribute("aria-pressed", String(silent));
    });
    this.looks.forEach((element, k) => {
      const j = this.strongest[k];
      element.hidden = j === undefined || curves === null;
      if (j === undefined) return;
      element.title = `${head.features[j]}\nClick to keep it in view`;
      element.setAttribute("aria-label", `Look at ${oneLine(head.features[j])}`);
      element.setAttribute("aria-pressed", String(model.get("chosen") === j));
    });
    parts.openEntry.hidden = !this.strongest.some((j) => curves?.entries.has(j));
    const many = this.countListed(),
      { range, earlier, later } = parts.features,
      shownTo = this.from + this.strongest.length;
    write(range, many ? `${this.from + 1}\u2013${shownTo} of ${many}` : "none");
    earlier.disabled = this.from === 0;
    later.disabled = shownTo >= many;
    if (/many|few/.test(parts.classes.sort.value) && this.orderedAt !== index) {
      this.orderedAt = index;
      this.orderClasses();
    }
    for (const { box, name, note } of Object.values(parts.tiles))
      box.title = dotted(name.textContent ?? "", note.textContent ?? "");
    const pinned = model.get("pinned") >= 0;
    parts.pin.setAttribute("aria-pressed", String(pinned));
    write(parts.pin, pinned ? "Unpin" : "Pin");
    this.live.fill();
  }

  /** Buttons over the bars, one for each row, so that bars have focus, names and clicks. */
  placeRows() {
    const { rows, rowHeight, top } = barsChart.geometry(this.parts.layers.bars),
      on = { signal: this.life };
    this.parts.openEntry.style.top = `${top + rows * rowHeight + 1}px`;
    const { name } = barsChart.geometry(this.parts.layers.bars);
    while (this.rows.length > rows) {
      this.rows.pop()?.remove();
      this.looks.pop()?.remove();
    }
    while (this.rows.length < rows) {
      const k = this.rows.length,
        element = make("button", { type: "button", class: "sdw-row", hidden: true });
      element.addEventListener("click", () => this.live.toggle(this.strongest[k] ?? -1), on);
      for (const event of ["pointerenter", "focus"])
        element.addEventListener(event, () => this.mark(this.strongest[k] ?? -1), on);
      for (const event of ["pointerleave", "blur"]) element.addEventListener(event, () => this.mark(-1), on);
      const look = make("button", { type: "button", class: "sdw-look", hidden: true });
      look.addEventListener("click", () => this.look(this.strongest[k] ?? -1), on);
      for (const event of ["pointerenter", "focus"])
        look.addEventListener(event, () => this.mark(this.strongest[k] ?? -1), on);
      for (const event of ["pointerleave", "blur"]) look.addEventListener(event, () => this.mark(-1), on);
      this.rows.push(element);
      this.looks.push(look);
      this.parts.rows.append(element, look);
    }
    this.rows.forEach((element, k) => {
      Object.assign(element.style, { top: `${top + k * rowHeight}px`, height: `${rowHeight}px` });
    });
    this.looks.forEach((element, k) => {
      Object.assign(element.style, {
        top: `${top + k * rowHeight}px`,
        height: `${rowHeight}px`,
        width: `${name + 8}px`,
      });
    });
  }

  // -- moving along the path -------------------------------------------------------------------------

  /** A person moved: show it in the next frame, tell the kernel later. @param {number} index */
  go(index) {
    const next = Math.max(0, Math.min(this.head.K - 1, Math.round(index)));
    if (next === this.index) return;
    this.show(next);
    this.saveSoon();
  }

  /** @param {number} index */
  show(index) {
    if (index === this.index || !(index >= 0 && index < this.head.K)) return;
    this.index = index;
    this.paintSoon();
    this.announceSoon();
    if (this.model.get("silenced").length) this.live.measureSoon();
  }

  /** @param {"paths" | "accuracy" | "counts"} name */
  draggable(name) {
    const layers = this.parts.layers[name],
      canvas = layers.moving,
      on = { signal: this.life };
    const attributes = {
      tabindex: "0",
      role: "slider",
      "aria-label": `${PAINTERS[name].title(this.head)}: drag, or use the arrow keys`,
      "aria-valuemin": "0",
      "aria-valuemax": String(this.head.K - 1),
      "aria-valuenow": String(this.index),
    };
    for (const [key, value] of Object.entries(attributes)) canvas.setAttribute(key, value);
    canvas.dataset.lmSuppressShortcuts = "true";
    let dragging = false,
      grabbed = -1;
    const move = (/** @type {PointerEvent} */ event) => {
      this.go(
        PAINTERS[name].indexAt(this.scene(), layers, event.clientX - canvas.getBoundingClientRect().left, grabbed),
      );
    };
    canvas.addEventListener(
      "pointerdown",
      (event) => {
        if (event.button !== 0) return;
        grabbed = this.row;
        if (name === "counts") {
          const box = canvas.getBoundingClientRect(),
            geometry = countsChart.geometry(this.scene(), layers);
          const c = countsChart.classAt(this.scene(), layers, event.clientY - box.top);
          if (c >= 0) grabbed = c;
          if (c >= 0 && c !== this.row) this.choose(c);
          // A click on a name only chooses the class; on a bar it also takes the end of the bar.
          if (event.clientX - box.left < geometry.left) return;
        }
        canvas.setPointerCapture(event.pointerId);
        dragging = true;
        this.mark(-1);
        move(event);
      },
      on,
    );
    canvas.addEventListener(
      "pointermove",
      (event) => {
        if (dragging && event.buttons & 1) move(event);
        else if (name === "paths") this.hover(event);
      },
      on,
    );
    for (const end of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
      canvas.addEventListener(
        end,
        () => {
          dragging = false;
        },
        on,
      );
    }
    canvas.addEventListener("pointerleave", () => this.mark(-1), on);
    canvas.addEventListener("keydown", (event) => this.arrow(event), on);
  }

  /** @param {KeyboardEvent} event */
  arrow(event) {
    const page = Math.max(1, Math.round(this.head.K / 10));
    const steps = /** @type {Record<string, number>} */ ({
      ArrowRight: 1,
      ArrowUp: 1,
      ArrowLeft: -1,
      ArrowDown: -1,
      PageUp: page,
      PageDown: -page,
      Home: -this.head.K,
      End: this.head.K,
    });
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.go(this.index + step);
  }

  /** @param {KeyboardEvent} event */
  shortcut(event) {
    const elsewhere =
      event.target instanceof HTMLSelectElement ||
      (event.target instanceof HTMLInputElement && /text|search/.test(event.target.type)) ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey;
    if (elsewhere || event.key.toLowerCase() !== "p") return;
    event.preventDefault();
    event.stopPropagation();
    this.pin();
  }

  // -- hovering, classes, pin ------------------------------------------------------------------------

  /** @param {PointerEvent} event */
  hover(event) {
    const { tip, layers } = this.parts,
      box = layers.paths.moving.getBoundingClientRect(),
      scene = this.scene();
    const x = event.clientX - box.left,
      y = event.clientY - box.top,
      j = pathsChart.featureAt(scene, layers.paths, x, y);
    this.mark(j);
    if (j < 0 || !this.curves) return;
    const i = pathsChart.indexAt(scene, layers.paths, x);
    const numbers =
      ` \u00b7 ${brief(this.curves.at(j, i))} at \u03bb ${brief(this.head.lambdas[i])} \u00b7 ` +
      `${this.curves.entry(j)}`;
    tip.replaceChildren(make("bdi", {}, oneLine(this.head.features[j], 90)), numbers);
    tip.hidden = false;
    tip.style.left = `${Math.max(4, Math.min(x + 12, layers.paths.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y > 60 ? y - tip.offsetHeight - 8 : y + 16}px`;
  }

  /** Highlight a feature in all charts, -1 for none. @param {number} feature */
  mark(feature) {
    this.parts.tip.hidden = true;
    if (feature === this.feature) return;
    this.feature = feature;
    this.showCard();
    this.paintSoon();
  }

  /** What the feature sees that is hovered, or else the one that was chosen. */
  showCard() {
    const chosen = this.model.get("chosen") ?? -1,
      j = this.feature >= 0 ? this.feature : chosen;
    const shown = j >= 0 && j < this.head.p && this.card.able;
    this.parts.sees.hidden = !shown;
    this.parts.sees.classList.toggle("sdw-kept", shown && j === chosen);
    if (shown) this.card.show(j, this.head.features[j]);
    else this.card.hide();
  }

  /** Keep a feature in view, or let it go. @param {number} feature */
  look(feature) {
    this.model.set("chosen", this.model.get("chosen") === feature ? -1 : feature);
    this.savePosition();
    this.redraw();
  }

  /** @param {number} row */
  async choose(row) {
    if (!(row >= 0 && row < this.head.C)) return;
    this.row = row;
    this.feature = -1;
    this.from = 0;
    if (!this.parts.picker.querySelector(`option[value="${row}"]`)) this.orderClasses();
    this.parts.picker.value = String(row);
    if (this.model.get("class_index") !== row) {
      this.model.set("class_index", row);
      this.savePosition();
    }
    this.curves = this.store.known.get(row) ?? null;
    this.parts.waiting.hidden = this.curves !== null;
    this.redraw();
    if (!this.curves) {
      try {
        const curves = await this.store.ask(row).reply;
        if (this.row !== row || this.life.aborted) return;
        this.curves = curves;
      } catch (error) {
        if (this.row !== row || this.life.aborted) return;
        complain(this.errors, error, this.life);
      }
      this.parts.waiting.hidden = true;
      this.redraw();
    }
    this.whenIdle(() => this.store.prefetch(this.row));
  }

  pin() {
    this.model.set("pinned", this.model.get("pinned") >= 0 ? -1 : this.index);
    this.savePosition();
    this.redraw();
  }
}

/** What assets.esm exports. */
export const pathPanel = shownAgain((model, el, life) => new PathView(model, el, life));
