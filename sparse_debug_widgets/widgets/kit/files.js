// Files that every panel offers: a picture, a drawing, a table, a page; their buttons and their names.

import { download, make, plainButton } from "./kit.js";

/** @import { PanelView } from "./view.js" */

/**
 * What a panel can make of what it shows. A picture or a drawing that there is nothing for is null.
 * @typedef {{
 *   name: () => (string | number)[], table: () => (string | number | boolean)[][],
 *   picture: () => Promise<Blob | null>, drawing?: () => Blob | null,
 * }} Makers
 */

/** Longest part of a file name, in characters: some systems allow 255 bytes for all of it. */
const LONGEST_PART = 40;

/**
 * The name of a file from words that anybody may have chosen: letters and digits of any script, dots within,
 * and dashes for everything else.
 * @param {(string | number)[]} parts
 */
export function fileName(parts) {
  const words = parts.map((part) => {
    const text = typeof part === "number" ? String(Number(part.toPrecision(3))) : part;
    const plain = text.normalize("NFC").replace(/[^\p{L}\p{N}\p{M}.]+/gu, "-");
    return [...plain]
      .slice(0, LONGEST_PART)
      .join("")
      .replace(/^[-.]+|[-.]+$/g, "");
  });
  return words.filter(Boolean).join("-") || "panel";
}

/**
 * One field of a CSV file: a number that is none is empty, and a text that a spreadsheet would run as a formula
 * is defused.
 * @param {string | number | boolean} field
 */
export function csvField(field) {
  if (typeof field === "number") return Number.isFinite(field) ? String(field) : "";
  if (typeof field === "boolean") return field ? "1" : "0";
  const text = /^[=+\-@\t\r]/.test(field) ? `'${field}` : field;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A table as a file: with a mark, so that spreadsheets read UTF-8. @param {(string | number | boolean)[][]} lines */
export function tableFile(lines) {
  const text = lines.map((line) => line.map(csvField).join(",")).join("\r\n");
  return new Blob(["\ufeff", text, "\r\n"], { type: "text/csv;charset=utf-8" });
}

/**
 * The buttons of the files, with what they do.
 * @param {PanelView} view
 * @param {Makers} makers
 */
export function fileButtons(view, makers) {
  const spoken = make("span", { class: "sdw-spoken", role: "status", "aria-live": "polite" });
  const root = make("div", { class: "sdw-group", role: "group", "aria-label": "Download" });
  /** @param {string} kind @param {string} hint @param {() => Blob | null | Promise<Blob | null>} made */
  const add = (kind, hint, made) => {
    const button = plainButton(kind, hint);
    button.addEventListener(
      "click",
      async () => {
        button.disabled = true;
        const name = `${fileName(makers.name())}.${kind.toLowerCase()}`,
          blob = await made();
        button.disabled = false;
        if (view.life.aborted) return;
        if (blob) download(name, blob);
        spoken.textContent = blob ? `${name} is downloaded.` : "There is nothing to download yet.";
      },
      { signal: view.life },
    );
    root.append(button);
  };
  add("PNG", "Download what is shown as a picture", makers.picture);
  if (makers.drawing) add("SVG", "Download what is shown as a drawing that stays sharp", makers.drawing);
  add("CSV", "Download the numbers of what is shown as a table", () => tableFile(makers.table()));
  if (view.hasKernel)
    add("HTML", "Download a page that shows this without a kernel", async () => {
      const answer = await view.ask("page", {});
      return answer ? new Blob([answer.value.html], { type: "text/html;charset=utf-8" }) : null;
    });
  return make("div", { class: "sdw-files" }, root, spoken);
}
