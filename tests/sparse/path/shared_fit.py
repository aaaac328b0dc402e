"""What each process of test_processes.py runs, started by torchrun: fits of its share of the rows."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path
from sparse_debug_widgets.sparse.features.deep_features import DeadFeaturesWarning

CASES = {
    "multinomial": {},
    "weighted": {"weighted": True, "alpha": 0.9},
    "binomial": {"family": "binomial", "tol": 1e-4},
    "gaussian": {"family": "gaussian"},
    "names": {"names": True},
    "rounding": {"tol": 1e-8, "n_lambdas": 5},
    "streamed": {"memory_budget": 20e6},
}
SHARES = (0.35, 1.0)


def problem(case):
    """Features (n, p), labels, weights and options of a case; all rows."""
    options = dict(CASES[case])
    n, p = (20_000, 160) if case == "streamed" else (600, 30)
    rng = np.random.default_rng(3)
    latent = rng.normal(size=(n, 8))
    X = np.maximum(latent @ rng.normal(size=(8, p)) + 0.5 * rng.normal(size=(n, p)), 0.0) + 2.0
    X[:, 4] = 1.5
    scores = latent[:, :4] + 0.7 * rng.gumbel(size=(n, 4))
    y = scores.argmax(1)
    y[:4] = np.arange(4)
    # Sorted by class: neither process sees them all.
    order = np.argsort(y, kind="stable")
    X, y, scores = X[order].astype(np.float32), y[order], scores[order]
    if options.get("family") == "binomial":
        y = (y > 1).astype(int)
    if options.get("family") == "gaussian":
        y = scores[:, :2]
    if options.pop("names", False):
        y = np.array(["ant", "bee", "cat", "dog"])[y]
    weights = rng.uniform(0.2, 3.0, n) if options.pop("weighted", False) else None
    return X, y, weights, {"n_lambdas": 8, "eps": 0.02, "seed": 5, "validation": 0.2} | options


def share(rank, n):
    edges = [0, *(int(s * n) for s in SHARES)]
    return slice(edges[rank], edges[rank + 1])


def main(folder):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeadFeaturesWarning)
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    for case in CASES:
        X, y, weights, options = problem(case)
        mine = share(rank, len(X))
        part = None if weights is None else weights[mine]
        path = elastic_net_path(X[mine], y[mine], sample_weight=part, process_group=True, **options)
        path.save(folder / f"{case}-{rank}.safetensors")
    told = errors(rank)
    told |= {"cancelled": cancelled(rank), "resumed": resumed(rank, folder), "features": ready(rank)}
    told["size"] = size
    (folder / f"told-{rank}.json").write_text(json.dumps(told))
    dist.destroy_process_group()


def errors(rank):
    """What each process is told of input that is bad in one of them, or in all."""
    X, y, _, _ = problem("multinomial")
    mine = share(rank, len(X))
    X, y = X[mine].copy(), y[mine]
    spoilt = X.copy()
    if rank == 1:
        spoilt[3, 2] = np.nan
    bad = {
        "NaN in one": (spoilt, y, {}),
        "one class": (X, np.zeros_like(y), {}),
        "columns": (X[:, : 30 - rank], y, {}),
        "saga": (X, y, {"solver": "saga"}),
        "weights in one": (X, y, {"sample_weight": None if rank else np.ones(len(X))}),
        "negative weights in one": (X, y, {"sample_weight": np.ones(len(X)) - 2.0 * rank}),
        "no rows in one": (X, y, {"sample_weight": np.full(len(X), 1.0 - rank), "family": "gaussian"}),
        "settings": (X, y, {"alpha": 0.5 + 0.1 * rank}),
        "budget": (X, y, {"memory_budget": 1e3}),
    }
    told = {}
    for name, (inputs, labels, options) in bad.items():
        try:
            elastic_net_path(inputs, labels.astype(float), process_group=True, **options)
            told[name] = ""
        except InputError as error:
            told[name] = str(error)
    return told


def cancelled(rank):
    """Strengths that each process has when one of them cancels inside the fourth."""
    X, y, _, options = problem("multinomial")
    mine, seen = share(rank, len(X)), []

    def report(progress):
        seen.append(progress.done)
        if rank == 1 and seen.count(3) == 2:
            raise Cancelled

    path = elastic_net_path(
        X[mine], y[mine], process_group=True, progress=report if rank else None, **options
    )
    return [path.n_lambdas, path.cancelled]


def resumed(rank, folder):
    """Gaps of a fit that goes on after its first strengths, of which one process has lost one."""
    X, y, _, options = problem("multinomial")
    mine, seen, place = share(rank, len(X)), [], folder / "checkpoint"

    def report(progress):
        seen.append(progress.done)
        if seen.count(5) == 2:
            raise Cancelled

    shared = {"process_group": True, "checkpoint": place, **options}
    part = elastic_net_path(X[mine], y[mine], progress=report, **shared)
    if rank == 1:
        (place / "process-1-of-2" / "lambda-00004.safetensors").unlink()
    dist.barrier()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = elastic_net_path(X[mine], y[mine], **shared)
    return [part.n_lambdas, path.n_lambdas, float(path.duality_gaps.max()), path.objectives.tolist()]


def ready(rank):
    """Objectives from DeepFeatures made in each process, each with rows of every class."""
    X, y, _, options = problem("multinomial")
    rows = np.arange(len(X)) % 2 == rank
    splits = (np.arange(len(X)) % 5 == 0).astype(int)
    features = DeepFeatures.from_arrays(X[rows], y[rows], splits=splits[rows])
    options.pop("validation")
    return elastic_net_path(features, process_group=True, **options).objectives.tolist()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
