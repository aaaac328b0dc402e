// Stands in for Jupyter in a standalone page: the same module, its state and its replies in the page itself.

import { make } from "./kit.js";
import { ARRAY_TYPES } from "./wire.js";

/**
 * Show a panel from the state that lies in the element `id`.
 * @param {string} id
 * @param {{render: (props: {model: AnyModel, el: HTMLElement}) => unknown}} shown
 */
export async function host(id, shown) {
  const place = /** @type {HTMLElement} */ (document.getElementById(id));
  const content = JSON.parse(place.querySelector("script[type='application/json']")?.textContent ?? "{}");
  const packed = Uint8Array.from(atob(content.archive), (character) => character.charCodeAt(0));
  const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const archive = await new Response(inflated).arrayBuffer();
  const view = (/** @type {any} */ head) => {
    const { BYTES_PER_ELEMENT: width } = /** @type {any} */ (ARRAY_TYPES[head.dtype]);
    return new DataView(
      archive,
      head.offset,
      head.shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1) * width,
    );
  };
  const state = { ...content.state };
  for (const [name, held] of Object.entries(/** @type {Record<string, any>} */ (content.held))) {
    const arrays = Object.fromEntries(
      Object.entries(held.arrays).map(([key, head]) => [key, { .../** @type {any} */ (head), data: view(head) }]),
    );
    state[name] = { value: held.value, arrays };
  }
  const replies = new Map(
    content.replies.map((/** @type {any} */ reply) => [JSON.stringify([reply.action, reply.args]), reply]),
  );
  const model = new PageModel(state, (message) => answer(replies, message, view));
  const el = make("div");
  place.append(el);
  /** @type {any} */ (place).sdwModel = model;
  await shown.render({ model, el });
}

/**
 * @param {Map<string, any>} replies
 * @param {any} message
 * @param {(head: any) => DataView} view
 */
function answer(replies, message, view) {
  if (message.sdw !== "request") return null;
  const reply = replies.get(JSON.stringify([message.action, message.args]));
  if (!reply) {
    const failure = {
      type: "No kernel",
      message: "This is a saved page: there is no model behind it.",
      hint: "Open the notebook and run the cell to change the live model.",
      traceback: "",
    };
    return { content: { sdw: "reply", id: message.id, ok: false, error: failure }, buffers: [] };
  }
  const names = Object.keys(reply.arrays);
  const arrays = Object.fromEntries(names.map((name, i) => [name, { ...reply.arrays[name], buffer: i }]));
  return {
    content: { sdw: "reply", id: message.id, ok: true, value: reply.value, arrays },
    buffers: names.map((name) => view(reply.arrays[name])),
  };
}

/** A widget model without a kernel. */
class PageModel {
  /**
   * @param {Record<string, any>} state
   * @param {(message: any) => {content: any, buffers: DataView[]} | null} reply
   */
  constructor(state, reply) {
    this.state = state;
    this.reply = reply;
    /** @type {Map<string, Set<Function>>} */
    this.listeners = new Map();
    /** @type {any} */
    this.widget_manager = null;
    this.standalone = true;
  }

  /** @param {string} name */
  get(name) {
    return this.state[name];
  }

  /** @param {string} name @param {unknown} value */
  set(name, value) {
    if (this.state[name] === value) return;
    this.state[name] = value;
    this.fire(`change:${name}`);
  }

  save_changes() {}

  /** @param {string} event @param {Function} listener */
  on(event, listener) {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(listener));
  }

  /** @param {string} event @param {Function} listener */
  off(event, listener) {
    this.listeners.get(event)?.delete(listener);
  }

  /** @param {string} event @param {...unknown} values */
  fire(event, ...values) {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener(...values);
  }

  /** @param {any} message */
  send(message) {
    const reply = this.reply(message);
    if (reply) queueMicrotask(() => this.fire("msg:custom", reply.content, reply.buffers));
  }
}
