"""The working-set solver: certificates, references, nasty problems, and the properties of its parts."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.sparse.certificate import certify
from sparse_debug_widgets.sparse.solver import RunSettings
from sparse_debug_widgets.sparse.working_set import WorkingSet
from tests.sparse.problems import make, problem, problems, standardise

torch.set_num_threads(1)


def nothing():
    pass


def solve(task, tol=1e-3, n_lambdas=12, eps=1e-2, budget=500, history=(), **options):
    run = WorkingSet(**options).begin(task, RunSettings(tol, budget), history)
    grid = task.lambda_max * np.geomspace(1.0, eps, n_lambdas)
    return [run.solve(k, float(lambda_), nothing) for k, lambda_ in enumerate(grid)]


@given(problems())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_strength_is_certified_and_float64_agrees(case):
    family, alpha, Z, y, weights = case
    task = problem(Z, y, family, alpha, weights)
    if not task.lambda_max > 1e-9:
        return
    for solution in solve(task, n_lambdas=6):
        judged = certify(task, solution.weights, solution.intercept, solution.lambda_)
        assert judged.gap <= 1e-3, (solution.reason, family, alpha)
        assert solution.reason == "gap"
        assert abs(judged.primal - solution.certificate.primal) <= 1e-6 * task.null_objective
        assert judged.gap <= solution.certificate.gap + 1e-6
