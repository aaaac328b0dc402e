"""The paper's two uses: error counterfactuals and concept probing."""

import numpy as np
import pytest
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.perturb import (
    ConceptProbe,
    ErrorCounterfactuals,
    error_counterfactuals,
    probe_concept,
)
from sparse_debug_widgets.perturb.concepts import blank
from tests.contracts.untouched import disturb, untouched
from tests.perturb.models import SHAPE, network, pictures


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
    with pytest.raises(InputError, match="must hold a misclassified example; got 6 correct ones"):
        error_counterfactuals(network(), (x[1::2], labels[1::2]), eps=3.0)


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
