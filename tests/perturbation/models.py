"""Small classifiers for the tests of this room."""

from collections.abc import Mapping
from types import SimpleNamespace

import torch
from torch import Tensor, nn

N_CLASSES = 4
SHAPE = (3, 6, 6)


def network(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Reused in-place ReLU, batch norm and dropout, as users have them; float64 so that sums agree."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        relu = nn.ReLU(inplace=True)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            relu,
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
            relu,
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(72, N_CLASSES),
        )
    return model.to(dtype).train()


def linear(seed: int = 0) -> nn.Sequential:
    """A convex problem: cross-entropy of a linear map."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(108, N_CLASSES)).double()


def pictures(n: int = 3, seed: int = 0) -> Tensor:
    """Pixels in [0, 1], some of them at the ends."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand((n, *SHAPE), generator=generator, dtype=torch.float64)
    return (noise * 1.4 - 0.2).clamp(0, 1)


def others(model: nn.Module, inputs: Tensor) -> Tensor:
    """For each example a class that the model does not predict."""
    flags = [(module, module.training) for module in model.modules()]
    with torch.no_grad():
        predicted = model.eval()(inputs).argmax(1)
    for module, training in flags:
        module.training = training
    return (predicted + 1) % N_CLASSES


class Wrapped(nn.Module):
    """A model that returns its logits in some other form."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.net = network()
        self.form = form

    def forward(self, inputs: Tensor) -> object:
        logits = self.net(inputs)
        forms: Mapping[str, object] = {
            "tuple": (logits, None),
            "list": [logits],
            "dict": {"loss": None, "logits": logits},
            "object": SimpleNamespace(logits=logits, hidden_states=None),
        }
        return forms[self.form]
