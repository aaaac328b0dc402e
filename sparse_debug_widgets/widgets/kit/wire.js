// Arrays and requests on the wire between browser and kernel: the mirror of wire.py and calls.py.

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
