"""Interpretations: the planted flaw of `shapes` found again, and cost in passes.

A pass is one forward (for visualisation: forward and input backward) of the same batch, in processor time of
one thread, timed next to each job. Pictures of the planted-flaw table come from splits with their own seeds,
on which nothing was trained or chosen. Each part puts its table into `docs/benchmarks/interpret.md`.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date

import numpy as np
import torch

from sparse_debug_widgets.core.threads import thread_limit
from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.data.shapes import ShapesDataset
from sparse_debug_widgets.interpret import find_prototypes, lime_images, visualize_features
from sparse_debug_widgets.interpret.deep.live import chunk_rows
from sparse_debug_widgets.sparse import extract_features
from tests.benchmarks._sections import put

FLAW = 75
SEEDS = (101, 102)
N_IMAGES = 50
N_PROTOTYPES = 20


def spent(job: Callable[[], object]) -> float:
    start = time.process_time()
    job()
    return time.process_time() - start


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def box_of(data: ShapesDataset, row: int) -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    top, left, bottom, right = data.truth(row).tag_box
    mask[top:bottom, left:right] = True
    return mask


def planted() -> list[str]:
    """Does the flaw's feature lead to the flaw?"""
    model = load_demo("shapes").model
    features = extract_features(model, load_demo("shapes").train)
    rows = [
        "| pictures | share with the mark | top 20 | bottom 20 | LIME mask IoU, median of 50 | R^2 |",
        "|---|---|---|---|---|---|",
    ]
    for split in ("test", "clean_test"):
        for seed in SEEDS:
            data = ShapesDataset(split, 1000, seed=seed)
            ends = find_prototypes(model, data, features=[FLAW], units=features, k=N_PROTOTYPES)
            tagged = np.flatnonzero(data.tagged)[:N_IMAGES]
            found = lime_images(
                model, [data[int(r)][0] for r in tagged], features, features=[FLAW], seed=seed
            )
            scores = [overlap(found.mask(b, FLAW), box_of(data, int(r))) for b, r in enumerate(tagged)]
            top, bottom = (data.tagged[end[0]].mean() for end in (ends.top, ends.bottom))
            rows.append(
                f"| {split}, seed {seed} | {data.tagged.mean():.0%} | {top:.0%} | {bottom:.0%} "
                f"| {statistics.median(scores):.2f} | {np.median(found.r2):.2f} |"
            )
    return rows


def costs() -> list[str]:
    """Passes of LIME for all features and of visualisation for ten."""
    rows = [
        "| demo | forward of one | LIME, all features: forwards a sample | ten pictures: passes a step "
        f"| their start: passes | {STEPS} steps with start |",
        "|---|---|---|---|---|---|",
    ]
    for name, (samples, steps, runs) in COSTS.items():
        forward, lime, step, start = (
            sorted(found) for found in zip(*cost_of(name, samples, steps, runs), strict=True)
        )
        middle = [statistics.median(found) for found in (lime, step, start)]
        rows.append(
            f"| {name} | {1e3 * forward[0]:.2g} ms | {middle[0]:.2f} ({lime[0]:.2f} to {lime[-1]:.2f}) "
            f"| {middle[1]:.2f} ({step[0]:.2f} to {step[-1]:.2f}) | {middle[2]:.0f} "
            f"| {middle[1] + middle[2] / STEPS:.2f} |"
        )
    load = ", ".join(f"{value:.0f}" for value in os.getloadavg())
    settings = ", ".join(f"{name} {samples} and {steps}" for name, (samples, steps, _) in COSTS.items())
    return [
        *rows,
        "",
        f"Medians and extremes. {os.cpu_count()} cores, {date.today()}, load at the end {load}. "
        f"Samples and steps timed: {settings}.",
    ]


STEPS = 512
"""As ``visualize_features`` takes them by default."""
COSTS = {"shapes": (960, 48, 5), "mnist": (960, 192, 5), "digits": (960, 192, 5)} | {
    "efficientnet-lite0": (96, 4, 3)
}
"""Samples of LIME, steps of a visualisation, runs."""


def cost_of(name: str, samples: int, steps: int, runs: int) -> list[tuple[float, float, float, float]]:
    """Seconds of a forward; LIME in forwards of a chunk; a step, and the start, in passes of ten."""
    demo = load_demo(name)
    model, features = demo.model, extract_features(demo.model, demo.train)
    batch = torch.stack([demo.test[i][0] for i in range(64)])
    ten = np.flatnonzero(features.alive)[:10]
    chunk = min(64, chunk_rows(None, batch))

    def forwards() -> None:
        with torch.no_grad():
            for _ in range(samples // chunk):
                model(batch[:chunk])

    def climbs() -> None:
        leaf = batch[:10].clone().requires_grad_(True)
        for _ in range(steps):
            torch.autograd.grad(model(leaf).sum(), leaf)

    def lime() -> None:
        lime_images(model, batch[0], features, n_samples=samples, chunk_size=chunk)

    def climb(n: int) -> None:
        visualize_features(model, batch, features, features=ten, n_steps=n, chunk_size=10)

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    forwards()
    climb(1)
    found = []
    for _ in range(runs):
        asked, alone = spent(lime), spent(forwards)
        one, all_steps, bare = spent(lambda: climb(1)), spent(lambda: climb(1 + steps)), spent(climbs) / steps
        step = (all_steps - one) / steps
        found.append((alone / samples, asked / alone, step / bare, (one - step) / bare))
    return found


def beyond() -> list[str]:
    """Share of the alive features whose picture goes beyond the 99.9th percentile of the training data."""
    rows = ["| demo | parameters | features | beyond the 99.9th percentile |", "|---|---|---|---|"]
    for name, parameters in (
        ("shapes", "fourier"),
        ("digits", "fourier"),
        ("mnist", "fourier"),
        ("digits-robust", "plain"),
        ("mnist-robust", "plain"),
    ):
        demo = load_demo(name)
        features = extract_features(demo.model, demo.train)
        found = visualize_features(
            demo.model, demo.train, features, parameters=parameters, n_steps=128 if name == "shapes" else 256
        )
        share = (found.activations > found.extremes).mean()
        rows.append(f"| {name} | {parameters} | {len(found.features)} | {share:.0%} |")
    return rows


PARTS: dict[str, Callable[[], list[str]]] = {"planted": planted, "beyond": beyond, "costs": costs}


def main(*parts: str) -> None:
    import warnings

    warnings.simplefilter("ignore")
    for part in parts or PARTS:
        with thread_limit(1):
            text = "\n".join(PARTS[part]())
        sys.stdout.write(f"{text}\n\n")
        sys.stdout.flush()
        put("interpret", text, part)
