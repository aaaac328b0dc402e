"""labels, splits, moments and DeepFeatures.from_arrays: against NumPy in float64, and against bad input."""

import gc
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.storage import StorageError
from sparse_debug_widgets.sparse.features import standardize as std
from sparse_debug_widgets.sparse.features.deep_features import DeadFeaturesWarning, DeepFeatures
from sparse_debug_widgets.sparse.features.labels import TEST, TRAIN, VALIDATION, split_rows

HOSTILE = ["<img src=x onerror=alert(1)>", "a\nb\"'&", "x" * 10_000, "\u202eאבג", ""]


def problem(n=60, p=7, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return rng.normal(size=(n, p)) * 2 + 5 + labels[:, None], labels


# ---------------------------------------------------------------- moments


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(1, 9), st.integers(0, 99), st.sampled_from([0.0, 1e3, 1e6]))
def test_streaming_moments_are_numpys_float64_moments(n, p, seed, mean):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(n, p)) + mean).astype(np.float32)
    rows = rng.random(n) < 0.7
    rows[0] = True
    exact = values[rows].astype(np.float64)
    got = std.moments(values, rows)
    np.testing.assert_allclose(got.mean, exact.mean(0), rtol=1e-13)
    spread = exact.std(0)
    np.testing.assert_allclose(got.scale[got.alive], spread[got.alive], rtol=1e-9)
    assert (got.scale[~got.alive] == 1).all()


def test_moments_do_not_depend_on_the_chunks(monkeypatch):
    values = (np.random.default_rng(0).normal(size=(1000, 3)) + 1e6).astype(np.float32)
    rows = np.ones(1000, bool)
    whole = std.moments(values, rows)
    monkeypatch.setattr(std, "_CHUNK_BYTES", 8 * 3 * 7)
    chunked = std.moments(values, rows)
    np.testing.assert_allclose(chunked.mean, whole.mean, rtol=1e-15)
    np.testing.assert_allclose(chunked.scale, whole.scale, rtol=1e-10)


def test_constant_features_are_dead_also_where_they_carry_rounding_noise():
    rng = np.random.default_rng(0)
    values = np.stack(
        [np.full(50, 3.3), 1000 * (1 + 6e-8 * rng.integers(0, 2, 50)), rng.normal(size=50) * 1e-20], 1
    )
    assert std.moments(values.astype(np.float32), np.ones(50, bool)).alive.tolist() == [False, False, True]


def test_a_feature_that_varies_only_outside_the_training_split_is_dead():
    x, y = problem()
    splits = np.zeros(60, np.uint8)
    splits[50:] = VALIDATION
    x[:50, 2] = 1.0
    with pytest.warns(DeadFeaturesWarning, match=r"1 of 7 features are constant .*: feature 2\."):
        features = DeepFeatures.from_arrays(x, y, splits=splits)
    assert features.dead == ("feature 2",)
    assert features.scale[2] == 1.0
    assert features.standardized().shape == (60, 6)
    assert "1 dead" in repr(features)


def test_standardized_training_rows_have_mean_zero_and_population_scale_one():
    x, y = problem(501)
    features = DeepFeatures.from_arrays(x, y)
    z = features.standardized("train", dtype=np.float64)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-13)
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-12)
    assert features.standardized(TRAIN).dtype == np.float32
    everything = features.standardized(dtype=np.float64)
    np.testing.assert_array_equal(
        everything[features.rows("validation")], features.standardized(1, dtype=np.float64)
    )
    np.testing.assert_allclose(everything, (features.values - features.mean) / features.scale)
    assert features.standardized("test").shape == (0, 7)
    with pytest.raises(InputError, match="be 0, 1, 2, 'train', 'validation', 'test' or None; got tset"):
        features.rows("tset")


# ---------------------------------------------------------------- splits


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0, 0.95), st.integers(0, 5))
def test_splits_are_stratified_seeded_and_keep_every_class(sizes, validation, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    splits = split_rows(labels, validation, seed)
    assert (splits == split_rows(labels, validation, seed)).all()
    assert set(splits) <= {TRAIN, VALIDATION}
    for c, size in enumerate(sizes):
        held_out = int((splits[labels == c] == VALIDATION).sum())
        assert held_out <= size - 1
        assert abs(held_out - min(validation * size, size - 1)) <= 1
    if min(sizes) * (1 - validation) >= 2:
        assert int((splits == VALIDATION).sum()) == round(validation * len(labels))


def test_other_seeds_give_other_splits():
    labels = np.arange(100) % 2
    assert (split_rows(labels, 0.5, 0) != split_rows(labels, 0.5, 1)).any()
    assert not split_rows(labels, 0.0, 0).any()
    assert int(split_rows(np.random.default_rng(0).random(100), 0.1, 0).sum()) == 10


def test_given_splits_are_kept():
    x, y = problem()
    splits = np.arange(60) % 4
    with pytest.raises(InputError, match=r"splits .* be 0 \(train\), 1 \(validation\) or 2 \(test\)"):
        DeepFeatures.from_arrays(x, y, splits=splits)
    features = DeepFeatures.from_arrays(x, y, splits=splits.clip(0, 2))
    assert np.bincount(features.splits).tolist() == [15, 15, 30]
    assert features.rows(TEST).sum() == 30


# ---------------------------------------------------------------- forms of input


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_float_dtype(dtype):
    x, y = problem()
    tensor = torch.from_numpy(x).to(dtype).requires_grad_()
    features = DeepFeatures.from_arrays(tensor, torch.from_numpy(y))
    assert features.values.dtype == np.float32
    np.testing.assert_array_equal(features.values, tensor.detach().float().numpy())
    assert tensor.requires_grad


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_on_another_device():
    x, y = problem()
    features = DeepFeatures.from_arrays(torch.from_numpy(x).cuda().half(), torch.from_numpy(y).cuda())
    assert features.values.shape == (60, 7)


def test_data_frames_bring_their_column_names():
    x, y = problem()
    frame = pd.DataFrame(x, columns=[*"abcdef", 7])
    features = DeepFeatures.from_arrays(frame, pd.Series(y))
    assert features.feature_names == ("a", "b", "c", "d", "e", "f", "7")
    table = features.to_frame()
    assert list(table.index) == list(features.feature_names)
    np.testing.assert_allclose(table["mean"], features.mean)
    frame["g"] = "text"
    with pytest.raises(
        InputError, match="features is not compatible with a fit: it must be numbers; got dtype object"
    ):
        DeepFeatures.from_arrays(frame, y)


@pytest.mark.parametrize("names", [["cat", "dog", "eel"], None])
def test_labels_may_be_names(names):
    x, y = problem()
    texts = np.array(["cat", "dog", "eel"])[y]
    for labels in (texts, list(texts), pd.Series(texts), pd.Series(texts, dtype="category")):
        features = DeepFeatures.from_arrays(x, labels, class_names=names)
        assert features.class_names == ("cat", "dog", "eel")
        assert (features.labels == y).all()
    with pytest.raises(InputError, match="Did you mean 'cat'"):
        DeepFeatures.from_arrays(
            x, np.where(texts == "dog", "catt", texts), class_names=["cat", "dog", "eel"]
        )


def test_hostile_class_names_are_kept_as_they_are():
    x, y = problem(classes=5)
    features = DeepFeatures.from_arrays(x, y, class_names=HOSTILE)
    assert features.class_names == tuple(HOSTILE)
    assert len(repr(features)) < 300
    features.plot().to_json()


@pytest.mark.parametrize(
    "labels", [torch.arange(60) % 2 == 0, np.arange(60)[:, None] % 2, (np.arange(60) % 2).astype("u1")]
)
def test_boolean_column_and_byte_labels(labels):
    features = DeepFeatures.from_arrays(problem()[0], labels)
    assert features.labels.dtype == np.int64
    assert features.labels.shape == (60,)
    assert features.class_names == ("class 0", "class 1")


@pytest.mark.parametrize("shape", [(60,), (60, 2)])
def test_real_labels_are_targets(shape):
    x, _ = problem()
    targets = np.random.default_rng(0).normal(size=shape)
    features = DeepFeatures.from_arrays(x, targets)
    assert features.labels.dtype == np.float64
    assert features.n_classes == (1 if len(shape) == 1 else 2)
    assert "outputs" in repr(features)
    features.plot()


def test_arrays_of_the_caller_are_copied_and_keep_their_flags():
    x, y = problem()
    x = x.astype(np.float32)
    features = DeepFeatures.from_arrays(x, y)
    assert x.flags.writeable
    x[:] = 0
    assert (features.values != 0).any()
    for array in (features.values, features.labels, features.mean):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_memory_maps_stay_memory_maps(tmp_path):
    x, y = problem()
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    features = DeepFeatures.from_arrays(np.load(tmp_path / "x.npy", mmap_mode="r"), y)
    assert isinstance(features.values, np.memmap)
    assert "memory-mapped" in repr(features)
    np.testing.assert_allclose(features.mean, x[features.rows("train")].mean(0), rtol=1e-6)


def test_the_models_own_layer():
    x, y = problem()
    weight = torch.randn(3, 7)
    features = DeepFeatures.from_arrays(x, y, dense_weight=weight)
    assert (features.dense_bias == 0).all()
    np.testing.assert_array_equal(features.dense_weight, weight.double().numpy())
    # A layer with four outputs means four classes, also where the labels show three.
    with pytest.raises(InputError, match="No training row is of 'class 3'"):
        DeepFeatures.from_arrays(x, y, dense_weight=torch.randn(4, 7))
    for bad in (
        {"dense_weight": np.ones((3, 6))},
        {"dense_weight": np.ones((3, 7)), "dense_bias": np.ones(2)},
    ):
        with pytest.raises(InputError, match=re.escape("have shape (C, 7), with a bias of shape (C,)")):
            DeepFeatures.from_arrays(x, y, **bad)
    with pytest.raises(InputError, match="come with dense_weight"):
        DeepFeatures.from_arrays(x, y, dense_bias=np.ones(3))


# ---------------------------------------------------------------- bad input


def bad_inputs():
    x, y = problem()
    with_nan, with_inf = x.copy(), x.copy()
    with_nan[41, 3] = np.nan
    with_inf[2, 0], with_inf[3, 5] = np.inf, -np.inf
    big = x.copy()
    big[7, 1] = 1e39
    return [
        (with_nan, y, {}, "got nan in row 41, feature 'feature 3' (1 such entries in all)"),
        (with_inf, y, {}, "got inf in row 2, feature 'feature 0' (2 such entries in all)"),
        (big, y, {}, "must be finite numbers that float32 can hold; got inf in row 7"),
        (np.ones((60, 4)), y, {}, "vary on the training split; got 4 features that are all constant"),
        (x[0], y[:1], {}, "have shape (n, p) with at least one row and one column; got shape (7,)"),
        (x[:, :0], y, {}, "got shape (60, 0)"),
        ([["a"]], [0], {}, "must be numbers; got dtype <U1"),
        (x, y[:5], {}, "have one entry for each of 60 rows; got shape (5,)"),
        (x, 3, {}, "have one entry for each of 60 rows; got shape ()"),
        (x, y - 1, {}, "lie in 0 ... 1; got -1 in row 0 (20 such rows). Count classes from 0"),
        (x, y, {"class_names": ["a", "b"]}, "lie in 0 ... 1; got 2 in row 2 (20 such rows)"),
        (x, y, {"class_names": [*"abcd"]}, "No training row is of 'd'"),
        (x, 2 * y, {}, "No training row is of 'class 1', 'class 3'. Add rows, lower validation="),
        (
            x,
            0 * y,
            {},
            "The training rows are all of one class, 'class 0'",
        ),
        (x, 0 * y, {"class_names": ["a", "b"]}, "a classifier needs at least two"),
        (
            x[:4],
            [0, 1, 2, 1],
            {"class_names": [str(c) for c in range(9)], "validation": 0},
            "4 training rows for 9 classes",
        ),
        (x, np.eye(3, dtype=int)[y], {}, "labels.argmax(1)"),
        (x, y + 1j, {}, "be whole numbers, names or real targets; got dtype complex128"),
        (
            x,
            np.where(y == 1, np.nan, 0.5),
            {},
            "labels is not compatible with a gaussian fit: it must have finite",
        ),
        (x, np.zeros((60, 2, 2)), {}, "have shape (n,) or (n, m); got shape (60, 2, 2)"),
        (x, y * 0.5, {"class_names": ["a", "b"]}, "be 1 names, one per output; got 2 names"),
        (x, y, {"feature_names": ["a"]}, "be 7 names; got 1 names"),
        (x, y, {"feature_names": [*"abcdea", "f"]}, "be distinct; got 'a' more than once"),
        (x, y, {"validation": 1.0}, "finite number in [0, 1); got 1.0"),
        (x, y, {"validation": "0.1"}, "validation"),
        (x, y, {"seed": -1}, "seed"),
        (x, y, {"splits": np.ones(60, int)}, "No rows are left for training"),
        (x, y, {"splits": np.zeros(5, int)}, "got shape (5,), dtype int64"),
        (
            x,
            y,
            {"class_names": "abcd", "dense_weight": np.ones((3, 7))},
            "be 3 names, one per output of the decision",
        ),
    ]


@pytest.mark.parametrize(("x", "y", "options", "message"), bad_inputs())
def test_bad_input_says_what_was_expected_and_what_came(x, y, options, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            DeepFeatures.from_arrays(x, y, **options)
    # The house form of shapes and types, or plain sentences: what is wrong, then what to do.
    said = r"\w.* is not compatible with .+: it must .+; got .+|[A-Z].+\. [A-Z].+\."
    assert re.fullmatch(said, str(caught.value))


def test_infinities_of_both_signs_are_found():
    x, y = problem()
    x[1, 0], x[2, 0] = np.inf, -np.inf
    with pytest.raises(InputError, match=re.escape("(2 such entries in all)")):
        DeepFeatures.from_arrays(x, y)


# ---------------------------------------------------------------- the result


def test_round_trip_through_a_file(tmp_path):
    x, y = problem(classes=5)
    features = DeepFeatures.from_arrays(x, y, class_names=HOSTILE, dense_weight=np.ones((5, 7)))
    loaded = DeepFeatures.load(features.save(tmp_path / "features.sdw"))
    for name in ("values", "labels", "splits", "mean", "scale", "alive", "dense_weight", "dense_bias"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(features, name))
    assert (loaded.feature_names, loaded.class_names) == (features.feature_names, features.class_names)
    assert loaded.provenance.fingerprint == features.provenance.fingerprint
    path = tmp_path / "features.sdw"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StorageError, match="holds no deep features"):
        DeepFeatures.load(path)


def test_fingerprint_follows_values_labels_and_splits():
    x, y = problem()
    base = DeepFeatures.from_arrays(x, y).provenance.fingerprint
    assert DeepFeatures.from_arrays(x, y).provenance.fingerprint == base
    changed = x.copy()
    changed[0, 0] += 1
    others = [
        DeepFeatures.from_arrays(changed, y),
        DeepFeatures.from_arrays(x, (y + 1) % 3),
        DeepFeatures.from_arrays(x, y, seed=1),
    ]
    assert len({base, *(other.provenance.fingerprint for other in others)}) == 4


def test_table_and_figure():
    x, y = problem()
    x[:, 1] = np.maximum(x[:, 1] - 6, 0)
    x[:, 4] += 50 * y  # what separates the classes most is drawn first
    features = DeepFeatures.from_arrays(x, y)
    table = features.to_frame()
    np.testing.assert_allclose(table["zeros"], (features.values == 0).mean(0))
    np.testing.assert_allclose(table["max"], features.values.max(0))
    figure = features.plot(n_features=3)
    assert figure.layout.annotations[0].text == "feature 4"
    assert [sum(trace.y) for trace in figure.data] == [54] * 3
    with pytest.raises(InputError, match="n_features"):
        features.plot(0)
    del figure
    gc.collect()
