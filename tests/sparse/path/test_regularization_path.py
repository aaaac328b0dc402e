"""The result of a fit: selection, feature order, units, files, tables, pictures."""

import dataclasses

import numpy as np
import pytest
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.storage import StorageError
from sparse_debug_widgets.interpret import feature_order
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath, SelectionWarning
from tests.sparse.problems import make


@pytest.fixture(scope="module")
def features():
    X, y = make(0, n=200)
    names = ["ears", 'a "quoted"\nname', "<b>bold</b>", *[f"f{j}" for j in range(5)]]
    X = X * np.geomspace(0.1, 100, 8) + 50
    return DeepFeatures.from_arrays(X, y, feature_names=names, validation=0.25)


@pytest.fixture(scope="module")
def path(features):
    return elastic_net_path(features, n_lambdas=20, eps=1e-2)


def test_weights_are_stored_sparse_and_read_back(path):
    dense = np.stack([path.weights_at(k) for k in range(20)])
    assert dense.shape == (20, 3, 8)
    np.testing.assert_array_equal((dense != 0).sum(2), path.n_nonzero)
    assert len(path.weight_data) == path.n_nonzero.sum()
    for c in range(3):
        np.testing.assert_array_equal(path.class_path(c), dense[:, c])
    np.testing.assert_array_equal(path.weights_at(-1), dense[-1])
    np.testing.assert_array_equal(path.class_path("class 1"), dense[:, 1])


def test_feature_order_is_the_first_index_with_a_weight(path):
    for c in range(3):
        order, weights = path.feature_order(c), path.class_path(c)
        for j in range(8):
            expected = np.flatnonzero(weights[:, j])
            assert order[j] == (expected[0] if len(expected) else 20)


def test_five_point_rule_takes_the_sparsest_within_five_points(path):
    k = path.select()
    accuracy, size = path.accuracies[:, 1], path.n_nonzero.sum(1)
    good = accuracy >= accuracy.max() - 0.05 - 1e-9
    assert good[k]
    assert size[k] == size[good].min()
    assert path.select(tolerance=0.0) >= k
    assert path.select(tolerance=1.0) == 0


def _with(path, **changes):
    return dataclasses.replace(path, **changes)


def test_five_point_rule_on_known_numbers(path):
    accuracies = np.full((20, 3), np.nan)
    accuracies[:, 1] = np.r_[0.3, 0.84, 0.85, 0.9, np.full(16, 0.88)]
    assert _with(path, accuracies=accuracies).select() == 2
    assert _with(path, accuracies=accuracies).select(tolerance=0.06) == 1


def test_selection_falls_back_to_training_accuracy_and_says_so(path):
    accuracies = path.accuracies.copy()
    accuracies[:, 1] = np.nan
    with pytest.warns(SelectionWarning, match="no validation split"):
        chosen = _with(path, accuracies=accuracies).select()
    assert accuracies[chosen, 0] >= np.nanmax(accuracies[:, 0]) - 0.05 - 1e-9


def test_other_selections(path):
    assert path.select(index=-1) == 19
    assert path.select(index=np.int64(4)) == 4
    assert path.select(lambda_=path.lambdas[7] * 1.01) == 7
    k = path.select(n_features=3)
    assert path.n_nonzero[k].mean() <= 3
    assert (path.n_nonzero[k + 1 :].mean(1) > 3).all()
    assert path.select(n_features=0) == int(np.flatnonzero(path.n_nonzero.sum(1) == 0)[-1])


@pytest.mark.parametrize(
    "arguments",
    [
        {"index": 20},
        {"index": -21},
        {"index": 1.5},
        {"lambda_": 0},
        {"n_features": -1},
        {"tolerance": -0.1},
        {"index": 1, "lambda_": 0.1},
    ],
)
def test_bad_selections(path, arguments):
    with pytest.raises(InputError, match=r"is not compatible|Choose by one of"):
        path.select(**arguments)


def test_bad_classes_and_indices(path):
    for wrong in (3, -1, "class one", True):
        with pytest.raises(InputError, match="this path"):
            path.class_path(wrong)
    with pytest.raises(InputError, match="index"):
        path.weights_at(20)


def test_decision_layer_repeats_the_solvers_logits(path, features):
    for k in (0, 10, 19):
        layer = path.decision_layer(k)
        Z = (features.values.astype(float) - path.mean) / path.scale
        expected = Z @ path.weights_at(k).T + path.intercepts_at(k)
        found = layer(torch.as_tensor(np.array(features.values))).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_binomial_paths_have_one_row():
    X, y = make(1, n_classes=2)
    path = elastic_net_path(X, y, family="binomial", n_lambdas=5, eps=0.1)
    assert (path.n_rows, path.n_classes) == (1, 2)
    assert len(path.class_names) == 2
    np.testing.assert_array_equal(path.class_path("class 1"), path.class_path(1))
    np.testing.assert_array_equal(path.class_path(1), [path.weights_at(k)[0] for k in range(5)])
    assert path.decision_layer(4).n_nonzero[0] == path.n_nonzero[4, 0]


def test_the_classes_of_a_binomial_path_have_opposite_weights_everywhere():
    """What speaks for one class speaks against the other: in path, layer, tables and model."""
    X, y = make(1, n_classes=2)
    path = elastic_net_path(DeepFeatures.from_arrays(X, y, class_names=["neg", "pos"]), family="binomial")
    layer, z = path.decision_layer(40), torch.as_tensor(np.asarray(X, np.float32))
    j = int(np.abs(path.class_path("pos")[40]).argmax())
    assert path.class_path("pos")[40, j] != 0
    for name, index, sign in (("neg", 0, -1), ("pos", 1, 1)):
        np.testing.assert_array_equal(path.class_path(name), path.class_path(index))
        np.testing.assert_array_equal(path.class_path(name)[40], sign * path.weights_at(40)[0])
        np.testing.assert_array_equal(path.feature_order(name), path.feature_order("pos"))
        order = feature_order(path, name)
        assert order.class_name == name
        np.testing.assert_array_equal(order.signs, sign * feature_order(path, 1).signs)
        score = layer.contributions(z, index).sum(1) + sign * layer.intercept
        torch.testing.assert_close(score, sign * layer(z)[:, 0])
        edited = layer.edit({(name, j): 3.0})
        assert edited.standardized_weight[0, j] == pytest.approx(sign * 3.0)
        assert (path.plot(name).data[0].y == sign * np.asarray(path.plot("pos").data[0].y)).all()
    # The signs are those of the model's two logits, and of who is right.
    two = layer.fitted_to(torch.nn.Linear(X.shape[1], 2))
    torch.testing.assert_close(two(z), torch.cat([-layer(z), layer(z)], 1) / 2)
    assert (two(z).argmax(1).numpy() == y).mean() > 0.8


def test_files_hold_everything(path, tmp_path):
    file = path.save(tmp_path / "path.safetensors")
    again = RegularizationPath.load(file)
    for field in dataclasses.fields(path):
        one, two = getattr(path, field.name), getattr(again, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, two)
            assert one.dtype == two.dtype
        else:
            assert one == two
    assert repr(again) == repr(path)


def test_truncated_foreign_and_tampered_files_are_refused(path, features, tmp_path):
    file = path.save(tmp_path / "path.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError):
        RegularizationPath.load(file)
    file.write_bytes(whole[:-3] + b"abc")
    with pytest.raises(StorageError, match="checksum"):
        RegularizationPath.load(file)
    other = features.save(tmp_path / "features.safetensors")
    with pytest.raises(StorageError, match="kind"):
        RegularizationPath.load(other)


def test_arrays_that_do_not_fit_are_refused(path):
    with pytest.raises(InputError, match=r"intercepts|lambdas|n_nonzero"):
        _with(path, intercepts=path.intercepts[:5])
    with pytest.raises(InputError, match="weight_indices"):
        _with(path, weight_indices=path.weight_indices + 8)
    with pytest.raises(InputError, match="weight_indptr"):
        _with(path, weight_data=path.weight_data[:-1])


def test_results_are_read_only(path):
    with pytest.raises(dataclasses.FrozenInstanceError):
        path.alpha = 1.0
    with pytest.raises(ValueError, match="read-only"):
        path.intercepts[0, 0] = 1.0


def test_table_and_pictures(path):
    table = path.to_frame()
    assert len(table) == 20
    assert {"lambda", "duality_gap", "certified", "validation_accuracy", "seconds", "reason"} <= set(table)
    assert table["certified"].all()
    figure = path.plot()
    assert [trace.name for trace in figure.data] == ["train", "validation"]
    bold = path.plot("class 2", n_features=8)
    assert len(bold.data) <= 8
    assert not any("<b>" in trace.name for trace in bold.data)


def test_repr_counts_certified_points(path):
    assert "20/20 certified" in repr(path)
    gaps = path.duality_gaps.copy()
    gaps[3] = 1.0
    worse = _with(path, duality_gaps=gaps)
    assert "19/20 certified" in repr(worse)
    assert not worse.certified[3]
