"""The interface of the classes' quadratic models to the block step and the preconditioner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.rows import recycled
from sparse_debug_widgets.sparse.rows.row_source import RowSource
from sparse_debug_widgets.sparse.solvers.working_set.point import View
from sparse_debug_widgets.sparse.solvers.working_set.preconditioner import BlockPreconditioner
from sparse_debug_widgets.sparse.solvers.working_set.rows import WorkingRows

_NEGLECT = 0.03


class ClassModels(ABC):
    """Weighted Gram matrices of all classes, each over a working set of its own.

    For class c with curvatures w_i (``p_ic (1 - p_ic)`` for the multinomial family, times the sample weight)
    the model of the loss in that class's weights has the Hessian ``H_c = X_A diag(w) X_A^T / n`` over the
    class's working set A, feature 0 being the intercept. Grams are expensive and change slowly, so they are
    kept along the path: grown when features enter, and rebuilt once the curvatures have drifted. Examples
    that a class is sure about are left out of its Gram; together they hold at most 3 % of its curvature.

    Args:
        n_classes: Rows C of the weight matrix.
        source: All features, in working precision.

    Attributes:
        stale: (C,) bool: classes whose model has proved wrong; :meth:`require` rebuilds them.
        builds: Matrices computed from nothing so far.
    """

    def __init__(self, n_classes: int, source: RowSource) -> None:
        self.stale = torch.ones(n_classes, dtype=torch.bool, device=source.device)
        self.builds = 0
        self._source = source
        self._curvatures = torch.zeros(n_classes, source.n_local, dtype=source.dtype, device=source.device)
        self._mass = torch.zeros(n_classes, dtype=torch.float64, device=source.device)

    def require(self, wanted: Tensor, curvatures: Tensor, max_drift: float) -> None:
        """Make each class's matrix cover what is wanted, with curvatures that have not drifted too far.

        Args:
            wanted: (C, p + 1) bool; column 0, the intercept, is always wanted.
            curvatures: Present curvatures (C, n), working precision.
            max_drift: Relative l1 change of a class's curvatures that is tolerated.
        """
        self._cover(wanted, self._refresh(curvatures, max_drift))

    @abstractmethod
    def _cover(self, wanted: Tensor, fresh: Tensor) -> None:
        """Build the fresh classes' matrices (C,) anew, and make the others cover what is wanted."""

    @abstractmethod
    def descend(self, rows: WorkingRows, view: View, *, damping: float, tol: float) -> tuple[Tensor, Tensor]:
        """The block step: solve the classes' models, each with the others held fixed. It finds the support.

        Args:
            rows: Features at work; they cover the models' entries.
            view: Where the step starts.
            damping: Factor of the models' Hessians.
            tol: Largest decrease, by any one coordinate in the last sweep, at which a class is solved.

        Returns:
            New weights (C, m + 1), and the decrease (C,) of the gradient along the step that each class's
            model predicts, ``d' H_c d``.
        """

    @abstractmethod
    def factorise(self, support: Tensor, l2: float) -> BlockPreconditioner:
        """Cholesky factors of ``H_c + l2 I`` over the support (C, p + 1) bool, which the models cover."""

    def state(self) -> dict[str, np.ndarray]:
        """Return the state from which other models repeat these bit by bit."""
        return {
            "curvatures": self._curvatures.cpu().numpy(),
            "mass": self._mass.cpu().numpy(),
            "stale": self.stale.cpu().numpy(),
            "builds": np.array([self.builds]),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        self._curvatures = self._tensor(state["curvatures"])
        self._mass = self._tensor(state["mass"])
        self.stale = self._tensor(state["stale"])
        self.builds = int(state["builds"][0])

    def _tensor(self, array: np.ndarray) -> Tensor:
        # A copy in memory of torch's own: products may round by how their operands are aligned.
        return torch.from_numpy(np.ascontiguousarray(array)).clone().to(self._source.device)

    def _refresh(self, curvatures: Tensor, max_drift: float) -> Tensor:
        """Take over the curvatures of classes that have drifted; tells which, (C,) bool."""
        change = torch.sub(curvatures, self._curvatures, out=recycled.empty_like(curvatures))
        both = torch.stack([change.abs_().sum(1), curvatures.sum(1)]).double()
        drift, mass = self._source.total(both)
        fresh: Tensor = (drift > (max_drift + _NEGLECT) * self._mass) | self.stale
        fresh &= ~self._mend(curvatures, mass, fresh)
        chosen = fresh.nonzero()[:, 0]
        if len(chosen):
            self._curvatures[chosen] = self._trimmed(curvatures[chosen], mass[chosen])
            self._mass[chosen] = mass[chosen]
            self.builds += len(chosen)
        self.stale = torch.zeros_like(self.stale)
        return fresh

    def _trimmed(self, curvatures: Tensor, mass: Tensor) -> Tensor:
        """Curvatures (k, n) of some classes with those mass (k,), without examples that matter little."""
        part = curvatures.clamp_min(1e-10)
        floor = _NEGLECT * mass[:, None].to(part.dtype) / self._source.n
        return torch.where(part < floor, 0.0, part)

    def _mend(self, curvatures: Tensor, mass: Tensor, fresh: Tensor) -> Tensor:
        """Bring models that have drifted up to date where building costs more; tells which, (C,) bool."""
        return torch.zeros_like(fresh)
