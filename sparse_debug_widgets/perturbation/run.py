"""The front of the room: perturb a batch of inputs of a live model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import check_choice, check_int
from sparse_debug_widgets.core.fingerprint import array_fingerprint, combine, model_fingerprint
from sparse_debug_widgets.core.hooks import unwrap
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.pixels import UNIT, Box, model_box
from sparse_debug_widgets.core.progress import Progress, ProgressCallback, reporter
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.core.targets import Target, class_indices
from sparse_debug_widgets.perturbation.arguments import (
    WHAT,
    Headroom,
    PerExample,
    check_inputs,
    check_per_example,
    check_room,
)
from sparse_debug_widgets.perturbation.classifier import Objective, differentiable, place_of
from sparse_debug_widgets.perturbation.methods import METHODS, check_options
from sparse_debug_widgets.perturbation.norms import BOX_MODES, NORMS, make_ball
from sparse_debug_widgets.perturbation.perturbation import Perturbation
from sparse_debug_widgets.perturbation.sparse_balls import L1QBall
from sparse_debug_widgets.perturbation.trace import BatchRun

Array = npt.NDArray[Any]


class PerturbationWarning(UserWarning):
    """A perturbation that was computed, but probably is not what was meant."""


def perturb(  # noqa: PLR0913 - the front of the room
    model: nn.Module,
    x: Tensor | Array,
    *,
    target: Target | None = "prediction",
    method: str = "frank_wolfe",
    norm: str = "l1q",
    eps: PerExample,
    q: PerExample = 0.01,
    steps: int = 30,
    ascent: bool = False,
    box: Box | None = UNIT,
    normalize: object = None,
    box_mode: str = "vertex",
    batch_size: int = 32,
    keep_iterates: bool = False,
    seed: int = 0,
    progress: object = None,
    **options: Any,  # noqa: ANN401 - options of the method
) -> Perturbation:
    """Change inputs within a small ball such that a class becomes more probable, or less.

    With the prediction as the target: why did the model say this? With the true label of an error: what would
    have corrected it? The printed algorithm does not work; the page below says what is computed instead. The
    model is left exactly as it was, and only input gradients are computed.

    Args:
        model: A classifier: logits, or a tuple or Hugging Face output with them. It runs in evaluation mode.
        x: (B, ...) floating inputs; moved to the model's device and dtype.
        target: Class index, one for all or (B,); ``"prediction"``: what the model predicts.
        method: ``"frank_wolfe"`` or ``"pgd"`` (``perturb.METHODS``).
        norm: Ball: ``"l1q"`` (sparse, controlled by q), ``"l1"``, ``"l2"`` or ``"linf"``.
        eps: Radius, one for all or (B,).
        q: Share of the coordinates that one step may touch, one for all or (B,); ``"l1q"`` only.
        steps: K. A step costs one forward and one backward pass.
        ascent: Raise the loss (lower the confidence) instead.
        box: Pixel range (low, high): numbers, or tensors that broadcast against x; None: no range.
        normalize: How the inputs were normalised, if they were: (mean, std), a transform or torchvision
            weights (:func:`~sparse_debug_widgets.core.pixels.normalization`). Then ``box`` is the range
            of the pixels before that, while eps is in the model's units.
        box_mode: ``"vertex"``: every step keeps the range, and q the sparsity; ``"spend"``: spend all of eps,
            on more pixels where some saturate; ``"clamp"``: ignore the range until the end.
        batch_size: Examples at a time.
        keep_iterates: Keep every iterate, to scrub through.
        seed: Of a random start (``"pgd"`` with ``random_start=True``).
        progress: Callback, bool or None; called after each step, with a
            :class:`~sparse_debug_widgets.perturbation.trace.StepPiece` as its piece.
            Cancelling returns the best so far, marked.
        **options: Of the method: ``step_constant``, ``max_support`` (frank_wolfe); ``step_size``,
            ``random_start``, ``warmup`` (pgd).

    Returns:
        The best iterate of each example, and the trace of all steps.

    Raises:
        InputError: Arguments out of range, inputs outside the box, an unknown name, a target outside the
            classes, or a model without logits.

    Warns:
        PerturbationWarning: The gradient of an example is zero; a given target is predicted already; what
            a step puts on a pixel (eps / m) exceeds the pixel range; the loss became NaN.

    References:
        Roberts, Tsiligkaridis, "Controllably Sparse Perturbations of Robust Classifiers", 2021;
        ``docs/methods/perturbations.md``.
    """
    started = time.monotonic()
    METHODS[method]
    check_options(method, options)
    check_choice(norm, NORMS, "norm", "perturb")
    check_choice(box_mode, BOX_MODES, "box_mode", "perturb")
    check_int(batch_size, "batch_size", "perturb")
    device, dtype = place_of(unwrap(model))
    inputs = check_inputs(x).to("cpu", dtype)
    box = model_box(box, normalize)
    size = len(inputs)
    request = _Request(
        inputs=inputs,
        room=check_room(inputs, box),
        target=class_indices(target, size, WHAT),
        eps=check_per_example(eps, "eps", size),
        q=check_per_example(q, "q", size, high=1.0),
        norm=norm,
        box_mode=box_mode,
        ascent=ascent,
        method=method,
        options={
            **options,
            "steps": check_int(steps, "steps", method),
            "keep_iterates": keep_iterates,
            "seed": seed,
        },
    )
    columns = _Columns(request)
    report = _Report(progress, -(-size // batch_size) * (steps + 1))
    cancelled = False
    with differentiable(model) as bare:
        for rows in torch.split(torch.arange(size), batch_size):
            report.first = int(rows[0])
            outcome = _run(bare, request, rows, device, report)
            columns.fill(rows.numpy(), outcome)
            report.offset += steps + 1
            if not outcome.run.finished:
                cancelled = True
                break
    result = Perturbation(
        provenance=Provenance(
            method=f"perturb:{method}",
            params={"norm": norm, "box_mode": box_mode, "ascent": ascent, "steps": steps, **options},
            seed=seed,
            seconds=time.monotonic() - started,
            fingerprint=combine(model_fingerprint(model), array_fingerprint(_host(inputs))),
        ),
        **columns.fields(),
        **_box_fields(box, inputs),
        norm=norm,
        ascent=ascent,
        cancelled=cancelled,
    )
    _warn(result, columns.flat_gradient, given=request.target is not None)
    return result


@dataclass(frozen=True, kw_only=True)
class _Request:
    """Checked arguments, on the host."""

    inputs: Tensor
    room: Headroom | None
    target: Tensor | None
    eps: Sequence[float]
    q: Sequence[float]
    norm: str
    box_mode: str
    ascent: bool
    method: str
    options: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """A run of one chunk, with what the model says of its best iterate."""

    run: BatchRun
    target: Tensor
    loss: Tensor
    logits: Tensor
    success: Tensor
    heights: Tensor | None


class _Report:
    """Adds up the progress of all chunks; costs nothing where nobody listens."""

    def __init__(self, progress: object, total: int) -> None:
        self._silent = progress is None or progress is False
        self._callback = reporter(progress)
        self._total = total
        self.offset = 0
        self.first = 0

    def of_chunk(self) -> ProgressCallback | None:
        """The callback of one chunk."""
        if self._silent:
            return None

        def report(progress: Progress) -> None:
            piece = progress.piece._replace(first=self.first)
            done = self.offset + progress.done
            self._callback(progress._replace(done=done, total=self._total, piece=piece))

        return report


def _run(
    model: nn.Module, request: _Request, rows: Tensor, device: torch.device, report: _Report
) -> _Outcome:
    """Run the method on one chunk."""
    chosen = rows.tolist()
    inputs = request.inputs[rows].to(device)
    room = None if request.room is None else Headroom(*(side[rows].to(device) for side in request.room))
    target = None if request.target is None else request.target[rows].to(device)
    objective = Objective(model, inputs, target, ascent=request.ascent)
    ball = make_ball(
        request.norm,
        [request.eps[i] for i in chosen],
        objective.start,
        room,
        [request.q[i] for i in chosen],
        request.box_mode,
    )
    # An option with a value for each example is cut to the chunk.
    options = {
        name: [value[i] for i in chosen] if _is_each(value, len(request.inputs)) else value
        for name, value in request.options.items()
    }
    run = METHODS[request.method](objective, ball, progress=report.of_chunk(), **options)
    places = torch.arange(len(rows), device=device)
    loss, logits = run.losses[places, run.best_step], run.logits[places, run.best_step]
    if BOX_MODES[request.box_mode].cut and room is not None:
        # What was found ignores the range: the model is asked again about what is left of it.
        run = replace(run, delta=room.clamp(run.delta))
        loss, logits = objective.value(run.delta)
    return _Outcome(
        run=run,
        target=cast("Tensor", objective.target),
        loss=loss,
        logits=logits,
        success=objective.reached(logits.argmax(1)),
        heights=ball.height.expand(len(rows))
        if isinstance(ball, L1QBall) and NORMS[request.norm].sparse
        else None,
    )


def _is_each(value: object, size: int) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and len(value) == size


class _Columns:
    """The arrays of the result, filled chunk by chunk; what a cancelled run never reached stays empty."""

    def __init__(self, request: _Request) -> None:
        self._request = request
        self._arrays: dict[str, Array] = {}
        size = len(request.inputs)
        self.flat_gradient = np.zeros(size, dtype=bool)

    def fill(self, rows: npt.NDArray[np.int64], outcome: _Outcome) -> None:
        """Put one chunk into its rows."""
        run, shape = outcome.run, self._request.inputs.shape[1:]
        done = run.losses.shape[1]
        values: dict[str, tuple[Tensor, Any]] = {
            "delta": (run.delta.reshape(-1, *shape), 0),
            "target": (outcome.target, -1),
            "losses": (run.losses, np.nan),
            "gaps": (run.gaps, np.nan),
            "supports": (run.supports, -1),
            "probabilities": (_softmax(run.logits), np.nan),
            "best_step": (run.best_step, 0),
            "steps_done": (torch.full_like(run.best_step, done - 1), 0),
            "probabilities_after": (_softmax(outcome.logits), np.nan),
            "loss_after": (outcome.loss, np.nan),
            "success": (outcome.success, False),
        }
        if outcome.heights is not None:
            values["vertex_height"] = (outcome.heights, np.nan)
        if run.iterates is not None:
            values["iterates"] = (run.iterates.reshape(*run.iterates.shape[:2], *shape), np.nan)
        for name, (tensor, empty) in values.items():
            self._put(name, rows, _host(tensor), empty)
        self.flat_gradient[rows] = _host(run.gradient_size) == 0

    def fields(self) -> dict[str, Any]:
        """The fields of the result."""
        request, size = self._request, len(self._request.inputs)
        q = np.array(request.q) if NORMS[request.norm].sparse else np.full(size, np.nan)
        unset = {"vertex_height": np.full(size, np.nan), "iterates": None}
        return unset | self._arrays | {"inputs": _host(request.inputs), "eps": np.array(request.eps), "q": q}

    def _put(self, name: str, rows: npt.NDArray[np.int64], values: Array, empty: object) -> None:
        if name not in self._arrays:
            shape = list(values.shape)
            shape[0] = len(self._request.inputs)
            if name in _TRACES:
                shape[1] = self._request.options["steps"] + 1
            self._arrays[name] = np.full(shape, empty, dtype=values.dtype)
        if name in _TRACES:
            self._arrays[name][rows, : values.shape[1]] = values
        else:
            self._arrays[name][rows] = values


_TRACES = ("losses", "gaps", "supports", "probabilities", "iterates")


def _softmax(logits: Tensor) -> Tensor:
    return (logits if logits.dtype == torch.float64 else logits.float()).softmax(-1)


def _host(tensor: Tensor) -> Array:
    host = tensor.detach().cpu()
    # NumPy has no bfloat16, and half precision is no good for pictures to compute with.
    return (host.float() if host.dtype in {torch.bfloat16, torch.float16} else host).numpy()


def _box_fields(box: Box | None, inputs: Tensor) -> dict[str, Any]:
    """Ends of the pixel range, as arrays that broadcast against the inputs."""
    if box is None:
        return {"low": None, "high": None}
    low, high = (np.atleast_1d(_host(torch.as_tensor(end, dtype=inputs.dtype))) for end in box)
    return {"low": low, "high": high}


def _warn(result: Perturbation, flat_gradient: npt.NDArray[np.bool_], *, given: bool) -> None:
    """Say what probably is not what was meant."""
    if flat_gradient.any():
        listed = ", ".join(map(str, np.flatnonzero(flat_gradient)[:10]))
        _say(
            f"the gradient is exactly zero at the inputs of examples {listed}: they stay as they are. Dead "
            "ReLUs or a saturated softmax do this; the method pgd with a random start may help."
        )
    known = result.target >= 0
    if given and not result.ascent and known.all() and (result.prediction_before == result.target).any():
        same = ", ".join(map(str, np.flatnonzero(result.prediction_before == result.target)[:10]))
        _say(
            f"the target is what the model predicts already for examples {same}: the perturbation makes it "
            "surer. If that is meant, make the prediction the target."
        )
    if result.saturates.any() and not BOX_MODES[result.provenance.params["box_mode"]].spends:
        _say(
            f"a step puts {np.nanmax(result.vertex_height):.3g} on each pixel that it chooses, more than the "
            "pixel range: every chosen pixel saturates, and eps hardly matters. Lower eps, or raise q."
        )
    if np.isnan(result.losses[known][:, : int(result.steps_done[known].min()) + 1]).any():
        _say("the loss became NaN on the way: the best iterate before that is returned. Try a smaller eps.")


def _say(message: str) -> None:
    # The caller of perturb() is what the warning should point to.
    notice(message, PerturbationWarning)
