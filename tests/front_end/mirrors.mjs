// What Python says (mirrors.py), for the tests beside it.

import { readFileSync } from "node:fs";

export const mirrors = JSON.parse(readFileSync(process.env.SDW_MIRRORS, "utf-8"));

/** Numbers that JSON lacks come by name. */
export const numbers = (list) => Float64Array.from(list, Number);

/** A trait's arrays, with buffers that begin anywhere, as a comm delivers them. */
export function held(heads, offset = 3) {
  const arrays = Object.entries(heads).map(([name, head]) => {
    const bytes = Buffer.from(head.data, "base64");
    const room = new Uint8Array(bytes.length + offset + 2);
    room.set(bytes, offset);
    return [name, { ...head, data: new DataView(room.buffer, offset, bytes.length) }];
  });
  return { value: {}, arrays: Object.fromEntries(arrays) };
}

/** Equal but for rounding: `relative` of the size of the wanted number, or `absolute`. */
export function near(found, wanted, { relative = 0, absolute = 0 }) {
  return Math.abs(found - wanted) <= absolute + relative * Math.abs(wanted);
}
