"""``elastic_net_path``: from features to a certified path of sparse decision layers."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.fingerprint import array_fingerprint
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.params import Among, Range, read_parameters
from sparse_debug_widgets.core.progress import Cancelled, Progress, ProgressCallback, reporter
from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.core.threads import thread_limit
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures
from sparse_debug_widgets.sparse.path.data import STORAGES, plain_labels, prepare
from sparse_debug_widgets.sparse.path.records import LambdaPiece, Recorder
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.path.request import NamedSolver, PathRequest
from sparse_debug_widgets.sparse.path.shared_features import shared_features
from sparse_debug_widgets.sparse.path.warm_start import warm_start
from sparse_debug_widgets.sparse.problem.families import FAMILIES
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.rows.memory_meter import MemoryBudgetError
from sparse_debug_widgets.sparse.rows.processes import Processes
from sparse_debug_widgets.sparse.solvers.saga import Saga
from sparse_debug_widgets.sparse.solvers.solver import (
    FINEST,
    STOPPING_RULES,
    USUAL,
    PathSolver,
    SolverRun,
    State,
)
from sparse_debug_widgets.sparse.solvers.working_set import WorkingSet

SOLVERS: Registry[PathSolver] = Registry("solver", {"working_set": WorkingSet(), "saga": Saga()})
"""Solvers by name, with their default options; ``solver=Saga(batch_size=512)`` sets options."""

Float64 = npt.NDArray[np.float64]
_KEPT_FACTS = ("model_fingerprint", "data_fingerprint", "validation", "outputs", "labels")
_ONE_THREAD = 2_000_000  # entries of a feature matrix below which a second thread brings nothing


class UncertifiedWarning(UserWarning):
    """Some strengths ended with a duality gap above the tolerance."""


class ToleranceWarning(UserWarning):
    """A tolerance was asked for that rounding does not allow."""


class MemoryBudgetWarning(UserWarning):
    """A path ended early because the next strength needs more memory than there is."""


def elastic_net_path(  # noqa: PLR0913 - the main entry point; every argument has a default
    features: DeepFeatures | object,
    y: object = None,
    *,
    family: Annotated[str, Among(FAMILIES)] = "multinomial",
    alpha: Annotated[float, Range(0, 1)] = 0.99,
    lambdas: Sequence[float] | Float64 | None = None,
    n_lambdas: Annotated[int, Range(1, 100_000)] = 100,
    eps: Annotated[float, Range(0, 1, open_low=True, open_high=True, log=True)] = 1e-3,
    solver: Annotated[NamedSolver, Among(SOLVERS)] = "working_set",
    tol: Annotated[float | Literal["auto"], Range(0, 1, open_low=True, open_high=True, log=True)] = "auto",
    seed: int = 0,
    standardize: bool = True,
    sample_weight: object = None,
    validation: Annotated[float, Range(0, 1, open_high=True)] = 0.1,
    max_epochs: Annotated[int, Range(1)] = 5000,
    stopping: Annotated[str, Among(STOPPING_RULES)] = "duality_gap",
    penalty_factors: object = None,
    group: bool = False,
    max_features: Annotated[float, Range(0)] | None = None,
    start: object = None,
    device: str | torch.device | None = None,
    memory_budget: Annotated[float, Range(0, open_low=True)] | None = None,
    storage: Annotated[str | None, Among(STORAGES)] = None,
    process_group: object = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | bool | None = None,
) -> RegularizationPath:
    """Fit the elastic-net path of a decision layer; every point comes with its duality gap.

    Minimises ``(1/n) sum_i s_i loss_i + lambda ((1 - alpha)/2 ||W||^2 + alpha ||W||_1)`` over the training
    split at each strength lambda, largest first, warm-started. Features are standardised by the training
    split; the intercept is not penalised.

    Args:
        features: :class:`DeepFeatures`, or an array, tensor or DataFrame X (n, p).
        y: Labels for an X: class indices or names (n,), or targets (n,) or (n, m) for gaussian.
        family: "multinomial", "binomial" (one row of weights, that of class 1) or "gaussian".
        alpha: Mix in [0, 1]: 1 is the lasso, 0 is ridge.
        lambdas: Strictly decreasing positive strengths; by default ``n_lambdas`` of them, log-spaced from
            lambda_max (the smallest with W = 0, of the features as the solver sees them) to
            ``eps * lambda_max``.
        n_lambdas: K, where ``lambdas`` are not given.
        eps: Ratio of the smallest to the largest strength, where ``lambdas`` are not given.
        solver: A name in :data:`SOLVERS`, or a solver object with options, for example ``Saga(step=0.01)``.
        tol: Relative duality gap to reach; for the other stopping rules, their tolerance too. "auto" is 1e-5
            with weights that are proved to a few ten-thousandths of the largest, where exact Hessians are
            cheap (up to 4 million training values in this process, on the CPU), and 1e-3 elsewhere, at half
            the time; ``path.tol`` says which. ``path.weight_bounds`` is what is proved about the
            weights: by exact curvature there, and elsewhere (on a device, with rows on disk or shared over
            processes, in half precision) by the ridge term alone, which is a wide bound.
        seed: Seed of the validation split (of an X), of the rows' order and of the minibatches.
        standardize: Whether features are standardised (by weighted moments if there are sample weights).
        sample_weight: (n,) non-negative weights of all rows, or None; normalised to mean 1.
        validation: Share of the rows of an X held out for validation.
        max_epochs: Passes over the data that one strength may take.
        stopping: "duality_gap", or the paper's "coefficient_change" or "look_behind". The certificate is
            recorded in every case.
        penalty_factors: (p,) positive factors that multiply each feature's penalty (not rescaled, unlike
            glmnet's), infinite to leave a feature out; None for all ones.
        group: Penalise the l2 norm of a feature's weights over all classes instead of their l1 norm, so that
            features enter for all classes at once (solver "saga").
        max_features: End the path with the first strength at which classes have more nonzero weights than
            this on average.
        start: A model to start from: a linear layer, a sparse layer or a pair (weight, bias) in raw units, or
            another path. It can save time; it never changes what is certified.
        device: Where the solver's arrays live; None for the CPU.
        memory_budget: Bytes that the fit may use beside X; None for as many as it likes. Where it would need
            more, it reads its features from a temporary file (a standardised copy, made in one pass over X,
            in the folder that TMPDIR names): X itself may be a memory map larger than memory, or a list of
            maps with some rows each. The measured peak and how often the file was read for each strength are
            in ``path.provenance.params``. A path whose Gram matrices outgrow the budget ends there, with a
            warning.
        storage: Precision in which the solver keeps the standardised features: "float64" (by default up to 4
            million training values), "float32" (by default beyond), or "bfloat16" or "float16" to halve the
            memory of large ones. In half precision the features are rounded once, when they are stored;
            products are float32 or better, and the certificate is float64 and holds for the rounded features.
        process_group: True, or a ``torch.distributed`` group, if each of its processes calls this function
            with its own rows (and sample weights), as in the example. All get the path of all rows; labels,
            held-out rows, moments and accuracies are those of all rows too.
        checkpoint: A folder that keeps every strength as soon as it is solved. A fit that finds the folder
            of an interrupted fit of the same data and settings goes on where that one stopped, and ends
            with the path that the uninterrupted fit would have given.
        progress: Callback, True for a line on standard error, or None. Every finished strength is given to
            the callback as ``Progress.piece``. A callback that raises
            :class:`~sparse_debug_widgets.core.progress.Cancelled` ends the fit; the strengths solved until
            then are returned (and if there are none, Cancelled goes on to the caller).

    Returns:
        The path; ``path.certified`` tells which strengths reached ``tol``.

    Raises:
        InputError: Input that cannot be fitted; the message says what was expected and what to do.

    Warns:
        UncertifiedWarning: Some strengths stopped above ``tol``; the message says which.
        MemoryBudgetWarning: The path ended early, because the next strength needs more memory.

    Example:
        Rows shared out over processes, ``torchrun --nproc-per-node=4 fit.py``::

            import torch.distributed as dist
            dist.init_process_group("gloo")  # "nccl" together with device="cuda"
            X, y = np.load(f"{dist.get_rank()}_features.npy", mmap_mode="r"), ...
            path = elastic_net_path(X, y, process_group=True)
            if dist.get_rank() == 0:
                path.save("path.safetensors")

    References:
        Wong, Santurkar, Madry, "Leveraging Sparse Linear Layers for Debuggable Deep Networks", ICML 2021,
        sections 2 and A; ``docs/methods/paths.md``.
    """
    asked = locals()
    started = time.perf_counter()
    request = path_request(**{name: asked[name] for name in PathRequest.names()})
    processes = Processes(process_group)
    report = processes.reporting(reporter(progress), progress)
    request.agree(processes)
    given = as_features(features, y, request, processes)
    data = prepare(given, request, processes)
    if data.problem.design.whole is None and getattr(request.solver, "needs_all_rows", False):
        _refuse_parts(request.solver, processes)
    grid = request.grid(data.problem)
    request = dataclasses.replace(request, tol=_tolerance(request, data.problem))
    # With these a reader, or a panel, can tell whether the model and the data are still the same.
    known = given.provenance.params
    params = {
        **request.params,
        "weighted": data.sample_weight is not None,
        "penalty_factors": "" if data.factors is None else array_fingerprint(data.factors),
        **{name: known[name] for name in _KEPT_FACTS if name in known},
    }
    method = f"elastic_net_path:{request.solver.name}"
    recorder = Recorder(data, grid, request.run, method, params, started)
    state = recorder.resume(Path(checkpoint)) if checkpoint is not None else None
    run = (
        None
        if state is None
        else _restored(request.solver.begin(data.problem, request.run, []), state, recorder)
    )
    if run is None:
        history = recorder.history() or warm_start(start, data, float(grid[0]))
        run = request.solver.begin(data.problem, request.run, history)
    design = data.problem.design
    with thread_limit(1 if design.n * design.p <= _ONE_THREAD else None):
        path = _fit(grid, run, recorder, report)
    _warn_uncertified(path)
    return path


def _restored(run: SolverRun, state: State, recorder: Recorder) -> SolverRun | None:
    """The run as it was when it was kept; None, with a warning, where the state cannot be that."""
    wrong = recorder.state_fault(state)
    if not wrong:
        try:
            run.restore(state)
        except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
            wrong = str(error)
        else:
            return run
    recorder.warn_of_state(wrong)
    return None


def path_request(**settings: Any) -> PathRequest:  # noqa: ANN401 - settings of elastic_net_path
    """Checked settings of a path fit.

    Args:
        **settings: Arguments of :func:`elastic_net_path`; what is left out has its default there.

    Raises:
        InputError: An unknown setting, or a value that cannot be.
    """
    return PathRequest.read(read_parameters(elastic_net_path), SOLVERS, settings)


def _tolerance(request: PathRequest, problem: Problem) -> float:
    """The gap to reach: as asked for, but not finer than rounding; or what "auto" means here."""
    tol, solver, stopping = request.tol, request.solver, request.stopping
    if isinstance(tol, str):
        by_itself = getattr(solver, "tolerance", None)
        return USUAL if by_itself is None or stopping != "duality_gap" else float(by_itself(problem))
    if tol >= FINEST or stopping != "duality_gap":
        return float(tol)
    notice(
        f"tol={tol:g} is finer than float64 numbers can prove: objectives of this size are rounded to about "
        f"{FINEST / 10:g} of themselves. The path is solved to a gap of {FINEST:g}.",
        ToleranceWarning,
    )
    return FINEST


def _fit(grid: Float64, run: SolverRun, recorder: Recorder, report: ProgressCallback) -> RegularizationPath:
    """Solve one strength after the other; a cancelled fit returns what it has.

    Every finished strength is published as a piece, those of a resumed fit at once.
    """
    total = len(grid)
    pieces, note = recorder.pieces(), ""
    for index in range(recorder.count, total):
        if recorder.full:
            break
        done = Progress(index, total, f"lambda {index + 1} of {total}{note}")

        def tick(done: Progress = done) -> None:
            report(done)

        began = time.perf_counter()
        try:
            _publish(pieces, total, report)
            pieces = []
            tick()
            solution = run.solve(index, float(grid[index]), tick)
        except Cancelled:
            if recorder.count == 0:
                raise
            return recorder.path()
        except MemoryBudgetError as error:
            if recorder.count == 0:
                raise
            notice(
                f"the path ends after {recorder.count} of {total} strengths: {error}",
                MemoryBudgetWarning,
            )
            return recorder.path()
        pieces = [recorder.add(solution, time.perf_counter() - began, run)]
        note = f", gap {solution.certificate.gap:.0e}"
    path = recorder.path()
    with suppress(Cancelled):  # too late: everything is there
        _publish(pieces, total, report)
        report(Progress(total, total, f"{total} lambdas{note}"))
    return path


def _refuse_parts(solver: PathSolver, processes: Processes) -> None:
    """Refuse a solver that needs all rows in the memory of one process."""
    # Every minibatch starts from the weights that the one before it gave: sharing them out would cost an
    # exchange per minibatch, some hundred of them in place of one per product with all rows.
    given = f"{processes.size} processes" if processes.size > 1 else "less memory than that"
    must = "have all rows in the memory of one process, since its minibatches follow one upon the other"
    reject(f"solver={solver.name!r}", "this fit", must, given, "Pass solver='working_set'.")


def _publish(pieces: Sequence[LambdaPiece], total: int, report: ProgressCallback) -> None:
    for piece in pieces:
        note = f"lambda {piece.index + 1} of {total}, gap {piece.record.gap:.0e}"
        report(Progress(piece.index + 1, total, note, piece))


def as_features(
    features: object, y: object, request: PathRequest, processes: Processes | None = None
) -> DeepFeatures:
    """DeepFeatures as they are, or made from an X and a y.

    Args:
        features: :class:`DeepFeatures` or an X.
        y: Labels for an X.
        request: Family, share held out and seed of an X.
        processes: Those that share the rows.

    Raises:
        InputError: y is missing for an X, or given for DeepFeatures.
    """
    if processes is not None and processes.size > 1:
        return shared_features(features, y, request, processes)
    if isinstance(features, DeepFeatures):
        if y is not None:
            reject("y", "DeepFeatures", "be left out, since they carry their labels", type(y).__name__)
        return features
    if y is None:
        reject("y", "an array of features", "be given: one label per row", "None")
    labels = plain_labels(y, request.family)
    return DeepFeatures.from_arrays(features, labels, validation=request.validation, seed=request.seed)


def _warn_uncertified(path: RegularizationPath) -> None:
    missed = np.flatnonzero(~path.certified)
    if len(missed) == 0:
        return
    listed = ", ".join(str(k) for k in missed[:10]) + (", ..." if len(missed) > 10 else "")
    worst = int(path.duality_gaps.argmax())
    notice(
        f"{len(missed)} of {path.n_lambdas} lambdas did not reach the duality gap {path.tol:g} (indices "
        f"{listed}); the worst is {path.duality_gaps[worst]:.1e} at index {worst}: {path.reasons[worst]}. "
        "More passes over the data (max_epochs) or a looser tolerance (tol) end that.",
        UncertifiedWarning,
    )
