// The curves of one class (curves.py), and the axis of a path.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fromTrait } from "../../sparse_debug_widgets/widgets/kit/wire.js";
import { ClassCurves, ClassStore, nearestOf, PathHead } from "../../sparse_debug_widgets/widgets/shared/curves.js";
import { held, mirrors, near, numbers } from "./mirrors.mjs";

const { K, unit, levels } = mirrors.curves;
const weights = numbers(mirrors.curves.weights);
const p = weights.length / K;
const read = (heads, value) => new ClassCurves({ value, arrays: fromTrait(held(heads)).arrays }, K);
const live = read(mirrors.curves.live, { index: 2, unit });
const page = read(mirrors.curves.page, { index: 2, unit, levels });

test("the curves of a live panel are those that Python decodes", () => {
  const decoded = numbers(mirrors.curves.decoded);
  for (let i = 0; i < K; i++) {
    for (let j = 0; j < p; j++) assert.equal(live.at(j, i), decoded[i * p + j], `feature ${j}, lambda ${i}`);
  }
});

test("the curves of a page are within half a step, and a zero is a zero", () => {
  const scales = fromTrait(held(mirrors.curves.page)).arrays.scales;
  for (let i = 0; i < K; i++) {
    for (let j = 0; j < p; j++) {
      const wanted = weights[i * p + j];
      const step = (scales[j] * unit) / levels;
      // A weight below half a step stays one step: that it is not zero must survive.
      const absolute = Math.abs(wanted) < step / 2 ? step : 0.5001 * step;
      assert.ok(near(page.at(j, i), wanted, { absolute }), `feature ${j}, lambda ${i}: ${page.at(j, i)}, ${wanted}`);
      assert.equal(page.at(j, i) === 0, wanted === 0);
      assert.equal(live.at(j, i) === 0, wanted === 0);
    }
  }
});

test("the strongest features are those of a sort, strongest first", () => {
  for (let i = 0; i < K; i++) {
    const size = (j) => Math.abs(live.at(j, i));
    const wanted = [...Array(p).keys()].filter((j) => size(j) > 0).sort((a, b) => size(b) - size(a));
    for (const n of [1, 3, p]) assert.deepEqual(live.strongest(i, n), wanted.slice(0, n));
  }
});

test("the extent and the order of a class are those of its weights", () => {
  assert.ok(near(live.low, Math.min(0, ...weights), { relative: 1e-3 }));
  assert.ok(near(live.high, Math.max(0, ...weights), { relative: 1e-3 }));
  assert.equal(live.ranked.length, p - 1);
  // Feature 2 never enters: its colour is the last.
  assert.equal(live.rank[2], p);
  assert.deepEqual(
    [...live.ranked.keys()],
    live.ranked.map((j) => live.rank[j]),
  );
});

test("a class without features has curves too", () => {
  const empty = new ClassCurves(
    { value: { index: 0, unit: 1 }, arrays: { starts: new Uint16Array([K, K]), values: new Float32Array() } },
    K,
  );
  assert.deepEqual(empty.ranked, []);
  assert.deepEqual(empty.strongest(K - 1, 5), []);
  assert.deepEqual([empty.low, empty.high], [0, 0]);
});

test("among equally near values the one next to the current wins, and NaN never does", () => {
  assert.equal(nearestOf([0, 1, 1, 1, 2], 1, 3), 3);
  assert.equal(nearestOf([0, 1, 1, 1, 2], 1, 0), 1);
  assert.equal(nearestOf([NaN, 5, NaN], 0, 0), 1);
  assert.equal(nearestOf([0, 10], Infinity, 1), 1);
});

const head = (lambdas, more = {}) =>
  new PathHead({
    value: { features: ["a", "b"], classes: ["x"], percent: true, score: "accuracy", one: "class", many: "classes" },
    arrays: {
      lambdas: Float64Array.from(lambdas),
      accuracies: new Float32Array(3 * lambdas.length).fill(NaN),
      counts: new Uint16Array(lambdas.length),
      ...more,
    },
  });

test("lambdas lie on a logarithmic axis from 0 to 1", () => {
  const { places } = head([1, 0.1, 0.01]);
  assert.ok([0, 0.5, 1].every((place, i) => near(places[i], place, { absolute: 1e-12 })));
  assert.deepEqual([...head([0.3]).places], [0]);
  assert.deepEqual([...head([0.3, 0.3, 0.3]).places], [0, 0.5, 1]);
  assert.ok(head([1, 0]).places.every(Number.isFinite));
});

test("the split that is spoken of is one that was measured: validation, else test, else train", () => {
  const scored = (...row) => head([0.3], { accuracies: Float32Array.from(row) }).split;
  assert.equal(scored(0.9, 0.8, 0.7), 1);
  assert.equal(scored(0.9, NaN, 0.7), 2);
  assert.equal(scored(0.9, NaN, NaN), 0);
  assert.equal(scored(NaN, NaN, NaN), 0);
});

test("a class is asked for once, and the oldest of many is let go", async () => {
  const asked = [];
  const client = {
    request: (_action, { index }) => {
      asked.push(index);
      const arrays = { starts: new Uint16Array([0]), values: new Float32Array(1) };
      return { reply: Promise.resolve({ value: { index, unit: 1 }, arrays }), cancel: () => undefined };
    },
  };
  const many = head([0.3]);
  many.C = 40;
  const store = new ClassStore(client, many, { value: {}, arrays: {} });
  assert.equal(store.ask(5), store.ask(5));
  await store.ask(5).reply;
  assert.deepEqual(asked, [5]);
  for (let index = 6; index < 36; index++) await store.ask(index).reply;
  assert.ok(!store.known.has(5) && store.known.has(35));
  store.prefetch(39);
  assert.equal(asked.at(-1), 38);
});
