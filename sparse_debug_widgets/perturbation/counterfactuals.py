"""Error counterfactuals: why did the model make this mistake, and what would have corrected it?

For every misclassified example two perturbations (section 3.1 of Roberts and Tsiligkaridis 2021): towards the
prediction, which shows what made the model say so, and towards the label, which shows what was missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.batching import batches
from sparse_debug_widgets.core.checks import check_int, check_real
from sparse_debug_widgets.core.classes import Names
from sparse_debug_widgets.core.fingerprint import model_fingerprint
from sparse_debug_widgets.core.forms import names_for
from sparse_debug_widgets.core.hooks import unwrap
from sparse_debug_widgets.core.notices import collected_notices, notice
from sparse_debug_widgets.core.outputs import logits_of
from sparse_debug_widgets.core.pixels import UNIT, Box, box_from, box_params, box_span, model_box, unit_pixels
from sparse_debug_widgets.core.progress import Cancelled, Progress, ProgressCallback, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.perturbation.attack import labelled
from sparse_debug_widgets.perturbation.classifier import differentiable, place_of
from sparse_debug_widgets.perturbation.norms import NORMS
from sparse_debug_widgets.perturbation.perturbation import MAGNIFICATION, Perturbation
from sparse_debug_widgets.perturbation.run import PerturbationWarning, perturb

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Floats = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
_HALVINGS = 8


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ErrorCounterfactuals(Result):
    """Misclassified examples with two perturbations each, sorted by how little would have corrected them.

    ``fix_*`` belongs to the perturbation towards the label, ``why_*`` to the one towards the prediction. An
    effort is the norm of the smallest multiple of a perturbation that does it (to one part in 256); infinite
    where even the whole perturbation does not.

    Attributes:
        indices: (n,) positions in the data set.
        inputs: (n, ...).
        labels: (n,).
        predictions: (n,).
        fix_delta: (n, ...).
        fix_effort: (n,) until the label is predicted.
        fix_support: (n,) entries of ``fix_delta`` that are not zero.
        fix_confidence: (n, 2) probability of the label, before and after.
        why_delta: (n, ...).
        why_effort: (n,) until the model is ``sure`` of its prediction.
        why_support: (n,).
        why_confidence: (n, 2) probability of the prediction, before and after.
        sure: Probability from which the model is called sure.
        n_examples: Examples looked at.
        norm: Of the ball.
        eps: Its radius.
        class_names: One for each class, or empty.
        cancelled: Whether errors are missing because somebody stopped it.
        fix_enough: (n,) probability of the label at the effort; NaN where nothing is enough, None in files of
            former versions.
        why_enough: (n,) probability of the prediction at the effort, likewise.
    """

    kind: ClassVar[str] = "error_counterfactuals"
    arrays: ClassVar[Mapping[str, str]] = {
        "indices": "n index",
        "inputs": "n ...x float",
        "labels": "n class",
        "predictions": "n class",
        "fix_delta": "n ...x float",
        "fix_effort": "n float",
        "fix_support": "n int",
        "fix_confidence": "n 2 float",
        "why_delta": "n ...x float",
        "why_effort": "n float",
        "why_support": "n int",
        "why_confidence": "n 2 float",
        "fix_enough": "? n float",
        "why_enough": "? n float",
        "class_names": "C names",
    }

    indices: Ints
    inputs: Floats
    labels: Ints
    predictions: Ints
    fix_delta: Floats
    fix_effort: Floats
    fix_support: Ints
    fix_confidence: Floats
    why_delta: Floats
    why_effort: Floats
    why_support: Ints
    why_confidence: Floats
    sure: float
    n_examples: int
    norm: str
    eps: float
    class_names: tuple[str, ...]
    cancelled: bool
    fix_enough: Floats | None = None
    why_enough: Floats | None = None

    def share(self, which: str, i: int) -> float:
        """The part of a perturbation that is enough, in [0, 1]; infinite where all of it is not.

        Args:
            which: ``"fix"`` or ``"why"``.
            i: Which error.
        """
        effort = float(getattr(self, f"{which}_effort")[i])
        if not np.isfinite(effort):
            return float("inf")
        whole = float(_length(getattr(self, f"{which}_delta")[i : i + 1], self.norm)[0])
        return min(1.0, effort / whole)

    def faults(self) -> Iterator[str]:
        """See the base class."""
        most = max(self.labels.max(initial=-1), self.predictions.max(initial=-1))
        if self.class_names and most >= len(self.class_names):
            yield f"class {most} of {len(self.class_names)}"

    def to_frame(self) -> pd.DataFrame:
        """One row for each error, the one that took least first."""
        import pandas as pd

        columns = {
            "example": self.indices,
            "label": self._names(self.labels),
            "prediction": self._names(self.predictions),
            "fix_effort": self.fix_effort,
            "fix_support": self.fix_support,
            "fix_confidence_before": self.fix_confidence[:, 0],
            "fix_confidence_after": self.fix_confidence[:, 1],
            "why_effort": self.why_effort,
            "why_support": self.why_support,
            "why_confidence_before": self.why_confidence[:, 0],
            "why_confidence_after": self.why_confidence[:, 1],
        }
        return pd.DataFrame(columns)

    def plot(self, n: int = 4) -> go.Figure:
        """The errors that took least: picture, why (five times, grey is zero), what would have corrected it.

        Args:
            n: At most so many errors.
        """
        from sparse_debug_widgets.core import figures

        pictures, captions = [], []
        labels, predictions = self._names(self.labels), self._names(self.predictions)
        for i in range(min(n, len(self.indices))):
            low, high = self.inputs[i].min(), self.inputs[i].max()
            box = box_from(self.provenance.params) or (low, high if high > low else low + 1.0)
            span = box_span(box)
            pictures.append(unit_pixels(self.inputs[i], box))
            pictures += [
                0.5 + MAGNIFICATION / 2 * delta[i] / span for delta in (self.why_delta, self.fix_delta)
            ]
            captions += [
                f"{self.indices[i]}: {labels[i]}, taken for {predictions[i]}",
                f"why {predictions[i]}",
                f"towards {labels[i]}",
            ]
        title = f"Errors, {self.norm}" if pictures else f"No error among {self.n_examples} examples"
        return figures.images(pictures, captions, title=title, n_columns=3)

    def _names(self, classes: Ints) -> list[str] | Ints:
        return [self.class_names[c] for c in classes] if self.class_names else classes


def error_counterfactuals(  # noqa: PLR0913 - the front of the room
    model: nn.Module,
    data: object,
    *,
    eps: float,
    norm: str = "l1q",
    q: float = 0.01,
    steps: int = 30,
    sure: float = 0.9,
    max_errors: int | None = 100,
    box: Box | None = UNIT,
    normalize: object = None,
    batch_size: int = 32,
    class_names: tuple[str, ...] = (),
    progress: object = None,
    **options: Any,  # noqa: ANN401 - options of perturb
) -> ErrorCounterfactuals:
    """Find the misclassified examples of a data set, and perturb each one towards prediction and label.

    Args:
        model: A classifier; it is left as it was.
        data: Whatever :mod:`core.batching` takes, with labels.
        eps: Radius.
        norm: Ball, as in :func:`perturb`.
        q: Share of the coordinates that one step may touch.
        steps: K.
        sure: Probability of the prediction up to which ``why_effort`` counts.
        max_errors: Look at the first so many errors only; None: all.
        box: Pixel range, or None.
        normalize: How the inputs were normalised, if they were: (mean, std), a transform or torchvision
            weights (:func:`~sparse_debug_widgets.core.pixels.normalization`). Then ``box`` is the range
            of the pixels before that; data sets that carry their transforms need not say it.
        batch_size: Examples at a time.
        class_names: One per class, in the order of the model's outputs; by default the model's own or those
            of the data.
        progress: Callback, bool or None; the columns of each finished batch of errors are a piece. Cancelling
            returns the batches done so far, marked; before the first one it propagates.
        **options: As in :func:`perturb`.

    Returns:
        The errors, sorted by ``fix_effort``; none of them where the model makes no error.

    Raises:
        InputError: Settings out of range, or data without labels.

    References:
        Roberts, Tsiligkaridis, "Controllably Sparse Perturbations of Robust Classifiers", 2021, section 3.1;
        ``docs/methods/perturbations.md``.
    """
    started = time.monotonic()
    box = model_box(box, normalize, data)
    check_real(eps, "eps", "error_counterfactuals", low=0, open_low=True)
    check_real(sure, "sure", "error_counterfactuals", low=0, high=1, open_high=True)
    check_int(batch_size, "batch_size", "error_counterfactuals")
    if max_errors is not None:
        check_int(max_errors, "max_errors", "error_counterfactuals")
    report = reporter(progress)
    names = names_for(model, data, class_names or None)
    errors = _find(model, data, names, batch_size, max_errors, report)
    settings = {
        "eps": eps,
        "norm": norm,
        "q": q,
        "steps": steps,
        "box": box,
        "batch_size": batch_size,
        **options,
    }
    total = len(errors.labels)
    chunks: list[dict[str, Floats]] = []
    cancelled = False
    for rows in np.array_split(np.arange(total), -(-total // batch_size)) if total else ():
        try:
            chunks.append(_both(model, errors, rows, sure, settings, report))
        except Cancelled:
            if not chunks:
                raise
            cancelled = True
            break
    found = chunks or [_nothing(errors)]
    columns = {key: np.concatenate([chunk[key] for chunk in found]) for key in found[0]}
    order = np.argsort(columns["fix_effort"], kind="stable")
    return ErrorCounterfactuals(
        provenance=Provenance(
            method="error_counterfactuals",
            params={
                "norm": norm,
                "eps": float(eps),
                "q": q,
                "steps": steps,
                "max_errors": max_errors,
                "box": box_params(box),
            },
            seconds=time.monotonic() - started,
            fingerprint=model_fingerprint(model),
        ),
        **{key: column[order] for key, column in columns.items()},
        sure=sure,
        n_examples=errors.n_examples,
        norm=norm,
        eps=float(eps),
        class_names=tuple(class_names) or names or (),
        cancelled=cancelled,
    )


@dataclass(frozen=True)
class _Errors:
    """Misclassified examples of a data set, on the host."""

    indices: Ints
    inputs: Tensor
    labels: Ints
    predictions: Ints
    n_examples: int


def _find(
    model: nn.Module,
    data: object,
    names: Names | None,
    batch_size: int,
    max_errors: int | None,
    report: ProgressCallback,
) -> _Errors:
    """One pass over the data, or as much of it as it takes."""
    device, dtype = place_of(unwrap(model))
    indices, inputs, labels, predictions = [], [], [], []
    seen = found = 0
    for batch in batches(data, batch_size, progress=report, note="looking for errors", classes=names):
        x, y = labelled(batch.inputs, batch.labels)
        with differentiable(model) as bare, torch.no_grad():
            predicted = logits_of(bare(x.to(device, dtype)), rows=len(x)).argmax(1).cpu()
        wrong = (predicted != y.cpu()).nonzero().squeeze(1)
        indices.append(wrong.numpy() + seen)
        inputs.append(x.cpu()[wrong])
        labels.append(y.cpu()[wrong].numpy())
        predictions.append(predicted[wrong].numpy())
        seen, found = seen + len(y), found + len(wrong)
        if max_errors is not None and found >= max_errors:
            break
    first = slice(max_errors)
    return _Errors(
        indices=np.concatenate(indices)[first],
        inputs=torch.cat(inputs)[first],
        labels=np.concatenate(labels)[first],
        predictions=np.concatenate(predictions)[first],
        n_examples=seen,
    )


def _nothing(errors: _Errors) -> dict[str, Floats]:
    """The columns of no error at all."""
    inputs, none = errors.inputs.numpy(), np.zeros(0, dtype=np.int64)
    columns: dict[str, Floats] = {"indices": none, "inputs": inputs, "labels": none, "predictions": none}
    for name in ("fix", "why"):
        columns |= {f"{name}_delta": inputs, f"{name}_effort": np.zeros(0), f"{name}_support": none}
        columns |= {f"{name}_confidence": np.zeros((0, 2)), f"{name}_enough": np.zeros(0)}
    return columns


def _both(
    model: nn.Module,
    errors: _Errors,
    rows: Ints,
    sure: float,
    settings: Mapping[str, Any],
    report: ProgressCallback,
) -> dict[str, Floats]:
    """Both perturbations of some errors, and how little of each it takes."""
    total = len(errors.labels)
    inputs, labels, predictions = errors.inputs[rows], errors.labels[rows], errors.predictions[rows]

    def inner(half: int) -> ProgressCallback:
        def listen(progress: Progress) -> None:
            done = rows[0] + len(rows) * (half + progress.fraction) / 2
            report(Progress(float(done), total, f"error {int(done)} of {total}"))

        return listen

    columns: dict[str, Floats] = {"indices": errors.indices[rows], "inputs": inputs.numpy()}
    columns |= {"labels": labels, "predictions": predictions}
    for half, (name, target) in enumerate((("fix", labels), ("why", predictions))):
        with collected_notices() as said:
            found = perturb(model, inputs, target=target, progress=inner(half), **settings)
        for message in said:
            # That the prediction is the target is the point of the second.
            if not message.startswith("the target is what the model predicts"):
                notice(message, PerturbationWarning)
        if found.cancelled:
            raise Cancelled
        level = None if name == "fix" else sure
        share, enough = _effort(model, found, level)
        columns |= {
            f"{name}_delta": found.delta,
            f"{name}_effort": share * _length(found.delta, found.norm),
            f"{name}_enough": enough,
            f"{name}_support": found.support,
            f"{name}_confidence": np.stack([found.confidence_before, found.confidence_after], 1),
        }
    done = int(rows[-1]) + 1
    report(Progress(done, total, f"{done} of {total} errors", piece=columns))
    return columns


def _effort(model: nn.Module, found: Perturbation, sure: float | None) -> tuple[Floats, Floats]:
    """The share (n,) of each perturbation, by halving, that makes the model predict the target, or be sure.

    Infinite where even all of it does not. And the probability (n,) of the target there, NaN where none is.
    """
    device, dtype = place_of(unwrap(model))
    inputs, delta = (torch.tensor(array).to(device, dtype) for array in (found.inputs, found.delta))
    target = torch.tensor(found.target).to(device)
    row = (-1,) + (1,) * (inputs.ndim - 1)
    low, high = (fill(len(inputs), dtype=torch.float32) for fill in (torch.zeros, torch.ones))
    with differentiable(model) as bare, torch.no_grad():

        def answers(share: Tensor) -> tuple[Tensor, Tensor]:
            moved = inputs + share.to(device, dtype).view(row) * delta
            logits = logits_of(bare(moved), rows=len(moved)).float()
            confidence = logits.softmax(1).gather(1, target[:, None])[:, 0]
            return (logits.argmax(1) == target).cpu(), confidence.cpu()

        def reached(share: Tensor) -> Tensor:
            predicted, confidence = answers(share)
            return predicted if sure is None else confidence >= sure

        at_once, at_all = reached(low), reached(high)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            enough = reached(middle)
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        share = torch.where(at_once, 0.0, torch.where(at_all, high, torch.inf))
        confidence = answers(torch.where(share.isfinite(), share, 0.0))[1]
    known = torch.where(share.isfinite(), confidence, torch.nan)
    return share.double().numpy(), known.double().numpy()


def _length(delta: Floats, norm: str) -> Floats:
    """(n,) norm of each perturbation, in the norm that its ball limits."""
    # Not zero, so that an example that could not be moved keeps effort infinity.
    return NORMS[norm].length(delta.reshape(len(delta), -1).astype(np.float64)).clip(1e-300)
