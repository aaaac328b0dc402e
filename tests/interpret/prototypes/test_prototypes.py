import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.interpret import Prototypes, find_prototypes
from sparse_debug_widgets.interpret.prototypes.topk import StreamedHistogram, TopK
from tests.contracts.untouched import untouched
from tests.interpret.models import Pictures, features_of, pictures


def arrays(values, labels=None, **options):
    labels = np.arange(len(values)) % 2 if labels is None else labels
    return sdw.DeepFeatures.from_arrays(values, labels, validation=0, **options)


def test_extremes_are_those_of_a_full_sort_in_all_and_per_class():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(90, 4)), rng.integers(0, 3, 90)
    found = find_prototypes(arrays(values, labels), k=4)
    for j in range(4):
        order = np.argsort(values[:, j])
        assert found.top[j].tolist() == order[::-1][:4].tolist()
        assert found.bottom[j].tolist() == order[:4].tolist()
        for c in range(3):
            members = order[labels[order] == c]
            assert found.class_top[j, c].tolist() == members[::-1][:4].tolist()
            assert found.class_bottom[j, c].tolist() == members[:4].tolist()
    standard = (values - values.mean(0)) / values.std(0)
    assert np.allclose(found.top_activations, np.sort(standard, 0)[::-1][:4].T, atol=1e-5)
    assert (found.labels[:, 0] == labels[found.top]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 30), st.integers(0, 99))
def test_batches_make_no_difference(n, k, batch, seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(n, 3)) * 10 ** rng.uniform(-3, 3), 2)
    groups, rows = rng.integers(0, 2, n), np.arange(n)
    whole, parts = (TopK(3, 2, k), StreamedHistogram(3)), (TopK(3, 2, k), StreamedHistogram(3))
    whole[0].update(values, rows, groups)
    whole[1].update(values)
    for start in range(0, n, batch):
        part = slice(start, start + batch)
        parts[0].update(values[part], rows[part], groups[part])
        parts[1].update(values[part])
    assert (whole[0].rows == parts[0].rows).all()
    for one, other in zip(whole[1].finish(), parts[1].finish(), strict=True):
        assert np.array_equal(one, other)
    counts, edges = whole[1].finish()
    assert (counts.sum(1) == n).all()
    for j in range(3):
        assert np.array_equal(np.histogram(values[:, j], edges[j])[0], counts[j])


@pytest.mark.parametrize("answer", ["tensor", "tuple", "dict"])
def test_a_live_model_says_the_same_as_its_features_and_is_left_untouched(answer):
    model, data = Pictures(answer=answer).train(), pictures()
    features = features_of(model, data)
    with untouched(model):
        live = find_prototypes(model, data, batch_size=7, units=features, k=3)
        own = find_prototypes(model, data, batch_size=7, k=3)
    stored = find_prototypes(features, data, k=3)
    for one in (live, own):
        assert np.array_equal(one.top, stored.top)
        assert np.allclose(one.bottom_activations, stored.bottom_activations, atol=1e-4)
        assert np.array_equal(one.class_top, stored.class_top)
        assert np.array_equal(one.pictures, stored.pictures)


def test_pictures_are_those_of_the_rows_test_data_included():
    model, data, test = Pictures(), pictures(), pictures(20, seed=1)
    features = sdw.extract_features(model, data, test=test, validation=0.2)
    found = find_prototypes(features, data, test=test, split="test", k=2)
    assert found.top.min() >= 40
    for row, picture in zip(found.shown_rows, found.pictures, strict=True):
        assert np.array_equal(picture, test[0][row - 40])
    with pytest.raises(InputError, match="Pass them as test=, as to extract_features"):
        find_prototypes(features, data, split="test")


def test_fewer_examples_than_k_a_constant_and_a_silent_feature():
    values = np.random.default_rng(0).normal(size=(6, 3))
    values[:, 1] = 0.5
    with pytest.warns(UserWarning, match="constant"):
        features = arrays(values)
    found = find_prototypes(features, features=[0, 1, 2], k=9)
    assert (found.top[0] >= 0).sum() == 6
    assert (found.class_top[0] >= 0).sum() == 6
    assert found.constant.tolist() == [False, True, False]
    assert (found.top[1] == -1).all()
    assert np.isnan(found.top_activations[1]).all()
    assert len(found.to_frame()) == 24
    assert find_prototypes(features, k=1).features.tolist() == [0, 2]


def test_examples_that_share_the_lowest_activation_are_counted():
    values = np.maximum(np.random.default_rng(0).normal(size=(200, 2)), 0)
    found = find_prototypes(arrays(values), k=3)
    assert found.at_minimum.tolist() == (values == 0).sum(0).tolist()


def test_percentiles_follow_the_histogram():
    values = np.random.default_rng(0).normal(size=(2000, 1))
    found = find_prototypes(arrays(values))
    standard = (values - values.mean()) / values.std()
    for at in (-2.0, 0.0, 1.3):
        assert abs(found.percentile(0, at) - 100 * (standard < at).mean()) < 1.5


def test_sentences_are_kept_as_text():
    values = np.random.default_rng(0).normal(size=(5, 2))
    found = find_prototypes(arrays(values), ["<b>a", "b", "c", "d", "e"], k=1)
    assert found.pictures is None
    assert set(found.sentences) <= {"<b>a", "b", "c", "d", "e"}


def test_saved_loaded_tabled_and_drawn(tmp_path):
    model, data = Pictures(), pictures()
    found = find_prototypes(features_of(model, data), data, k=2)
    again = Prototypes.load(found.save(tmp_path / "prototypes"))
    assert np.array_equal(again.top, found.top)
    assert again.to_frame().equals(found.to_frame())
    assert len(again.plot().data) == 6 * (3 + 4)
    assert len(again.plot(["feature 2"]).data) == 3 + 4
    with pytest.raises(InputError, match="Did you mean"):
        again.plot(["feature x"])


def test_bad_input_is_refused_and_the_model_stays_as_it_was():
    model, data = Pictures(), pictures()
    features = features_of(model, data)
    with untouched(model):
        for arguments, says in (
            ((model,), "of a live model need its data"),
            ((model, iter([data])), "read only once"),
            ((model, torch.zeros(0, 3, 8, 8)), "at least one example|empty"),
            ((features, {"a": 1}), "Dataset of"),
        ):
            with pytest.raises((InputError, StopIteration), match=says):
                find_prototypes(*arguments)
        with pytest.raises(InputError, match="Did you mean"):
            find_prototypes(features, features="feature_1")
        with pytest.raises(InputError, match="see the 6 features"):
            find_prototypes(Pictures(features=4), data, units=features)

        def cancel(progress):
            if progress.done:
                raise Cancelled

        with pytest.raises(Cancelled):
            find_prototypes(model, data, batch_size=5, progress=cancel)
