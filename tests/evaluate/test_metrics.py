"""Faithfulness, orthogonality, locality: references, limits, degenerate cases, bad input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.evaluate import (
    Metric,
    f_cls,
    f_reg,
    locality_from_masks,
    locality_from_points,
    orthogonality,
)
from tests.reference.explanation_metrics import voronoi_locality

RNG = np.random.default_rng(0)


def random_maps(m=3, n=2, h=7, w=9, seed=0):
    return np.random.default_rng(seed).random((m, n, h, w))


def test_f_reg_is_the_mean_absolute_error():
    found = f_reg([1.0, 2.0, 4.0], [1.5, 2.0, 3.0])
    assert found.value == pytest.approx(0.5)
    assert (found.better, found.best, found.notes) == ("lower", 0.0, ())
    assert found.details["baseline"] == pytest.approx(1.0)
    assert found.details["R2"] == pytest.approx(1 - (0.25 + 1) / np.var([1, 2, 4]) / 3)
    assert "lower is better" in str(found)
    assert float(f_reg([1.0, 2.0], [1.0, 2.0])) == 0


def test_a_constant_target_is_said():
    found = f_reg([2.0, 2.0], [2.5, 2.0])
    assert found.value == pytest.approx(0.25)
    assert math.isnan(found.details["R2"])
    assert "constant" in found.notes[0]


def test_f_cls_replaces_one_logit():
    logits = np.array([[1.0, 0, 0], [0, 2, 0], [0, 0, 3], [0.6, 0.5, 0]])
    found = f_cls(logits, 0, [1.0, 0, 9, 0.4])
    # The third image goes over to class 0, the fourth away from it.
    assert found.value == 0.5
    assert found.better == "higher"
    assert found.details["positives"] == 0.5
    assert f_cls(logits, 0, logits[:, 0]).value == 1
    assert "no image" in f_cls(logits[1:3], 0, [0, 0]).notes[0]
    assert math.isnan(f_cls(logits[1:3], 0, [0, 0]).details["positives"])
    assert "every image" in f_cls(logits[:1], 0, [1.0]).notes[0]


def test_orthogonality_of_maps_apart_and_of_one_map():
    maps = np.zeros((4, 2, 8, 8))
    maps[:, 0, 2, 2] = maps[:, 1, 5, 5] = 1
    o1, o2 = orthogonality(maps)
    assert o1.value < 1e-3
    assert o2.value < 1e-3
    same = np.repeat(random_maps(n=1), 3, axis=1)
    o1, o2 = orthogonality(same)
    assert o1.value == pytest.approx(3 - math.sqrt(3))
    assert o2.value == pytest.approx(-2 * math.log(1e-12) - math.log(3))
    assert "cut off" in o2.notes[0]


def test_orthogonality_is_numpys_correlation():
    maps = random_maps(n=3)
    shares = maps / maps.sum((2, 3), keepdims=True)
    expected = np.corrcoef(shares.transpose(1, 0, 2, 3).reshape(3, -1))
    o1, o2 = orthogonality(maps)
    assert np.allclose(o1.details["correlations"], expected)
    assert o1.value == pytest.approx(np.linalg.norm(expected) - math.sqrt(3))
    assert o2.value == pytest.approx(-np.log(np.linalg.det(expected)))


def test_orthogonality_without_dead_features_and_of_one():
    maps = random_maps(n=3)
    maps[:, 1] = 0
    with_dead, without = orthogonality(maps), orthogonality(maps[:, [0, 2]])
    assert [m.value for m in with_dead] == [m.value for m in without]
    assert "left out: 2" in with_dead[0].notes[0]
    for single in (random_maps(n=1), random_maps(n=1)[:, 0]):
        o1, o2 = orthogonality(single)
        assert (o1.value, o2.value) == (0, 0)
        assert "nothing to be orthogonal to" in o1.notes[0]
    nothing = orthogonality(np.zeros((2, 2, 3, 3)))
    assert all(math.isnan(m.value) and "not defined" in m.notes[-1] for m in nothing)


def test_locality_from_points_is_algorithm_3():
    maps = random_maps()
    points = np.stack([RNG.uniform(0, [6, 8], (4, 2)) for _ in maps])
    boxes = np.array([[0, 0, 7, 9], [1, 2, 6, 8], [0.5, 0, 5.5, 4]])
    found = locality_from_points(maps, points, boxes)
    for n in range(2):
        expected = voronoi_locality(maps[:, n].tolist(), points.tolist(), boxes.tolist())
        assert found.details["entropies"][n] == pytest.approx(expected, abs=1e-12)
    assert found.value == pytest.approx(np.mean(found.details["entropies"]))
    assert found.details["parts"][-1] == "context"


def test_locality_from_masks_is_the_entropy_of_shares():
    maps = np.zeros((1, 3, 2, 4))
    maps[0, 0, 0, 0] = maps[0, 1, :, :] = 1
    maps[0, 2, 1, 3] = 2
    masks = np.zeros((1, 2, 2, 4), bool)
    masks[0, 0, :, :2] = masks[0, 1, :, 2] = True
    found = locality_from_masks(maps, masks, part_names=["head", "tail"])
    shares = np.array([0.5, 0.25, 0.25])
    assert found.details["entropies"] == pytest.approx([0, -(shares * np.log(shares)).sum(), 0])
    assert found.details["histograms"][1] == pytest.approx(shares)
    assert found.details["histograms"][2] == pytest.approx([0, 0, 1])
    assert found.details["parts"] == ("head", "tail", "context")
    both = masks.copy()
    both[0, 1, :, :2] = True
    assert locality_from_masks(maps, both).details["histograms"][0] == pytest.approx([0.5, 0.5, 0])


def test_one_map_an_image_is_one_feature():
    maps, points = random_maps(n=1), RNG.uniform(0, 6, (3, 2, 2))
    assert locality_from_points(maps[:, 0], points).value == locality_from_points(maps, points).value


def test_images_without_parts_parts_outside_and_dead_features():
    maps = random_maps(m=4)
    points = RNG.uniform(0, 6, (4, 3, 2))
    points[1] = np.nan
    points[2, 1] = [99, 0]
    maps[:, 1] = 0
    maps[3, 0] = 0
    found = locality_from_points(maps, points)
    assert math.isnan(found.details["entropies"][1])
    assert found.value == found.details["entropies"][0]
    assert found.details["n_images"] == (2, 0)
    notes = "; ".join(found.notes)
    assert "1 parts lie outside" in notes
    assert "1 of 4 images have no visible part" in notes
    assert "left out: 2" in notes
    unseen = points[[0, 2]].copy()
    unseen[1, 1] = np.nan
    assert locality_from_points(maps[[0, 2]], unseen).value == pytest.approx(found.value)
    masks = np.zeros((4, 2, 7, 9))
    masks[0, 0, 1, 1] = 1
    assert "3 of 4 images have no mask" in locality_from_masks(maps, masks).notes[0]
    nowhere = locality_from_masks(np.zeros((4, 1, 7, 9)), masks)
    assert math.isnan(nowhere.value)
    far = np.zeros((1, 1, 3, 3))
    far[0, 0, 0, 2] = 1
    only = locality_from_points(far, [[[0.0, 0.0]]], [[0, 0, 1, 3]])
    assert math.isnan(only.value)
    assert "meet no part" in only.notes[0]


def test_metrics_know_their_direction():
    low, lower = Metric("O1", 0.5, "lower", 0), Metric("O1", 0.1, "lower", 0)
    assert lower.better_than(low)
    assert not low.better_than(lower)
    assert not Metric("O1", float("nan"), "lower", 0).better_than(low)
    with pytest.raises(InputError, match="same metric"):
        low.better_than(Metric("O2", 1, "lower", 0))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 4), parts=st.integers(1, 5), scale=st.floats(1e-3, 1e3))
def test_bounds_and_invariances(seed, n, parts, scale):
    rng = np.random.default_rng(seed)
    maps = rng.random((3, n, 5, 6)) * (rng.random((3, n, 5, 6)) < 0.4)
    points = rng.uniform(0, 5, (3, parts, 2))
    boxes = [[0, 0, 4, 5]] * 3
    found = locality_from_points(maps, points, boxes)
    entropies = np.array(found.details["entropies"])
    kept = entropies[np.isfinite(entropies)]
    assert ((kept >= 0) & (kept <= math.log(parts + 1) + 1e-12)).all()
    again = locality_from_points(maps * scale, points, boxes)
    assert np.allclose(again.details["entropies"], entropies, equal_nan=True)
    order = rng.permutation(n)
    o1, o2 = orthogonality(maps)
    p1, p2 = orthogonality(maps[:, order] * scale)
    alive = sum(o1.details["alive"])
    if alive:
        assert 0 <= o1.value <= alive - math.sqrt(alive) + 1e-9
        assert o2.value >= 0
        assert p1.value == pytest.approx(o1.value, abs=1e-9)
        assert p2.value == pytest.approx(o2.value, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: f_reg([1.0], [1.0, 2.0]), "hold 1 numbers"),
        (lambda: f_reg([], []), "one number for each image"),
        (lambda: f_reg([1.0, np.nan], [1.0, 2.0]), "finite entries"),
        (lambda: f_cls(np.ones((2, 1)), 0, [1.0, 1.0]), "at least two classes"),
        (lambda: f_cls(np.ones((2, 3)), 3, [1.0, 1.0]), "class_index"),
        (lambda: f_cls(np.ones((2, 3)), 0, [1.0]), "hold 2 numbers"),
        (lambda: orthogonality(-random_maps()), "be at least 0"),
        (lambda: orthogonality(np.ones((3, 3))), "be maps"),
        (lambda: orthogonality(np.full((1, 1, 2, 2), np.inf)), "finite entries"),
        (lambda: locality_from_points(random_maps(), np.ones((2, 3, 2))), "be of 3 images"),
        (lambda: locality_from_points(random_maps(), np.ones((3, 3))), "row and column"),
        (lambda: locality_from_points(random_maps(), np.full((3, 3, 2), np.nan)), "at least one part"),
        (lambda: locality_from_points(random_maps(), np.full((3, 3, 2), 50.0)), "at least one part"),
        (lambda: locality_from_points(random_maps(), np.ones((3, 3, 2)), [[0, 0, 0, 5]] * 3), "bottom > top"),
        (lambda: locality_from_points(random_maps(), np.ones((3, 3, 2)), [0, 0, 5, 5]), "boxes"),
        (
            lambda: locality_from_masks(random_maps(), np.ones((3, 2, 14, 18))),
            "7 x 9 pixels; got 3 of 14 x 18",
        ),
        (lambda: locality_from_masks(random_maps(), np.zeros((3, 2, 7, 9))), "at least one pixel"),
        (lambda: locality_from_masks(random_maps(), np.full((3, 2, 7, 9), 3)), "0 and 1 only"),
        (lambda: locality_from_masks(random_maps(), np.ones((3, 7, 9))), "masks"),
        (lambda: locality_from_masks(random_maps(), np.ones((3, 2, 7, 9)), part_names=["a"]), "be 2 names"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()
