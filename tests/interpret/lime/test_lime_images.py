import itertools

import numpy as np
import pytest
import torch
from lime.lime_image import LimeImageExplainer
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.interpret import ImageExplanations, find_prototypes, lime_images, lime_prototypes
from sparse_debug_widgets.interpret.lime.lime_images import _KIND, sample_design
from sparse_debug_widgets.interpret.lime.segments import segment
from tests.contracts.untouched import untouched
from tests.interpret.models import Pictures, features_of, pictures


class Counting(Pictures):
    """Counts the pictures that pass through."""

    seen = 0

    def forward(self, inputs):
        Counting.seen += len(inputs)
        return super().forward(inputs)


class SameSamples:
    """Stands in for lime's random state: draws what we drew."""

    def __init__(self, design):
        self.design = design

    def randint(self, low, high, size):
        assert (low, high, size) == (0, 2, self.design.size)
        return self.design.astype(int).ravel()


@pytest.mark.parametrize(("hide", "theirs"), [("mean", None), (0.0, 0)])
@pytest.mark.parametrize("answer", ["tensor", "dict"])
def test_equals_the_lime_package_on_every_feature(hide, theirs, answer, capsys):
    model, data = Pictures(answer=answer), pictures()
    features = features_of(model, data)
    picture = data[0][0].numpy()
    ours = lime_images(model, picture, features, n_samples=150, hide=hide, seed=3)
    explainer = LimeImageExplainer()
    explainer.random_state = SameSamples(sample_design(150, 64, seed=3))

    def standardised(batch):
        with torch.no_grad():
            x = torch.from_numpy(batch).permute(0, 3, 1, 2).float()
            raw = model.conv(x).relu().mean((2, 3)).double().numpy()
        return (raw - features.mean) / features.scale

    peer = explainer.explain_instance(
        picture.transpose(1, 2, 0).astype(np.float64),
        standardised,
        labels=range(6),
        top_labels=None,
        hide_color=theirs,
        num_samples=150,
        segmentation_fn=lambda _: segment(picture, "grid"),
        random_seed=0,
    )
    capsys.readouterr()
    for j in range(6):
        weights = dict(peer.local_exp[j])
        assert np.abs(ours.weights[0, j] - [weights[k] for k in range(64)]).max() < 1e-6
        assert abs(ours.intercepts[0, j] - peer.intercept[j]) < 1e-6
    assert abs(ours.r2[0, 5] - peer.score) < 1e-6
    assert abs(ours.predictions[0, 5] - peer.local_pred[0]) < 1e-6


def test_all_features_cost_the_passes_of_one_and_a_cache_costs_none(tmp_path):
    model, data = Counting(), pictures()
    features = features_of(model, data)
    Counting.seen = 0
    options = {"n_samples": 200, "cache": tmp_path, "seed": 1}
    every = lime_images(model, data[0][:2], features, **options)
    assert Counting.seen <= 1.05 * 400
    Counting.seen = 0
    again = lime_images(model, data[0][:2], features, features=[4, 1], **options)
    assert Counting.seen <= 2
    assert np.array_equal(again.weights, every.weights[:, [4, 1]])
    with torch.no_grad():
        model.conv.bias += 1
    Counting.seen = 0
    lime_images(model, data[0][:2], features, **options)
    assert Counting.seen >= 400


def test_a_damaged_cache_file_is_computed_anew(tmp_path):
    model, data = Pictures(), pictures()
    features = features_of(model, data)
    whole = lime_images(model, data[0][0], features, n_samples=80, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(
        lime_images(model, data[0][0], features, n_samples=80, cache=tmp_path).weights, whole.weights
    )


def forgeries(arrays):
    """Arrays of an answer with a valid checksum that no explanation can have, by what is wrong."""
    weights = arrays["weights"]
    yield "a feature less", arrays | {name: array[1:] for name, array in arrays.items()}
    yield "a part less", arrays | {"weights": weights[:, 1:]}
    yield "one number", arrays | {"intercepts": np.array(0.0)}
    yield "not finite", arrays | {"weights": np.full_like(weights, np.nan)}
    yield "text", arrays | {"raw": np.zeros(len(weights), np.int64)}
    yield "an R2 of 7", arrays | {"r2": np.full(len(weights), 7.0)}
    yield "a field less", {name: array for name, array in arrays.items() if name != "r2"}


def test_a_forged_cache_file_is_computed_anew(tmp_path):
    model, data = Counting(), pictures()
    features = features_of(model, data)
    whole = lime_images(model, data[0][0], features, n_samples=80, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    kind, schema = _KIND, 1
    head, arrays = storage.read(path, kind=kind, schema=schema)
    for what, forged in forgeries(arrays):
        storage.write(path, kind=kind, schema=schema, head=head, arrays=forged)
        again = lime_images(model, data[0][0], features, n_samples=80, cache=tmp_path)
        assert np.array_equal(again.weights, whole.weights), what
        assert np.array_equal(again.r2, whole.r2), what
    Counting.seen = 0
    lime_images(model, data[0][0], features, n_samples=80, cache=tmp_path)
    assert Counting.seen < 80, "the last good answer is in the cache"


def test_seeds_decide_chunks_and_company_do_not():
    model, data = Pictures(), pictures()
    features = features_of(model, data)
    options = {"n_samples": 90, "seed": 5}
    together = lime_images(model, data[0][:3], features, **options)
    alone = lime_images(model, data[0][1], features, chunk_size=7, **options)
    assert np.allclose(together.weights[1], alone.weights[0], atol=1e-5)
    other = lime_images(model, data[0][1], features, n_samples=90, seed=6)
    assert not np.allclose(other.weights, alone.weights, atol=1e-3)


class Corner(nn.Module):
    """A feature that sees the lower right quarter only, one that sees nothing, one that is a product."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        corner = x[:, :, 8:, 8:].mean((1, 2, 3))
        parity = torch.cos(40 * x.mean((1, 2, 3)))
        return self.fc(torch.stack([corner, 0 * corner, parity], 1))


@pytest.mark.filterwarnings("ignore:1 of 3 features are constant")
def test_finds_the_part_that_matters_and_marks_features_it_cannot_explain():
    model, data = Corner(), pictures(60)
    features = features_of(model, data)
    found = lime_images(model, data[0][0], features, features=[0, 1, 2], hide=0.0, repeats=3)
    truth = np.zeros((16, 16), bool)
    truth[8:, 8:] = True
    assert np.array_equal(found.mask(0, 0, share=0.3), truth)
    assert found.poor.tolist() == [[False, True, True]]
    assert np.isnan(found.r2[0, 1])
    assert not found.weights[0, 1].any()
    assert found.stability[0, 0] > 0.95 > found.stability[0, 2]
    assert np.isnan(found.stability[0, 1])
    assert found.mask(0, 0, n=3).sum() == 3 * 4
    assert not (found.mask(0, 0, n=64, sign=-1) & truth).any()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [8, 28, 100])
@pytest.mark.parametrize("kind", ["auto", "grid", "slic", "quickshift"])
def test_segments_of_any_size_and_channel_count(channels, size, kind):
    picture = pictures(1, channels, size)[0][0].numpy()
    parts = segment(picture, kind)
    assert parts.shape == (size, size)
    assert np.array_equal(np.unique(parts), np.arange(parts.max() + 1))
    if kind == "grid":
        assert parts.max() + 1 in {49, 64}


def test_grid_cells_are_square_in_pictures_that_are_not():
    parts = segment(np.zeros((1, 32, 64), np.float32), "grid")
    assert parts.max() + 1 == 8 * 16
    assert np.bincount(parts.ravel()).tolist() == [16] * 128
    assert segment(np.zeros((3, 64, 64)), "grid", 16).max() == 15


def test_one_segment_and_fewer_samples_than_segments():
    model, data = Pictures(), pictures()
    features = features_of(model, data)
    one = lime_images(model, data[0][0], features, segments=np.zeros((16, 16), int), n_samples=50)
    assert one.weights.shape == (1, 6, 1)
    assert one.mask(0, int(features.alive.argmax()), n=1).shape == (16, 16)
    with pytest.warns(UserWarning, match="20 samples for up to 64"):
        few = lime_images(model, data[0][0], features, n_samples=20)
    assert (few.r2 > few.r2_left_out).all()


def test_prototypes_are_explained_top_and_bottom_best_first():
    model, data = Pictures(), pictures()
    features = features_of(model, data)
    found = find_prototypes(features, data, k=3)
    explained = lime_prototypes(model, found, features, k=1, n_samples=70, features=[2, 4])
    ends = [found.top[2, 0], found.top[4, 0], found.bottom[2, 0], found.bottom[4, 0]]
    assert explained.rows.tolist() == list(dict.fromkeys(ends))
    first = explained.rows.tolist().index(found.top[2, 0])
    assert np.isclose(explained.activations[first, 0], found.top_activations[2, 0], atol=1e-4)
    with pytest.raises(InputError, match="Pass the data set"):
        lime_prototypes(model, find_prototypes(features), features)


def test_the_layer_of_a_path_says_which_features_are_meant(monkeypatch):
    model, data = Pictures(), pictures(90)
    features = sdw.extract_features(model, data, validation=0.3)
    path = sdw.elastic_net_path(features, n_lambdas=5)
    used = np.flatnonzero((path.weights_at(4) != 0).any(0))
    monkeypatch.setattr(type(path), "select", lambda _: 4)
    assert len(used) > 0
    assert lime_images(model, data[0][0], path, n_samples=70).features.tolist() == used.tolist()


def test_saved_loaded_tabled_and_drawn(tmp_path):
    model, data = Pictures(), pictures(channels=3)
    found = lime_images(model, data[0][:4], features_of(model, data), n_samples=70)
    again = ImageExplanations.load(found.save(tmp_path / "lime"))
    assert np.array_equal(again.weights, found.weights)
    assert len(again.to_frame()) == 24
    assert len(again.plot(["feature 1", 3]).data) == 2 * 3 * 2
    assert again.overlay(0, 0).shape == (16, 16, 3)
    assert set(np.unique(again.heatmap(1, 2))) <= set(again.weights[1, 2])


def test_model_is_left_as_it_was_also_by_cancelling_and_by_errors():
    model, data = Pictures().train(), pictures()
    features = features_of(model, data)
    counter = itertools.count()

    def cancel(_):
        if next(counter) == 2:
            raise Cancelled

    with untouched(model):
        lime_images(model, data[0][:2], features, n_samples=70)
        with pytest.raises(Cancelled):
            lime_images(model, data[0][:2], features, n_samples=90, chunk_size=10, progress=cancel)
        for images, options, says in (
            (data[0][0, 0, 0], {}, "hold pictures"),
            (data[0][:0], {}, "at least one picture"),
            (torch.full((3, 8, 8), torch.nan), {}, "finite pixels"),
            (data[0][0], {"segments": "slik"}, "Did you mean 'slic'"),
            (data[0][0], {"segments": np.zeros((4, 4), int)}, "whole numbers of shape"),
            (data[0][0], {"n_samples": 1}, "at least 2"),
            (data[0][0], {"hide": np.inf}, "finite number"),
            (data[0][0], {"features": "feature_3"}, "Did you mean"),
            (data[0][0], {"features": [1, 1]}, "Name each feature once"),
            (data[0][:2], {"rows": [1]}, "2 whole numbers"),
        ):
            with pytest.raises(InputError, match=says):
                lime_images(model, images, features, **{"n_samples": 70, **options})
        with pytest.raises(InputError, match="be DeepFeatures or a RegularizationPath"):
            lime_images(model, data[0][0], "features")


def test_a_model_whose_answer_holds_no_logits_is_refused():
    class Odd(Pictures):
        def forward(self, inputs):
            return {"answer": super().forward(inputs)}

    data = pictures()
    features, odd = features_of(Pictures(), data), Odd()
    with untouched(odd), pytest.raises(InputError, match="logits"):
        lime_images(odd, data[0][0], features, n_samples=70)


def test_parts_that_matter_are_seen_in_the_overlay_on_light_dark_and_coloured_pictures() -> None:
    """An orange or blue that stands out from the grey of the rest, whatever the picture is like."""
    weights = np.array([[[1.0, -1.0, 0.3, 0.01]]])
    segments = np.repeat(np.arange(4), 16).reshape(1, 8, 8).astype(np.int32)
    blank = np.zeros((1, 1))
    for level in (0.02, 0.5, 0.98):
        made = ImageExplanations(
            provenance=Provenance(method="by hand"),
            rows=np.arange(1),
            pictures=np.full((1, 3, 8, 8), level, np.float32),
            segments=segments,
            n_segments=np.array([4]),
            features=np.array([0]),
            feature_names=("a",),
            weights=weights,
            intercepts=blank,
            activations=blank,
            predictions=blank,
            r2=blank,
            r2_left_out=blank,
            stability=blank,
        )
        shown = made.overlay(0, 0).astype(int).reshape(4, 16, 3)[:, 0]
        saturation = shown.max(1) - shown.min(1)
        assert saturation[0] > 45
        assert saturation[1] > 45
        assert saturation[2] > 25
        assert saturation[3] <= 2  # a hundredth of the largest is noise
        assert shown[0, 0] > shown[0, 2]  # orange raises
        assert shown[1, 2] > shown[1, 0]  # blue lowers
