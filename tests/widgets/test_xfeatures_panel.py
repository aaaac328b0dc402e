"""The x-feature panel's kernel side: what the page gets, what a person chooses, what comes back to Python."""

import numpy as np
import pytest

from sparse_debug_widgets import panel
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.interpret import XFeatures
from sparse_debug_widgets.widgets import PANELS, maps, xfeatures_sheet
from sparse_debug_widgets.widgets.panels.xfeatures import XFeaturesPanel
from tests.widgets.fakes import fake_xfeatures
from tests.widgets.payload import first_paint_bytes


def sent(shown: XFeaturesPanel):
    """Maps (k, 1 + n, h, w) as the page has them: the 1-heatmap first."""
    value, arrays = shown.sheet["value"], shown.sheet["arrays"]
    count, (h, w) = value["k"] * (value["n"] + 1), value["shape"]
    packed = maps.Packed(value["units"], value["levels"], np.frombuffer(arrays["maps"]["data"], np.uint8))
    return maps.unpack(packed, (1, count, h * w)).reshape(value["k"], value["n"] + 1, h, w)


def test_results_are_shown_by_this_panel():
    assert PANELS[XFeatures] is XFeaturesPanel
    shown = panel(fake_xfeatures(), fallback="none")
    assert isinstance(shown, XFeaturesPanel)
    assert shown.result.class_names[shown.sheet["value"]["classIndex"]] == "ring"


def test_every_map_and_number_is_in_the_page():
    found = fake_xfeatures(9, 4)
    shown = XFeaturesPanel(found, fallback="none")
    exact = np.concatenate([found.baseline[:, None], found.maps], axis=1)
    # One step of 255 on a square-root scale is at most 2 / 255 of a map's largest value.
    scale = exact.max(axis=(2, 3), keepdims=True)
    assert np.all(np.abs(sent(shown) - exact) <= scale / 255)
    assert not sent(shown)[exact == 0].any()
    arrays = shown.sheet["arrays"]
    for name in ("contributions", "scores", "reconstructed", "mass"):
        values = np.frombuffer(arrays[name]["data"], np.float32).reshape(arrays[name]["shape"])
        np.testing.assert_allclose(values, getattr(found, name), rtol=1e-6)


def test_signed_maps_keep_their_signs():
    plain = fake_xfeatures(4, 3)
    found = fake_xfeatures(4, 3, maps=(plain.maps - 0.3).astype(np.float32))
    shown = XFeaturesPanel(found, fallback="none")
    assert shown.sheet["value"]["signed"]
    np.testing.assert_allclose(sent(shown)[:, 1:], found.maps, atol=0.7 / 255)
    assert not XFeaturesPanel(plain, fallback="none").sheet["value"]["signed"]


def test_sixty_pictures_and_seven_maps_are_few_bytes():
    """28 x 28: the widget with its module; a third of the float32 maps alone."""
    found = fake_xfeatures(60, 7)
    assert first_paint_bytes(XFeaturesPanel(found, fallback="none")) < found.maps.nbytes / 3


def test_large_pictures_have_blocks_of_pixels_averaged():
    found = fake_xfeatures(2, 2, side=224, map_side=140)
    value = xfeatures_sheet.sheet(found).value
    assert value["picture"] == [3, 112, 112]
    assert value["shape"] == [70, 70]


def test_names_reach_the_result_and_its_file(tmp_path):
    shown = XFeaturesPanel(fake_xfeatures(), fallback="none")
    shown.names = ["  left\narc ", "", "x" * 300, "H4"]  # as a page may send them
    assert shown.names == ["left arc", "H2", "x" * 200, "H4", "H5"]
    assert shown.result.names == tuple(shown.names)
    shown.rename(1, "<b>hole</b>")
    again = XFeatures.load(shown.result.save(tmp_path / "named.safetensors"))
    assert again.names[:2] == ("left arc", "<b>hole</b>")
    assert XFeaturesPanel(again, fallback="none").names == shown.names
    np.testing.assert_array_equal(again.maps, shown.result.maps)
    with pytest.raises(InputError, match=r"index.*at most 4"):
        shown.rename(5, "none")
    with pytest.raises(InputError, match="1 to 200"):
        shown.rename(0, " ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shown": (5,)}, r"shown.*at most 4.*got 5"),
        ({"shown": (-2,)}, r"at least -1"),
        ({"selected": (12,)}, r"selected.*at most 11"),
        ({"blent": 0.3}, r"option 'blent'.*blend"),
    ],
)
def test_what_cannot_be_chosen_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        XFeaturesPanel(fake_xfeatures(), fallback="none", **options)


def test_the_page_inside_a_notebook_is_bounded_and_the_file_holds_all(tmp_path):
    noisy = np.random.default_rng(0).random((60, 7, 64, 64)).astype(np.float32)
    shown = XFeaturesPanel(fake_xfeatures(60, 7, side=64, maps=noisy), selected=(59,))
    data, _ = shown._repr_mimebundle_()
    assert len(data["text/html"]) < 700_000
    assert len(shown.to_html(tmp_path / "all.html").read_text("utf-8")) > 2 * len(data["text/html"])
    assert shown.export(small=True).arrays["sheet"][0]["k"] < 60
    assert shown.export().arrays["sheet"][0]["k"] == 60
