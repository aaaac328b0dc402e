"""Perturbations: target loss at equal support against the peers, and the cost of Frank-Wolfe in passes.

The peers are not among the development dependencies: `pip install foolbox` for the first table. A pass is one
forward and one input backward of the same batch with frozen parameters, in processor time of one thread,
timed next to each run. The tables go between the markers of the room's README.
"""

import statistics
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.perturb import L1QBall, PerturbationWarning, frank_wolfe, perturb
from sparse_debug_widgets.perturb.arguments import check_room
from sparse_debug_widgets.perturb.classifier import Objective, differentiable

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
    rows = np.linspace(0, len(demo.test) - 1, IMAGES).astype(int).tolist()
    x = torch.stack([demo.test[i][0] for i in rows])
    target = (torch.tensor([demo.test[i][1] for i in rows]) + 1) % 10
    lines = [
        f"`mnist` demo, {IMAGES} held-out digits towards the next digit, l1 budgets, pixels in [0, 1], "
        f"{STEPS} steps each; foolbox {_version('foolbox')}. Medians over the images; ours gets, image by "
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
        for name, delta in peers(demo.model, x, target, eps):
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


def peers(model: nn.Module, x: Tensor, target: Tensor, eps: float) -> list[tuple[str, Tensor]]:
    """What foolbox's sparse attacks find within the budget."""
    try:
        import foolbox
    except ImportError:
        return []
    wrapped = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu")
    goal = foolbox.criteria.TargetedMisclassification(target)
    found = []
    for quantile in (0.8, 0.9, 0.95, 0.98):
        attack = foolbox.attacks.SparseL1DescentAttack(quantile=quantile, steps=STEPS)
        raw, _, _ = attack(wrapped, x, goal, epsilons=eps)
        found.append((f"SparseL1Descent, quantile {quantile}", (raw - x).detach()))
    for const in (1.0, 10.0):
        attack = foolbox.attacks.EADAttack(
            binary_search_steps=1, steps=STEPS, initial_stepsize=0.1, initial_const=const, abort_early=False
        )
        raw, _, _ = attack(wrapped, x, goal, epsilons=None)
        delta = (raw - x).detach()
        # It knows no budget: what exceeds it does not count.
        inside = (delta.flatten(1).abs().sum(1) <= eps).float().view(-1, 1, 1, 1)
        found.append((f"EAD, c {const:g}", delta * inside))
    return found


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
    for name, eps, repeats in (("shapes", 60.0, 15), ("efficientnet-lite0", 1000.0, 3)):
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

            one = _seconds(lambda: [one_pass() for _ in range(STEPS)])
            core = _seconds(run)
        whole = _seconds(lambda: perturb(model, x, target=target, eps=eps, q=0.01, steps=STEPS))
        # The first round compiles.
        if repeat:
            passes.append(one / STEPS)
            cores.append(core / one)
            wholes.append(whole / one)
    return min(passes), statistics.median(cores), statistics.median(wholes)


def _seconds(job) -> float:
    begin = time.process_time()
    job()
    return time.process_time() - begin


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
