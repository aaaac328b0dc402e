"""Perturbations: target loss at equal support against the peers, and the cost of Frank-Wolfe in passes.

The peers are not among the development dependencies, see `_perturb_peers.py`. A pass is one forward and one
input backward of the same batch with frozen parameters, in processor time of one thread, timed before and
after each run. The tables go between the markers of the room's README.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.perturb import L1QBall, PerturbationWarning, frank_wolfe, perturb
from sparse_debug_widgets.perturb.arguments import check_room
from sparse_debug_widgets.perturb.classifier import Objective, differentiable
from tests.benchmarks._perturb_peers import installed, peers

README = Path(__file__).parents[2] / "sparse_debug_widgets" / "perturb" / "README.md"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
STEPS = 30
IMAGES = 50
BUDGETS = (3.0, 10.0, 20.0)
Stats = tuple[np.ndarray, np.ndarray]


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", PerturbationWarning)
    text = f"{quality()}\n\n{cost()}"
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    sys.stdout.write(f"{text}\n")


def quality() -> str:
    """One row for each budget and setting of a peer, ours at the support that the peer used on each image."""
    demo = load_demo("mnist")
    # The network has seen neither of the demo's two parts; the tests use the other one.
    rows = np.linspace(7, len(demo.train) - 1, IMAGES).astype(int).tolist()
    x = torch.stack([demo.train[i][0] for i in rows])
    target = (torch.tensor([demo.train[i][1] for i in rows]) + 1) % 10
    versions = ", ".join(f"{name} {installed(name)}" for name in ("foolbox", "chop-pytorch", "torchattacks"))
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
        for name, delta in peers(demo.model, x, target, eps, STEPS):
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


def of(model: nn.Module, x: Tensor, target: Tensor, delta: Tensor | np.ndarray) -> Stats:
    """Support and target loss of each perturbation, both recomputed here for everybody."""
    added = torch.tensor(np.asarray(delta), dtype=x.dtype)
    with torch.no_grad():
        loss = functional.cross_entropy(model.eval()(x + added), target, reduction="none")
    return (added != 0).flatten(1).sum(1).numpy(), loss.numpy()


def cost() -> str:
    """Frank-Wolfe with the box in passes, on two networks and two batch sizes."""
    lines = [
        f"Frank-Wolfe, l1-q with the box, K = {STEPS}, in passes; medians of runs timed in turn.",
        "",
        "| model | batch | pass, ms | `frank_wolfe` / K passes | all of `perturb` / K passes |",
        "|---|---|---|---|---|",
    ]
    for name, eps, repeats in (("mnist", 10.0, 41), ("shapes", 60.0, 25), ("efficientnet-lite0", 1000.0, 3)):
        demo = load_demo(name)
        images = torch.stack([demo.test[i][0] for i in range(8)])
        if name == "efficientnet-lite0":
            images = images[:, :, :224, :224].contiguous()
        for batch in (1, 8):
            single, core, whole = _cost(demo.model, images[:batch], eps, repeats)
            lines.append(f"| {name} | {batch} | {1000 * single:.1f} | {core:.3f} | {whole:.3f} |")
            sys.stderr.write(lines[-1] + "\n")
    return "\n".join(lines)


def _cost(model: nn.Module, x: Tensor, eps: float, repeats: int) -> tuple[float, float, float]:
    target = torch.zeros(len(x), dtype=torch.int64)
    count = -(-x[0].numel() // 100)
    passes, cores, wholes = [], [], []
    for repeat in range(repeats + 1):
        with differentiable(model) as bare:

            def one_pass(bare: nn.Module = bare) -> None:
                leaf = x.detach().requires_grad_(True)
                torch.autograd.grad(functional.cross_entropy(bare(leaf), target), leaf)

            def run(bare: nn.Module = bare) -> None:
                ball = L1QBall(torch.full((len(x),), eps), count, check_room(x, (0.0, 1.0)))
                frank_wolfe(Objective(bare, x, target), ball, steps=STEPS)

            def passed(one_pass: Callable[[], None] = one_pass) -> float:
                return _seconds(lambda: [one_pass() for _ in range(STEPS)])

            before = passed()
            core = _seconds(run)
            middle = passed()
        whole = _seconds(lambda: perturb(model, x, target=target, eps=eps, q=0.01, steps=STEPS))
        with differentiable(model):
            after = passed()
        # The first round compiles.
        if repeat:
            passes.append(middle / STEPS)
            cores.append(2 * core / (before + middle))
            wholes.append(2 * whole / (middle + after))
    return min(passes), statistics.median(cores), statistics.median(wholes)


def _seconds(job) -> float:
    begin = time.process_time()
    job()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
