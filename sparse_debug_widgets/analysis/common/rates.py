"""Rates with their intervals, and exact tests on counts."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[Any]
LEVEL = 0.95


class Rate(NamedTuple):
    """A share of cases.

    Attributes:
        hits: Cases in which it happened.
        n: All cases.
        value: Their share; NaN of no cases.
        low: Lower end of the 95 % interval (Wilson); NaN of no cases.
        high: Upper end.
    """

    hits: int
    n: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, happened: Array) -> Rate:
        """The rate of something that happened (True) or not in each case."""
        flat = np.asarray(happened, bool).reshape(-1)
        return cls.from_counts(int(flat.sum()), len(flat))

    @classmethod
    def from_counts(cls, hits: int, n: int) -> Rate:
        """The rate of so many hits in n cases."""
        low, high = wilson(hits, n)
        return cls(int(hits), int(n), hits / n if n else math.nan, float(low), float(high))

    def __str__(self) -> str:
        if not self.n:
            return "no cases"
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] of {self.n:,}"


def wilson(hits: object, n: object, level: float = LEVEL) -> tuple[Array, Array]:
    """Wilson's interval of a share, which stays within [0, 1] and holds for few cases too.

    Args:
        hits: Cases in which it happened; an array or a number.
        n: All cases.
        level: Of the interval.

    Returns:
        Lower and upper ends, NaN where there are no cases.

    References:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    k, total = np.asarray(hits, np.float64), np.asarray(n, np.float64)
    z = float(stats.norm.ppf(0.5 + level / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = k / total
        center = (share + z**2 / (2 * total)) / (1 + z**2 / total)
        half = z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
        # Rounding must not put the ends of a share of 0 or 1 on its other side.
        low = np.minimum(np.maximum(center - half, 0.0), share)
        high = np.maximum(np.minimum(center + half, 1.0), share)
    return low, high


def clopper_pearson(hits: int, n: int, alpha: float) -> tuple[float, float]:
    """One-sided exact bounds of a share: each holds with probability at least 1 - alpha.

    Args:
        hits: Cases in which it happened.
        n: All cases.
        alpha: Probability that a bound may be wrong.

    References:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
        binomial", Biometrika 26, 1934.
    """
    low = float(stats.beta.ppf(alpha, hits, n - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1 - alpha, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def mcnemar(
    first: Array, second: Array, *, alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float:
    """P-value of McNemar's exact test on pairs of right and wrong.

    Args:
        first: (n,) bool.
        second: (n,) bool, of the same cases.
        alternative: "two-sided"; "greater": the second happens more often.

    Returns:
        The p-value; 1 where the two never differ.

    References:
        McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika
        12, 1947.
    """
    won = int((np.asarray(second, bool) & ~np.asarray(first, bool)).sum())
    lost = int((np.asarray(first, bool) & ~np.asarray(second, bool)).sum())
    if not won + lost:
        return 1.0
    return float(stats.binomtest(won, won + lost, 0.5, alternative=alternative).pvalue)
