"""x-features: the result keeps, names and draws what was found."""

from pathlib import Path

import numpy as np
import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.interpret.xfeatures import XFeatures
from sparse_debug_widgets.interpret.xfeatures_figure import overlay


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
    with pytest.raises(InputError, match="is not compatible with"):
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
