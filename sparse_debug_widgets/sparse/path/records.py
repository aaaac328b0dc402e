"""The record of a running fit: points of the path as plain numbers, and the checkpoint file."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.fingerprint import array_fingerprint, combine
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.sparse.path.checkpoint import LAMBDAS, Checkpoint, Record
from sparse_debug_widgets.sparse.path.data import PathData
from sparse_debug_widgets.sparse.path.metrics import SplitScores, dense_layer, dense_scores
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.path.state_layout import state_faults
from sparse_debug_widgets.sparse.problem.certificate import certify
from sparse_debug_widgets.sparse.problem.nearness import by_strong_convexity
from sparse_debug_widgets.sparse.solvers.saga import stop_reason_text
from sparse_debug_widgets.sparse.solvers.solver import RunSettings, Solution, SolverRun, State

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LambdaPiece:
    """One finished strength as a running fit publishes it (:attr:`Progress.piece`).

    Attributes:
        index: Position on the path.
        n_requested: Number of strengths asked for.
        lambda_: The strength.
        tol: Gap that was asked for.
        record: What was found.
    """

    index: int
    n_requested: int
    lambda_: float
    tol: float
    record: Record


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
        self._records: list[Record] = []
        self._checkpoint: Checkpoint | None = None
        weights = () if data.sample_weight is None else (data.sample_weight,)
        parts = array_fingerprint(data.features.splits, grid, data.mean, data.scale, *weights)
        self._fingerprint = combine(
            data.features.provenance.fingerprint,
            *data.processes.gather(parts),
            data.family,
            repr((sorted(params.items()), settings)),
        )
        self._passes: list[float] = []

    @property
    def count(self) -> int:
        """Number of strengths solved."""
        return len(self._records)

    @property
    def full(self) -> bool:
        """True if the last strength has more nonzero weights per class than the fit was to reach."""
        limit = self._params["max_features"]
        return limit is not None and bool(self._records) and self._records[-1].row_nonzeros.mean() > limit

    def add(self, solution: Solution, seconds: float, run: SolverRun) -> LambdaPiece:
        """Take down a solution and keep it in the checkpoint; gives it as a piece to publish."""
        weights = solution.weights.detach().to("cpu", torch.float64).numpy()
        rows, columns = np.nonzero(weights)
        certificate = solution.certificate
        alike = "be solved alike in every process: the same versions of packages on the same kind of machine"
        self._data.processes.all_equal((certificate.primal, len(rows)), f"strength {self.count}", alike)
        losses, accuracies = self._scores(solution)
        if self._data.meter is not None:
            self._passes.append(round(self._data.meter.passes - sum(self._passes), 3))
        self._records.append(
            Record(
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
                weight_bound=self._bound(solution),
                open_entries=self._open(solution),
            )
        )
        index = self.count - 1
        if self._checkpoint is not None:
            self._checkpoint.add(index, self._records[-1], run.state())
        return self._piece(index)

    def _bound(self, solution: Solution) -> float:
        """The best bound on weights that is proved."""
        problem, certificate = self._data.problem, solution.certificate
        known = by_strong_convexity(problem, certificate, solution.lambda_)
        return min(known, math.inf if solution.nearness is None else solution.nearness.bound)

    def _open(self, solution: Solution) -> npt.NDArray[np.int64] | None:
        """Zeros that may be nonzero at the optimum, as places among all C p entries; None if all may."""
        if solution.nearness is None:
            return None
        rows, columns = solution.nearness.open.nonzero(as_tuple=True)
        places = rows.numpy() * len(self._data.mean) + self._columns[columns.numpy()]
        return np.asarray(places, np.int64)

    def pieces(self) -> list[LambdaPiece]:
        """All strengths so far, as pieces: what a resumed fit starts with."""
        return [self._piece(index) for index in range(self.count)]

    def _piece(self, index: int) -> LambdaPiece:
        lambda_, tol = float(self._grid[index]), self._settings.tol
        return LambdaPiece(index, len(self._grid), lambda_, tol, self._records[index])

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

    def path(self) -> RegularizationPath:
        """The path of the strengths solved so far."""
        records, data = self._records, self._data
        features = data.features
        row_nonzeros = np.stack([r.row_nonzeros for r in records])
        entries = row_nonzeros.shape[1] * len(data.mean)
        places = [
            index * entries + record.open_entries
            for index, record in enumerate(records)
            if record.open_entries is not None
        ]
        weight, bias = self._dense
        return RegularizationPath(
            provenance=Provenance(
                method=self._method,
                params=self._params | self._observed(),
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
            max_features=self._params["max_features"],
            penalty_factors=data.factors,
            grouped=data.problem.penalty.grouped,
            weight_bounds=np.array([r.weight_bound for r in records]),
            zeros_proved=np.array([r.open_entries is not None for r in records]),
            open_zeros=np.concatenate([np.zeros(0, np.int64), *places]),
        )

    def _observed(self) -> dict[str, Any]:
        """Return what a fit with a memory budget, or one shared over processes, has measured."""
        found: dict[str, Any] = {}
        meter, processes = self._data.meter, self._data.processes
        if processes.size > 1:
            found["processes"] = processes.size
        if meter is not None:
            meter.sample()
            found |= {"memory_budget": meter.budget, "memory_peak": meter.peak, "passes": self._passes}
        return found

    def resume(self, folder: Path) -> State | None:
        """Keep a checkpoint in this folder from now on, and go on from what it holds.

        Returns:
            The solver's state after the strengths taken over; None where there is none.

        Raises:
            InputError: The folder belongs to a fit of other data or settings; the message says which.
        """
        processes = self._data.processes
        if processes.size > 1:
            folder = folder / f"process-{processes.rank}-of-{processes.size}"
        shape = (len(self._data.problem.null_intercept), len(self._data.mean))
        self._checkpoint = processes.together(lambda: Checkpoint(folder, self._identity(), shape, self._grid))
        self._records, state = self._checkpoint.load(len(self._grid))
        found = processes.gather((len(self._records), state is None))
        if len(set(found)) > 1:
            # Killed at different moments: all go on from what every one of them has.
            self._records, state = self._records[: min(found)[0]], None
        self._earlier = sum(record.seconds for record in self._records)
        return state

    def state_fault(self, state: State) -> str:
        """Tell what is wrong with a state that was read; empty if nothing."""
        problem = self._data.problem
        rows, p = problem.null_gradient.shape
        wrong = next(state_faults(state, rows, p, problem.design.n), "")
        if wrong:
            return wrong
        # The strength itself was certified: a solver that starts far away from it may not come back.
        last = self._records[-1]
        weights = np.zeros((rows, len(self._data.mean)))
        weights[np.repeat(np.arange(rows), last.row_nonzeros), last.indices] = last.data
        weights = weights[:, self._columns]
        newest = "weights" if "weights" in state else f"weights_{len(state.get('lambdas', ())) - 1}"
        held = state.get(newest)
        near = 1e-3 * max(1.0, float(np.abs(weights).max(initial=0)))
        if held is None or float(np.abs(held[:, -p:] - weights).max(initial=0)) > near:
            return f"it is not at strength {self.count}"
        return ""

    def warn_of_state(self, wrong: str) -> None:
        """Say that a state is of no use, and what follows."""
        assert self._checkpoint is not None  # noqa: S101 - a state comes from there
        self._checkpoint.warn_of_state(wrong, self._records)

    def _identity(self) -> dict[str, Any]:
        """List what a checkpoint must agree with, by names for people."""
        data, settings = self._data, self._settings
        weights = "" if data.sample_weight is None else array_fingerprint(data.sample_weight)
        identity = {
            "the features": combine(data.features.provenance.fingerprint, array_fingerprint(data.mean)),
            "the split": array_fingerprint(data.features.splits),
            "the labels": array_fingerprint(np.asarray(data.labels)),
            "the sample weights": weights,
            "method": self._method,
            "family": data.family,
            "alpha": float(data.problem.penalty.alpha),
            "seed": settings.seed,
            **self._params,
            LAMBDAS: array_fingerprint(self._grid),
        }
        told_otherwise = ("weighted", "model_fingerprint", "data_fingerprint", "validation")
        return {name: value for name, value in identity.items() if name not in told_otherwise}
