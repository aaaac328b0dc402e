"""Interpretations: the planted flaw of `shapes` found again, and cost in passes.

A pass is one forward (for visualisation: forward and input backward) of the same batch, in processor time of
one thread, timed next to each job. Pictures of the planted-flaw table come from splits with their own seeds,
on which nothing was trained or chosen. The tables go between the markers of the room's README.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sparse_debug_widgets.core.threads import thread_limit
from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.data.shapes import ShapesDataset
from sparse_debug_widgets.interpret import find_prototypes, lime_images, visualize_features
from sparse_debug_widgets.sparse import extract_features

README = Path(__file__).parents[2] / "sparse_debug_widgets" / "interpret" / "README.md"
BEGIN, END = "<!-- bench images -->", "<!-- /bench images -->"
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


def planted(model: torch.nn.Module, features: object) -> list[str]:
    """Does the flaw's feature lead to the flaw?"""
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
    rows = ["| demo | LIME, all features: forwards a sample | ten pictures: passes a step |", "|---|---|---|"]
    for name in ("shapes", "mnist", "digits"):
        lime, climb = zip(*(cost_of(name) for _ in range(5)), strict=True)
        rows.append(f"| {name} | {statistics.median(lime):.2f} | {statistics.median(climb):.2f} |")
    return rows


def cost_of(name: str, steps: int = 128) -> tuple[float, float]:
    """Of LIME in forwards of 64 pictures, of visualisation in passes of ten."""
    demo = load_demo(name)
    model, features = demo.model, extract_features(demo.model, demo.train)
    batch = torch.stack([demo.test[i][0] for i in range(64)])
    ten = np.flatnonzero(features.alive)[:10]

    def forwards() -> None:
        with torch.no_grad():
            for _ in range(15):
                model(batch)

    def climbs() -> None:
        leaf = batch[:10].clone().requires_grad_(True)
        for _ in range(steps):
            torch.autograd.grad(model(leaf).sum(), leaf)

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    forwards()
    asked = spent(lambda: lime_images(model, batch[0], features, n_samples=960, chunk_size=64))
    seen = spent(lambda: visualize_features(model, batch, features, features=ten, n_steps=steps))
    return asked / spent(forwards), seen / spent(climbs)


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


def main() -> None:
    import warnings

    warnings.simplefilter("ignore")
    with thread_limit(1):
        demo = load_demo("shapes")
        features = extract_features(demo.model, demo.train)
        tables = [
            ("Planted flaw", planted(demo.model, features)),
            ("Beyond real data", beyond()),
            ("Cost", costs()),
        ]
    text = "\n\n".join(f"### {title}\n\n" + "\n".join(rows) for title, rows in tables)
    sys.stdout.write(text + "\n")
    page = README.read_text()
    if BEGIN in page:
        head, rest = page.split(BEGIN)
        README.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")
