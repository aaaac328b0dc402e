"""Sparse attacks of other packages within an l1 budget; those that are installed.

foolbox's SparseL1Descent leaves out the pixels that cannot move, but as if it always raised the loss: in
targeted mode it holds black pixels that should rise, and picks black ones that cannot sink. Compared is what
it does once that is mended (the sign negated), beside what it does as it is shipped. Its projection lets the
norm be larger than the budget, and EAD knows no budget: what exceeds it is scaled down to it.

`pip install foolbox`; torchattacks and chop-pytorch ask for old versions of what Jupyter needs too, so
`pip install --no-deps torchattacks chop-pytorch easydict`.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Found = tuple[str, Tensor]


def peers(
    model: nn.Module, x: Tensor, target: Tensor, eps: float, steps: int, packages: Sequence[str]
) -> list[Found]:
    """Name and perturbation of every peer of these packages; what exceeds the budget is scaled down to it."""
    runs = {"foolbox": _foolbox, "chop-pytorch": _chop, "torchattacks": _torchattacks}
    found = [
        item
        for package, run in runs.items()
        if package in packages and installed(package) != "not installed"
        for item in run(model, x, target, eps, steps)
    ]
    return [(name, _within(delta.detach(), eps)) for name, delta in found]


def installed(package: str) -> str:
    """Its version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _within(delta: Tensor, eps: float) -> Tensor:
    length = delta.flatten(1).abs().sum(1).clamp_min(1e-12)
    return delta * (eps / length).clamp_max(1).view(-1, 1, 1, 1)


def _foolbox(model: nn.Module, x: Tensor, target: Tensor, eps: float, steps: int) -> list[Found]:
    import foolbox

    wrapped = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu")
    goal = foolbox.criteria.TargetedMisclassification(target)

    class Mended(foolbox.attacks.SparseL1DescentAttack):
        """With the mask of a descent."""

        def normalize(self, gradients: Any, *, x: Any, bounds: Any) -> Any:
            return -super().normalize(-gradients, x=x, bounds=bounds)

    kinds = (("", Mended, (0.8, 0.9, 0.95, 0.98, 0.99)), (" as shipped", Mended.__base__, (0.9, 0.99)))
    found = []
    for word, kind, quantiles in kinds:
        for quantile in quantiles:
            attack: Any = kind(quantile=quantile, steps=steps)
            raw, _, _ = attack(wrapped, x, goal, epsilons=eps)
            found.append((f"foolbox SparseL1Descent{word}, quantile {quantile}", raw - x))
    for const in (1.0, 10.0):
        attack = foolbox.attacks.EADAttack(
            binary_search_steps=1, steps=steps, initial_stepsize=0.1, initial_const=const, abort_early=False
        )
        raw, _, _ = attack(wrapped, x, goal, epsilons=None)
        found.append((f"foolbox EAD, c {const:g}", raw - x))
    return found


def _chop(model: nn.Module, x: Tensor, target: Tensor, eps: float, steps: int) -> list[Found]:
    """Its Frank-Wolfe on the l1 ball; it knows no pixel range, so the result is cut at the end."""
    import chop

    @chop.utils.closure
    def loss(delta: Tensor) -> Tensor:
        return functional.cross_entropy(model(x + delta), target, reduction="none")

    ball = chop.constraints.L1Ball(eps)
    solution = chop.optim.minimize_frank_wolfe(loss, torch.zeros_like(x), ball.lmo, max_iter=steps)
    return [("chop Frank-Wolfe, l1", (x + solution.x.detach()).clamp(0, 1) - x)]


def _torchattacks(model: nn.Module, x: Tensor, target: Tensor, eps: float, steps: int) -> list[Found]:
    import torchattacks

    # It changes as many pixels, each by at most 1, as the budget allows.
    attacks = [("JSMA", torchattacks.JSMA(model, theta=1.0, gamma=eps / x[0].numel()))]
    attacks += [
        (
            f"EADL1, c {const:g}",
            torchattacks.EADL1(
                model,
                lr=0.1,
                binary_search_steps=1,
                max_iterations=steps,
                initial_const=const,
                abort_early=False,
            ),
        )
        for const in (1.0, 10.0)
    ]
    found = []
    for name, attack in attacks:
        attack.set_mode_targeted_by_label(quiet=True)
        found.append((f"torchattacks {name}", attack(x, target) - x))
    return found
