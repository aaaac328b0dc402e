import itertools

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.interpret import Visualizations, visualize_features
from sparse_debug_widgets.interpret.visualize.colours import learn_colours
from sparse_debug_widgets.interpret.visualize.image_parameters import PARAMETERS
from tests.contracts.untouched import untouched
from tests.interpret.models import Pictures, features_of, pictures


@pytest.mark.filterwarnings("ignore:.* features are constant")
@pytest.mark.parametrize("parameters", list(PARAMETERS))
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 17), (4, 12)])
def test_any_channel_count_and_size_both_signs_beyond_real_data(parameters, channels, size):
    # Smooth pictures of different brightness, as real ones are.
    coarse, labels = pictures(60, channels, 3)
    data = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear"), labels
    model = Pictures(channels)
    features = features_of(model, data)
    found = visualize_features(model, data, features, signs=(1, -1), parameters=parameters, n_steps=100)
    assert found.pictures.shape == (len(found.features), 2, channels, size, size)
    assert found.pictures.min() >= 0
    assert found.pictures.max() <= 1
    if parameters != "pixel":
        # Separate pixels cannot wake the parts of a picture in which an untrained feature rests.
        assert (found.activations[:, 0] > found.extremes[:, 0]).all()
        assert (found.activations[:, 1] < found.activations[:, 0]).all()
    with torch.no_grad():
        raw = model.conv(torch.tensor(found.pictures[:, 0])).relu().mean((2, 3)).numpy()
    own = raw[np.arange(len(raw)), found.features]
    expected = (own - features.mean[found.features]) / features.scale[found.features]
    assert np.allclose(found.activations[:, 0], expected, atol=1e-4)
    assert np.allclose(found.trace[:, :, -1], found.activations)


def test_plain_ascent_finds_the_optimum_of_a_linear_feature():
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
            self.fc = nn.Linear(1, 3)

        def forward(self, x):
            return self.fc(x.flatten(1) @ self.weights.T)

    model, data = Linear(), pictures(30, 1, 8)
    found = visualize_features(
        model, data, features_of(model, data), parameters="plain", n_steps=200, rate=0.2
    )
    assert np.array_equal(found.pictures[0, 0, 0].ravel() > 0.5, model.weights[0].numpy() > 0)
    assert np.isin(found.pictures.round(4), [0, 1]).mean() > 0.95


def test_a_picture_depends_on_its_seed_and_not_on_its_company():
    model, data = Pictures(), pictures()
    features = features_of(model, data)
    options = {"n_steps": 12, "seed": 3}
    together = visualize_features(model, data, features, signs=(1, -1), **options)
    alone = visualize_features(model, data, features, features=[4], signs=-1, chunk_size=1, **options)
    assert np.allclose(together.pictures[4, 1], alone.pictures[0, 0], atol=1e-3)
    other = visualize_features(model, data, features, features=[4], signs=-1, n_steps=12, seed=4)
    assert not np.allclose(other.pictures, alone.pictures, atol=1e-3)


class Stepping(Pictures):
    rows, calls = 0, 0

    def forward(self, inputs):
        Stepping.rows += len(inputs)
        Stepping.calls += 1
        return super().forward(inputs)


def test_ten_features_cost_one_batch_of_ten_a_step():
    model, data = Stepping(features=10), pictures()
    features = features_of(model, data)
    Stepping.calls = 0
    visualize_features(model, data, features, n_steps=200)
    assert Stepping.calls <= 1.1 * 200


def test_a_feature_that_rests_at_grey_is_woken_up():
    class Rare(nn.Module):
        """Fires where one small corner is bright and all else is dark."""

        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(1, 3)

        def forward(self, x):
            corner = x[:, :, :2, :2].mean((1, 2, 3))
            return self.fc((10 * corner - 10 * x.mean((1, 2, 3)) - 4).relu()[:, None])

    x, y = pictures(40, 1, 8)
    x[0] = 0
    x[0, :, :2, :2] = 1
    model = Rare()
    found = visualize_features(model, (x, y), features_of(model, (x, y)), n_steps=60)
    assert found.trace[0, 0, -1] > found.trace[0, 0, 0]
    assert found.pictures[0, 0, 0, :2, :2].mean() > 0.8


def test_colours_are_those_of_the_data():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(20, 2, 16, 16))
    data = np.stack([noise[:, 0], noise[:, 0] + 0.1 * noise[:, 1], noise[:, 1]], 1)
    colours = learn_colours(5 + data)
    sample = np.einsum("dc,ncx->dnx", colours.mix, rng.normal(size=(20, 3, 400))).reshape(3, -1)
    truth = np.corrcoef(data.transpose(1, 0, 2, 3).reshape(3, -1))
    assert np.abs(np.corrcoef(sample) - truth).max() < 0.05
    assert colours.low == (5 + data).min()
    inside = learn_colours(np.full((2, 1, 4, 4), 0.5))
    assert (inside.low, inside.high, inside.mean.tolist()) == (0.0, 1.0, [0.5])


@pytest.mark.parametrize("name", list(PARAMETERS))
@pytest.mark.parametrize("size", [(8, 8), (9, 12)])
def test_numbers_of_a_picture_give_it_back(name, size):
    x = 0.1 + 0.8 * pictures(3, 3, 12)[0][:, :, : size[0], : size[1]]
    streams = [torch.Generator().manual_seed(k) for k in range(3)]
    parameters = PARAMETERS[name]((3, *size), learn_colours(x.numpy()), streams)
    parameters.values = parameters.numbers_of(x)
    assert torch.allclose(parameters.pictures(), x, atol=1e-3)


@pytest.mark.filterwarnings("ignore:.* features are constant")
@pytest.mark.parametrize(
    ("demo", "kind"), [("digits", "fourier"), ("digits", "pixel"), ("digits-robust", "plain")]
)
def test_demo_features_end_beyond_real_data(demo, kind):
    loaded = sdw.load_demo(demo)
    features = sdw.extract_features(loaded.model, loaded.train)
    chosen = np.flatnonzero(features.alive)[::10]
    found = visualize_features(
        loaded.model, loaded.train, features, features=chosen, n_steps=150, parameters=kind
    )
    assert (found.activations > found.extremes).mean() >= 0.9


def test_saved_loaded_tabled_and_drawn(tmp_path):
    model, data = Pictures(), pictures()
    found = visualize_features(model, data, features_of(model, data), signs=(1, -1), n_steps=5, size=(8, 10))
    again = Visualizations.load(found.save(tmp_path / "pictures"))
    assert again.pictures.shape[2:] == (3, 8, 10)
    assert again.to_frame().equals(found.to_frame())
    assert len(again.plot(["feature 2"]).data) == 2


@pytest.mark.parametrize("answer", ["tuple", "dict"])
def test_model_is_left_as_it_was_also_by_cancelling_and_by_errors(answer):
    model, data = Pictures(answer=answer).train(), pictures()
    features = features_of(model, data)
    counter = itertools.count()

    def cancel(_):
        if next(counter) == 3:
            raise Cancelled

    with untouched(model):
        visualize_features(model, data, features, n_steps=3)
        with pytest.raises(Cancelled):
            visualize_features(model, data, features, n_steps=9, progress=cancel)
        for options, says in (
            ({"parameters": "furier"}, "Did you mean 'fourier'"),
            ({"signs": 0}, "be 1, -1 or both"),
            ({"signs": []}, "be 1, -1 or both"),
            ({"size": (4, 8)}, "at least 8"),
            ({"rate": 0}, "finite number"),
            ({"jiggle": -1}, "finite number"),
            ({"n_steps": 0}, "at least 1"),
            ({"features": "feature_1"}, "Did you mean"),
        ):
            with pytest.raises(InputError, match=says):
                visualize_features(model, data, features, **{"n_steps": 2, **options})
        with pytest.raises(InputError, match="at least one picture"):
            visualize_features(model, data[0][:0], features)


def test_a_model_without_a_gradient_says_so():
    class Cut(Pictures):
        def forward(self, inputs):
            return self.fc(self.conv(inputs.detach()).relu().mean((2, 3)))

    model, data = Cut(), pictures()
    with untouched(model), pytest.raises(InputError, match="have a derivative"):
        visualize_features(model, data, features_of(model, data), n_steps=2)
