"""Normalised inputs and pictures in another layout: shown, perturbed and explained as the pixels they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset
from torchvision import datasets, models, transforms
from torchvision.transforms import v2

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.pixels import (
    Normalization,
    as_argument,
    box_from,
    box_params,
    layout_hint,
    model_box,
    normalization,
    recognised,
    unit_pixels,
)
from sparse_debug_widgets.interpret.deep.examples import rgb_bytes
from sparse_debug_widgets.widgets.shared.gallery import Examples

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = Normalization(MEAN, STD)
USUAL = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


class Processor:
    """As image processors of transformers carry it."""

    image_mean = MEAN
    image_std = STD


class Pictures(Dataset[tuple[Tensor, int]]):
    """Random pixels, normalised by a transform that the data set carries."""

    classes = ("a", "b", "c")

    def __init__(self, transform: Any = None) -> None:
        self.pixels = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        self.pixels[0, :, 0, :2] = torch.tensor([0.0, 1.0])
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        pixels = self.pixels[row]
        return (pixels if self.transform is None else self.transform(pixels)), row % 3


NORMALIZE = transforms.Normalize(MEAN, STD)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    ).eval()


@pytest.mark.parametrize(
    "given",
    [
        (MEAN, STD),
        [torch.tensor(MEAN), np.array(STD)],
        USUAL,
        v2.Compose([v2.ToImage(), v2.Normalize(list(MEAN), list(STD))]),
        models.ResNet18_Weights.DEFAULT,
        models.ResNet18_Weights.DEFAULT.transforms(),
        {"mean": MEAN, "std": STD, "crop_pct": 0.9},
        Processor(),
        IMAGENET,
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_normalisation_is_read_from_whatever_holds_one(given: object) -> None:
    found = normalization(given)
    assert found is not None
    assert np.allclose(found.mean, MEAN)
    assert np.allclose(found.std, STD)


@pytest.mark.parametrize("given", [3, "imagenet", (MEAN,), (MEAN, STD, STD), nn.ReLU(), ((0.5, 0.5), STD)])
def test_what_holds_none_is_refused(given: object) -> None:
    with pytest.raises(InputError, match="normalize"):
        normalization(given)


def test_a_standard_deviation_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="standard deviation"):
        normalization((0.5, 0.0))


def test_data_sets_and_their_loaders_tell_by_their_transforms() -> None:
    plain = datasets.FakeData(4, transform=USUAL)
    for data in (plain, Subset(plain, [0, 1]), ConcatDataset([plain, plain]), DataLoader(Subset(plain, [1]))):
        assert recognised(data) == IMAGENET
    for data in (Pictures(), torch.zeros(2, 3, 4, 4), (torch.zeros(2, 3), torch.zeros(2)), None, ["a"]):
        assert recognised(data) is None


def test_every_pixel_is_inside_the_box_in_any_precision() -> None:
    levels = (torch.arange(256) / 255)[None, None, :].expand(3, 1, 256)
    low, high = IMAGENET.box()
    for dtype in (torch.float32, torch.float64):
        inputs = NORMALIZE(levels.to(dtype))
        assert bool(((inputs >= low.to(dtype)) & (inputs <= high.to(dtype))).all())
    beyond = NORMALIZE(torch.full((3, 1, 1), 1.001))
    assert bool((beyond > high).all())


def test_what_is_undone_is_the_pixels() -> None:
    data = Pictures(NORMALIZE)
    inputs = torch.stack([data[row][0] for row in range(12)])
    assert np.abs(unit_pixels(inputs.numpy(), IMAGENET.box()) - data.pixels.numpy()).max() < 1e-5


def test_a_box_survives_a_file() -> None:
    low, high = box_from({"box": box_params(IMAGENET.box())})  # type: ignore[misc]
    assert low.shape == high.shape == (3, 1, 1)
    assert np.allclose(low, IMAGENET.box()[0])
    assert box_from({}) is None
    assert box_from({"box": None}) is None


def test_a_box_of_pixels_is_turned_into_one_of_inputs() -> None:
    box = model_box((0.0, 255.0), ((127.0,), (128.0,)))
    assert box is not None
    assert float(box[0]) == pytest.approx(-127 / 128, abs=1e-4)
    assert float(box[1]) == pytest.approx(1.0, abs=1e-4)
    assert model_box(None, IMAGENET) is None
    assert model_box((0.0, 2.0), None, Pictures(NORMALIZE)) == (0.0, 2.0)


def test_perturbations_of_normalised_inputs_are_perturbations_of_pixels() -> None:
    data, model = Pictures(NORMALIZE), network()
    x = torch.stack([data[row][0] for row in range(4)])
    with pytest.raises(InputError, match=r"normalize=\(mean, std\)"):
        sdw.perturb(model, x, eps=20.0)
    found = sdw.perturb(model, x, norm="l1q", q=0.02, eps=20.0, steps=5, normalize=NORMALIZE)
    pixels = (found.inputs + found.delta) * np.array(STD)[:, None, None] + np.array(MEAN)[:, None, None]
    assert pixels.min() > -1e-5
    assert pixels.max() < 1 + 1e-5
    assert (found.delta != 0).any()
    shown = found.plot().data[0].z
    assert np.abs(np.asarray(shown, float) / 255 - data.pixels[0].permute(1, 2, 0).numpy()).max() < 0.003


def test_errors_and_robustness_know_the_data_sets_own_normalisation() -> None:
    data, model = Pictures(NORMALIZE), network()
    found = sdw.error_counterfactuals(model, data, eps=5.0, steps=3)
    assert np.allclose(found.provenance.params["box"], box_params(IMAGENET.box()))
    accuracy = sdw.robust_accuracy(model, data, norm="l2", eps=0.1)
    assert 0 <= accuracy <= 1
    raw = sdw.error_counterfactuals(model, Pictures(), eps=5.0, steps=3)
    assert raw.provenance.params["box"] == [0.0, 1.0]


def test_a_model_draws_on_noise_that_fills_its_pixels() -> None:
    drawn = sdw.probe_concept(network(), 1, shape=(3, 16, 16), steps=3, seeds=(0,), normalize=(MEAN, STD))
    pixels = unit_pixels(drawn.starts, IMAGENET.box())
    assert pixels.min() < 1e-5
    assert pixels.max() > 1 - 1e-5
    after = (drawn.starts + drawn.deltas[0]) * np.array(STD)[:, None, None] + np.array(MEAN)[:, None, None]
    assert after.min() > -1e-5
    assert after.max() < 1 + 1e-5


@pytest.mark.parametrize("how", ["given", "recognised"])
def test_galleries_show_pixels(how: str) -> None:
    data = Pictures(NORMALIZE)
    inputs = torch.stack([data[row][0] for row in range(12)])
    shown = Examples(data) if how == "recognised" else Examples(inputs, normalize=(MEAN, STD))
    shown.read(12)
    wanted = Examples(data.pixels)
    wanted.read(12)
    assert np.abs(shown.thumbnails(range(12)).astype(int) - wanted.thumbnails(range(12))).max() <= 1


def test_interpretations_show_pixels_and_ask_the_model_as_it_wants_to_be_asked() -> None:
    data, model = Pictures(NORMALIZE), network()
    features = sdw.extract_features(model, data)
    found = sdw.find_prototypes(features, data, features=[0], k=1)
    assert found.pictures is not None
    pixels = data.pixels[found.shown_rows.tolist()].permute(0, 2, 3, 1).numpy()
    shown = rgb_bytes(found.pictures, box_from(found.provenance.params)) / 255
    assert np.abs(shown - pixels).max() < 0.003
    explained = sdw.lime_prototypes(model, found, features, n_samples=80, segments="grid")
    assert explained.provenance.params["box"] is not None
    # The picture as the model knows it gives the activation that the features hold.
    assert explained.activations[0, 0] == pytest.approx(found.top_activations[0, 0], abs=1e-4)
    made = sdw.visualize_features(model, data, features, features=[0], n_steps=3, seed=1)
    low, high = IMAGENET.box()
    assert (made.pictures >= low.numpy()).all()
    assert (made.pictures <= high.numpy()).all()


def test_maps_are_shown_beside_pixels() -> None:
    data, model = Pictures(NORMALIZE), network()
    x = torch.stack([data[row][0] for row in range(2)])
    found = sdw.attribute(model, x, "gradient", normalize=models.ResNet18_Weights.DEFAULT)
    shown = np.asarray(found.plot().data[0].z, float) / 255
    assert np.abs(shown - data.pixels[0].permute(1, 2, 0).numpy()).max() < 0.003


def test_the_code_of_a_call_says_the_normalisation() -> None:
    assert as_argument(None) is None
    said = repr(as_argument(None, Pictures(NORMALIZE)))
    assert normalization(eval(said)) == IMAGENET  # noqa: S307 - our own text


@pytest.mark.parametrize("what", ["perturb", "attribute", "extract", "x_features", "lime"])
def test_channels_last_says_permute(what: str) -> None:
    model, x, y = network(), torch.rand(9, 16, 16, 3), torch.arange(9) % 3
    features = sdw.extract_features(model, (x.permute(0, 3, 1, 2), y))
    calls = {
        "perturb": lambda: sdw.perturb(model, x, eps=1.0),
        "attribute": lambda: sdw.attribute(model, x),
        "extract": lambda: sdw.extract_features(model, (x, y)),
        "x_features": lambda: sdw.x_features(model, (x, y), 0),
        "lime": lambda: sdw.lime_images(model, x.numpy(), features, segments="grid"),
    }
    with pytest.raises(InputError, match=r"N x H x W x C.*permute\(0, 3, 1, 2\)"):
        calls[what]()


@pytest.mark.parametrize("what", ["perturb", "attribute"])
def test_one_picture_alone_says_image_none(what: str) -> None:
    model, x = network(), torch.rand(3, 16, 16)
    call = {"perturb": lambda: sdw.perturb(model, x, eps=1.0), "attribute": lambda: sdw.attribute(model, x)}
    with pytest.raises(InputError, match=r"image\[None\]"):
        call[what]()


def test_other_shapes_get_no_advice() -> None:
    for shape in ((8, 3, 32, 32), (50, 300), (32, 28, 28), (2, 1, 28, 28), (7,)):
        assert layout_hint(shape) == ""
    assert "H x W x C" in layout_hint((224, 224, 3))
