"""x-features: the result keeps, names and draws what was found."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.progress import Cancelled, Progress
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.interpret.xfeatures.figure import overlay
from sparse_debug_widgets.interpret.xfeatures.maps import heat_maps
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe
from sparse_debug_widgets.interpret.xfeatures.srae.layer import read_layer
from sparse_debug_widgets.interpret.xfeatures.srae.srae import ExplanationWarning, fit_explanation
from sparse_debug_widgets.interpret.xfeatures.xfeatures import XFeatures, x_features
from sparse_debug_widgets.saliency import excitation
from tests.contracts.untouched import untouched

QUICK = Recipe(epochs=3, pretraining=2, retries=0)


def result(k: int = 3, n: int = 2) -> XFeatures:
    rng = np.random.default_rng(0)
    activations = rng.random((k, n)).astype(np.float32)
    weights = np.array([2.0, -1.0, 0.5][:n])
    return XFeatures(
        provenance=Provenance(method="x_features:srae", seed=0),
        images=rng.random((k, 3, 8, 8)).astype(np.float32),
        labels=np.zeros(k, np.int64),
        predictions=np.zeros(k, np.int64),
        class_index=0,
        class_names=("<b>cat</b>", "dog"),
        layer="fc",
        method="srae",
        activations=activations,
        weights=weights,
        bias=0.25,
        scores=rng.random(k),
        reconstructed=activations @ weights + 0.25,
        maps=rng.random((k, n, 4, 4)).astype(np.float32),
        baseline=rng.random((k, 4, 4)).astype(np.float32),
        mass=np.ones((k, n), np.float32),
        names=tuple(f"H{i + 1}" for i in range(n)),
        fidelity={"F_reg_test": 0.1, "F_cls_test": 1.0},
    )


def test_saved_and_loaded_it_is_the_same_with_the_names_a_person_gave(tmp_path: Path) -> None:
    named = result().renamed(1, " red   spot ")
    again = XFeatures.load(named.save(tmp_path / "x.safetensors"))
    assert again.names == ("H1", "red spot")
    assert again.fidelity == named.fidelity
    np.testing.assert_array_equal(again.maps, named.maps)
    np.testing.assert_allclose(again.contributions.sum(1) + again.bias, again.reconstructed, rtol=1e-6)


def test_table_and_picture_show_contributions_and_escape_names() -> None:
    found = result().renamed(0, "<img src=x>")
    frame = found.to_frame()
    assert len(frame) == 6
    np.testing.assert_allclose(frame["contribution"], frame["weight"] * frame["activation"], rtol=1e-6)
    text = found.plot(1).to_json()
    assert "<img" not in text
    assert "&lt;img" in text


@pytest.mark.parametrize(("index", "name"), [(2, "a"), (-1, "a"), (0, "  "), (0, "x" * 201)])
def test_a_name_needs_a_concept_and_a_text(index: int, name: str) -> None:
    with pytest.raises(InputError, match=r"must not be empty|must be one line of at most 200|at most 1"):
        result().renamed(index, name)


def test_a_picture_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="this gallery"):
        result().plot(3)


def test_an_empty_map_leaves_the_picture_and_a_strong_one_is_seen_where_it_is() -> None:
    pixels = np.full((8, 8, 3), 100, np.uint8)
    np.testing.assert_array_equal(overlay(pixels, np.zeros((4, 4))), pixels)
    heat = np.zeros((4, 4))
    heat[0, 0] = 1
    shown = overlay(pixels, heat)
    assert shown[0, 0].max() > 200
    np.testing.assert_array_equal(shown[4:, 4:], pixels[4:, 4:])


# ---------------------------------------------------------------- from a live model


def pictures(n: int = 90, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Class k is a bright quarter k of the picture."""
    rng = np.random.default_rng(seed)
    images = rng.random((n, 1, 8, 8)).astype(np.float32) * 0.3
    labels = np.arange(n) % 3
    for image, label in zip(images, labels, strict=True):
        top, left = divmod(int(label), 2)
        image[0, 4 * top : 4 * top + 4, 4 * left : 4 * left + 4] += 0.6
    return torch.from_numpy(images), torch.from_numpy(labels)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(24, 3)
    )
    optimizer = torch.optim.Adam(made.parameters(), lr=0.02)
    images, labels = pictures()
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(made(images), labels).backward()
        optimizer.step()
    return made.train()


def test_a_class_is_explained_and_the_model_left_as_it_was(model: nn.Module) -> None:
    seen: list[Progress] = []
    with untouched(model):
        found = x_features(
            model,
            pictures(),
            1,
            test=pictures(60, seed=1),
            n=3,
            gallery=7,
            recipe=QUICK,
            progress=seen.append,
        )
    assert found.images.shape == (7, 1, 8, 8)
    assert found.maps.shape == (7, 3, 8, 8)
    assert (found.maps >= 0).all()
    assert np.isfinite(found.maps).all()
    assert (found.labels == 1).all()
    assert (np.diff(found.scores) <= 0).all()
    assert found.names == ("H1", "H2", "H3")
    assert found.class_names == ("0", "1", "2") or len(found.class_names) == 3
    np.testing.assert_allclose(
        found.contributions.sum(1) + found.bias, found.reconstructed, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(found.mass, found.maps.sum((2, 3)), atol=1e-5)
    with torch.no_grad():
        scores = model(torch.from_numpy(found.images.copy()))[:, 1]
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)
    done = [one.done for one in seen]
    assert done == sorted(done)
    assert seen[-1].fraction == 1


def test_the_1_heatmap_is_excitation_backprop_from_the_score(model: nn.Module) -> None:
    found = x_features(model, pictures(), 0, n=2, gallery=4, method="nn", contrastive=False, recipe=QUICK)
    plain = excitation(model, found.images, units=0)
    np.testing.assert_allclose(found.baseline, plain.maps[:, 0], atol=1e-6)
    # Class 0 is the upper left quarter.
    assert found.baseline[:, :4, :4].sum() > found.baseline[:, 4:, 4:].sum()


def test_one_that_was_fitted_before_is_used_and_the_seed_fixes_everything(model: nn.Module) -> None:
    rows = read_layer(model, pictures())
    fitted = fit_explanation(rows, 2, n=2, recipe=QUICK)
    first = x_features(model, pictures(), 2, explanation=fitted, gallery=[5, 2])
    fresh = x_features(model, pictures(), 2, n=2, recipe=QUICK, gallery=[5, 2])
    np.testing.assert_array_equal(first.maps, fresh.maps)
    np.testing.assert_array_equal(first.images, pictures()[0][[5, 2]])
    with pytest.raises(InputError, match="of class 1"):
        x_features(model, pictures(), 1, explanation=fitted)


def test_layers_of_maps_are_explained_by_the_convolutional_network(model: nn.Module) -> None:
    found = x_features(model, pictures(), 0, layer="1", n=2, gallery=4, recipe=QUICK)
    assert found.layer == "1"
    assert found.maps.shape == (4, 2, 8, 8)
    assert found.activations.shape == (4, 2)


def test_the_lasso_shows_its_features_themselves(model: nn.Module) -> None:
    fitted = fit_explanation(read_layer(model, pictures()), 0, n=2, method="lasso")
    images = pictures()[0][:3]
    picked = fitted.network().encoder[0].weight.argmax(1).tolist()
    maps = heat_maps(model, images.numpy(), fitted, contrastive=False)
    expected = excitation(model, images, units=picked, layer="4", inputs=True)
    np.testing.assert_allclose(maps.units, expected.maps, atol=1e-6)


def test_dead_x_features_have_empty_maps_and_no_mass(model: nn.Module) -> None:
    fitted = fit_explanation(read_layer(model, pictures()), 0, n=2, recipe=QUICK)
    parameters = fitted.parameters.copy()
    network = fitted.network()
    place = sum(p.numel() for p in list(network.encoder.parameters())[:-1])
    parameters[place] = -1e3  # the bias of the first x-feature
    object.__setattr__(fitted, "parameters", parameters)
    maps = heat_maps(model, pictures()[0][:3].numpy(), fitted)
    assert not maps.units[:, 0].any()
    assert not maps.mass[:, 0].any()
    assert np.isfinite(maps.units).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_index": 3}, "class_index"),
        ({"class_index": "cat"}, "No class of this model is called"),
        ({"class_index": 0, "layer": "9"}, "has no layer '9'"),
        ({"class_index": 0, "gallery": 0}, "at least 1"),
        ({"class_index": 0, "gallery": [95]}, "rows in 0"),
        ({"class_index": 0, "n": 40}, "40 x-features need at least 40"),
    ],
)
def test_bad_arguments_leave_the_model_as_it_was(model: nn.Module, arguments: dict, message: str) -> None:
    with untouched(model), pytest.raises(InputError, match=message):
        x_features(model, pictures(), **({"recipe": QUICK} | arguments))


@pytest.mark.parametrize("after", [1, 8, 40])
def test_cancelled_at_any_moment_the_model_is_as_it_was(model: nn.Module, after: int) -> None:
    def stop(_: Progress) -> None:
        nonlocal after
        after -= 1
        if after < 0:
            raise Cancelled

    with untouched(model), pytest.raises(Cancelled):
        x_features(model, pictures(), 0, recipe=Recipe(epochs=60, retries=0), progress=stop)


def test_real_digits_by_name() -> None:
    demo = load_demo("digits")
    recipe = Recipe(epochs=8, pretraining=8, retries=0)
    found = x_features(demo.model, demo.train, "3", test=demo.test, gallery=6, method="sae", recipe=recipe)
    assert found.class_names[found.class_index] == "3"
    assert found.maps.shape == (6, 5, 8, 8)
    assert found.baseline.sum() > 0
    assert found.fidelity["F_cls_test"] > 0.9


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("layer", [None, "1"])
def test_a_model_in_half_or_double_has_the_x_features_of_its_twin_in_single(
    model: nn.Module, dtype: torch.dtype, layer: str | None
) -> None:
    # The twin has the very same weights, so that only the arithmetic of the model differs.
    narrow = copy.deepcopy(model).to(dtype)
    twin, (images, labels) = copy.deepcopy(narrow).float(), pictures()
    images = images.to(dtype)
    asked = {"layer": layer, "gallery": [0, 3, 6]}
    fitted = fit_explanation(read_layer(twin, (images.float(), labels), layer), 0, n=2, recipe=QUICK)
    expected = x_features(twin, (images.float(), labels), 0, explanation=fitted, **asked)
    found = x_features(narrow, (images, labels), 0, explanation=fitted, **asked)
    exact = dtype == torch.float64
    np.testing.assert_allclose(found.activations, expected.activations, rtol=1e-5 if exact else 0.05)
    difference = np.abs(found.maps - expected.maps).sum((2, 3)).max()
    assert difference < (1e-5 if exact else 0.1)  # of a mass of 1
    assert x_features(narrow, (images, labels), 0, n=2, recipe=QUICK, **asked).maps.any()


@pytest.mark.parametrize("place", ["autocast", "inference mode", "no gradients"])
@pytest.mark.parametrize("method", ["srae", "lasso"])
def test_where_it_is_called_from_makes_no_difference(model: nn.Module, place: str, method: str) -> None:
    asked = {"n": 2, "method": method, "gallery": [0, 1]} | ({"recipe": QUICK} if method == "srae" else {})
    expected = x_features(model, pictures(), 0, **asked)
    places = {
        "autocast": torch.autocast("cpu", torch.bfloat16),
        "inference mode": torch.inference_mode(),
        "no gradients": torch.no_grad(),
    }
    with places[place]:
        found = x_features(model, pictures(), 0, **asked)
    np.testing.assert_array_equal(found.activations, expected.activations)
    np.testing.assert_array_equal(found.maps, expected.maps)


class Attention(nn.Module):
    """One block of a transformer on patches of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 12, 4, stride=4)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.fc = nn.Linear(12, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(images).flatten(2).transpose(1, 2)
        return self.fc((tokens + self.attention(tokens, tokens, tokens)[0]).mean(1).relu())


class Squeezing(nn.Module):
    """A squeeze-and-excitation block."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.gate = nn.Linear(6, 6)
        self.fc = nn.Linear(6, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv(images).relu()
        return self.fc((maps * self.gate(maps.mean((2, 3))).sigmoid()[:, :, None, None]).mean((2, 3)))


def examples_of(form: str) -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    images, labels = pictures()
    torch.manual_seed(0)
    models = {
        "transformer": (Attention(), images),
        "squeeze-excite": (Squeezing(), images),
        "rows": (nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)), images.flatten(1)),
        "series": (
            nn.Sequential(nn.Conv1d(1, 8, 5), nn.ReLU(), nn.AvgPool1d(60), nn.Flatten(), nn.Linear(8, 3)),
            images.flatten(2),
        ),
    }
    model, inputs = models[form]
    return model, (inputs, labels)


@pytest.mark.parametrize("form", ["transformer", "squeeze-excite", "rows", "series"])
def test_where_maps_make_no_sense_that_is_said_before_training_and_the_rest_is_found(form: str) -> None:
    model, data = examples_of(form)
    notes: list[str] = []

    def hear(progress: Progress) -> None:
        notes.append(progress.note)

    with pytest.raises(InputError, match="no heat maps"):
        x_features(model, data, 1, maps=True, progress=hear)
    assert notes == []  # not even read, let alone trained
    with pytest.warns(ExplanationWarning) as heard:
        found = x_features(model, data, 1, n=2, gallery=4, recipe=QUICK)
    assert "There will be no heat maps" in str(heard[0].message)
    assert found.no_maps
    assert not found.has_maps
    assert np.isnan(found.mass).all()
    np.testing.assert_array_equal(found.images, data[0][1::3][[*map(int, places_of(found, data))]])
    np.testing.assert_allclose(found.contributions.sum(1) + found.bias, found.reconstructed, rtol=1e-4)
    assert len(found.plot(0).data[0].x) == 2
    assert len(found.to_frame()) == 8


def places_of(found: XFeatures, data: tuple[torch.Tensor, torch.Tensor]) -> list[int]:
    members = data[0][1::3].numpy()
    return [int(np.abs(members - image).reshape(len(members), -1).sum(1).argmin()) for image in found.images]


def test_sentences_have_x_features_without_maps(tmp_path: Path) -> None:
    demo = load_demo("tickets")
    few = TextData(demo.test.sentences[:200], demo.test.labels[:200], demo.test.tokenizer)
    with collected_notices() as said:
        found = x_features(demo.model, few, 0, n=2, gallery=3, recipe=QUICK)
    assert said[0] == "There will be no heat maps: they are for pictures, and these examples are sentences"
    assert len(found.texts) == 3
    assert set(found.texts) <= set(few.sentences)
    again = XFeatures.load(found.save(tmp_path / "x.safetensors"))
    assert again.texts == found.texts
    assert again.no_maps == found.no_maps


def test_maps_that_are_not_asked_for_are_not_made(model: nn.Module) -> None:
    found = x_features(model, pictures(), 0, n=2, gallery=2, maps=False, recipe=QUICK)
    assert found.maps.shape == (2, 2, 0, 0)
    assert found.no_maps == "they were not asked for (maps=False)"


def test_a_file_from_before_there_were_results_without_maps_is_read(tmp_path: Path) -> None:
    head, arrays = storage.read(result().save(tmp_path / "new"), kind="x_features", schema=1)
    for name in ("texts", "no_maps"):
        del head["fields"][name]
    old = storage.write(tmp_path / "old", kind="x_features", schema=1, head=head, arrays=arrays)
    assert XFeatures.load(old).no_maps == ""


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("class_index", [0, 1])
def test_of_one_logit_the_class_that_is_shown_is_the_class_that_is_explained(
    model: nn.Module, class_index: int, *, flat: bool
) -> None:
    # One logit is the difference of two: maps and scores must be those of the model with two.
    images, labels = pictures()
    few = labels < 2
    images, labels = images[few], labels[few]
    two = copy.deepcopy(model)
    with torch.no_grad():
        difference = model[-1].weight[1] - model[-1].weight[0]
        bias = model[-1].bias[1] - model[-1].bias[0]
        two[-1] = nn.Linear(24, 2)
        two[-1].weight.copy_(torch.stack([-difference, difference]))
        two[-1].bias.copy_(torch.stack([-bias, bias]))
        last = nn.Linear(24, 1)
        last.weight.copy_(difference[None])
        last.bias.copy_(bias[None])
    one = nn.Sequential(*copy.deepcopy(model)[:-1], last, *([nn.Flatten(0)] if flat else []))
    asked = {"n": 2, "gallery": 4, "recipe": QUICK}
    expected = x_features(two, (images, labels), class_index, **asked)
    found = x_features(one, (images, labels), class_index, **asked)
    assert found.class_names == ("class 0", "class 1")
    assert (found.labels == class_index).all()
    assert (found.predictions == class_index).all()
    assert (found.scores > 0).all()
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)
    np.testing.assert_allclose(found.baseline, expected.baseline, atol=1e-5)
    np.testing.assert_allclose(found.activations, expected.activations, atol=1e-3)
    for name, value in expected.fidelity.items():
        np.testing.assert_allclose(found.fidelity[name], value, atol=1e-3)
