// Films of perturbations (films.py): every frame, and what is said of it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fromTrait } from "../../sparse_debug_widgets/widgets/kit/wire.js";
import {
  classNameOf,
  frameAt,
  frameOf,
  mixedOf,
  percent,
  probabilityAt,
  readFilm,
  stepName,
  stripPicture,
  supportAt,
} from "../../sparse_debug_widgets/widgets/panels/perturb/film.js";
import { held, mirrors, near, numbers } from "./mirrors.mjs";

const { arrays } = fromTrait(held(mirrors.film.held));
const film = await readFilm({ value: { run: 4, strips: [mirrors.film.facts] }, arrays });
const [strip] = film.strips;
const n = strip.frame.length;

test("a frame is what Python unpacks, and so is the picture with it", () => {
  assert.deepEqual([film.run, film.kind, film.strips.length, n], [4, "perturb", 1, 60]);
  const frames = numbers(mirrors.film.frames);
  const mixed = numbers(mirrors.film.mixed);
  // Backwards: a frame depends on no other that was looked at before.
  for (let k = strip.shrinks.length - 1; k >= 0; k--) {
    const frame = frameOf(strip, k);
    frame.forEach((value, i) => {
      assert.ok(near(value, frames[k * n + i], { relative: 1e-6 }), `frame ${k}, place ${i}`);
    });
    mixedOf(strip, frame).forEach((value, i) => {
      assert.ok(near(value, mixed[k * n + i], { absolute: 1e-6 }), `frame ${k}, place ${i}`);
    });
  }
});

test("a picture with its perturbation stays within what can be shown", () => {
  const wild = Float32Array.from({ length: n }, (_, i) => (i % 2 ? 50 : -50));
  mixedOf(strip, wild).forEach((value, i) => {
    assert.equal(value, i % 2);
  });
});

test("a position past either end is the end", () => {
  assert.deepEqual(
    [-3, 0, 2, 99].map((position) => frameAt(strip, position)),
    [0, 0, 2, 5],
  );
});

test("a film without strips, and a strip without numbers", async () => {
  assert.deepEqual(await readFilm({ value: {}, arrays: {} }), { run: 0, kind: "perturb", strips: [] });
  assert.deepEqual([strip.probabilities, strip.losses, strip.gaps, strip.supports], [null, null, null, null]);
  assert.equal(probabilityAt(strip, 0, 3), NaN);
  assert.equal(supportAt({ ...strip, support: 8 }, 0), 0);
  assert.equal(supportAt({ ...strip, support: 8 }, 5), 8);
});

test("a probability and a name are those of the class, wherever it stands", () => {
  const classes = [
    { index: 7, name: "fox\n" },
    { index: 2, name: "owl" },
  ];
  const sure = { ...strip, classes, probabilities: Float32Array.from([0.1, 0.2, 0.3, 0.4]) };
  assert.ok(near(probabilityAt(sure, 1, 7), 0.3, { relative: 1e-6 }));
  assert.ok(near(probabilityAt(sure, 0, 2), 0.2, { relative: 1e-6 }));
  assert.equal(probabilityAt(sure, 0, 5), NaN);
  assert.deepEqual(
    [7, 2, 5].map((index) => classNameOf(sure, index)),
    ["fox", "owl", "class 5"],
  );
});

test("supports go by the step of a frame, not by its place", () => {
  const thinned = { ...strip, steps: [0, 10, 20], supports: Int32Array.from({ length: 15 }, (_, k) => k) };
  assert.deepEqual(
    [0, 1, 2].map((k) => supportAt(thinned, k)),
    [0, 10, 14],
  );
});

test("steps and shares in words", () => {
  const run = { ...strip, losses: new Float32Array(6), total: 20, best: 3 };
  assert.equal(stepName(run, 3), "step 3 of 20, the best");
  assert.equal(stepName(run, 1), "step 1 of 20");
  assert.equal(stepName({ ...run, stepNames: ["noise"] }, 0), "noise");
  assert.deepEqual([0, 0.0004, 0.05, 0.5, 1, NaN].map(percent), ["0 %", "0 %", "5.0 %", "50 %", "100 %", "\u2013"]);
});

test("the picture of a strip has its shape", () => {
  const values = new Float32Array(n);
  assert.deepEqual(stripPicture(strip, values), { values, channels: 3, height: 4, width: 5 });
});
