// Shared by all panels: DOM made of text only, themes, downloads.
// The files of a panel are joined into one module (see assets.py), so every top-level name is unique.

import { KernelError } from "./wire.js";

const FOCUSABLE = new Set(["BUTTON", "INPUT", "SELECT", "TEXTAREA", "SUMMARY", "A"]);

/**
 * An element with attributes and children; text goes in as text, never as HTML.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number | boolean | null | undefined>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  // Notebook 7 takes letters and arrows from a focused element unless the element itself says no.
  if (FOCUSABLE.has(element.tagName) || element.hasAttribute("tabindex")) element.dataset.lmSuppressShortcuts = "true";
  element.append(...children);
  return element;
}

/**
 * A class in a sentence; one without a name of its own is called "class 3" already.
 * @param {string} name
 * @param {number} [limit]
 */
export function classWords(name, limit = 60) {
  return /^class \d+$/.test(name) ? name : `class ${oneLine(name, limit)}`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out.
const BREAKS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\s]+/g;
const TURNS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/**
 * A label that came from outside, fit for one line of canvas or DOM: no line breaks, no control or
 * direction-changing characters, at most `limit` characters.
 * @param {string} text
 * @param {number} limit
 */
export function oneLine(text, limit = 160) {
  const head = text
    .slice(0, limit * 2)
    .replace(BREAKS, " ")
    .replace(TURNS, "")
    .trim();
  if (head === "") return text === "" ? "(no name)" : "(blank)";
  const points = [...head];
  return points.length > limit || text.length > limit * 2 ? `${points.slice(0, limit).join("")}\u2026` : head;
}

/** A word at the beginning of a heading; abbreviations such as R squared keep their form. @param {string} text */
export const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/**
 * Text between direction isolates: on a canvas it can then not rearrange what stands beside it.
 * @param {string} text
 */
export const isolate = (text) => `\u2068${text}\u2069`;

/**
 * A button with a hint that is its name for screen readers too.
 * @param {string} text
 * @param {string} hint
 * @param {Record<string, string>} [more]
 */
export function plainButton(text, hint, more = {}) {
  return make(
    "button",
    { type: "button", class: "sdw-button", title: hint, "aria-label": `${text}: ${hint}`, ...more },
    text,
  );
}

/**
 * Write text where it has changed only: a frame should not touch what stays.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An error of the page's own by name and message. @param {unknown} error */
const pageFailure = (error) =>
  error instanceof Error ? { type: error.name, message: error.message } : { type: "Error", message: String(error) };

/**
 * Show an error in the panel: what happened, what to do, the traceback folded.
 * @param {HTMLElement} place
 * @param {unknown} error
 * @param {AbortSignal} life
 */
export function complain(place, error, life) {
  const failure =
    error instanceof KernelError
      ? error.failure
      : { ...pageFailure(error), hint: "Reload the page, or run the cell again.", traceback: "" };
  if (failure.type === "Cancelled") return;
  const box = make(
    "div",
    { class: "sdw-error", role: "alert" },
    make("div", { class: "sdw-error-text", dir: "auto" }, make("b", {}, `${failure.type}: `), failure.message),
  );
  if (failure.hint) box.append(make("div", { class: "sdw-error-hint" }, failure.hint));
  if (failure.traceback) {
    box.append(make("details", {}, make("summary", {}, "Traceback"), make("pre", { tabindex: 0 }, failure.traceback)));
  }
  const dismiss = plainButton("\u2715", "Dismiss this error", { class: "sdw-dismiss" });
  dismiss.addEventListener("click", () => box.remove(), { signal: life });
  box.append(dismiss);
  place.replaceChildren(box);
}

/**
 * Follow the theme of the notebook, or the system's where there is none.
 * @param {HTMLElement} root
 * @param {AbortSignal} life
 * @param {() => void} changed
 */
export function followTheme(root, life, changed) {
  let last = "";
  const probe = /** @type {CanvasRenderingContext2D} */ (
    make("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true })
  );
  const read = () => {
    if (!root.isConnected) return;
    root.style.colorScheme = "";
    const style = getComputedStyle(root);
    probe.fillStyle = "#fff";
    probe.fillRect(0, 0, 1, 1);
    probe.fillStyle = style.backgroundColor;
    probe.fillRect(0, 0, 1, 1);
    const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
    const theme = 0.299 * red + 0.587 * green + 0.114 * blue < 128 ? "dark" : "light";
    root.dataset.theme = theme;
    root.style.colorScheme = theme;
    const now = `${theme} ${style.backgroundColor} ${style.color} ${style.fontFamily}`;
    if (now !== last) {
      last = now;
      changed();
    }
  };
  // A notebook swaps its style sheet some time after it has announced the theme.
  const soon = () => {
    for (const wait of [0, 60, 250, 800]) setTimeout(read, wait);
  };
  const watcher = new MutationObserver(soon);
  const about = {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "data-theme", "class", "data-vscode-theme-kind"],
  };
  watcher.observe(document.body, about);
  watcher.observe(document.documentElement, about);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soon, { signal: life });
  life.addEventListener("abort", () => watcher.disconnect());
  read();
  if (!root.isConnected) soon();
}

/**
 * Hand a file to the browser; it is made here, nothing is fetched.
 * @param {string} name
 * @param {Blob} blob
 */
export function download(name, blob) {
  const address = URL.createObjectURL(blob);
  const link = make("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/**
 * Call `run` at most once in `wait` ms, and once more at the end of a burst.
 * @param {number} wait
 * @param {() => void} run
 * @param {AbortSignal} life
 */
export function throttled(wait, run, life) {
  let timer = 0;
  life.addEventListener("abort", () => clearTimeout(timer));
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      run();
    }, wait);
  };
}

/**
 * Call `run` once it has been quiet for `wait` ms.
 * @param {number} wait
 * @param {() => void} run
 * @param {AbortSignal} life
 */
export function settled(wait, run, life) {
  let timer = 0;
  life.addEventListener("abort", () => clearTimeout(timer));
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, wait);
  };
}
