"""Ours and the peers on one multinomial problem: CPU seconds and the points they end at."""

import subprocess
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
from sparse_debug_widgets.sparse.saga import Saga
from sparse_debug_widgets.sparse.solver import RunSettings
from sparse_debug_widgets.sparse.working_set import WorkingSet

ALPHA, TOL = 0.99, 1e-3
EXACT = 12_000_000
"""Values of X up to which the judge has a float64 copy of it."""
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
    """The package's problem: float64 where the package would store float64."""
    values = torch.from_numpy(np.ascontiguousarray(X.T))
    values = values.double() if values.numel() <= 4_000_000 else values
    return Problem(DesignMatrix(values), Multinomial(torch.as_tensor(y), int(y.max()) + 1), ElasticNet(ALPHA))


def nothing():
    pass


def fit(task, lambdas, solver=None, tol=TOL):
    """CPU and wall seconds, and the solutions."""
    cpu, wall = time.process_time(), time.perf_counter()
    run = (solver or WorkingSet()).begin(task, RunSettings(tol, 5000), [])
    found = [run.solve(k, float(value), nothing) for k, value in enumerate(lambdas)]
    return time.process_time() - cpu, time.perf_counter() - wall, found


def points(solutions):
    return [(s.weights, s.intercept) for s in solutions]


def working_set(X, y, lambdas):
    seconds, _, found = fit(problem_of(X, y), lambdas)
    return seconds, points(found)


def saga(X, y, lambdas):
    seconds, _, found = fit(problem_of(X, y), lambdas, Saga())
    return seconds, points(found)


def glmnet(X, y, lambdas):
    """glmnet at its default threshold."""
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
    return seconds, list(zip(torch.from_numpy(weights), torch.from_numpy(intercepts), strict=True))


def scikit_learn(X, y, lambdas):
    """scikit-learn's SAGA at its default tolerance, lambda = 1 / (C n), each fit started from the last."""
    import warnings

    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        l1_ratio=ALPHA, solver="saga", warm_start=True, max_iter=1000, random_state=0, penalty="elasticnet"
    )
    started, found = time.process_time(), []
    for value in lambdas:
        model.C = 1.0 / (value * len(X))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y)
        found.append((torch.from_numpy(model.coef_.copy()), torch.from_numpy(model.intercept_.copy())))
    return time.process_time() - started, [(w.double(), b.double()) for w, b in found]


def judged(X, y, lambdas, found):
    """Objectives and gaps (K,) in float64, and the null model's objective."""
    task = problem_of(X.astype(np.float64), y) if X.size <= EXACT else problem_of(X, y)
    made = [certify(task, w, b, float(v)) for v, (w, b) in zip(lambdas, found, strict=False)]
    return np.array([c.primal for c in made]), np.array([c.gap for c in made]), task.null_objective
