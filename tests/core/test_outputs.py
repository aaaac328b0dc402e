"""Logits in what a model returns; one logit as two classes; the exact residual of the cross-entropy."""

import re

import pytest
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.outputs import is_lone, logits_of, place_of, raw_logits, residual, scores_of


class Output:
    def __init__(self, logits: object) -> None:
        self.loss, self.logits = None, logits


def test_the_logits_in_outputs_of_many_forms() -> None:
    logits = torch.ones(2, 3)
    for output in (logits, Output(logits), {"loss": None, "logits": logits}, (logits, None), [logits]):
        assert raw_logits(output) is logits
        assert logits_of(output, rows=2) is logits
        assert scores_of(output) is logits
    for part, output in ((1, (None, logits)), ("b", {"b": logits}), ("logits", Output(logits))):
        assert logits_of(output, part) is logits


@pytest.mark.parametrize(
    "wrong", [None, {"scores": torch.ones(2, 3)}, (), ("a",), torch.tensor(1.0), Output(None)]
)
def test_outputs_without_logits_say_what_is_wanted(wrong: object) -> None:
    with pytest.raises(InputError, match="answer a tensor of logits"):
        raw_logits(wrong)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 4, 1), (2, 3, 2, 2), (0, 3), (2, 0), (3, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    words = (
        f"return logits (batch, classes), or one logit for each example; got torch.float32 of shape {shape}"
    )
    with pytest.raises(InputError, match=re.escape(words)):
        logits_of(torch.ones(shape), rows=2)
    with pytest.raises(InputError, match="int64"):
        logits_of(torch.ones(2, 3, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1, 1, 1)])
def test_one_logit_is_two_classes(shape: tuple[int, ...]) -> None:
    z = torch.tensor([-2.0, 0.5, 40.0], dtype=torch.float64).requires_grad_()
    raw = z.reshape(shape)
    logits = logits_of(raw, rows=3)
    assert is_lone(raw)
    torch.testing.assert_close(logits.softmax(1)[:, 1], z.sigmoid())
    torch.testing.assert_close(logits.softmax(1)[:, 0], (-z).sigmoid())
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], z)
    assert logits.argmax(1).tolist() == [0, 1, 1]
    # The explained score of a class is the logit itself, for it or against it.
    torch.testing.assert_close(scores_of(raw), torch.stack((-z, z), 1))
    (slope,) = torch.autograd.grad(logits[:, 1].sum(), z)
    assert slope.tolist() == [0.5, 0.5, 0.5]


def test_a_batch_of_one_that_was_squeezed_is_one_logit() -> None:
    assert logits_of(torch.tensor(3.0), rows=1).tolist() == [[-1.5, 1.5]]
    with pytest.raises(InputError, match="got one number"):
        logits_of(torch.tensor(3.0), rows=2)


def test_maps_of_one_position_are_flattened() -> None:
    assert logits_of(torch.ones(2, 3, 1, 1)).shape == (2, 3)


def test_the_residual_keeps_its_direction_where_the_model_is_sure() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 20, generator=generator)
    target = torch.arange(50) % 20
    logits[torch.arange(50), target] += torch.linspace(0, 60, 50)
    exact = logits.double().softmax(1)
    others = exact.scatter(1, target[:, None], 0.0)
    exact = others.scatter(1, target[:, None], -others.sum(1, keepdim=True))
    found = residual(logits, target)
    assert found.dtype == torch.float32
    assert float(found.sum(1).abs().max()) < 1e-6
    relative = (found.double() - exact).norm(dim=1) / exact.norm(dim=1)
    assert float(relative.max()) < 1e-5
    half = residual(logits[:5].bfloat16(), target[:5])
    assert half.dtype == torch.bfloat16


def test_a_lone_row_speaks_for_two_classes() -> None:
    assert [place_of(c, lone=True) for c in (0, 1)] == [(0, -1), (0, 1)]
    assert [place_of(c, lone=False) for c in (0, 2)] == [(0, 1), (2, 1)]
