"""Exactly N features for a class."""

import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse.path.exact_count import path_with_count
from tests.sparse.problems import make


@pytest.mark.parametrize("n_features", [0, 1, 3, 5])
def test_a_class_gets_exactly_so_many_features(n_features):
    X, y = make(0, n=200)
    # Four strengths jump over most counts, so that bisection has to find them.
    path, index = path_with_count(
        X, y, n_features=n_features, class_index="class 1", n_lambdas=4, eps=1e-2, tol=1e-6
    )
    assert path.n_nonzero[index, 1] == n_features
    assert path.certified[index]


def test_counts_that_are_never_reached_are_refused():
    X, y = make(0)
    with pytest.raises(InputError, match="never has exactly"):
        path_with_count(X, y, n_features=9, class_index=0, n_lambdas=4, eps=1e-2)
    with pytest.raises(InputError, match="class_index"):
        path_with_count(X, y, n_features=2, class_index=7, n_lambdas=4, eps=1e-2)
