// Scales, and numbers in few characters.

import assert from "node:assert/strict";
import { test } from "node:test";
import { brief, roundTicks, scoreText } from "../../sparse_debug_widgets/widgets/kit/draw.js";
import { bytes, duration } from "../../sparse_debug_widgets/widgets/kit/jobs.js";
import { percentText } from "../../sparse_debug_widgets/widgets/kit/parts.js";
import { largestOf } from "../../sparse_debug_widgets/widgets/panels/fit/charts.js";
import { signedText } from "../../sparse_debug_widgets/widgets/panels/xfeatures/sheet.js";
import { largest } from "../../sparse_debug_widgets/widgets/shared/curves.js";
import { near } from "./mirrors.mjs";

test("ticks are round, ascending, within the interval, and about as many as asked for", () => {
  for (const [low, high] of [
    [0, 1],
    [-3.7, 12.1],
    [1e-9, 3e-9],
    [-5e8, 2e9],
    [0.4999, 0.5001],
  ]) {
    for (const n of [2, 4, 7]) {
      const ticks = roundTicks(low, high, n);
      const step = ticks[1] - ticks[0];
      assert.ok(ticks.length >= n / 2.5 && ticks.length <= n + 1, `${ticks}`);
      assert.ok(ticks[0] >= low && ticks.at(-1) <= high + 1e-6 * step);
      const size = step / 10 ** Math.floor(Math.log10(step * 1.000001));
      assert.ok(
        [1, 2, 2.5, 5].some((round) => near(size, round, { relative: 1e-6 })),
        `step ${step}`,
      );
      ticks.slice(1).forEach((tick, i) => {
        assert.ok(near(tick - ticks[i], step, { relative: 1e-6 }));
      });
    }
  }
});

test("zero is zero among ticks, and an interval without a length has one tick", () => {
  assert.ok(roundTicks(-1, 1, 4).some((tick) => Object.is(tick, 0)));
  assert.deepEqual(roundTicks(3, 3, 5), [3]);
  assert.deepEqual(roundTicks(0, NaN, 5), [0]);
});

test("a number in few characters is the number to its digits", () => {
  const wanted = { 0: "0", 1234: "1230", 0.000123456: "0.000123", 99999: "100000", "-2.5": "\u22122.5" };
  for (const [value, text] of Object.entries(wanted)) assert.equal(brief(Number(value)), text);
  assert.equal(brief(1e5), "1.0e5");
  assert.equal(brief(-1.26e-7), "\u22121.3e\u22127");
  assert.equal(brief(0.98765, 2), "0.99");
  for (const value of [NaN, Infinity, -Infinity, undefined]) assert.equal(brief(value), "\u2013");
});

test("scores, shares and signs", () => {
  assert.deepEqual(
    [scoreText(0.98765, true), scoreText(-0.5, false), scoreText(NaN, true)],
    ["98.8 %", "\u22120.500", "\u2013"],
  );
  assert.deepEqual([0, 0.05, 0.5, 0.9999, 1, NaN].map(percentText), [
    "0.00 %",
    "5.00 %",
    "50.0 %",
    "99.99 %",
    "100.00 %",
    "\u2013",
  ]);
  assert.deepEqual([2, 0, -0, -2].map(signedText), ["+2", "0", "0", "\u22122"]);
});

test("times and sizes in the words of all panels", () => {
  assert.deepEqual([0, 9.94, 99.4, 100, 5399, 5400, NaN].map(duration), [
    "0.0 s",
    "9.9 s",
    "99 s",
    "2 min",
    "90 min",
    "1.5 h",
    "\u2013",
  ]);
  assert.deepEqual([0, 999, 1000, 9960, 1.5e6, 3e15].map(bytes), [
    "0 bytes",
    "999 bytes",
    "1 kB",
    "10 kB",
    "1.5 MB",
    "3000 TB",
  ]);
});

test("the largest of no numbers, and of numbers that are none", () => {
  assert.equal(largest([NaN, -3, -1]), -1);
  assert.equal(largest([]), -Infinity);
  assert.equal(largestOf([NaN, 0.5]), 0.5);
  assert.equal(largestOf([]), 0);
});
