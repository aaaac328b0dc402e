"""X-features: the thesis' Table 3.1 on bugs with known parts and on real digits, and what they cost.

Ten classes, three seeds, n = 5; every network with 400 steps (half of the default) and without second tries,
so that all of it takes some ten minutes of one core. Orthogonality and locality are those of the heat maps
(contrastive excitation backprop, as in the thesis) on test pictures of the class. Locality of the bugs is
measured against the masks of their parts; digits have no parts, so theirs is against the nine fields of a
3 x 3 grid, which says how spread a map is and no more. Finished rows are kept in a file (`poe bench xfeatures
table` needs only those); the tables go between the markers of `docs/benchmarks/xfeatures.md`.
"""

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sparse_debug_widgets.core.threads import thread_limit
from sparse_debug_widgets.data import Demo, load_demo
from sparse_debug_widgets.evaluate import f_cls, f_reg, locality_from_masks, orthogonality
from sparse_debug_widgets.interpret import (
    ClassExplanation,
    ExplanationWarning,
    LayerActivations,
    Recipe,
    fit_explanation,
    read_layer,
)
from sparse_debug_widgets.interpret.deep.examples import Examples
from sparse_debug_widgets.interpret.xfeatures.maps import heat_maps
from sparse_debug_widgets.interpret.xfeatures.srae.layer import Tap
from sparse_debug_widgets.saliency import excitation
from tests.benchmarks._sections import put

KEPT = Path(tempfile.gettempdir()) / "bench-xfeatures.jsonl"
DEMOS = ("parts", "digits")
METHODS = ("srae", "nn", "sae", "cae", "lasso")
FIXED = {"lasso", "1-heatmap"}
"""No seed changes these."""
SEEDS = (0, 1, 2)
SHOWN = {"parts": 16, "digits": 24}
STEPS, PRETRAINING_STEPS = 400, 60
COLUMNS = ("F_reg_train", "F_reg", "F_cls", "O1", "O2", "locality", "contributing")
LOWER = {"F_reg_train", "F_reg", "O1", "O2", "locality"}


def recipe_for(rows: int) -> Recipe:
    per_epoch = -(-rows // 100)
    return Recipe(
        epochs=-(-STEPS // per_epoch), pretraining=-(-PRETRAINING_STEPS // min(per_epoch, 20)), retries=0
    )


def part_masks(demo: Demo, rows: np.ndarray) -> np.ndarray:
    """(m, P, H, W): the bugs' parts, or the fields of a grid."""
    if demo.truth is not None:
        return demo.truth.masks(rows)
    size = demo.test[0][0].shape[-1]
    field = np.arange(size) * 3 // size
    grid = np.stack([np.outer(field == i, field == j) for i in range(3) for j in range(3)])
    return np.broadcast_to(grid, (len(rows), *grid.shape))


def gallery(test: LayerActivations, label: int, count: int) -> np.ndarray:
    """The first test pictures of a class that the model gets right."""
    right = (test.labels == label) & (test.scores.argmax(1) == label)
    return np.flatnonzero(right)[:count]


def judged(
    demo: Demo, test: LayerActivations, found: ClassExplanation, label: int, shown: int
) -> dict[str, float]:
    rows = gallery(test, label, shown)
    images = Examples(demo.test).pictures(rows)
    maps = heat_maps(demo.model, images, found, contrastive=True).units
    _, mimicked = found.explain(test.values)
    o1, o2 = orthogonality(maps)
    sizes = np.sort(found.contributions)[::-1]
    return {
        "F_reg_train": found.fidelity["F_reg_train"],
        "F_reg": f_reg(test.scores[:, label], mimicked).value,
        "F_cls": f_cls(test.scores, label, mimicked).value,
        "O1": o1.value,
        "O2": o2.value,
        "locality": locality_from_masks(maps, part_masks(demo, rows)).value,
        "contributing": float((sizes >= 0.3 * sizes[0]).sum()),
        "alive": float(found.alive.sum()),
    }


def one_heatmap(demo: Demo, test: LayerActivations, label: int, shown: int) -> dict[str, float]:
    rows = gallery(test, label, shown)
    images = Examples(demo.test).pictures(rows)
    found = excitation(demo.model, images, units=label, contrastive=True)
    return {"locality": locality_from_masks(found.maps[:, 0], part_masks(demo, rows)).value}


def known() -> list[dict[str, object]]:
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def measure() -> None:
    """Fit and judge what is not in the file yet, seed by seed."""
    done = {(row["demo"], row["method"], row["label"], row["seed"]) for row in known()}
    demos = {name: load_demo(name) for name in DEMOS}
    read = {
        name: (read_layer(demo.model, demo.train), read_layer(demo.model, demo.test))
        for name, demo in demos.items()
    }
    for seed in SEEDS:
        for name, demo in demos.items():
            train, test = read[name]
            for label in range(10):
                for method in (*METHODS, "1-heatmap"):
                    if (name, method, label, seed) in done or (method in FIXED and seed):
                        continue
                    began = time.process_time()
                    if method == "1-heatmap":
                        row = one_heatmap(demo, test, label, SHOWN[name])
                    else:
                        recipe = recipe_for(len(train.labels))
                        found = fit_explanation(
                            train, label, test_rows=test, method=method, recipe=recipe, seed=seed
                        )
                        row = judged(demo, test, found, label, SHOWN[name])
                    row["seconds"] = time.process_time() - began
                    with KEPT.open("a") as file:
                        key = {"demo": name, "method": method, "label": label, "seed": seed}
                        file.write(json.dumps(key | row) + "\n")
            sys.stdout.write(f"seed {seed}, {name}: done\n")
            sys.stdout.flush()


def table() -> list[str]:
    """Means over classes and seeds, with the standard deviation over classes of the mean over seeds."""
    rows = known()
    lines = []
    for name in DEMOS:
        judged_rows = [row for row in rows if (row["demo"], row["method"]) == (name, "srae")]
        seeds = sorted({int(row["seed"]) for row in judged_rows})
        n_classes = len({row["label"] for row in judged_rows})
        said = (
            f"{n_classes} classes, seeds {', '.join(map(str, seeds))}, {len(judged_rows)} networks a method"
        )
        lines += [f"### {name}: {said}", ""]
        lines += ["| | " + " | ".join((*COLUMNS, "alive")) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
        for method in (*METHODS, "1-heatmap"):
            cells = []
            for column in (*COLUMNS, "alive"):
                values = [
                    np.nanmean(found)
                    for label in range(10)
                    if (
                        found := [
                            float(row[column])
                            for row in rows
                            if (row["demo"], row["method"], row["label"]) == (name, method, label)
                            and column in row
                        ]
                    )
                ]
                digits = 4 if column == "F_cls" else 2
                cells.append(
                    f"{np.nanmean(values):.{digits}f} ± {np.nanstd(values):.{digits}f}" if values else ""
                )
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def cost() -> list[str]:
    """Seconds of processor time of one thread."""
    rng = np.random.default_rng(0)
    lines = ["### Cost", "", "| | seconds of processor time | wanted |", "|---|---|---|"]
    for p in (256, 2048):
        sources = rng.random((8000, 12)) * (rng.random((8000, 12)) < 0.4)
        values = (sources @ (rng.random((12, p)) * (rng.random((12, p)) < 0.4))).astype(np.float32)
        scores = np.stack([5 * sources[:, 0] + 4 * sources[:, 1], np.full(8000, 6.0)], 1).astype(np.float32)
        source = LayerActivations(Tap("fc", inputs=True, head="fc"), values, scores, scores.argmax(1))
        began, wall = time.process_time(), time.perf_counter()
        fit_explanation(source, 0, recipe=Recipe(retries=0))
        spent = time.process_time() - began
        note = f"one try; {time.perf_counter() - wall:.0f} s of wall time"
        lines.append(
            f"| one class, n = 5, 8,000 rows, {p} features ({note}) | {spent:.0f} | 60 on two cores |"
        )
    demo = load_demo("digits")
    train = read_layer(demo.model, demo.train)
    found = fit_explanation(train, 3, recipe=Recipe(epochs=1, pretraining=1, retries=0))
    images = Examples(demo.train).pictures(range(60))
    began = time.process_time()
    heat_maps(demo.model, images, found, contrastive=True)
    lines.append(
        f"| maps of 60 digits, 5 x-features and the 1-heatmap | {time.process_time() - began:.2f} | 5 |"
    )
    return lines


PARTS: dict[str, Callable[[], object]] = {"measure": measure, "table": table, "cost": cost}


def main(*parts: str) -> None:
    chosen = parts or ("measure", "table", "cost")
    lines: list[str] = []
    with thread_limit(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExplanationWarning)
        for part in chosen:
            lines += PARTS[part]() or []
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")
    if not parts:
        put("xfeatures", "\n".join(lines))
