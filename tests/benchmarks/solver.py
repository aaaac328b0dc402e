"""The path solver beside glmnet: same lambdas, same standardised features, one float64 judge.

Single thread on both sides, process CPU seconds, interleaved repeats, medians. Needs Rscript with glmnet
(Debian: r-cran-glmnet); its rows are left out where there is none.
"""

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from sparse_debug_widgets.sparse.certificate import certify
from sparse_debug_widgets.sparse.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.losses import Multinomial
from sparse_debug_widgets.sparse.objective import Problem
from sparse_debug_widgets.sparse.penalty import ElasticNet
from sparse_debug_widgets.sparse.solver import RunSettings
from sparse_debug_widgets.sparse.working_set import WorkingSet
from tests.benchmarks._solver_data import deep_features, digit_features

ALPHA, K, REPEATS = 0.99, 100, 3
ROWS = ((1000, 512, 1e-3), (1000, 2048, 1e-3), (5000, 512, 1e-3), (20000, 2048, 1e-2))
README = Path(__file__).parents[2] / "sparse_debug_widgets" / "sparse" / "README.md"
MARKS = ("<!-- bench solver: begin -->", "<!-- bench solver: end -->")
R_SCRIPT = """
suppressMessages(library(glmnet)); a <- commandArgs(TRUE); n <- as.integer(a[2]); p <- as.integer(a[3])
f <- function(x) file.path(a[1], x)
X <- matrix(readBin(f("X"), "double", n * p), n, p); y <- readBin(f("y"), "integer", n)
l <- readBin(f("lambdas"), "double", 1000)
t <- proc.time()
m <- glmnet(X, y, family = "multinomial", alpha = 0.99, lambda = l, standardize = FALSE, maxit = 1e7)
t <- proc.time() - t; K <- length(m$lambda)
B <- sapply(1:K, function(i) as.double(sapply(m$beta, function(b) as.numeric(b[, i]))))
writeBin(as.double(B), f("weights")); writeBin(as.double(m$a0), f("intercepts")); cat(t[1] + t[2])
"""


def problem_of(X, y):
    values = torch.from_numpy(np.ascontiguousarray(X.T))
    values = values.double() if values.numel() <= 4_000_000 else values
    return Problem(DesignMatrix(values), Multinomial(torch.as_tensor(y), int(y.max()) + 1), ElasticNet(ALPHA))


def ours(X, y, lambdas):
    task = problem_of(X, y)
    started = time.process_time()
    run = WorkingSet().begin(task, RunSettings(1e-3, 5000), [])
    found = [run.solve(k, float(v), lambda: None) for k, v in enumerate(lambdas)]
    return time.process_time() - started, [(s.weights, s.intercept) for s in found]


def glmnet(X, y, lambdas):
    n, p, classes = *X.shape, int(y.max()) + 1
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "X").write_bytes(np.ascontiguousarray(X.T, np.float64).tobytes())
        (here / "y").write_bytes(y.astype(np.int32).tobytes())
        (here / "lambdas").write_bytes(lambdas.astype(np.float64).tobytes())
        (here / "fit.R").write_text(R_SCRIPT)
        command = ["Rscript", str(here / "fit.R"), folder, str(n), str(p)]
        seconds = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        weights = np.fromfile(here / "weights").reshape(-1, classes, p)
        intercepts = np.fromfile(here / "intercepts").reshape(-1, classes)
    points = zip(torch.from_numpy(weights), torch.from_numpy(intercepts), strict=True)
    return seconds, list(points)


def judged(X, y, lambdas, points):
    """Objectives and gaps (K,) in float64."""
    task = problem_of(X.astype(np.float64), y) if X.size <= 12_000_000 else problem_of(X, y)
    found = [certify(task, w, b, float(v)) for v, (w, b) in zip(lambdas, points, strict=False)]
    return np.array([c.primal for c in found]), np.array([c.gap for c in found]), task.null_objective


def compare(name, X, y, eps, repeats):
    task = problem_of(X, y)
    lambdas = task.lambda_max * np.geomspace(1.0, eps, K)
    times = {"working_set": [], "glmnet": []}
    points = {}
    for _ in range(repeats):
        for solver, fit in (("working_set", ours), ("glmnet", glmnet)):
            if solver == "glmnet" and shutil.which("Rscript") is None:
                continue
            seconds, points[solver] = fit(X, y, lambdas)
            times[solver].append(seconds)
    results = {solver: judged(X, y, lambdas, found) for solver, found in points.items()}
    best = np.min([objective for objective, _, _ in results.values()], axis=0)
    lines = []
    for solver, (objective, gap, null) in results.items():
        nonzero = int((points[solver][-1][0] != 0).sum())
        above = float(((objective - best) / np.minimum(best, null)).max())
        cells = [
            name,
            f"{eps:g}",
            solver,
            f"{np.median(times[solver]):.2f}",
            f"{gap.max():.1e}",
            f"{above:.1e}",
        ]
        ratio = np.median(np.array(times["glmnet"]) / times["working_set"]) if times["glmnet"] else np.nan
        lines.append([*cells, str(nonzero), f"{ratio:.1f} x" if solver == "working_set" else ""])
    return lines


def first_fit(X, y):
    """Seconds of a first and of a second fit in a process of their own, single thread."""
    code = (
        "import sys, json, time, numpy as np, torch; torch.set_num_threads(1)\n"
        "from tests.benchmarks.solver import ours, problem_of, K\n"
        "d = np.load(sys.argv[1]); X, y = d['X'], d['y']\n"
        "l = problem_of(X, y).lambda_max * np.geomspace(1, 1e-3, K)\n"
        "t = []\n"
        "for _ in range(4):\n"
        "    s = time.process_time(); ours(X, y, l); t.append(time.process_time() - s)\n"
        "print(json.dumps(t))"
    )
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "d.npz", X=X, y=y)
        command = [sys.executable, "-c", code, str(Path(folder) / "d.npz")]
        out = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=README.parents[2]
        ).stdout
    times = json.loads(out)
    return times[0], min(times[1:])


def table(lines):
    head = ["problem", "eps", "solver", "CPU s", "gap", "above best", "nonzeros", "glmnet / ours"]
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write(text):
    page = README.read_text()
    if MARKS[0] not in page:
        return
    before, rest = page.split(MARKS[0])
    README.write_text(before + MARKS[0] + "\n" + text + "\n" + MARKS[1] + rest.split(MARKS[1])[1])


def main() -> None:
    torch.set_num_threads(1)
    lines = []
    X, y = digit_features()
    first, again = first_fit(X, y)
    lines += compare(f"digits network {X.shape[0]} x {X.shape[1]}", X, y, 1e-3, REPEATS)
    for n, p, eps in ROWS:
        lines += compare(f"{n} x {p}", *deep_features(n, p, 10), eps, 1 if n * p > 10_000_000 else REPEATS)
        sys.stdout.write(table(lines[-2:]) + "\n")
        sys.stdout.flush()
    machine = f"{platform.machine()}, {platform.system()}, {time.strftime('%Y-%m-%d')}"
    text = (
        f"{table(lines)}\n\nOne thread on both sides, {machine}; C = 10, K = {K}, alpha {ALPHA}, gap 1e-3. "
        f"First fit of a process on the digits network {first:.2f} s, later ones {again:.2f} s (CPU)."
    )
    write(text)
    sys.stdout.write(text + "\n")
