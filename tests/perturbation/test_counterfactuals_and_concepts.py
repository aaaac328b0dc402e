"""The paper's two uses: error counterfactuals and concept probing."""

import numpy as np
import pytest
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.perturbation import (
    ConceptProbe,
    ErrorCounterfactuals,
    error_counterfactuals,
    probe_concept,
)
from sparse_debug_widgets.perturbation.concepts import blank
from tests.contracts.untouched import disturb, untouched
from tests.perturbation.models import SHAPE, network, pictures


def labelled(n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    x = pictures(n)
    with torch.no_grad():
        predicted = network().eval()(x).argmax(1)
    labels = predicted.clone()
    labels[::2] = (labels[::2] + 1) % 4
    return x, labels


def test_errors_are_found_explained_and_sorted(tmp_path) -> None:
    x, labels = labelled()
    model = disturb(network())
    with untouched(model):
        found = error_counterfactuals(
            model, (x, labels), eps=8.0, q=0.1, batch_size=4, class_names=tuple("abcd")
        )
    assert sorted(found.indices) == [0, 2, 4, 6, 8, 10]
    assert found.n_examples == 12
    np.testing.assert_array_equal(found.labels, labels[found.indices.tolist()])
    assert (found.labels != found.predictions).all()
    assert (np.diff(found.fix_effort) >= 0).all() or np.isinf(found.fix_effort).any()
    assert np.isfinite(found.fix_effort).any()
    assert (found.fix_effort[np.isfinite(found.fix_effort)] <= 8 * (1 + 1e-6)).all()
    assert (found.fix_confidence[:, 1] > found.fix_confidence[:, 0]).all()
    assert (found.why_confidence[:, 1] > found.why_confidence[:, 0]).all()
    model.eval()
    for i in np.flatnonzero(np.isfinite(found.fix_effort)):
        whole = np.abs(found.fix_delta[i]).sum()
        for slack, reached in ((1e-6, True), (-1 / 200, False)):
            share = found.fix_effort[i] / whole + slack
            with torch.no_grad():
                z = torch.tensor(found.inputs[i] + share * found.fix_delta[i])[None]
                assert (int(model(z).argmax()) == found.labels[i]) == reached
    frame = found.to_frame()
    assert len(frame) == 6
    assert set(frame["label"]) <= set("abcd")
    assert len(found.plot(2).data) == 6
    loaded = ErrorCounterfactuals.load(found.save(tmp_path / "errors.sdw"))
    assert loaded.to_frame().equals(frame)


def test_only_so_many_errors_and_none_at_all() -> None:
    x, labels = labelled()
    assert (
        len(error_counterfactuals(network(), (x, labels), eps=3.0, q=0.1, steps=2, max_errors=2).indices) == 2
    )


def test_no_errors_are_a_result_without_errors(tmp_path) -> None:
    x, labels = labelled()
    found = error_counterfactuals(network(), (x[1::2], labels[1::2]), eps=3.0)
    assert found.n_examples == 6
    assert len(found.to_frame()) == 0
    some = error_counterfactuals(network(), (x, labels), eps=1.0, steps=2, max_errors=1)
    assert list(found.to_frame().columns) == list(some.to_frame().columns)
    assert found.inputs.shape == (0, *SHAPE)
    assert "No error among 6 examples" in found.plot().layout.title.text
    loaded = ErrorCounterfactuals.load(found.save(tmp_path / "errors.sdw"))
    assert loaded.to_frame().equals(found.to_frame())


def test_cancelling_keeps_the_finished_batches() -> None:
    x, labels = labelled()

    def stop(progress) -> None:
        if progress.note.startswith("error") and progress.done > 2.5:
            raise Cancelled

    model = disturb(network())
    with untouched(model):
        found = error_counterfactuals(
            model, (x, labels), eps=3.0, q=0.1, steps=3, batch_size=2, progress=stop
        )
    assert found.cancelled
    assert len(found.indices) == 2


def test_a_model_draws_a_class_on_noise(tmp_path) -> None:
    model = disturb(network())
    with untouched(model):
        probe = probe_concept(
            model, 2, shape=SHAPE, seeds=(0, 5), norms=("l1q", "l2", "linf"), q=0.05, eps_l2=2.0
        )
    assert probe.deltas.shape == (3, 2, *SHAPE)
    assert (probe.confidences > probe.confidences_before).all()
    assert (probe.supports[0] < probe.supports[1]).all()
    drawn = probe.starts + probe.deltas
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    np.testing.assert_allclose(probe.radii, [2 * np.sqrt(108), 2, 2 / np.sqrt(108)])
    assert probe.to_frame().shape == (6, 4)
    assert len(probe.plot().data) == 8
    loaded = ConceptProbe.load(probe.save(tmp_path / "probe.sdw"))
    assert loaded.to_frame().equals(probe.to_frame())


def test_the_default_drawing_spends_its_radius() -> None:
    """A vertex within the range fills m pixels at most, however large the radius is."""
    demo = load_demo("digits-robust")
    shares = {}
    for mode in ({}, {"box_mode": "vertex"}):
        probe = probe_concept(demo.model, 3, shape=demo.test[0][0].shape, **mode)
        lengths = np.abs(probe.deltas[0]).sum((1, 2, 3)), np.sqrt((probe.deltas[1] ** 2).sum((1, 2, 3)))
        shares[len(mode)] = np.stack(lengths) / probe.radii[:, None]
        assert (shares[len(mode)] <= 1 + 1e-5).all()
    assert (shares[0] > 0.6).all()
    assert (shares[1][0] < 0.3).all()


@pytest.mark.parametrize("channels", [False, True])
def test_the_noise_fills_the_box(tmp_path, channels: bool) -> None:
    low, high = -2.0, 3.0
    box = (
        (torch.full((3, 1, 1), low), torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)) if channels else (low, high)
    )
    probe = probe_concept(network(), 2, shape=SHAPE, seeds=(0, 1), eps_l2=1.0, box=box)
    tops = np.array([1.0, 2.0, 3.0]) if channels else np.array([3.0] * 3)
    drawn = probe.starts + probe.deltas
    for shown in (probe.starts, drawn[0], drawn[1]):
        assert shown.min() >= low
        assert (shown <= tops[:, None, None] + 1e-6).all()
    assert probe.starts.min() == low
    assert probe.starts[:, 2].max() > 2.0
    loaded = ConceptProbe.load(probe.save(tmp_path / "probe.sdw"))
    shown = loaded.plot().data[0].z
    assert np.min(shown) >= 0
    without = probe_concept(network(), 2, shape=SHAPE, seeds=(0,), eps_l2=1.0, box=None)
    assert without.starts.max() == 1
    with pytest.raises(InputError, match="lower end below its upper end"):
        probe_concept(network(), 2, shape=SHAPE, box=(1.0, 0.0))


def test_the_noise_depends_on_its_seed_only_and_fills_the_range() -> None:
    np.testing.assert_array_equal(blank(SHAPE, 3), blank(SHAPE, 3))
    assert not np.array_equal(blank(SHAPE, 3), blank(SHAPE, 4))
    assert blank(SHAPE, 3).min() == 0
    assert blank(SHAPE, 3).max() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_index": 4}, "at most 3"),
        ({"class_index": -1}, "class_index"),
        ({"norms": ("l3",)}, "norm is not compatible"),
        ({"seeds": ()}, "not be empty"),
        ({"shape": (3, 0)}, "shape is not compatible"),
        ({"eps_l2": -1.0}, "eps_l2 is not compatible"),
    ],
)
def test_bad_input_is_refused(arguments, message: str) -> None:
    settings = {"class_index": 1, "shape": SHAPE, **arguments}
    with pytest.raises(InputError, match=message):
        probe_concept(network(), settings.pop("class_index"), **settings)
