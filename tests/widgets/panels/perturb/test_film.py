"""Films: the codec keeps what matters, and stays small."""

import base64
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from sparse_debug_widgets.perturbation import error_counterfactuals, perturb, probe_concept
from sparse_debug_widgets.widgets.kit import assets
from sparse_debug_widgets.widgets.panels.perturb.film import (
    concept_strips,
    error_strips,
    in_bytes,
    joined,
    pack,
    step_strip,
    thinned,
    unpack,
)

TARGET = 1  # not what the network says
HALF_A_LEVEL = 1.01 / 127  # of the root, where the square is steepest


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 6)),
        elements=st.floats(-3, 3, width=32, allow_subnormal=False),
    )
)
def test_what_is_unpacked_is_what_was_packed_to_half_a_level(frames):
    packed, scale, shrinks = pack(frames)
    again = unpack(packed, scale, shrinks, frames.shape)
    np.testing.assert_array_equal(again != 0, frames != 0)
    assert (again * frames >= 0).all()
    roots = np.abs(np.sqrt(np.abs(again)) - np.sqrt(np.abs(frames)))
    tiny = np.abs(frames) < scale / 127**2  # these become the smallest level, not zero
    assert (roots[~tiny] <= HALF_A_LEVEL * np.sqrt(scale)).all()


def net(size, classes=5, channels=1, seed=0):
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.Conv2d(channels, 6, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
    )
    return body.append(nn.Linear(96, classes)).eval()


def test_a_film_of_full_size_pictures_is_small():
    """31 steps of 3 x 224 x 224 are 18.7 MB as float32."""
    x = torch.rand(1, 3, 224, 224)
    sparse = perturb(net(224, channels=3), x, target=1, eps=500.0, q=0.01, steps=30, keep_iterates=True)
    film = step_strip(sparse, 0, title="m", names=())
    assert in_bytes(film) < 1_000_000
    dense = perturb(net(224, channels=3), x, target=1, norm="l2", eps=5.0, steps=30, keep_iterates=True)
    assert in_bytes(step_strip(dense, 0, title="m", names=())) < 4_000_000


@pytest.mark.parametrize("keep", [True, False])
def test_a_strip_says_what_the_result_says(keep):
    x = torch.rand(2, 1, 12, 12)
    result = perturb(net(12), x, target=TARGET, eps=5.0, q=0.1, steps=6, keep_iterates=keep)
    value, held = step_strip(result, 1, title="<b>m</b>", names=("a", "b", "c", "d", "e"), label=2)
    assert value["steps"] == ([0, 1, 2, 3, 4, 5, 6] if keep else [0, int(result.best_step[1])])
    frames = unpack(held["frames"], value["scale"], value["shrinks"], (len(value["steps"]), *value["shape"]))
    wanted = result.iterates[1] if keep else np.stack([0 * result.delta[1], result.delta[1]])
    np.testing.assert_allclose(frames, wanted, atol=2 * value["scale"] / 127)
    np.testing.assert_array_equal(frames != 0, wanted != 0)
    places = [entry["index"] for entry in value["classes"]]
    assert {2, TARGET, int(result.prediction_before[1])} <= set(places)
    np.testing.assert_allclose(held["probabilities"][0], result.probabilities[1, 0, places], rtol=1e-6)
    np.testing.assert_allclose(held["losses"], result.losses[1], rtol=1e-6)
    assert value["predictions"][-1] == int(result.prediction_after[1])
    json.dumps(value)


def test_channels_that_are_no_colours_are_averaged_and_that_is_said():
    result = perturb(net(12, channels=5), torch.rand(1, 5, 12, 12), eps=3.0, q=0.1, steps=3)
    value, held = step_strip(result, 0, title="m", names=())
    assert value["averaged"] == 5
    assert value["shape"] == [1, 12, 12]
    assert held["original"].shape == (1, 12, 12)


def test_errors_and_drawings_are_strips_too():
    model, x = net(12), torch.rand(30, 1, 12, 12)
    labels = (model(x).argmax(1) + 1) % 5
    errors = error_counterfactuals(model, (x, labels), eps=4.0, q=0.1, steps=4, max_errors=3)
    why, fix = error_strips(errors, 1, ())
    assert why.value["target"] == int(errors.predictions[1])
    assert fix.value["target"] == int(errors.labels[1])
    assert fix.value["effort"] == float(errors.fix_effort[1])
    drawn = probe_concept(model, 2, shape=(1, 12, 12), seeds=(4, 9), steps=3, q=0.1)
    strips = concept_strips(drawn, title="m")
    assert [(s.value["norm"], s.value["seed"]) for s in strips] == [
        ("l1q", 4),
        ("l1q", 9),
        ("l2", 4),
        ("l2", 9),
    ]
    film = joined(strips, run=7, kind="concept")
    assert set(film.arrays) == {f"{i}.{name}" for i in range(4) for name in ("original", "frames")}


def test_a_thinned_film_has_the_first_and_the_last_step_exactly():
    x = torch.rand(1, 1, 12, 12)
    result = perturb(net(12), x, target=TARGET, eps=5.0, q=0.1, steps=20, keep_iterates=True)
    film = joined([step_strip(result, 0, title="m", names=())], run=1, kind="perturb")
    assert thinned(film, 10**9) is film
    short = thinned(film, in_bytes(film) // 2)
    assert in_bytes(short) < in_bytes(film)
    (whole,), (value,) = film.value["strips"], short.value["strips"]
    assert value["steps"][0] == 0
    assert value["steps"][-1] == 20
    count = len(value["steps"])
    assert count == len(value["shrinks"]) == len(value["predictions"]) == len(short.arrays["0.probabilities"])
    shape = value["shape"]
    before = unpack(film.arrays["0.frames"], whole["scale"], whole["shrinks"], (21, *shape))
    after = unpack(short.arrays["0.frames"], value["scale"], value["shrinks"], (count, *shape))
    np.testing.assert_array_equal(after, before[value["steps"]])


DECODE = """async ([facts, frames, module]) => {
  const address = URL.createObjectURL(new Blob([module], { type: 'text/javascript' }));
  const { readStrip, frameOf } = await import(address);
  const packed = Uint8Array.from(atob(frames), (c) => c.charCodeAt(0));
  const held = { frames: packed, original: new Uint8Array(facts.n) };
  const strip = await readStrip(facts, (name) => held[name] ?? null);
  return facts.shrinks.map((_, k) => Array.from(frameOf(strip, k)));
}"""


def test_the_browser_unpacks_the_same_numbers(chromium):
    frames = np.random.default_rng(0).normal(size=(6, 3, 4, 5)).astype(np.float32)
    frames[:, :, ::2] = 0
    frames[1:, 0] = frames[0, 0] * np.array([0.9, 0.7, 0.5, 0.3, 0.2])[:, None, None]
    packed, scale, shrinks = pack(frames)
    facts = {"shape": [3, 4, 5], "scale": scale, "shrinks": shrinks, "n": 60}
    module = assets.joined("panels/perturb/film") + "\nexport { readStrip, frameOf };"
    page = chromium.new_page()
    try:
        decoded = page.evaluate(DECODE, [facts, base64.b64encode(packed.tobytes()).decode(), module])
    finally:
        page.close()
    wanted = unpack(packed, scale, shrinks, frames.shape).reshape(6, -1)
    np.testing.assert_allclose(np.array(decoded), wanted, rtol=1e-6, atol=1e-9)
