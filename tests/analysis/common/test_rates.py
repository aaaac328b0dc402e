"""Intervals and tests on counts agree with those of others."""

import numpy as np
import pytest
from scipy import stats

from sparse_debug_widgets.analysis.common.rates import Rate, clopper_pearson, mcnemar, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 7), (3, 11), (11, 11), (250, 1000)])
def test_bounds_are_those_of_scipy(k, n):
    wanted = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson(k, n), wanted, atol=1e-12)
    exact = stats.binomtest(k, n).proportion_ci(0.9, method="exact")
    np.testing.assert_allclose(clopper_pearson(k, n, 0.05), exact, atol=1e-9)
    rate = Rate.from_counts(k, n)
    assert rate.low <= rate.value <= rate.high


def test_no_cases_have_no_rate():
    rate = Rate.of(np.zeros(0, bool))
    assert np.isnan(rate.value)
    assert str(rate) == "no cases"
    assert str(Rate.from_counts(1, 4)).startswith("25.0 % [")


def test_mcnemar_counts_the_pairs_that_differ():
    first, second = np.array([1, 1, 0, 0, 0, 0, 0, 1], bool), np.array([1, 0, 1, 1, 1, 1, 1, 1], bool)
    assert mcnemar(first, second) == pytest.approx(stats.binomtest(5, 6).pvalue)
    assert mcnemar(first, second, alternative="greater") < mcnemar(first, second)
    assert mcnemar(first, first) == 1.0
