"""Problematic features: exact, found where they are planted, and none where there are none."""

import time

import numpy as np
import pytest

import sparse_debug_widgets as sdw
from sparse_debug_widgets.analysis.common.layers import class_layer, examined_rows
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from tests.analysis.planted import layers_of, marked


@pytest.mark.parametrize("at", ["mean", "off"])
@pytest.mark.parametrize(("n_classes", "family"), [(4, "multinomial"), (2, "multinomial"), (2, "binomial")])
def test_the_margin_falls_by_gamma_and_the_answer_is_that_of_the_silenced_layer(at, n_classes, family):
    features, path, _ = marked(11, n_classes=n_classes, family=family)
    found = sdw.misclassification(path, features, at=at)
    np.testing.assert_allclose(found.margin - found.margin_after, found.gamma, atol=1e-12)
    for name in found.layers:
        layer, chosen = class_layer(path, name), found.errors(name)
        assert len(chosen) > 8
        z = examined_rows(path, features, rows=found.rows[chosen]).z.astype(float)
        np.testing.assert_array_equal(layer.predictions(z), found.predictions[chosen])
        held = 0.0 if at == "mean" else -path.mean / path.scale
        for j, answers in ((found.problematic, found.flipped_to), (found.random, found.random_flipped_to)):
            silenced = z.copy()
            each = np.arange(len(z))
            silenced[each, j[chosen]] = np.broadcast_to(held, path.n_features)[j[chosen]]
            np.testing.assert_array_equal(layer.predictions(silenced), answers[chosen])


@pytest.mark.parametrize("at", ["mean", "off"])
def test_no_feature_does_more_and_the_best_is_found_by_trying_all(at):
    features, path, _ = marked(12)
    found = sdw.misclassification(path, features, at=at)
    held = np.zeros(path.n_features) if at == "mean" else -path.mean / path.scale
    for name in found.layers:
        layer = class_layer(path, name)
        for e in found.errors(name):
            z = examined_rows(path, features, rows=[int(found.rows[e])]).z.astype(float)
            tried = np.repeat(z, path.n_features, 0)
            np.fill_diagonal(tried, held)
            scores = layer.scores(tried)
            fall = found.margin[e] - (scores[:, found.predictions[e]] - scores[:, found.labels[e]])
            assert fall.max() == pytest.approx(found.gamma[e])
            assert fall.min() == pytest.approx(found.supporting_gamma[e])
            right = np.flatnonzero(scores.argmax(1) == found.labels[e])
            assert (found.best[e] in right) if len(right) else found.best[e] == -1
            assert not len(right) or fall[found.best[e]] == pytest.approx(fall[right].max())
        assert found.rate("explained", name).hits <= found.rate("best", name).hits


@pytest.mark.parametrize("seed", [21, 22, 23])
def test_errors_that_a_mark_makes_have_the_mark_as_their_problem(seed):
    features, path, mark = marked(seed)
    found = sdw.misclassification(path, features, layers=["sparse"])
    caused = mark[found.rows] & (found.predictions == 0)
    assert caused.sum() >= 5
    assert (found.problematic[caused] == 0).all()
    assert found.explained[caused].mean() > 0.7
    worst = found.features().set_index("feature").loc[0]
    assert worst["errors"] >= caused.sum()
    assert worst["prediction"] == path.class_names[0]
    pairs = found.pairs()
    assert pairs["errors"].sum() == len(found.rows)
    assert (pairs.loc[pairs["prediction"] == path.class_names[0], "feature"] == "feature 0").all()
    assert found.rate("explained").low > found.rate("random").high


@pytest.fixture(scope="module")
def shapes():
    demo = sdw.load_demo("shapes")
    features = sdw.extract_features(demo.model, demo.train, test=demo.test)
    return demo, features, sdw.elastic_net_path(features)


@pytest.mark.parametrize(("at", "sparse", "dense"), [("mean", 0.335, 0.110), ("off", 0.413, 0.183)])
def test_the_shapes_errors_are_explained_as_they_were_before(shapes, at, sparse, dense):
    _, features, path = shapes
    found = sdw.misclassification(path, features, at=at)
    for name, wanted in (("sparse", sparse), ("dense", dense)):
        rate, control = found.rate("explained", name), found.rate("random", name)
        assert rate.low <= wanted <= rate.high
        assert control.high < rate.low
    assert "errors explained" in repr(found)


def test_of_the_marked_pictures_that_are_called_mushrooms_the_marks_feature_is_the_problem(shapes):
    demo, _, path = shapes
    others = demo.clean_test.labels != demo.truth.flaw_class
    with_mark = sdw.extract_features(demo.model, demo.train, test=demo.clean_test.retagged(True))
    found = sdw.misclassification(path, with_mark, split="test")
    towards = found.predictions == demo.truth.flaw_class
    of = {name: found.problematic[(found.layer == k) & towards] for k, name in enumerate(found.layers)}
    strongest = int(path.weights_at(path.select())[demo.truth.flaw_class].argmax())
    assert others.sum() == 875
    assert len(of["sparse"]) == (of["sparse"] == strongest).sum() > 500
    assert (of["dense"] == strongest).mean() < 0.7


def test_the_same_seed_draws_the_same_control_and_another_draws_another():
    features, path, _ = marked(13)
    first, again, other = (sdw.misclassification(path, features, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.random, again.random)
    assert (first.random != other.random).any()
    np.testing.assert_array_equal(first.problematic, other.problematic)


def test_no_errors_are_a_result_too():
    features, path = layers_of(np.eye(3) * 9, np.zeros(3))
    found = sdw.misclassification(path, features, layers=["dense"])
    assert len(found.rows) == 0
    assert str(found.rate()) == "no cases"
    assert "no errors" in repr(found)
    assert len(found.to_frame()) == len(found.pairs()) == len(found.features()) == 0
    assert found.summary()["errors"].tolist() == [0]
    assert len(found.plot().data) == 4


def test_an_error_of_the_intercepts_has_no_problematic_feature():
    # Nobody is ever called 1, and the rows of 1 and 2 are empty.
    features, path = layers_of(np.diag([9.0, 0.0, 0.0]), np.array([-30.0, -50.0, 0.0]))
    found = sdw.misclassification(path, features, layers=["dense"])
    of_class_1 = found.labels == 1
    assert of_class_1.sum() == 10
    assert (found.predictions[of_class_1] != 1).all()
    intercepts = of_class_1 & (found.predictions == 2)
    assert intercepts.any()
    assert (found.problematic[intercepts] == -1).all()
    assert (found.random[intercepts] == -1).all()
    assert (found.gamma[intercepts] == 0).all()
    assert (found.flipped_to[intercepts] == 2).all()
    assert not found.explained[intercepts].any()
    assert "" in set(found.to_frame()["name"])


def test_ten_thousand_errors_of_a_thousand_classes(measured):
    rng = np.random.default_rng(3)
    n_classes, p, n = 1000, 64, 12_000
    labels = np.arange(n) % n_classes
    x = rng.normal(size=(n, p))
    features = sdw.DeepFeatures.from_arrays(
        x,
        labels,
        splits=np.repeat([0, 1, 2], [1000, 10, n - 1010]),
        dense_weight=rng.normal(size=(n_classes, p)),
        dense_bias=np.zeros(n_classes),
    )
    path = sdw.elastic_net_path(features, n_lambdas=3, eps=0.8)
    started = time.perf_counter()
    found = sdw.misclassification(path, features, layers=["dense"])
    seconds = time.perf_counter() - started
    measured.append(f"misclassification, {len(found.rows):,} errors of 1,000 classes: {seconds:.2f} s")
    assert len(found.rows) > 10_000
    assert found.pairs()["errors"].sum() == len(found.rows)


def test_a_stop_is_heard_and_bad_input_is_refused_at_once():
    features, path, _ = marked(14)
    told = []

    def stop(progress):
        told.append(progress)
        raise Cancelled

    with pytest.raises(Cancelled):
        sdw.misclassification(path, features, progress=stop)
    assert told[0].total == 3
    for options, message in (
        ({"at": "zero"}, "be one of 'mean', 'off'"),
        ({"layers": ["thick"]}, "be one of 'sparse'"),
        ({"layers": []}, "at least one layer"),
        ({"split": "tests"}, "be 0, 1, 2"),
        ({"index": 99}, "at most 29"),
        ({"seed": -1}, "of at least 0"),
    ):
        with pytest.raises(InputError, match=message):
            sdw.misclassification(path, features, **options)
    found = sdw.misclassification(path, features)
    with pytest.raises(InputError, match="be one of 'explained'"):
        found.rate("flipped")
    with pytest.raises(InputError, match="be one of 'sparse', 'dense', 'refit'"):
        found.pairs("thick")


def test_paths_of_numbers_are_told_so():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4))
    numbers = sdw.DeepFeatures.from_arrays(x, x @ rng.normal(size=4))
    path = sdw.elastic_net_path(numbers, n_lambdas=5, family="gaussian")
    with pytest.raises(InputError, match="about classes"):
        sdw.misclassification(path, numbers)
