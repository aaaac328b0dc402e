// Heat maps (maps.py): the numbers, where a map is capped, and its places in a table of colours.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fromTrait } from "../../sparse_debug_widgets/widgets/kit/wire.js";
import { HeatMaps, inflated } from "../../sparse_debug_widgets/widgets/shared/heat.js";
import { held, mirrors, near, numbers } from "./mirrors.mjs";

const { packed, n, percentiles } = mirrors.heat;
const values = numbers(mirrors.heat.values);
const caps = numbers(mirrors.heat.caps);
const raw = await inflated(fromTrait(held(mirrors.heat.data)).arrays.data);
const maps = () => new HeatMaps(raw, packed, n);
const wantedOf = (k, plane) => values.subarray((2 * k + plane) * n, (2 * k + plane + 1) * n);

test("all maps of a sweep are those that Python unpacks", () => {
  const sweep = maps();
  assert.equal(sweep.count, 5);
  for (let k = 0; k < 5; k++) {
    for (const plane of [0, 1]) {
      const found = sweep.values(k, plane === 1);
      found.forEach((value, i) => {
        assert.ok(near(value, wantedOf(k, plane)[i], { relative: 1e-6 }), `map ${k}, plane ${plane}, place ${i}`);
      });
    }
  }
});

test("a map is capped where NumPy's percentile of its sizes is", () => {
  const sweep = maps();
  for (let k = 0; k < 5; k++) {
    for (const plane of [0, 1]) {
      percentiles.forEach((percentile, q) => {
        const wanted = caps[(2 * k + plane) * percentiles.length + q];
        const found = sweep.cap(k, plane === 1, percentile);
        // Where the percentile is 0 the largest value takes its place.
        const whole = sweep.unit(k, plane);
        assert.ok(near(found, wanted > 0 ? wanted : whole, { relative: 1e-5 }), `map ${k}: ${found} for ${wanted}`);
        assert.equal(sweep.cap(k, plane === 1, percentile), found);
      });
    }
  }
});

test("colours begin at zero, end at the cap, and stay there", () => {
  const sweep = maps();
  for (const k of [0, 3]) {
    const size = sweep.cap(k, false, 100);
    const plain = sweep.colours(k, false, size);
    assert.equal(Math.max(...plain), 255);
    wantedOf(k, 0).forEach((value, i) => {
      assert.equal(plain[i], Math.round((255 * Math.abs(value)) / size));
    });
    const signed = sweep.colours(k, true, sweep.cap(k, true, 50));
    wantedOf(k, 1).forEach((value, i) => {
      assert.equal(Math.sign(signed[i] - 128), Math.abs(signed[i] - 128) === 0 ? 0 : Math.sign(value));
    });
    assert.deepEqual([Math.min(...signed), Math.max(...signed)], [1, 255]);
  }
});

test("a map of zeros has the colour of zero", () => {
  const sweep = maps();
  assert.equal(sweep.cap(1, false, 99), 0);
  assert.deepEqual(new Set(sweep.colours(1, false, 0)), new Set([0]));
  assert.deepEqual(new Set(sweep.colours(1, true, 0)), new Set([128]));
  assert.deepEqual(new Set(sweep.values(1, true)), new Set([0]));
});

test("planes that are maps of their own are told apart", () => {
  const sweep = maps().apart();
  assert.equal(sweep.count, 10);
  assert.deepEqual(sweep.values(6, true), maps().values(3, false));
  assert.deepEqual(sweep.values(7, false), maps().values(3, true));
});
