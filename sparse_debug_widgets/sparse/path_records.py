"""What a running fit has found so far: points of the path as plain numbers, and the checkpoint file."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.fingerprint import array_fingerprint, combine
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.sparse.certificate import certify
from sparse_debug_widgets.sparse.path_data import PathData
from sparse_debug_widgets.sparse.path_metrics import SplitScores, dense_layer, dense_scores
from sparse_debug_widgets.sparse.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.saga import stop_reason_text
from sparse_debug_widgets.sparse.solver import RunSettings, Solution

Float64 = npt.NDArray[np.float64]
_CHECKPOINT_SECONDS = 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class _Record:
    """One strength, on the host."""

    data: Float64
    indices: npt.NDArray[np.int32]
    row_nonzeros: npt.NDArray[np.int64]
    intercept: Float64
    gap: float
    objective: float
    losses: Float64
    accuracies: Float64
    iterations: int
    seconds: float
    reason: str


class Recorder:
    """Collects solutions and makes the :class:`RegularizationPath` of them at any time."""

    def __init__(
        self,
        data: PathData,
        grid: Float64,
        settings: RunSettings,
        method: str,
        params: dict[str, Any],
        started: float,
    ) -> None:
        self._data = data
        self._grid = grid
        self._settings = settings
        self._method = method
        self._params = params
        self._started = started
        self._earlier = 0.0
        self._columns = np.flatnonzero(data.alive)
        self._scores = SplitScores(data)
        self._dense = dense_layer(data)
        self._dense_accuracies = dense_scores(data)
        self._records: list[_Record] = []
        self._checkpoint: Path | None = None
        self._saved = time.perf_counter()
        weights = () if data.sample_weight is None else (data.sample_weight,)
        parts = array_fingerprint(data.features.splits, grid, data.mean, data.scale, *weights)
        self._fingerprint = combine(
            data.features.provenance.fingerprint, parts, data.family, repr((sorted(params.items()), settings))
        )

    @property
    def count(self) -> int:
        """Number of strengths solved."""
        return len(self._records)

    def add(self, solution: Solution, seconds: float) -> None:
        """Take down a solution, and write the checkpoint if it is time."""
        weights = solution.weights.detach().to("cpu", torch.float64).numpy()
        rows, columns = np.nonzero(weights)
        certificate = solution.certificate
        losses, accuracies = self._scores(solution)
        self._records.append(
            _Record(
                data=weights[rows, columns],
                indices=self._columns[columns].astype(np.int32),
                row_nonzeros=np.bincount(rows, minlength=len(weights)).astype(np.int64),
                intercept=certificate.intercept.cpu().numpy(),
                gap=certificate.gap,
                objective=certificate.primal,
                losses=losses,
                accuracies=accuracies,
                iterations=solution.iterations,
                seconds=seconds,
                reason=stop_reason_text(certificate, solution.reason, self._settings.tol),
            )
        )
        if self._checkpoint is not None and time.perf_counter() - self._saved > _CHECKPOINT_SECONDS:
            self.path(save=True)

    def history(self) -> list[Solution]:
        """The last two points as solutions, for a run that starts in the middle of a path."""
        found = []
        for index in range(max(0, self.count - 2), self.count):
            record, p = self._records[index], len(self._columns)
            weights = np.zeros((len(record.intercept), p))
            rows = np.repeat(np.arange(len(record.intercept)), record.row_nonzeros)
            weights[rows, np.searchsorted(self._columns, record.indices)] = record.data
            device = self._data.problem.design.device
            tensor, intercept = (torch.tensor(a, device=device) for a in (weights, record.intercept))
            strength = float(self._grid[index])
            certificate = certify(self._data.problem, tensor, intercept, strength, self._settings.tol)
            found.append(Solution(strength, tensor, certificate, record.iterations, "gap"))
        return found

    def path(self, *, save: bool = False) -> RegularizationPath:
        """The path of the strengths solved so far; ``save`` also writes the checkpoint, if there is one."""
        records, data = self._records, self._data
        features = data.features
        row_nonzeros = np.stack([r.row_nonzeros for r in records])
        weight, bias = self._dense
        result = RegularizationPath(
            provenance=Provenance(
                method=self._method,
                params=self._params,
                seed=self._settings.seed,
                seconds=self._earlier + time.perf_counter() - self._started,
                fingerprint=self._fingerprint,
            ),
            lambdas=self._grid[: len(records)].copy(),
            alpha=float(data.problem.penalty.alpha),
            family=data.family,
            tol=self._settings.tol,
            weight_data=np.concatenate([r.data for r in records]),
            weight_indices=np.concatenate([r.indices for r in records]),
            weight_indptr=np.concatenate([[0], np.cumsum(row_nonzeros)]).astype(np.int64),
            intercepts=np.stack([r.intercept for r in records]),
            duality_gaps=np.array([r.gap for r in records]),
            objectives=np.array([r.objective for r in records]),
            losses=np.stack([r.losses for r in records]),
            accuracies=np.stack([r.accuracies for r in records]),
            n_nonzero=row_nonzeros,
            iterations=np.array([r.iterations for r in records], np.int64),
            seconds=np.array([r.seconds for r in records]),
            mean=data.mean,
            scale=data.scale,
            alive=data.alive,
            feature_names=features.feature_names,
            class_names=data.class_names,
            layer=features.layer,
            dense_weight=weight,
            dense_bias=bias,
            dense_accuracies=self._dense_accuracies,
            null_objective=data.problem.null_objective,
            reasons=tuple(r.reason for r in records),
            n_requested=len(self._grid),
        )
        if save and self._checkpoint is not None:
            result.save(self._checkpoint)
            self._saved = time.perf_counter()
        return result

    def resume(self, checkpoint: Path) -> None:
        """Write checkpoints to this file from now on, and go on from it if it exists.

        Raises:
            InputError: The file belongs to a fit of other data or settings.
        """
        self._checkpoint = checkpoint
        if not checkpoint.exists():
            return
        path = RegularizationPath.load(checkpoint)
        if path.provenance.fingerprint != self._fingerprint:
            msg = (
                f"checkpoint {checkpoint.name!r} is not compatible with this fit: it must come from the same "
                "features, labels and settings; got one of another fit. Delete it or choose another file."
            )
            raise InputError(msg)
        self._earlier = path.provenance.seconds
        rows = path.n_classes
        for k in range(path.n_lambdas):
            part = slice(int(path.weight_indptr[k * rows]), int(path.weight_indptr[(k + 1) * rows]))
            self._records.append(
                _Record(
                    data=path.weight_data[part],
                    indices=path.weight_indices[part],
                    row_nonzeros=path.n_nonzero[k],
                    intercept=path.intercepts[k],
                    gap=float(path.duality_gaps[k]),
                    objective=float(path.objectives[k]),
                    losses=path.losses[k],
                    accuracies=path.accuracies[k],
                    iterations=int(path.iterations[k]),
                    seconds=float(path.seconds[k]),
                    reason=path.reasons[k],
                )
            )
