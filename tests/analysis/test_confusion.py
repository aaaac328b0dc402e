"""Confusion matrices count what is there, and shared features go with confusion where they are planted."""

import time
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

import sparse_debug_widgets as sdw
from sparse_debug_widgets.analysis.common.layers import class_layer, examined_rows
from sparse_debug_widgets.analysis.confusion import MEASURES, SIGNS
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from tests.analysis.planted import layers_of, marked, overlapping


@pytest.mark.parametrize("layer", ["sparse", "dense", "refit"])
@pytest.mark.parametrize(("n_classes", "family"), [(4, "multinomial"), (2, "binomial")])
def test_every_cell_counts_its_examples(layer, n_classes, family):
    features, path, _ = marked(31, n_classes=n_classes, family=family)
    found = sdw.confusion(path, features, layer)
    examined = examined_rows(path, features)
    answers = class_layer(path, layer).predictions(examined.z)
    for i in range(n_classes):
        for j in range(n_classes):
            rows = examined.rows[(examined.labels == i) & (answers == j)]
            np.testing.assert_array_equal(found.examples(i, path.class_names[j]), rows)
            assert found.counts[i, j] == len(rows)
            assert found.matrix[i, j] == pytest.approx(len(rows) / (examined.labels == i).sum())
    assert found.accuracy == pytest.approx((answers == examined.labels).mean())


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_shared_features_are_those_of_sets(threshold):
    features, path, _ = marked(32)
    found = sdw.confusion(path, features, "refit", threshold=threshold)
    weights = class_layer(path, "refit").weights
    counting = np.where(np.abs(weights) > threshold * np.abs(weights).max(1, keepdims=True), weights, 0)
    of = [
        [{(f, np.sign(w)) for f, w in enumerate(row) if w} for row in counting],
        [{(f, 1.0) for f, w in enumerate(row) if w > 0} for row in counting],
    ]
    features_of = [{f for f, _ in owned} for owned in of[0]]
    for k, (i, j) in enumerate(combinations(range(4), 2)):
        assert found.pairs[0][k] == i
        assert found.pairs[1][k] == j
        sets = {"any": features_of, "same": of[0], "positive": of[1]}
        for sign in SIGNS:
            a, b = sets[sign][i], sets[sign][j]
            shared = len(a & b)
            assert found.measure("count", sign)[k] == shared
            smaller = min(len(a), len(b))
            assert found.measure("overlap", sign)[k] == pytest.approx(shared / smaller if smaller else 0)
            if sign != "same":
                either = len(a | b)
                assert found.measure("jaccard", sign)[k] == pytest.approx(shared / either if either else 0)
        assert found.confused[k] == max(found.matrix[i, j], found.matrix[j, i])
        sheet = found.pair(i, path.class_names[j])
        assert set(sheet["feature"]) == features_of[i] & features_of[j]
        np.testing.assert_array_equal(sheet["weight_i"], weights[i, sheet["feature"]])
        np.testing.assert_array_equal(sheet["weight_j"], weights[j, sheet["feature"]])
        assert (np.diff(sheet["strength"]) <= 0).all()
        np.testing.assert_array_equal(sheet["sign"] == "opposite", sheet["weight_i"] * sheet["weight_j"] < 0)


def test_correlations_are_those_of_scipy_and_of_classes_that_change_places():
    features, path, _ = overlapping(40, n=2400, n_classes=7, p=20)
    found = sdw.confusion(path, features, index=path.select(n_features=6), n_permutations=400)
    n_classes = found.n_classes
    y = np.zeros((n_classes, n_classes))
    y[found.pairs] = found.confused
    y += y.T
    upper = np.triu_indices(n_classes, 1)
    rng = np.random.default_rng(1)
    for sign in SIGNS:
        for name in MEASURES:
            told = found.correlation(name, sign)
            r, p = stats.pearsonr(found.measure(name, sign), found.confused)
            assert (told.r, told.p) == pytest.approx((r, p))
            moved = []
            for _ in range(400):
                place = rng.permutation(n_classes)
                moved.append(np.corrcoef(found.measure(name, sign), y[np.ix_(place, place)][upper])[0, 1])
            assert told.permutation_p == pytest.approx((np.abs(moved) >= abs(r)).mean(), abs=0.08)


@pytest.mark.parametrize("seed", [51, 52, 53])
def test_planted_overlap_goes_with_confusion(seed):
    features, path, owned = overlapping(seed)
    found = sdw.confusion(path, features, index=path.select(n_features=6))
    told = found.correlation()
    assert 0.68 <= told.r <= 0.84
    assert told.permutation_p <= 0.005
    first, second = found.pairs
    true = (owned[first] * owned[second]).sum(1)
    assert stats.pearsonr(found.measure("count"), true).statistic > 0.8
    # Those that share most are found first, and the features of the sheet are those that were planted.
    worst = found.to_frame().iloc[0]
    i, j = (path.class_names.index(worst[which]) for which in ("first", "second"))
    assert abs(i - j) == 1
    planted = set(np.flatnonzero(owned[i] * owned[j]))
    assert set(found.pair(i, j)["feature"]) & planted


def test_shuffled_classes_share_nothing_that_matters():
    features, path, _ = overlapping(54)
    mixed = np.random.default_rng(0).permutation(features.labels)
    other = sdw.DeepFeatures.from_arrays(features.values, mixed, splits=features.splits)
    found = sdw.confusion(path, other, index=path.select(n_features=6))
    assert not found.correlation().permutation_p < 0.01


def test_a_class_that_nobody_is_called_and_one_without_weights_or_rows():
    features, path = layers_of(np.diag([9.0, 0.0, 0.0]), np.array([-30.0, -50.0, 0.0]))
    found = sdw.confusion(path, features, "dense")
    assert found.counts[:, 1].sum() == 0
    assert found.matrix[1].sum() == pytest.approx(1)
    assert found.used[0].tolist() == [1, 0, 0]
    assert (found.measure("overlap") == 0).all()
    assert np.isnan(found.correlation().r)
    assert "no correlation can be told of 3 pairs" in repr(found)
    assert len(found.pair(1, 2)) == 0
    absent = features.labels != 1
    few = sdw.DeepFeatures.from_arrays(
        features.values, features.labels, splits=np.where(absent | (features.splits < 2), features.splits, 0)
    )
    found = sdw.confusion(path, few, "refit")
    assert np.isnan(found.matrix[1]).all()
    assert np.isnan(found.confused).tolist() == [True, False, True]
    assert found.correlation().n == 1
    for picture in ("pairs", "matrix"):
        assert found.plot(picture).data


def test_no_errors_at_all():
    features, path = layers_of(np.eye(3) * 9, np.zeros(3))
    found = sdw.confusion(path, features, "dense")
    assert (found.confused == 0).all()
    assert "no errors" in repr(found)
    assert np.isnan(found.summary()["r"]).all()
    assert found.plot().data


def test_a_thousand_classes_are_ordered_and_the_worst_drawn(measured):
    rng = np.random.default_rng(3)
    n_classes, p, n = 1000, 64, 7_000
    labels = np.arange(n) % n_classes
    # Classes come in pairs that look alike.
    weights = np.repeat(rng.normal(size=(n_classes // 2, p)), 2, 0) * (rng.random((n_classes, p)) < 0.95)
    x = weights[labels] + rng.normal(size=(n, p))
    splits = np.repeat([0, 1, 2], [1000, 1000, n - 2000])
    features = sdw.DeepFeatures.from_arrays(
        x, labels, splits=splits, dense_weight=weights, dense_bias=-0.5 * (weights**2).sum(1)
    )
    path = sdw.elastic_net_path(features, n_lambdas=2, eps=0.9)
    started = time.perf_counter()
    found = sdw.confusion(path, features, "dense", threshold=0.05, n_permutations=99)
    measured.append(f"confusion of 1,000 classes, {n - 2000:,} rows: {time.perf_counter() - started:.2f} s")
    assert (np.diff(np.sort(found.order())) == 1).all()
    assert found.plot("matrix").data[0].z.shape == (40, 40)
    assert len(found.plot().data[0].x) <= 4000
    table = found.to_frame()
    assert len(table) == n_classes * (n_classes - 1) // 2
    # Look-alikes that are mixed up stand side by side in the order.
    place = np.argsort(found.order())
    first, second = found.pairs
    alike = (second == first + 1) & (first % 2 == 0)
    mixed = alike & (found.confused > 0.1)
    assert mixed.sum() > 20
    assert (np.abs(place[first] - place[second])[mixed] == 1).mean() > 0.8


def test_the_seed_decides_and_a_stop_is_heard():
    features, path, _ = overlapping(55, n=1200, n_classes=6, p=20)
    index = path.select(n_features=6)
    first, again, other = (sdw.confusion(path, features, index=index, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.correlations, again.correlations)
    np.testing.assert_array_equal(first.correlations[..., :2], other.correlations[..., :2])

    def stop(_):
        raise Cancelled

    with pytest.raises(Cancelled):
        sdw.confusion(path, features, index=index, progress=stop)
    assert np.isnan(sdw.confusion(path, features, index=index, n_permutations=0).correlations[..., 2]).all()


def test_bad_input_is_refused():
    features, path, _ = marked(33)
    for options, message in (
        ({"layer": "thick"}, "be one of 'sparse'"),
        ({"threshold": 1.0}, "be a finite number in"),
        ({"n_permutations": -1}, "of at least 0"),
        ({"split": "tests"}, "be 0, 1, 2"),
    ):
        with pytest.raises(InputError, match=message):
            sdw.confusion(path, features, **options)
    found = sdw.confusion(path, features)
    for call, message in (
        (lambda: found.pair(0, 9), "class"),
        (lambda: found.examples("nobody", 0), "class"),
        (lambda: found.measure("share"), "be one of 'count'"),
        (lambda: found.correlation("count", "both"), "be one of 'any'"),
        (lambda: found.plot("heat"), "be one of 'pairs'"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4))
    numbers = sdw.DeepFeatures.from_arrays(x, x @ rng.normal(size=4))
    regression = sdw.elastic_net_path(numbers, n_lambdas=5, family="gaussian")
    with pytest.raises(InputError, match="about classes"):
        sdw.confusion(regression, numbers)
