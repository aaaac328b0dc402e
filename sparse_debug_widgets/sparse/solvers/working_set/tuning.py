"""Thresholds of the working-set solver. They change how fast it is, never what it certifies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """Thresholds, all found by measurement on deep features.

    Attributes:
        aim: Share of the tolerance at which a certificate is asked for.
        newton_target: Share of the tolerance that a Newton step aims at.
        newton_reduction: Smallest reduction of the optimality measure that a Newton step aims at.
        max_products: Products with the Hessian in one Newton step.
        slow: Products from which on the preconditioner is made anew.
        misfit: Share of the support that may have changed since the preconditioner was made.
        drift: Relative change of a class's curvatures since its Gram matrix was built.
        margin: Entries within this share of the bound on the gradient join the block step.
        wrong: A class whose curvature along a block step exceeds its model's by this factor is rebuilt.
        descent: Share of the optimality measure at which coordinate descent stops, over the working set.
        stalls: Steps and certificates without progress after which a strength is given up.
    """

    aim: float = 0.8
    newton_target: float = 0.5
    newton_reduction: float = 0.02
    max_products: int = 15
    slow: int = 8
    misfit: float = 0.15
    drift: float = 0.3
    margin: float = 0.03
    wrong: float = 1.5
    descent: float = 1e-3
    stalls: int = 10
