"""Ablations are exact at both ends, and tell a layer of few features from one of many."""

import numpy as np
import pytest

import sparse_debug_widgets as sdw
from sparse_debug_widgets.analysis.ablation import KEPT
from sparse_debug_widgets.analysis.common.layers import class_layer, examined_rows
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from tests.analysis.planted import layers_of, marked


@pytest.mark.parametrize("per", ["class", "layer"])
@pytest.mark.parametrize(("n_classes", "family"), [(4, "multinomial"), (2, "binomial")])
def test_kept_features_are_those_with_the_largest_weights(per, n_classes, family):
    features, path, _ = marked(61, n_classes=n_classes, family=family)
    found = sdw.ablation(path, features, ks=(2, 5), per=per)
    examined = examined_rows(path, features)
    for name in found.layers:
        layer = class_layer(path, name)
        size = np.abs(layer.weights)
        if per == "layer":
            size = np.repeat(np.linalg.norm(layer.weights, axis=0)[None], n_classes, 0)
        for i, k in enumerate((2, 5)):
            top = np.zeros_like(layer.weights)
            for c in range(n_classes):
                best = sorted(range(path.n_features), key=lambda j, c=c: (-size[c, j], j))[:k]
                top[c, best] = layer.weights[c, best]
            for kept, weights in (("top", top), ("rest", layer.weights - top), ("all", layer.weights)):
                scores = examined.z.astype(float) @ weights.T + layer.intercepts
                hits = (scores.argmax(1) == examined.labels).mean()
                assert found.accuracy(kept, name)[i, 0] == pytest.approx(hits)


@pytest.mark.parametrize("per", ["class", "layer"])
def test_with_all_features_kept_nothing_is_lost_and_the_rest_are_the_intercepts(per):
    features, path, _ = marked(62)
    found = sdw.ablation(path, features, ks=[1, path.n_features, 500], per=per)
    examined = examined_rows(path, features)
    for number, name in enumerate(found.layers):
        guess = int(class_layer(path, name).intercepts.argmax())
        assert (found.top_hits[number, 1:] == found.all_hits[number]).all()
        assert (found.random_hits[number, 1:] == found.all_hits[number]).all()
        assert (found.rest_hits[number, 1:] == (examined.labels == guess).sum()).all()
    # So it is from the number of features with a weight on.
    enough = sdw.ablation(path, features, ks=found.n_used.tolist(), per=per)
    for number in range(3):
        at = enough.ks.tolist().index(found.n_used[number])
        assert enough.top_hits[number, at] == found.all_hits[number]


def test_centred_weights_do_not_depend_on_what_all_classes_share():
    features, path, _ = marked(63)
    shift = np.random.default_rng(0).normal(size=features.p) * 2
    shifted = sdw.DeepFeatures.from_arrays(
        features.values,
        features.labels,
        splits=features.splits,
        dense_weight=features.dense_weight + shift,
        dense_bias=features.dense_bias,
    )
    other = sdw.elastic_net_path(shifted, n_lambdas=3)
    options = {"ks": (1, 3, 6), "layers": ["dense"]}
    first, second = (sdw.ablation(p, features, centre=True, **options) for p in (path, other))
    np.testing.assert_array_equal(first.top_hits, second.top_hits)
    np.testing.assert_array_equal(first.rest_hits, second.rest_hits)
    plain = sdw.ablation(path, features, **options)
    moved = sdw.ablation(other, features, **options)
    np.testing.assert_array_equal(first.all_hits, plain.all_hits)
    np.testing.assert_array_equal(plain.all_hits, moved.all_hits)
    assert (plain.top_hits != moved.top_hits).any()


def test_the_shapes_are_told_by_five_features_of_the_sparse_layer_only():
    demo = sdw.load_demo("shapes")
    features = sdw.extract_features(demo.model, demo.train, test=demo.test)
    found = sdw.ablation(sdw.elastic_net_path(features), features)
    at = found.ks.tolist().index(5)
    wanted = {
        "dense": (0.754, 0.458, 0.743),
        "refit": (0.767, 0.432, 0.421),
        "sparse": (0.758, 0.750, 0.197),
    }
    for name, values in wanted.items():
        for kept, value in zip(("all", "top", "rest"), values, strict=True):
            _, low, high = found.accuracy(kept, name)[at]
            assert low <= value <= high
    assert found.chance == 0.125
    assert found.provenance.params["index"] is None


@pytest.mark.parametrize("seed", [71, 72])
def test_the_strongest_features_do_more_than_random_ones(seed):
    features, path, _ = marked(seed)
    # A layer with more than three features a class: with fewer, three at random are the three strongest.
    dense_enough = path.select(n_features=12)
    found = sdw.ablation(path, features, dense_enough, ks=(3,), layers=["sparse", "refit"])
    assert (found.n_used > 6).all()
    for name in found.layers:
        assert found.accuracy("top", name)[0, 1] > found.accuracy("random", name)[0, 0]
        assert found.accuracy("random", name)[0, 0] > 0.2
    again, other = (sdw.ablation(path, features, dense_enough, ks=(3,), seed=s) for s in (0, 1))
    np.testing.assert_array_equal(again.random_hits[0], found.random_hits[0])
    assert (again.random_hits != other.random_hits).any()
    np.testing.assert_array_equal(again.top_hits, other.top_hits)


def test_a_class_without_weights_and_the_table_and_the_picture():
    features, path = layers_of(np.diag([9.0, 0.0, 0.0]), np.array([-30.0, -50.0, 0.0]))
    found = sdw.ablation(path, features, layers=["dense"], ks=(20, 1, 1))
    assert found.ks.tolist() == [1, 20]
    assert found.n_used.tolist() == [1]
    assert found.top_hits[0, 0] == found.all_hits[0]
    table = found.to_frame()
    assert set(table["kept"]) == set(KEPT)
    assert len(table) == 2 * len(KEPT)
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
    drawn = found.plot()
    assert len(drawn.data) == 2 * len(KEPT)
    assert "chance 0.333" in repr(found)


def test_bad_input_is_refused_and_a_stop_is_heard():
    features, path, _ = marked(64)
    for options, message in (
        ({"ks": ()}, "be one or more numbers"),
        ({"ks": "5"}, "be one or more numbers"),
        ({"ks": 5}, "be one or more numbers"),
        ({"ks": (0,)}, "of at least 1"),
        ({"ks": (2.5,)}, "whole number"),
        ({"per": "row"}, "be one of 'class', 'layer'"),
        ({"layers": []}, "at least one layer"),
        ({"n_draws": 0}, "of at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            sdw.ablation(path, features, **options)
    with pytest.raises(InputError, match="be one of 'all'"):
        sdw.ablation(path, features).accuracy("some")

    def stop(_):
        raise Cancelled

    with pytest.raises(Cancelled):
        sdw.ablation(path, features, progress=stop)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4))
    numbers = sdw.DeepFeatures.from_arrays(x, x @ rng.normal(size=4))
    regression = sdw.elastic_net_path(numbers, n_lambdas=5, family="gaussian")
    with pytest.raises(InputError, match="about classes"):
        sdw.ablation(regression, numbers)
