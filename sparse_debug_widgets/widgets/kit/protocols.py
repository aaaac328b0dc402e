"""The interface of objects that panels show: structural types, so that tests can pass small stand-ins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sparse_debug_widgets.analysis import DebugReport

FloatArray = npt.NDArray[np.floating[Any]]


class Path(Protocol):
    """The public fields of a ``RegularizationPath`` that the Path panel reads."""

    @property
    def lambdas(self) -> FloatArray: ...  # noqa: D102 (documented where it is implemented)
    @property
    def alpha(self) -> float: ...  # noqa: D102
    @property
    def family(self) -> str: ...  # noqa: D102
    @property
    def tol(self) -> float: ...  # noqa: D102
    @property
    def layer(self) -> str: ...  # noqa: D102
    @property
    def accuracies(self) -> FloatArray: ...  # noqa: D102
    @property
    def dense_accuracies(self) -> FloatArray: ...  # noqa: D102
    @property
    def duality_gaps(self) -> FloatArray: ...  # noqa: D102
    @property
    def certified(self) -> npt.NDArray[np.bool_]: ...  # noqa: D102
    @property
    def n_nonzero(self) -> npt.NDArray[np.integer[Any]]: ...  # noqa: D102
    @property
    def feature_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def dense_weight(self) -> FloatArray | None: ...  # noqa: D102

    @property
    def dense_bias(self) -> FloatArray | None: ...  # noqa: D102

    def weights_at(self, index: int, /) -> npt.NDArray[np.float64]:
        """Weights (C, p) of one lambda in standardised units."""

    def intercepts_at(self, index: int, /) -> npt.NDArray[np.float64]:
        """Intercepts (C,) of one lambda."""

    def class_path(self, class_index: int, /) -> FloatArray:
        """Weights (K, p) of one class in standardised units, positive for the class."""

    def select(self, *, tolerance: float) -> int:
        """Index of the sparsest lambda within ``tolerance`` of the best validation accuracy."""

    def decision_layer(self, index: int, /) -> Any:  # noqa: ANN401 (a SparseDecisionLayer)
        """The layer of one lambda in the model's own units."""

    def rename(self, names: Mapping[int | str, str], /) -> None:
        """Name features, in the path itself."""


class Handle(Protocol):
    """The handle that installing a layer returns, an ``InstalledLayer``."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def original(self) -> Any: ...  # noqa: ANN401, D102
    @property
    def active(self) -> bool: ...  # noqa: D102

    def restore(self) -> None:
        """Put the model's own layer back."""


class Debugging(Protocol):
    """The panel of :func:`sparse_debug_widgets.debug`, as scripts use it."""

    @property
    def report(self) -> DebugReport: ...  # noqa: D102

    def run(self, timeout: float | None = None) -> DebugReport: ...  # noqa: D102

    def silence(self, features: Sequence[int]) -> Mapping[str, Any]: ...  # noqa: D102

    def undo(self) -> None: ...  # noqa: D102

    def to_html(self, path: str | os.PathLike[str]) -> FilePath: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102
