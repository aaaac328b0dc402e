"""The order of features along the path, with what they stand for."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.interpret import FeatureOrder, feature_order
from tests.interpret.models import Pictures, features_of, pictures


def path_of(p=6, n=120, seed=0, labels=None, **options):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, p))
    values[:, -1] = 0.5
    if labels is None:
        labels = (values[:, :3] + 0.5 * rng.normal(size=(n, 3))).argmax(1)
    with pytest.warns(UserWarning, match="constant"):
        features = sdw.DeepFeatures.from_arrays(values, labels, class_names=options.pop("class_names", None))
    return sdw.elastic_net_path(features, n_lambdas=25, eps=0.02, **options)


def test_each_feature_stands_where_it_first_has_a_weight():
    path = path_of(p=12)
    order = feature_order(path, 1)
    seen: list[int] = []
    for k in range(path.n_lambdas):
        weights = path.weights_at(k)[1]
        new = [j for j in np.flatnonzero(weights) if j not in seen]
        seen += sorted(new, key=lambda j: (-abs(weights[j]), j))
    assert order.features.tolist() == seen
    assert sorted([*seen, *order.never]) == list(range(12))
    frame = order.to_frame()
    for row in frame.itertuples():
        column = path.class_path(1)[:, row.feature]
        assert row.rank == seen.index(row.feature) + 1
        assert row.index == np.flatnonzero(column)[0] == order.entered[row.rank - 1]
        assert path.accuracies[row.index].tolist()[:2] == [row.train_accuracy, row.validation_accuracy]
        assert row.sign == np.sign(column[row.index])
        assert (row.entering_weight, row.final_weight) == (column[row.index], column[-1])
        assert row.features_of_class == np.count_nonzero(path.weights_at(row.index)[1])


def test_features_that_never_enter_are_told_in_words_also_in_the_picture():
    path = path_of(n=60, max_features=2)
    order = feature_order(path, 0)
    assert 5 in order.never
    assert f"{len(order.never)} never enter" in order.said()
    assert "feature 5; 1 of them cannot, being constant." in order.said()
    texts = " ".join(note.text for note in order.plot().layout.annotations).replace("<br>", " ")
    assert order.said() in texts
    assert "the first is shown" in feature_order(path, 0, n_features=1).said()


def test_a_class_without_any_feature_still_has_its_picture():
    path = path_of(lambdas=[10.0])
    order = feature_order(path, 2)
    assert order.said().startswith("0 of 6 features enter. 6 never enter")
    assert len(order.to_frame()) == 0
    assert order.plot().layout.height > 200
    assert "first none" in repr(order)


def decoded(source):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


@pytest.mark.filterwarnings("ignore:.* features are constant")
def test_pictures_are_those_of_each_features_own_interpretations(tmp_path):
    model, data = Pictures(), pictures(90)
    features = features_of(model, data)
    path = sdw.elastic_net_path(features, n_lambdas=15, eps=0.01, validation=0.2)
    order = feature_order(path, 0)
    few = order.features[:2]
    prototypes = sdw.find_prototypes(features, data, features=few, k=3)
    lime = sdw.lime_prototypes(model, prototypes, features, n_samples=70)
    made = sdw.visualize_features(model, data, features, features=few[1:2], n_steps=3, signs=(1, -1))
    order = feature_order(path, 0, prototypes, lime, made, n_features=3)
    assert order.columns == ("most active", "most active", "LIME", "visualised", "least active")
    assert order.pictures.shape == (3, 5, 64, 64, 3)
    for s, j in enumerate(few):
        row = prototypes.top[prototypes.place(int(j)), 1]
        expected = np.rint(255 * data[0][row].numpy()).astype(np.uint8).transpose(1, 2, 0)
        assert np.array_equal(order.pictures[s, 1, ::4, ::4], expected)
        best = int(lime.activations[:, s].argmax())
        assert np.array_equal(order.pictures[s, 2, ::4, ::4], lime.overlay(best, int(j)))
        assert order.notes[s][2] == ("poor fit" if lime.poor[best, s] else f"R² {lime.r2[best, s]:.2f}")
    assert [bool(notes[3]) for notes in order.notes] == [False, True, False]
    assert order.notes[2] == ("",) * 5
    again = FeatureOrder.load(order.save(tmp_path / "order"))
    assert again.to_frame().equals(order.to_frame())
    figure = again.plot()
    assert len(figure.layout.images) == 2 * 3 + 2
    assert np.array_equal(decoded(figure.layout.images[0].source), order.pictures[0, 0])
    assert len(again.plot(1, dark=True).layout.images) == 3
    assert again.plot(1).layout.paper_bgcolor == "rgba(0,0,0,0)"  # it follows the page
    assert again.plot(1, dark=False).layout.paper_bgcolor == "#FFFFFF"


def test_words_of_text_features_are_those_of_their_clouds_and_stay_text():
    torch.set_num_threads(1)
    demo = sdw.load_demo("tickets")
    features = sdw.extract_features(demo.model, demo.train)
    path = sdw.elastic_net_path(features, n_lambdas=20, eps=0.05)
    order = feature_order(path, "returns")
    few = order.features[:3]
    sentences = [*demo.clean_test.sentences[:25], "<script>alert(1)</script> <b>fonar</b>"]
    found = sdw.lime_text(
        demo.model, sentences, features, tokenizer=demo.test.tokenizer, features=few, n_samples=60
    )
    prototypes = sdw.find_prototypes(features, demo.train, features=few)
    order = feature_order(path, "returns", found, prototypes, n_features=5)
    clouds = sdw.word_clouds(found)
    for s, j in enumerate(few):
        assert order.raising[s] == tuple(word for word, _ in clouds.cloud(int(j))[:12])
        assert order.lowering[s] == tuple(word for word, _ in clouds.cloud(int(j), "negative")[:12])
        assert order.sentences[s] == demo.train.sentences[prototypes.top[s, 0]]
    assert order.pictures is None
    assert order.to_frame()["raised_by"].tolist()[3:] == [""] * (len(order.features) - 3)
    assert "fonar" in order.plot().to_json()
    strange = feature_order(path, "returns", sdw.word_clouds(found))
    object.__setattr__(strange, "raising", (("<script>", "<b>x</b>"), *strange.raising[1:]))
    assert "<script>" not in strange.plot().to_json()


def test_binomial_and_gaussian_paths_and_paths_without_validation():
    labels = np.arange(120) % 2
    two = path_of(labels=labels, class_names=("no", "yes"), family="binomial")
    no, yes = feature_order(two, 0), feature_order(two, "yes")
    assert (no.class_name, yes.class_name) == ("no", "yes")
    np.testing.assert_array_equal(no.features, yes.features)
    np.testing.assert_array_equal(no.weights, -yes.weights)
    target = np.random.default_rng(1).normal(size=120)
    straight = feature_order(path_of(labels=target, family="gaussian"), 0)
    assert any("R²" in text for text in straight.plot().layout.yaxis.ticktext)
    alone = sdw.elastic_net_path(np.random.default_rng(0).normal(size=(60, 4)), labels[:60], validation=0)
    order = feature_order(alone, 0)
    assert order.split == 0
    assert "training" in order.plot().layout.yaxis2.title.text


def test_names_are_shown_as_text():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    features = sdw.DeepFeatures.from_arrays(
        x, (x[:, 0] > 0).astype(int), feature_names=("<script>a", "b"), class_names=("<i>no", "<i>yes")
    )
    drawn = feature_order(sdw.elastic_net_path(features, n_lambdas=8), "<i>yes").plot().to_json()
    assert "<script>" not in drawn
    assert "<i>yes" not in drawn


def test_bad_input_is_refused():
    path = path_of()
    model, data = Pictures(features=8), pictures()
    others = sdw.find_prototypes(features_of(model, data), data, features=[7])
    never = sdw.find_prototypes(features_of(model, data), data, features=[5])
    for arguments, options, says in (
        (("path", 0), {}, "be a RegularizationPath"),
        ((path, 9), {}, "class_index"),
        ((path, "class x"), {}, "No class of this path is called"),
        ((path, 0, path), {}, "be one of Prototypes"),
        ((path, 0, others), {}, "be of the path's 6 features"),
        ((path, 0, never), {}, "hold one of the features that enter"),
        ((path, 0), {"n_features": 0}, "n_features"),
        ((path, 0), {"n_prototypes": 0}, "n_prototypes"),
    ):
        with pytest.raises(InputError, match=says):
            feature_order(*arguments, **options)
    with pytest.raises(InputError, match="the order of features"):
        feature_order(path, 0).place(5)


def test_what_the_bound_on_weights_leaves_undecided_is_marked(tmp_path):
    exact, loose = path_of(p=12), path_of(p=12, tol=1e-3)
    order = feature_order(exact, 1)
    assert not order.undecided.any()
    assert order.to_frame()["proved"].all()
    assert "~" not in order.said()
    assert "~" not in str(order.plot().layout.yaxis.ticktext)
    open_ = feature_order(loose, 1)
    earliest, latest = open_.entry_ranges
    assert (earliest <= open_.entered).all()
    assert (open_.entered <= latest).all()
    assert open_.undecided.any()
    assert f"({int(open_.undecided.sum())} of them with ~" in open_.said()
    marked = ["~ λ" in text for text in open_.plot().layout.yaxis.ticktext]
    assert marked == open_.undecided.tolist()
    again = FeatureOrder.load(open_.save(tmp_path / "order.safetensors"))
    np.testing.assert_array_equal(again.entry_ranges, open_.entry_ranges)
    # Where the exact path is inside the loose one's range, the range was right.
    inside = exact.entry_range(1)[:, open_.features]
    assert (earliest <= inside[0]).all()
    assert (inside[1] <= latest).all()
