"""Every device function of the package on a card made of host memory; see ``card.py`` and ``README.md``."""

import numpy as np
import pytest
import torch

from tests.gpu.card import Card
from tests.gpu.steps import STEPS
from tests.gpu.waits import PAGE, STEPS_OF, compare, measure, printed

torch.set_num_threads(1)
# The two ways of the working set agree to the tolerance of a fit; training makes rounding larger; the
# agreement of two methods is a difference of nearly equal numbers.
LOOSE = {"elastic_net_path": 2e-2, "adversarial_training": 5e-2, "curvature_agreement": 1e-2}


@pytest.mark.parametrize("name", STEPS)
def test_a_card_gives_what_the_cpu_gives(name):
    expected = [np.asarray(part, np.float64) for part in STEPS[name]("cpu")]
    with Card():
        found = [np.asarray(part, np.float64) for part in STEPS[name]("cuda")]
    assert len(found) == len(expected)
    tolerance = LOOSE.get(name.split(",")[0], 1e-4)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= tolerance * max(np.abs(other).max(), 1e-6)


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: here + there,
        lambda here, there: there @ here,
        lambda here, there: torch.where(there > 0, here, here),
        lambda here, there: torch.cat([here, there]),
        lambda here, there: there.add_(here),
        torch.equal,
        lambda here, there: there.index_select(0, torch.tensor([0])),
        lambda here, there: torch.nn.functional.linear(there, here),
        lambda here, there: torch.rand(3, device="cuda", generator=torch.Generator()),
        lambda here, there: torch.rand(3, generator=torch.Generator(device="cuda")),
        lambda _, there: there.numpy(),
        lambda _, there: np.asarray(there, np.float32),
    ],
)
def test_what_a_card_refuses_is_refused(mix):
    with Card():
        here, there = torch.ones(3, 3), torch.ones(3, 3, device="cuda")
        with pytest.raises((RuntimeError, TypeError)):
            mix(here, there)


def test_what_a_card_allows_is_allowed_and_numbers_are_right():
    with Card() as card:
        x = torch.arange(6.0).reshape(2, 3).to("cuda").requires_grad_()
        assert x.device.type == "cuda"
        assert x.is_cuda
        y = ((x * torch.tensor(2.0)) @ x.T).relu().sum()  # a lone number may come from the host
        (slope,) = torch.autograd.grad(y, x)
        assert slope.device.type == "cuda"
        assert not card.waits
        assert slope.cpu().tolist() == [[12, 20, 28], [12, 20, 28]]
        assert float(y.detach()) == 166
        chosen = x.detach()[x.detach() > 1]
        assert chosen.tolist() == [2, 3, 4, 5]
        assert sum(card.waits.values()) == 4
    assert not torch.cuda.is_initialized()


@pytest.mark.parametrize("name", STEPS_OF)
def test_the_table_says_how_often_the_host_waits(name):
    """After a change that is meant: ``python -m tests.gpu.waits`` writes the table."""
    told = printed(PAGE.read_text(encoding="utf-8"))
    assert name in told, "python -m tests.gpu.waits writes the table again"
    compare(name, measure(name), told[name])
