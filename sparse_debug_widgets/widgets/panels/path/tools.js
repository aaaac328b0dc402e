// What a person does with silenced features: try each, go back, look at what was tried, save the model.

import { brief } from "../../kit/draw.js";
import { complain, make, oneLine, plainButton, write } from "../../kit/kit.js";

/** @import { PathHead } from "../../shared/curves.js" */
/** @import { PathView } from "./view.js" */

const MOST_TRIALS = 500;

/** @param {PathHead} head */
export function toolParts(head) {
  const each = plainButton(
    "Try silencing each",
    `Silence each feature of this ${head.about.one} on its own, and rank them by ${head.about.score}`,
  );
  const undo = plainButton("Undo", "Go back to the features silenced before");
  const none = plainButton("Hear all", "Silence nothing");
  const save = plainButton("Save the repaired model\u2026", "Save the model with this layer in place of its own");
  const said = make("span", { class: "sdw-tools-said", role: "status" });
  const stop = plainButton("Cancel", "Stop trying", { hidden: "" });
  const buttons = [undo, none, each, stop, save, said];
  const file = make("input", {
    type: "text",
    class: "sdw-file",
    value: "repaired.safetensors",
    "aria-label": "File for the repaired model",
    spellcheck: "false",
  });
  const write_ = plainButton("Save", "Write the file in the notebook's folder", { class: "sdw-button sdw-primary" });
  const written = make("div", { class: "sdw-written", role: "status" });
  const form = make(
    "form",
    { class: "sdw-live-row sdw-save-form", hidden: true },
    make("label", { class: "sdw-field" }, make("span", {}, "file"), file),
    write_,
    written,
  );
  const caption = make("div", { class: "sdw-tried-on" }),
    body = make("div", {
      class: "sdw-tried-body",
      tabindex: "0",
      role: "group",
      "aria-label": "Features, each silenced on its own",
    });
  const close = plainButton("\u2715", "Close this table");
  const tried = make(
    "div",
    { class: "sdw-card sdw-tried", hidden: true },
    make("div", { class: "sdw-card-head" }, make("h3", {}, "Silenced one by one"), caption, close),
    body,
  );
  const list = make("ol", { class: "sdw-log-list" }),
    count = make("summary", { class: "sdw-log-count" });
  const log = make("details", { class: "sdw-log", hidden: true }, count, list);
  return {
    buttons,
    each,
    stop,
    undo,
    none,
    save,
    said,
    form,
    file,
    write: write_,
    written,
    tried,
    caption,
    body,
    close,
    log,
    list,
    count,
  };
}

export class PathTools {
  /** @param {PathView} view */
  constructor(view) {
    this.view = view;
    this.parts = view.parts.tools;
    /** @type {{id: string, cancel: () => void} | null} */
    this.asked = null;
    /** @type {Trial[]} */
    this.trials = [];
    this.sortedBy = "score";
    const { parts, life } = { parts: this.parts, life: view.life },
      on = { signal: life };
    parts.each.addEventListener("click", () => this.tryEach(), on);
    parts.stop.addEventListener("click", () => this.asked?.cancel(), on);
    parts.undo.addEventListener("click", () => this.undo(), on);
    parts.none.addEventListener("click", () => view.live.set([]), on);
    parts.close.addEventListener(
      "click",
      () => {
        parts.tried.hidden = true;
        parts.each.focus();
      },
      on,
    );
    parts.save.addEventListener(
      "click",
      () => {
        parts.form.hidden = !parts.form.hidden;
        if (!parts.form.hidden) parts.file.focus();
      },
      on,
    );
    parts.form.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        this.save();
      },
      on,
    );
    parts.write.addEventListener(
      "click",
      (event) => {
        event.preventDefault();
        this.save();
      },
      on,
    );
    this.fill();
  }

  /** @returns {LogEntry[]} */
  get entries() {
    return this.view.model.get("log") ?? [];
  }

  fill() {
    const { parts, view } = this,
      { about } = view.head,
      entries = this.entries;
    parts.each.hidden = !about.measurable;
    parts.each.disabled = this.asked !== null;
    parts.stop.hidden = this.asked === null;
    parts.undo.disabled = entries.length === 0;
    parts.none.disabled = view.live.silenced.length === 0;
    parts.save.hidden = !about.model;
    if (!about.model) parts.form.hidden = true;
    parts.log.hidden = entries.length === 0;
    write(parts.count, `Log: ${entries.length} ${entries.length === 1 ? "set" : "sets"} of silenced features`);
    parts.count.setAttribute("aria-label", parts.count.textContent ?? "");
    parts.list.replaceChildren(...entries.map((entry, k) => this.line(entry, k)));
  }

  /** @param {LogEntry} entry @param {number} k */
  line(entry, k) {
    const { head, life, live } = this.view;
    const names = entry.silenced.map(
      ([j, c]) => `${oneLine(head.features[j] ?? "", 40)}${c < 0 ? "" : ` (${oneLine(head.classes[c] ?? "", 30)})`}`,
    );
    const scores = entry.scores ? `${live.threeScores(entry.scores)} (${entry.on})` : "not measured";
    const again = plainButton("Take this set", `Silence what was silenced in set ${k + 1}`, {
      class: "sdw-button sdw-small",
    });
    again.addEventListener("click", () => live.set(entry.silenced), { signal: life });
    const line = make(
      "li",
      {},
      make("bdi", {}, names.join(", ") || "nothing silenced"),
      `, \u03bb ${brief(head.lambdas[entry.index] ?? NaN)}: ${scores} `,
      again,
    );
    if (k === this.entries.length - 1) line.setAttribute("aria-current", "true");
    return line;
  }

  undo() {
    const { view } = this,
      shorter = this.entries.slice(0, -1);
    view.model.set("log", shorter);
    view.model.set("silenced", shorter.length ? shorter[shorter.length - 1].silenced : []);
    view.savePosition();
  }

  async tryEach() {
    const { view, parts } = this,
      { client, index, row, live, life } = view;
    const everywhere = live.parts.scope.value === "all";
    const asked = client.request("trials", { index, row, silenced: live.silenced, everywhere }, ({ note }) =>
      write(parts.said, `trying\u2026 ${note}`),
    );
    this.asked = asked;
    write(parts.said, "trying\u2026");
    this.fill();
    try {
      const { value } = await asked.reply;
      this.trials = value.trials.slice(0, MOST_TRIALS);
      const where = everywhere ? `in all ${view.head.about.many}` : `in ${oneLine(view.head.classes[row], 40)}`;
      write(
        parts.caption,
        `${oneLine(view.head.classes[row], 40)}, \u03bb ${brief(view.head.lambdas[index])}, ${where}, ` +
          `${view.head.about.score} on ${value.on}`,
      );
      parts.tried.hidden = false;
      this.showTrials();
      view.errors.replaceChildren();
      parts.tried.scrollIntoView?.({ block: "nearest" });
    } catch (error) {
      if (!life.aborted) complain(view.errors, error, life);
    }
    this.asked = null;
    write(parts.said, "");
    this.fill();
  }

  /** The ranked table; a click on a heading sorts by it. */
  showTrials() {
    const { view, parts } = this,
      { head, life } = view,
      shares = head.about.percent;
    /** @type {[string, string, (t: Trial) => string][]} */
    const columns = [
      ["name", "feature", (t) => oneLine(head.features[t.feature], 80)],
      ["weight", "weight", (t) => brief(t.weight)],
      ["score", `${head.about.score} without it`, (t) => head.score(t.score)],
      ["change", "change", (t) => this.change(t.change)],
      ...(shares
        ? /** @type {[string, string, (t: Trial) => string][]} */ ([
            ["mended", "mended", (t) => String(t.mended)],
            ["broken", "broken", (t) => String(t.broken)],
          ])
        : []),
    ];
    const key = this.sortedBy,
      ranked = [...this.trials].sort((a, b) =>
        key === "name"
          ? head.features[a.feature].localeCompare(head.features[b.feature])
          : /** @type {any} */ (b)[key] - /** @type {any} */ (a)[key],
      );
    const headings = columns.map(([name, text]) => {
      const button = make("button", { type: "button", class: "sdw-sort-by", "aria-label": `Sort by ${text}` }, text);
      button.addEventListener(
        "click",
        () => {
          this.sortedBy = name;
          this.showTrials();
        },
        { signal: life },
      );
      return make(
        "th",
        { scope: "col", "aria-sort": name === key ? (name === "name" ? "ascending" : "descending") : "none" },
        button,
      );
    });
    const lines = ranked.map((trial, k) => {
      const silence = plainButton("Silence", `Silence ${oneLine(head.features[trial.feature], 80)}`, {
        class: "sdw-button sdw-small",
      });
      silence.addEventListener("click", () => view.live.toggle(trial.feature), { signal: life });
      const cells = columns.map(([name, , text]) =>
        name === "name" ? make("th", { scope: "row" }, make("bdi", {}, text(trial))) : make("td", {}, text(trial)),
      );
      return make("tr", {}, make("td", { class: "sdw-rank" }, String(k + 1)), ...cells, make("td", {}, silence));
    });
    parts.body.replaceChildren(
      make(
        "table",
        { class: "sdw-table" },
        make(
          "thead",
          {},
          make("tr", {}, make("th", { scope: "col" }, "rank"), ...headings, make("th", { scope: "col" }, "silence")),
        ),
        make("tbody", {}, ...lines),
      ),
    );
  }

  /** @param {number} value */
  change(value) {
    const sign = value > 0 ? "+" : value < 0 ? "\u2212" : "\u00b1",
      size = Math.abs(value);
    return `${sign}${this.view.head.about.percent ? `${(100 * size).toFixed(1)} points` : size.toFixed(3)}`;
  }

  async save() {
    const { view, parts } = this;
    write(parts.written, "saving\u2026");
    parts.write.disabled = true;
    const answer = await view.ask("save", { file: parts.file.value, index: view.index, silenced: view.live.silenced });
    parts.write.disabled = false;
    write(
      parts.written,
      answer ? `Saved: ${answer.value.file}. The model's own class loads it as its state dict.` : "",
    );
  }
}
