"""Perturbations: target loss at equal support against the peers, and the cost of Frank-Wolfe in passes.

The peers are not among the development dependencies, see `_perturb_peers.py`. A pass is one forward and one
input backward of the same batch with frozen parameters, in processor time of one thread, timed before and
after each run. The tables go between the markers of `docs/benchmarks/perturb.md`;
`poe bench perturb cost` makes one.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.data.demo import Demo
from sparse_debug_widgets.perturbation import (
    FrankWolfeAttack,
    L1QBall,
    PerturbationWarning,
    PGDAttack,
    frank_wolfe,
    perturb,
    robust_accuracy,
    strongest,
)
from sparse_debug_widgets.perturbation.arguments import check_room
from sparse_debug_widgets.perturbation.classifier import Objective, differentiable
from tests.benchmarks._perturb_peers import installed, peers
from tests.benchmarks._sections import machine, put_section

STEPS = 30
IMAGES = 50
BUDGETS = (3.0, 10.0, 20.0)
Stats = tuple[np.ndarray, np.ndarray]


def _pictures(demo: Demo) -> tuple[Tensor, Tensor]:
    """Digits that the network has not seen, and what each is to become."""
    # It has seen neither of the demo's two parts; the tests use the other one.
    rows = np.linspace(7, len(demo.train) - 1, IMAGES).astype(int).tolist()
    x = torch.stack([demo.train[i][0] for i in rows])
    return x, (torch.tensor([demo.train[i][1] for i in rows]) + 1) % 10


def budget() -> str:
    """One row for each budget and peer: all of the budget for everybody, and as many passes."""
    demo = load_demo("mnist")
    x, target = _pictures(demo)
    ours: dict[str, dict[str, Any]] = {
        "Frank-Wolfe, l1": {"norm": "l1"},
        "PGD, l1": {"norm": "l1", "method": "pgd"},
        "Frank-Wolfe, l1-q, q = 0.05": {"norm": "l1q", "q": 0.05},
        "PGD, l1-q, q = 0.05": {"norm": "l1q", "q": 0.05, "method": "pgd"},
    }
    lines = [
        f"The same {IMAGES} digits and targets, everybody with all of the budget and {STEPS} steps, whatever "
        f"support that takes; foolbox {installed('foolbox')}. Medians over the images. Lower is better.",
        "",
        "| eps | attack | support | loss | images that become the target |",
        "|---|---|---|---|---|",
    ]
    for eps in BUDGETS:
        found = [
            (name, torch.tensor(perturb(demo.model, x, target=target, eps=eps, steps=STEPS, **how).delta))
            for name, how in ours.items()
        ]
        table = []
        for name, delta in [*found, *peers(demo.model, x, target, eps, STEPS, ("foolbox",))]:
            size, loss = of(demo.model, x, target, delta)
            with torch.no_grad():
                hit = float((demo.model(x + delta).argmax(1) == target).float().mean())
            table.append((name, float(np.median(size)), float(np.median(loss)), hit))
        least = min(row[2] for row in table)
        for name, size, loss, hit in table:
            bold = "**" if loss == least else ""
            lines.append(f"| {eps:g} | {name} | {size:g} | {bold}{loss:.2f}{bold} | {hit:.0%} |")
            sys.stderr.write(lines[-1] + "\n")
    return "\n".join(lines)


def quality(packages: Sequence[str]) -> str:
    """One row for each budget and setting of a peer, ours at the support that the peer used on each image."""
    demo = load_demo("mnist")
    x, target = _pictures(demo)
    versions = ", ".join(f"{name} {installed(name)}" for name in packages)
    lines = [
        f"`mnist` demo, {IMAGES} digits that it has not seen, each towards the next digit, l1 budgets, "
        f"pixels in [0, 1], {STEPS} steps each; {versions}. Medians over the images; ours gets, image by "
        "image, the support that the peer used. Lower is better.",
        "",
        "| eps | peer | its support | its loss | l1-q, q = 0.05 (support) | l1-q, that support "
        "| l1, that support | images on which the last is lower |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for eps in BUDGETS:
        free = of(
            demo.model, x, target, perturb(demo.model, x, target=target, eps=eps, q=0.05, steps=STEPS).delta
        )
        for name, delta in peers(demo.model, x, target, eps, STEPS, packages):
            size, loss = of(demo.model, x, target, delta)
            moved = size > 0
            most = np.maximum(size, 1).tolist()
            share = np.minimum(1, size.clip(1) / x[0].numel())
            ours = [
                of(
                    demo.model,
                    x,
                    target,
                    perturb(
                        demo.model, x, target=target, eps=eps, norm=n, q=share, steps=STEPS, max_support=most
                    ).delta,
                )
                for n in ("l1q", "l1")
            ]
            if not all((found[0] <= np.maximum(size, 1)).all() for found in ours):
                raise RuntimeError("more coordinates than allowed")
            wins = (
                f"{np.mean(ours[1][1][moved] < loss[moved]):.0%} of {int(moved.sum())}"
                if moved.any()
                else "-"
            )
            lines.append(
                f"| {eps:g} | {name} | {np.median(size):g} | {np.median(loss):.2f} "
                f"| {np.median(free[1]):.2f} ({np.median(free[0]):g}) | {np.median(ours[0][1]):.2f} "
                f"| **{np.median(ours[1][1]):.2f}** | {wins} |"
            )
            sys.stderr.write(lines[-1] + "\n")
    return "\n".join(lines)


ROBUST = (
    ("mnist", (("l1", 8.0), ("l1q", 8.0), ("l2", 1.0), ("linf", 0.1))),
    ("mnist-robust", (("l1", 16.0), ("l1q", 16.0), ("l2", 2.0), ("linf", 0.2))),
    ("digits-robust", (("l1", 4.0), ("l1q", 4.0), ("l2", 1.0), ("linf", 0.2))),
)


def robust() -> str:
    """Robust accuracy by attack: the default, its parts, and as many steps of one length."""
    attacks = {
        "PGD, steps of one length": PGDAttack(steps=40, step_size=2.5 / 40),
        "PGD": PGDAttack(steps=40),
        "Frank-Wolfe": FrankWolfeAttack(steps=40, q=0.01),
        "both, the default": strongest(40),
        "both, 7 steps": strongest(7),
    }
    lines = [
        "Share of the first 150 test pictures that is classified correctly after the attack, 40 steps unless "
        "said; lower is a stronger attack. Steps of one length are 2.5 / 40 of the radius.",
        "",
        "| demo | ball | eps | " + " | ".join(attacks) + " |",
        "|---|---|---|" + "---|" * len(attacks),
    ]
    for name, balls in ROBUST:
        demo = load_demo(name)
        x = torch.stack([demo.test[i][0] for i in range(150)])
        y = torch.tensor([int(demo.test[i][1]) for i in range(150)])
        for norm, eps in balls:
            left = [
                robust_accuracy(demo.model, (x, y), norm=norm, eps=eps, attack=attack, progress=False)
                for attack in attacks.values()
            ]
            shown = [f"**{share:.3f}**" if share == min(left) else f"{share:.3f}" for share in left]
            lines.append(f"| {name} | {norm} | {eps:g} | " + " | ".join(shown) + " |")
            sys.stderr.write(lines[-1] + "\n")
    return "\n".join(lines)


def of(model: nn.Module, x: Tensor, target: Tensor, delta: Tensor | np.ndarray) -> Stats:
    """Support and target loss of each perturbation, both recomputed here for everybody."""
    added = torch.tensor(np.asarray(delta), dtype=x.dtype)
    with torch.no_grad():
        loss = functional.cross_entropy(model.eval()(x + added), target, reduction="none")
    return (added != 0).flatten(1).sum(1).numpy(), loss.numpy()


SMALL = (("mnist", 10.0, 41), ("shapes", 60.0, 15))
LITE0 = (("efficientnet-lite0", 1000.0, 3),)


def cost(models: tuple[tuple[str, float, int], ...]) -> str:
    """Frank-Wolfe with the box in passes, for names, radii and numbers of rounds; two batch sizes."""
    lines = [
        f"Frank-Wolfe, l1-q with the box, K = {STEPS}, in passes; wanted: 1.05. Medians (smallest to "
        "largest) of runs timed in turn with as many passes.",
        "",
        "| model | batch | pass, ms | `frank_wolfe` / K passes | all of `perturb` / K passes |",
        "|---|---|---|---|---|",
    ]
    for name, eps, repeats in models:
        demo = load_demo(name)
        images = torch.stack([demo.test[i][0] for i in range(8)])
        if name == "efficientnet-lite0":
            images = images[:, :, :224, :224].contiguous()
        for batch in (1, 8):
            single, core, whole = _cost(demo.model, images[:batch], eps, repeats)
            lines.append(f"| {name} | {batch} | {1000 * single:.1f} | {core} | {whole} |")
            sys.stderr.write(lines[-1] + "\n")
    return "\n".join(lines)


def _cost(model: nn.Module, x: Tensor, eps: float, repeats: int) -> tuple[float, str, str]:
    target = torch.zeros(len(x), dtype=torch.int64)
    count = -(-x[0].numel() // 100)
    passes, cores, wholes = [], [], []
    # The first call compiles.
    perturb(model, x, target=target, eps=eps, q=0.01, steps=1)
    for _ in range(repeats if x.numel() < 10**6 else 1):
        with differentiable(model) as bare:

            def one_pass(bare: nn.Module = bare) -> None:
                leaf = x.detach().requires_grad_(True)
                torch.autograd.grad(functional.cross_entropy(bare(leaf), target), leaf)

            def run(bare: nn.Module = bare) -> None:
                ball = L1QBall(torch.full((len(x),), eps), count, check_room(x, (0.0, 1.0)))
                frank_wolfe(Objective(bare, x, target), ball, steps=STEPS)

            def passed(one_pass: Callable[[], None] = one_pass) -> float:
                # Where a pass takes long, a few are enough.
                number = STEPS if x.numel() < 10**6 else 6
                return _seconds(lambda: [one_pass() for _ in range(number)]) * STEPS / number

            before = passed()
            core = _seconds(run)
            middle = passed()
        whole = _seconds(lambda: perturb(model, x, target=target, eps=eps, q=0.01, steps=STEPS))
        with differentiable(model):
            after = passed()
        passes.append(middle / STEPS)
        cores.append(2 * core / (before + middle))
        wholes.append(2 * whole / (middle + after))
    core, whole = (f"{statistics.median(r):.3f} ({min(r):.2f} to {max(r):.2f})" for r in (cores, wholes))
    return min(passes), core, whole


def _seconds(job) -> float:
    begin = time.process_time()
    job()
    return time.process_time() - begin


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "budget": ("Target loss at equal budget, against foolbox", budget),
    "quality": ("Target loss at equal support, against foolbox", partial(quality, ("foolbox",))),
    "others": (
        "Target loss at equal support, against chop and torchattacks",
        partial(quality, ("chop-pytorch", "torchattacks")),
    ),
    "robust": ("Robust accuracy by attack", robust),
    "cost": ("Cost in passes, small networks", partial(cost, SMALL)),
    "cost-lite0": ("Cost in passes, EfficientNet-Lite0 at 224 px", partial(cost, LITE0)),
}


def main(*names: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", PerturbationWarning)
    for name in names or PARTS:
        title, table = PARTS[name]
        where = machine()
        text = f"{table()}\n\n{where}"
        put_section("perturb", [known for known, _ in PARTS.values()], title, text)
        sys.stdout.write(f"### {title}\n\n{text}\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
