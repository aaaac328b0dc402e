// The array codec (wire.py) and the requests of a view.

import assert from "node:assert/strict";
import { test } from "node:test";

import { oneLine } from "../../sparse_debug_widgets/widgets/kit/kit.js";
import { Client, fromTrait, KernelError } from "../../sparse_debug_widgets/widgets/kit/wire.js";
import { held, mirrors, numbers } from "./mirrors.mjs";

test("every dtype is read as Python wrote it, to its ends", () => {
  const { arrays } = fromTrait(held(mirrors.arrays.held));
  assert.deepEqual(Object.keys(arrays).sort(), Object.keys(mirrors.arrays.values).sort());
  for (const [name, wanted] of Object.entries(mirrors.arrays.values)) {
    // deepStrictEqual tells -0 from 0, and NaN is NaN.
    assert.deepEqual(Float64Array.from(arrays[name]), numbers(wanted), name);
  }
});

test("all 65,536 half numbers are exact", () => {
  const { halves } = fromTrait(held(mirrors.halves)).arrays;
  assert.equal(halves.length, 65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const part = (bits & 1023) / 1024;
    let wanted = sign * (exponent ? 2 ** (exponent - 15) * (1 + part) : 2 ** -14 * part);
    if (exponent === 31) wanted = part ? NaN : sign * Infinity;
    assert.ok(Object.is(halves[bits], wanted), `${bits}: ${halves[bits]} for ${wanted}`);
  }
});

test("an array without its buffer is left out, an empty trait has none", () => {
  assert.deepEqual(fromTrait({ arrays: { a: { dtype: "int8", shape: [1] } } }), { value: {}, arrays: {} });
  assert.deepEqual(fromTrait({}), { value: {}, arrays: {} });
});

test("a buffer of another size and a dtype that nobody knows are refused", () => {
  const data = new ArrayBuffer(8);
  const read = (dtype, shape) => fromTrait({ arrays: { a: { dtype, shape, data } } }).arrays.a;
  assert.equal(read("float64", [1]).length, 1);
  assert.throws(() => read("float32", [3]), RangeError);
  assert.throws(() => read("int64", [1]), TypeError);
});

test("what is read is a copy: the buffer may be used again", () => {
  const data = new Uint8Array([1, 2]);
  const { a } = fromTrait({ arrays: { a: { dtype: "uint8", shape: [2], data } } }).arrays;
  data[0] = 9;
  assert.deepEqual([...a], [1, 2]);
});

/** A kernel that keeps what it hears. */
class Kernel {
  constructor() {
    this.heard = [];
    this.listeners = new Map();
    this.widget_manager = null;
  }
  get = () => "panel-1";
  on(event, listener) {
    this.listeners.set(event, listener);
  }
  off(event) {
    this.listeners.delete(event);
  }
  send(message) {
    this.heard.push(message);
  }
  say(content, buffers) {
    this.listeners.get("msg:custom")?.(content, buffers);
  }
}

test("a request gets its one reply with its arrays, whatever else arrives", async () => {
  const kernel = new Kernel();
  const client = new Client(kernel, new AbortController().signal);
  const notes = [];
  const asked = client.request("look", { row: 3 }, (note) => notes.push(note.done));
  const { id } = kernel.heard[0];
  assert.deepEqual(kernel.heard, [{ sdw: "request", id, action: "look", args: { row: 3 } }]);
  const head = { dtype: "uint16", shape: [2], buffer: 1 };
  kernel.say({ sdw: "reply", id: "of somebody else", ok: true, value: 0, arrays: {} }, []);
  kernel.say({ sdw: "progress", id, done: 5, total: 9, note: "" });
  kernel.say({ sdw: "reply", id, ok: true, value: 7, arrays: { a: head } }, [null, new Uint16Array([4, 5]).buffer]);
  kernel.say({ sdw: "reply", id, ok: true, value: 8, arrays: {} }, []);
  kernel.say({ sdw: "progress", id, done: 6, total: 9, note: "" });
  const { value, arrays } = await asked.reply;
  assert.equal(value, 7);
  assert.deepEqual([...arrays.a], [4, 5]);
  assert.deepEqual(notes, [5]);
});

test("an error of the kernel and a reply that cannot be read reject", async () => {
  const kernel = new Kernel();
  const client = new Client(kernel, new AbortController().signal);
  const failure = { type: "InputError", message: "row: no", hint: "", traceback: "" };
  const refused = client.request("look", {}).reply;
  kernel.say({ sdw: "reply", id: kernel.heard[0].id, ok: false, error: failure });
  await assert.rejects(refused, (error) => error instanceof KernelError && error.failure === failure);
  const short = client.request("look", {}).reply;
  const arrays = { a: { dtype: "int8", shape: [5], buffer: 0 } };
  kernel.say({ sdw: "reply", id: kernel.heard[1].id, ok: true, value: 0, arrays }, [new ArrayBuffer(4)]);
  await assert.rejects(short, RangeError);
});

test("the end of a view cancels what it waits for and stops listening", async () => {
  const kernel = new Kernel();
  const life = new AbortController();
  const { reply } = new Client(kernel, life.signal).request("long", {});
  life.abort();
  await assert.rejects(reply, (error) => error.failure.type === "Cancelled");
  await new Promise((done) => setTimeout(done));
  const { id } = kernel.heard[0];
  assert.deepEqual(kernel.heard.at(-1), { sdw: "cancel", id });
  assert.equal(kernel.listeners.size, 0);
});

test("a kernel that is gone rejects at once", async () => {
  const kernel = new Kernel();
  kernel.send = () => {
    throw new Error("no comm");
  };
  await assert.rejects(new Client(kernel, new AbortController().signal).request("look", {}).reply, /no comm/);
});

test("a label from outside fits one line and cannot turn it round", () => {
  assert.equal(oneLine("a\u0000\n\u2028 b\u202e"), "a b");
  assert.equal(oneLine(""), "(no name)");
  assert.equal(oneLine(" \u200e\n"), "(blank)");
  // A character of two code units is not cut in half.
  assert.equal(oneLine("\u{1f34e}".repeat(5), 3), `${"\u{1f34e}".repeat(3)}\u2026`);
});
