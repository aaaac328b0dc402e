"""Models as users have them: one logit, half and double precision, any default dtype."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.perturbation import (
    METHODS,
    adversarial_training,
    error_counterfactuals,
    perturb,
    probe_concept,
    robust_accuracy,
)
from sparse_debug_widgets.perturbation.norms import NORMS
from tests.contracts.untouched import untouched

pytestmark = pytest.mark.filterwarnings("ignore:the target is what the model predicts already")


class OneLogit(nn.Module):
    """A binary classifier whose answer is z, as (B,) or as (B, 1)."""

    def __init__(self, flat: bool) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 1))
        self.flat = flat

    def forward(self, x: Tensor) -> Tensor:
        z = self.net(x)
        return z[:, 0] if self.flat else z


class TwoLogits(nn.Module):
    """The same classifier with a logit for each class: (-z/2, z/2)."""

    def __init__(self, one: OneLogit) -> None:
        super().__init__()
        self.net = one.net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * torch.tensor([-0.5, 0.5], dtype=x.dtype)


def pictures() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    x = torch.rand((10, 1, 6, 6), generator=generator, dtype=torch.float32)
    return x, torch.arange(10) % 2


@pytest.mark.parametrize("flat", [False, True], ids=["(B, 1)", "(B,)"])
def test_one_logit_is_two_classes(flat: bool) -> None:
    one = OneLogit(flat)
    two = TwoLogits(one)
    x, y = pictures()
    for target in (0, 1, "prediction"):
        found, expected = (perturb(m, x, target=target, eps=2.0, q=0.1) for m in (one, two))
        np.testing.assert_allclose(found.delta, expected.delta, atol=1e-6)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
        assert found.probabilities.shape[2] == 2
    np.testing.assert_allclose(found.probabilities[:, 0, 1], torch.sigmoid(one(x).reshape(-1)).detach())
    # Towards class 1 is up in z, towards class 0 down.
    z = one(x).reshape(-1)
    for target, sign in ((1, 1), (0, -1)):
        moved = perturb(one, x, target=target, eps=2.0, q=0.1).perturbed
        assert (sign * (one(torch.from_numpy(moved)).reshape(-1) - z) > 0).all()
    errors = [error_counterfactuals(m, (x, y), eps=2.0, q=0.1) for m in (one, two)]
    np.testing.assert_allclose(errors[0].fix_effort, errors[1].fix_effort, rtol=1e-5)
    assert set(errors[0].predictions) <= {0, 1}
    drawn = [probe_concept(m, 1, shape=(1, 6, 6), eps_l2=1.0, seeds=(0,)) for m in (one, two)]
    np.testing.assert_allclose(drawn[0].confidences, drawn[1].confidences, rtol=1e-5)
    attacked = [robust_accuracy(m, (x, y), eps=0.2) for m in (one, two)]
    assert attacked[0] == attacked[1]


@pytest.mark.parametrize("default", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_every_precision_of_model_and_default(dtype: torch.dtype, default: torch.dtype) -> None:
    model = TwoLogits(OneLogit(flat=False)).to(dtype)
    x, y = pictures()
    found = {}
    for name in (torch.float32, default):
        torch.set_default_dtype(name)
        try:
            with untouched(model):
                runs = [
                    perturb(model, x, target=1, norm=norm, eps=1.0, q=0.1, steps=4, method=method)
                    for norm in NORMS
                    for method in METHODS
                ]
                accuracies = [robust_accuracy(model, (x, y), norm=norm, eps=0.5) for norm in NORMS]
                errors = error_counterfactuals(model, (x, y), eps=1.0, q=0.1, steps=3)
                drawn = probe_concept(model, 1, shape=(1, 6, 6), steps=3, seeds=(0,))
            if dtype != torch.float16:
                history = adversarial_training(copy.deepcopy(model), (x, y), norm="l1", eps=0.5, epochs=1)
        finally:
            torch.set_default_dtype(torch.float32)
        for run in runs:
            assert np.isfinite(run.losses).all()
            assert (run.loss_after < run.losses[:, 0]).all()
        found[name] = [run.delta for run in runs] + [
            np.array(accuracies), errors.fix_delta, drawn.deltas
        ]  # fmt: skip
        found[name] += [history.losses] if dtype != torch.float16 else []
    if dtype == torch.float16:
        # Adam's 1e-8 is zero there, and the first step NaN.
        with pytest.raises(InputError, match=r"not be in float16.*model.float\(\)"):
            adversarial_training(model, (x, y), eps=0.5, epochs=1)
    for a, b in zip(found[torch.float32], found[default], strict=True):
        np.testing.assert_array_equal(a, b)
