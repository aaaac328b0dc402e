// Colour maps and pictures, as bytes.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  blendTable,
  colourTable,
  DIVERGING_MAPS,
  greyOf,
  heatLevel,
  pictureBytes,
  SEQUENTIAL_MAPS,
} from "../../sparse_debug_widgets/widgets/shared/pictures.js";
import { mirrors, near, numbers } from "./mirrors.mjs";

/** Lightness of OKLab, 0 to 1. */
function lightness([red, green, blue]) {
  const [r, g, b] = [red, green, blue].map((byte) => {
    const v = byte / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return 0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s;
}
const colour = (table, i) => [...table.subarray(3 * i, 3 * i + 3)];

test("straight lines between nine stops stay close to matplotlib's map of that name", () => {
  for (const [name, wanted] of Object.entries(mirrors.colours)) {
    const table = colourTable(name, false);
    const theirs = numbers(wanted);
    const off = theirs.map((byte, i) => Math.abs(byte - table[i]));
    assert.ok(Math.max(...off) <= 20, `${name}: ${Math.max(...off)}`);
    assert.ok(Math.sqrt(off.reduce((sum, byte) => sum + byte ** 2, 0) / off.length) <= 4, name);
    for (const end of [0, 255]) {
      colour(table, end).forEach((byte, c) => {
        assert.ok(near(byte, theirs[3 * end + c], { absolute: 1 }), `${name} at ${end}`);
      });
    }
  }
});

test("a sequential map becomes lighter at every step", () => {
  for (const name of SEQUENTIAL_MAPS) {
    const table = colourTable(name, true);
    for (let i = 8; i < 256; i += 8) assert.ok(lightness(colour(table, i)) > lightness(colour(table, i - 8)), name);
  }
});

test("a diverging map has its zero at 128, grey, near the page, and equal sides", () => {
  for (const name of DIVERGING_MAPS) {
    for (const dark of [false, true]) {
      const table = colourTable(name, dark);
      const zero = colour(table, 128);
      assert.ok(Math.max(...zero) - Math.min(...zero) <= 1);
      assert.ok(near(lightness(zero), dark ? 0.24 : 0.97, { absolute: 0.01 }));
      for (let step = 1; step <= 127; step++) {
        const [below, above] = [colour(table, 128 - step), colour(table, 128 + step)].map(lightness);
        assert.ok(near(below, above, { absolute: 0.035 }), `${name}, ${dark}, ${step}: ${below}, ${above}`);
      }
      // Blue lowers, orange raises.
      if (name === "blue-orange") assert.ok(colour(table, 1)[2] > colour(table, 1)[0]);
      if (name === "blue-orange") assert.ok(colour(table, 255)[0] > colour(table, 255)[2]);
    }
  }
});

test("a map that nobody knows is the first one, and a table is made once", () => {
  assert.deepEqual([...colourTable("jet", false)], [...colourTable("inferno", false)]);
  assert.equal(colourTable("viridis", false), colourTable("viridis", false));
});

test("the place of a share is bounded, keeps its sign, and is zero for what is no number", () => {
  assert.deepEqual(
    [0, 0.5, 1, 7, -1, Infinity].map((share) => heatLevel(share, false)),
    [0, 128, 255, 255, 255, 255],
  );
  assert.deepEqual(
    [0, -0.5, 1, -1, -Infinity].map((share) => heatLevel(share, true)),
    [128, 65, 255, 1, 1],
  );
  assert.deepEqual([heatLevel(NaN, false), heatLevel(NaN, true)], [0, 128]);
});

test("a blend of 0 shows the picture, of 1 the map, and between them the map where it is strong", () => {
  assert.ok(blendTable(0, false).every((opacity) => opacity === 0));
  assert.ok(blendTable(1, true).every((opacity) => opacity === 1));
  const half = blendTable(0.5, false);
  assert.deepEqual([half[0], half[255]], [0, 0.5]);
  assert.ok(half.every((opacity, i) => i === 0 || opacity > half[i - 1]));
  assert.equal(blendTable(0.5, true)[128], 0);
});

test("pictures of one, two, three and four channels", () => {
  const picture = (channels, ...values) => ({ values, channels, height: 1, width: values.length / channels });
  assert.deepEqual([...pictureBytes(picture(1, 0, 1))], [0, 0, 0, 255, 255, 255, 255, 255]);
  assert.deepEqual([...pictureBytes(picture(2, 0.2, 0.6))], [102, 102, 102, 255]);
  assert.deepEqual([...pictureBytes(picture(3, 1, 0.5, 0))], [255, 128, 0, 255]);
  assert.deepEqual([...pictureBytes(picture(4, 1, 0.5, 0, 0.5))], [255, 128, 0, 128]);
  assert.deepEqual([...pictureBytes(picture(3, 1, 0.5, 0), { channel: 2 })], [0, 0, 0, 255]);
});

test("a picture beyond 0 to 1 is stretched to its ends; a constant one does not divide by zero", () => {
  const line = (...values) => [...pictureBytes({ values, channels: 1, height: 1, width: values.length })];
  assert.deepEqual(
    line(-2, 0, 2).filter((_, i) => i % 4 === 0),
    [0, 128, 255],
  );
  assert.deepEqual(
    line(5, 5).filter((_, i) => i % 4 === 0),
    [0, 0],
  );
  assert.deepEqual(
    line(NaN, 0.5).filter((_, i) => i % 4 === 0),
    [0, 128],
  );
});

test("grey is grey: black and white stay", () => {
  const bytes = Uint8ClampedArray.from([0, 0, 0, 255, 255, 255, 255, 255, 255, 0, 0, 255]);
  assert.deepEqual([...greyOf(bytes)], [0, 255, 76]);
});
