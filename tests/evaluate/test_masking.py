"""The masking check and its inpainting."""

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.evaluate import KeptPixels, inpaint, keep_top_pixels
from tests.contracts.untouched import disturb, untouched
from tests.saliency.models import small_cnn

torch.set_num_threads(1)


class Spot(nn.Module):
    """Class 1 if the pixel (2, 3) is bright."""

    def forward(self, x):
        value = x[:, 0, 2, 3]
        return torch.stack([0.5 - value, value - 0.5], 1)


def pictures(n=6):
    x = np.random.default_rng(0).random((n, 1, 8, 8)).astype(np.float32) * 0.3
    x[::2, 0, 2, 3] = 1
    return x


def spot_maps(n=6):
    maps = np.zeros((n, 8, 8))
    maps[:, 2, 3] = 1
    return maps


def test_inpainting_is_harmonic_and_keeps_what_is_kept():
    rng = np.random.default_rng(1)
    image, kept = rng.random((2, 9, 7)), rng.random((9, 7)) < 0.3
    found = inpaint(image, kept)
    assert np.array_equal(found[:, kept], image[:, kept])
    padded = np.pad(found, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    neighbours = [padded[:, 1:-1, :-2], padded[:, 1:-1, 2:], padded[:, :-2, 1:-1], padded[:, 2:, 1:-1]]
    mean = np.nanmean(neighbours, axis=0)
    assert np.abs(found - mean)[:, ~kept].max() < 1e-12
    # A plane is harmonic: inside, nothing is lost of it.
    plane = (2.0 * np.arange(9)[:, None] + np.arange(7))[None]
    border = np.zeros((9, 7), bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    assert np.allclose(inpaint(plane, border), plane)


def test_inpainting_of_all_and_of_nothing():
    image = np.ones((1, 3, 3))
    assert np.array_equal(inpaint(image, np.ones((3, 3), bool)), image)
    assert not inpaint(image, np.zeros((3, 3), bool)).any()
    with pytest.raises(InputError, match="kept"):
        inpaint(image, np.ones((2, 3), bool))


@pytest.mark.parametrize("fill", ["inpaint", "black", "mean"])
def test_the_right_pixels_are_enough(fill):
    found = keep_top_pixels(Spot(), pictures(), spot_maps(), shares=(1 / 64, 0.2, 1.0), fill=fill)
    assert found.accuracy.tolist() == [1, 1, 1]
    assert found.random_accuracy[-1] == found.whole_accuracy == 1
    assert found.better == "higher"
    wrong = keep_top_pixels(Spot(), pictures(), spot_maps()[:, ::-1], shares=(1 / 64,), fill="black")
    assert wrong.accuracy.tolist() == [0.5]


def test_several_maps_are_united():
    maps = np.zeros((6, 2, 8, 8))
    maps[:, 0, 7, 7], maps[:, 1, 2, 3] = 100, 1
    found = keep_top_pixels(Spot(), pictures(), maps, shares=(2 / 64,), fill="black")
    assert found.accuracy.tolist() == [1]


def test_targets_empty_maps_and_seeds():
    x, maps = pictures(), spot_maps()
    wanted = np.ones(6, int)
    found = keep_top_pixels(Spot(), torch.from_numpy(x), maps, target=wanted, shares=(0.1,))
    assert found.whole_accuracy == found.accuracy[0] == 0.5
    maps[0] = 0
    assert "1 of 6 images have an empty map" in keep_top_pixels(Spot(), x, maps).notes[0]
    runs = [keep_top_pixels(Spot(), x, maps * 0, shares=(0.3,), fill="black", seed=s) for s in (1, 1, 2)]
    assert np.array_equal(runs[0].accuracy, runs[1].accuracy)


def test_the_model_is_untouched_and_the_run_can_be_cancelled():
    model = disturb(small_cnn())
    images = np.random.default_rng(0).random((3, 3, 10, 10)).astype(np.float32)
    seen = []
    with untouched(model):
        keep_top_pixels(model, images, images.mean(1), batch_size=2, progress=seen.append)
    assert seen[-1].done == seen[-1].total

    def cancel(_):
        raise Cancelled

    with untouched(model), pytest.raises(Cancelled):
        keep_top_pixels(model, images, images.mean(1), progress=cancel)


def test_the_result(tmp_path):
    found = keep_top_pixels(Spot(), pictures(), spot_maps())
    loaded = KeptPixels.load(found.save(tmp_path / "k.sdw"))
    assert np.array_equal(loaded.accuracy, found.accuracy)
    assert len(found.to_frame()) == 4
    assert len(found.plot().data) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"maps": np.ones((6, 4, 4))}, "8 x 8 pixels; got 6 of 4 x 4"),
        ({"maps": -np.ones((6, 8, 8))}, "be at least 0"),
        ({"images": pictures().astype(int)}, "floating-point images"),
        ({"images": pictures()[0]}, "floating-point images"),
        ({"shares": (0.0,)}, "shares"),
        ({"shares": ()}, "at least one share"),
        ({"fill": "blur"}, "fill"),
        ({"target": [0, 1]}, "one for each of 6 images"),
        ({"target": [0.5] * 6}, "one for each of 6 images"),
    ],
)
def test_bad_input(change, words):
    options = {"images": pictures(), "maps": spot_maps()} | change
    with pytest.raises(InputError, match=words):
        keep_top_pixels(Spot(), options.pop("images"), options.pop("maps"), **options)
