"""Ours and the peers on one problem: CPU seconds, peak memory and the points they end at.

Float targets are of squared error, integers are classes. Seconds are of the fit itself. X in the precision
and the layout that a peer works in is made beforehand; the copy that our problem holds counts as memory.
"""

import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.losses import Gaussian, Multinomial
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.problem.penalty import ElasticNet
from sparse_debug_widgets.sparse.rows.design_matrix import DesignMatrix
from sparse_debug_widgets.sparse.solvers.saga import Saga
from sparse_debug_widgets.sparse.solvers.solver import RunSettings
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet
from tests.benchmarks._solver_data import deep_features
from tests.benchmarks._solver_measure import Run, Watch, bytes_before, peak_since

ALPHA, TOL = 0.99, 1e-3
EXACT = 12_000_000
"""Values of X up to which the judge has a float64 copy of it."""
R_SCRIPT = """
suppressMessages(library(glmnet)); a <- commandArgs(TRUE); n <- as.integer(a[2]); p <- as.integer(a[3])
f <- function(x) file.path(a[1], x)
status <- function(name) {
  line <- grep(paste0(name, ":"), readLines("/proc/self/status"), value = TRUE)
  1024 * as.numeric(gsub("[^0-9]", "", line))
}
unknown <- function(e) NaN
X <- readBin(f("X"), "double", n * p); dim(X) <- c(n, p)
y <- if (a[4] == "gaussian") readBin(f("y"), "double", n) else readBin(f("y"), "integer", n)
l <- readBin(f("lambdas"), "double", 1000)
invisible(gc())
before <- tryCatch({
  cat("5", file = "/proc/self/clear_refs"); status("VmRSS")
}, error = unknown, warning = unknown)
t <- proc.time()
# Of its two ways for squared error the quick one where rows are many; no other family reads this argument.
m <- glmnet(X, y, family = a[4], alpha = 0.99, lambda = l, standardize = FALSE, maxit = 1e7,
            type.gaussian = "covariance")
t <- proc.time() - t
peak <- tryCatch(status("VmHWM") - before, error = unknown, warning = unknown)
K <- length(m$lambda); classes <- if (is.list(m$beta)) m$beta else list(m$beta)
B <- sapply(1:K, function(i) as.double(sapply(classes, function(b) as.numeric(b[, i]))))
writeBin(as.double(B), f("weights")); writeBin(as.double(m$a0), f("intercepts"))
cat(t[1] + t[2], peak)
"""


class Point(NamedTuple):
    """What is kept of a strength: its certificate has each example's predictions, over a path more than X."""

    shape: torch.Size
    places: torch.Tensor
    values: torch.Tensor
    intercept: torch.Tensor
    gap: float

    @property
    def weights(self):
        dense = torch.zeros(self.shape.numel(), dtype=self.values.dtype)
        dense[self.places] = self.values
        return dense.view(self.shape)


def kept(solution):
    flat = solution.weights.reshape(-1)
    places = flat.nonzero()[:, 0]
    values = flat[places]
    return Point(solution.weights.shape, places, values, solution.intercept, solution.certificate.gap)


def problem_of(X, y):
    """The package's problem: float64 where the package would store float64."""
    wide = np.float64 if X.size <= 4_000_000 else X.dtype
    values = torch.from_numpy(np.ascontiguousarray(X.T, wide))
    targets = torch.as_tensor(y)
    squared = targets.is_floating_point()
    loss = Gaussian(targets[None]) if squared else Multinomial(targets, int(y.max()) + 1)
    return Problem(DesignMatrix(values), loss, ElasticNet(ALPHA))


def fit(task, lambdas, solver=None, tol=TOL, watch=None):
    """CPU and wall seconds, and the points; fewer than lambdas if the watch ends it."""
    watch = watch or Watch()
    cpu, wall = time.process_time(), time.perf_counter()
    run, found = (solver or WorkingSet()).begin(task, RunSettings(tol, 5000), []), []
    for k, value in enumerate(lambdas):
        if watch.over():
            break
        found.append(kept(run.solve(k, float(value), watch.tick)))
        watch.solved(found[-1].gap)
    return time.process_time() - cpu, time.perf_counter() - wall, found


def warm_up():
    """Small fits, so that loading compiled loops is not taken for the work or the memory of the first one."""
    X, y = deep_features(300, 20, 3)
    for targets in (y, X[:, 0].astype(np.float64)):
        task = problem_of(X, targets)
        fit(task, task.lambda_max * np.geomspace(1.0, 0.1, 5))


def working_set(X, y, lambdas, solver=None):
    before = bytes_before()
    seconds, _, found = fit(problem_of(X, y), lambdas, solver)
    return Run(seconds, peak_since(before), [(point.weights, point.intercept) for point in found])


def saga(X, y, lambdas):
    return working_set(X, y, lambdas, Saga())


def glmnet(X, y, lambdas):
    """glmnet at its default threshold."""
    n, p = X.shape
    family, classes, kind = "gaussian", 1, np.float64
    if y.dtype.kind == "i":
        family, classes, kind = "multinomial", int(y.max()) + 1, np.int32
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "X").write_bytes(np.ascontiguousarray(X.T, np.float64).tobytes())
        (here / "y").write_bytes(y.astype(kind).tobytes())
        (here / "lambdas").write_bytes(lambdas.astype(np.float64).tobytes())
        (here / "fit.R").write_text(R_SCRIPT)
        command = ["Rscript", str(here / "fit.R"), folder, str(n), str(p), family]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, peak = (float(word) for word in told.split())
        weights = np.fromfile(here / "weights").reshape(-1, classes, p)
        intercepts = np.fromfile(here / "intercepts").reshape(-1, classes)
    found = zip(torch.from_numpy(weights), torch.from_numpy(intercepts), strict=True)
    return Run(seconds, peak, list(found))


def scikit_learn(X, y, lambdas):
    """scikit-learn's SAGA at its default tolerance, lambda = 1 / (C n), each fit started from the last."""
    import warnings

    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        l1_ratio=ALPHA, solver="saga", warm_start=True, max_iter=1000, random_state=0, penalty="elasticnet"
    )
    before = bytes_before()
    started, found = time.process_time(), []
    for value in lambdas:
        model.C = 1.0 / (value * len(X))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y)
        found.append((torch.from_numpy(model.coef_.copy()), torch.from_numpy(model.intercept_.copy())))
    seconds = time.process_time() - started
    return Run(seconds, peak_since(before), [(w.double(), b.double()) for w, b in found])


def glm_saga(X, y, lambdas):
    """The papers' solver with the papers' settings, on the problem of `poe bench saga`."""
    import glm_saga.elasticnet  # noqa: F401 - loading it is not part of the fit

    from tests.benchmarks.saga import theirs

    before = bytes_before()
    started = time.process_time()
    _, found = theirs(X, y, float(lambdas[-1] / lambdas[0]))
    return Run(time.process_time() - started, peak_since(before), found)


def least_squares(path, X, y, lambdas):
    """A peer for squared error: ``path(X, y, lambdas)`` gives coefficients (p, K)."""
    from threadpoolctl import threadpool_limits

    X = np.asfortranarray(X, np.float64)
    with threadpool_limits(1):
        before = bytes_before()
        started = time.process_time()
        coefficients = path(X, y, lambdas)
        seconds = time.process_time() - started
        peak = peak_since(before)
    return Run(
        seconds, peak, [(torch.from_numpy(w[None].copy()), torch.zeros(1).double()) for w in coefficients.T]
    )


def scikit_learn_path(X, y, lambdas):
    """scikit-learn's coordinate descent at its default tolerance, with the Gram matrix."""
    from sklearn.linear_model import enet_path

    def path(X, y, lambdas):
        return enet_path(X, y, l1_ratio=ALPHA, alphas=lambdas, precompute=True)[1]

    return least_squares(path, X, y, lambdas)


def celer(X, y, lambdas):
    """celer at scikit-learn's tolerance, the same gap over the same norm; its own is a hundredth of it."""
    from celer import celer_path

    def path(X, y, lambdas):
        return celer_path(X, y, "lasso", l1_ratio=ALPHA, alphas=lambdas, tol=1e-4)[1]

    return least_squares(path, X, y, lambdas)


def judged(X, y, lambdas, runs):
    """Of each run: objectives and gaps (K,) in float64, and the null model's objective."""
    task = problem_of(X.astype(np.float64) if X.size <= EXACT else X, y)
    for run in runs:
        made = [certify(task, w, b, float(v)) for v, (w, b) in zip(lambdas, run.points, strict=False)]
        yield np.array([c.primal for c in made]), np.array([c.gap for c in made]), task.null_objective
