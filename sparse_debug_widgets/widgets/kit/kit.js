// Shared by all panels: the array codec, requests to the kernel, DOM made of text only, themes, downloads.
// The files of a panel are joined into one module (see assets.py), so every top-level name is unique.

/**
 * @typedef {Float32Array
 *   | Float64Array | Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array} Numbers
 * @typedef {{done: number, total: number, note: string}} ProgressNote
 */

/**
 * @template [Value=any]
 * @typedef {{value: Value, arrays: Record<string, Numbers>}} Answer
 */

/** @type {Record<string, new (buffer: ArrayBuffer) => any>} */
export const ARRAY_TYPES = {
  bool: Uint8Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
};

/** @type {Float32Array | null} */
let halfTable = null;

/** All 65,536 float16 numbers: looking one up is faster than computing it. */
function halves() {
  if (halfTable) return halfTable;
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31,
      fraction = bits & 1023;
    const size =
      exponent === 0
        ? fraction * 2 ** -24
        : exponent === 31
          ? fraction
            ? NaN
            : Infinity
          : (1 + fraction / 1024) * 2 ** (exponent - 15);
    table[bits] = bits & 0x8000 ? -size : size;
  }
  halfTable = table;
  return table;
}

/**
 * The numbers that a head and a buffer stand for (mirror of wire.decode).
 * @param {ArrayHead} head
 * @param {ArrayBuffer | ArrayBufferView} buffer
 * @returns {Numbers}
 */
function decodeArray(head, buffer) {
  const type = ARRAY_TYPES[head.dtype];
  if (!type) throw new TypeError(`array dtype ${head.dtype} is not known`);
  const bytes = ArrayBuffer.isView(buffer)
    ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    : new Uint8Array(buffer);
  const numbers = new type(bytes.slice().buffer);
  const size = head.shape.reduce((a, b) => a * b, 1);
  if (numbers.length !== size) throw new RangeError(`an array of ${size} numbers came with ${numbers.length}`);
  if (head.dtype !== "float16") return numbers;
  const table = halves(),
    wide = new Float32Array(size);
  for (let i = 0; i < size; i++) wide[i] = table[numbers[i]];
  return wide;
}

/**
 * The arrays of a trait, whose buffers lie beside their heads.
 * @template Value
 * @param {Held<Value>} held
 * @returns {Answer<Value>}
 */
export function fromTrait(held) {
  /** @type {Record<string, Numbers>} */
  const arrays = {};
  for (const [name, head] of Object.entries(held.arrays ?? {})) {
    if (head.data) arrays[name] = decodeArray(head, head.data);
  }
  return { value: held.value ?? /** @type {any} */ ({}), arrays };
}

/** What the kernel answered when it could not: shown by `complain`. */
export class KernelError extends Error {
  /** @param {Failure} failure */
  constructor(failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/**
 * Requests of one view: each gets one reply; replies to somebody else, or too late, are dropped.
 * @template {object} [Answers=any] what the panel answers to each action
 */
export class Client {
  /**
   * @param {AnyModel} model
   * @param {AbortSignal} life
   */
  constructor(model, life) {
    this.model = model;
    this.prefix = `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 10)}`;
    this.count = 0;
    /**
     * @type {Map<string, {resolve: (a: Answer) => void, reject: (e: Error) => void,
     *   progress?: (p: ProgressNote) => void}>}
     */
    this.pending = new Map();
    /** @type {Promise<any> | null} */
    this.control = null;
    const hear = (/** @type {any} */ content, /** @type {DataView[]} */ buffers) => this.hear(content, buffers ?? []);
    model.on("msg:custom", hear);
    // Opened before it is needed: a kernel that is busy with a cell opens nothing, but hears what is open.
    this.openControl();
    life.addEventListener("abort", () => {
      model.off("msg:custom", hear);
      for (const id of [...this.pending.keys()]) this.cancel(id);
      this.control?.then((comm) => comm?.close()).catch(() => undefined);
    });
  }

  /**
   * @template {keyof Answers & string} Name
   * @param {Name} action
   * @param {Record<string, unknown>} args
   * @param {(p: ProgressNote) => void} [progress]
   * @returns {{id: string, reply: Promise<Answer<Answers[Name]>>, cancel: () => void}}
   */
  request(action, args, progress) {
    const id = `${this.prefix}-${++this.count}`;
    /** @type {Promise<Answer>} */
    const reply = new Promise((resolve, reject) => this.pending.set(id, { resolve, reject, progress }));
    try {
      this.model.send({ sdw: "request", id, action, args });
    } catch (error) {
      this.pending.get(id)?.reject(error instanceof Error ? error : new Error(String(error)));
      this.pending.delete(id);
    }
    return { id, reply, cancel: () => this.cancel(id) };
  }

  /** @param {string} id */
  cancel(id) {
    const waiting = this.pending.get(id);
    if (!waiting) return;
    this.pending.delete(id);
    waiting.reject(new KernelError({ type: "Cancelled", message: "Cancelled.", hint: "", traceback: "" }));
    this.tell({ panel: this.model.get("panel_id"), cancel: id }, { sdw: "cancel", id });
  }

  /** Ask a job to stop, whether this panel started it or not. @param {number} job */
  cancelJob(job) {
    this.tell({ job }, { sdw: "cancel", id: `job-${job}`, job });
  }

  openControl() {
    const opened = this.model.widget_manager?._create_comm?.("sdw.control", `${this.prefix}-control`, {});
    this.control = opened ? Promise.resolve(opened).catch(() => null) : null;
    return this.control;
  }

  /**
   * A comm that the page opens is heard while the kernel is busy; an ordinary message is the way back.
   * @param {Record<string, unknown>} urgent
   * @param {Record<string, unknown>} ordinary
   */
  async tell(urgent, ordinary) {
    try {
      (await (this.control ?? this.openControl()))?.send(urgent);
    } catch {
      this.control = null;
    }
    try {
      this.model.send(ordinary);
    } catch {
      // No kernel: then nothing is running either.
    }
  }

  /**
   * @param {any} content
   * @param {DataView[]} buffers
   */
  hear(content, buffers) {
    const waiting = this.pending.get(content?.id);
    if (!waiting) return;
    if (content.sdw === "progress") waiting.progress?.(content);
    if (content.sdw !== "reply") return;
    this.pending.delete(content.id);
    if (!content.ok) {
      waiting.reject(new KernelError(content.error));
      return;
    }
    try {
      /** @type {Record<string, Numbers>} */
      const arrays = {};
      for (const [name, head] of Object.entries(/** @type {Record<string, ArrayHead>} */ (content.arrays))) {
        arrays[name] = decodeArray(head, buffers[head.buffer ?? -1]);
      }
      waiting.resolve({ value: content.value, arrays });
    } catch (error) {
      waiting.reject(/** @type {Error} */ (error));
    }
  }
}

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
