"""Every lambda of scikit-learn's digits and breast-cancer paths against glmnet's converged numbers.

The numbers come from tests/reference/make_glmnet_numbers.py; their own duality gaps are below 3e-8.
"""

from pathlib import Path

import numpy as np
import pytest

from sparse_debug_widgets.sparse import elastic_net_path
from tests.reference.make_glmnet_numbers import standardised

NUMBERS = Path(__file__).parents[2] / "reference"


@pytest.mark.parametrize("solver", ["working_set", "saga"])
@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_every_objective_within_a_millionth_of_glmnet(name, solver):
    lambdas, expected = np.loadtxt(NUMBERS / f"glmnet_{name}.csv", delimiter=",").T
    X, _, y = standardised(name)
    path = elastic_net_path(X, y, validation=0.0, tol=1e-6, solver=solver)
    np.testing.assert_allclose(path.lambdas, lambdas, rtol=1e-9)
    assert len(lambdas) == 100
    assert path.certified.all()
    assert (np.abs(path.objectives / expected - 1) <= 1e-6).all()
    # The certificate is an upper bound of what glmnet shows to be left, here and there above the objective.
    floor = np.minimum(path.objectives, path.null_objective)
    assert (path.duality_gaps >= (path.objectives - expected) / floor - 1e-12).all()
