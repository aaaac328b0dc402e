"""The answers of a classifier, as logits of at least two classes.

Models return a tensor, a tuple, a mapping or an object with ``logits``; and a binary classifier often returns
one number z per example. Everything that looks at a model's answer goes through here, so that one logit means
the same two classes everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from sparse_debug_widgets.core.checks import reject

_ADVICE = "Wrap the model in a module that returns its logits."


def raw_logits(
    output: object, part: int | str | None = None, *, rows: int | None = None, advice: str = _ADVICE
) -> Tensor:
    """The tensor of logits in what a model returns, as it is.

    Args:
        output: The tensor itself, a tuple that begins with it, an object or a mapping with ``logits``.
        part: Which part of a tuple (number), mapping (key) or object (attribute) holds it; None: as above.
        rows: How many examples the model was given. A single number is the logit of a single example
            (``squeeze`` of a batch of one).
        advice: What to do where there is none.

    Raises:
        InputError: There is none.
    """
    found: object = output
    if part is not None:
        found = _part(output, part)
    elif isinstance(output, Tensor):
        # The usual case first: asking whether something is a mapping takes a microsecond.
        pass
    elif isinstance(output, Mapping):
        found = output.get("logits")
    elif isinstance(getattr(output, "logits", None), Tensor):
        found = output.logits  # type: ignore[attr-defined]
    elif isinstance(output, tuple | list) and output:
        found = output[0]
    if isinstance(found, Tensor) and found.ndim:
        return found
    if isinstance(found, Tensor) and rows == 1:
        return found.reshape(1)
    must = "answer a tensor of logits, a tuple that begins with one, or an object or mapping with 'logits'"
    return reject("the model", "a classifier", must, _described(output, found), advice)


def _part(output: object, part: int | str) -> object:
    try:
        if isinstance(part, str) and hasattr(output, part):
            return getattr(output, part)
        return output[part]  # type: ignore[index]
    except (KeyError, IndexError, TypeError):
        must = "name a part of what it returns"
        return reject(f"output={part!r}", "the model", must, type(output).__name__)


def _described(output: object, found: object) -> str:
    got = "one number" if isinstance(output, Tensor) else type(output).__name__
    if isinstance(output, Mapping):
        return f"{got} with the keys {', '.join(map(repr, output)) or '(none)'}"
    return got if found is output else f"{got}, in it {type(found).__name__}"


class Place(NamedTuple):
    """The place of a class among the rows of a layer: its weights are ``sign * weights[row]``."""

    row: int
    sign: int


def place_of(index: int, *, lone: bool) -> Place:
    """The row and the sign of a class; of a lone row, which is class 1's, class 0 is the negative."""
    return Place(0, 1 if index else -1) if lone else Place(index, 1)


def is_lone(raw: Tensor) -> bool:
    """Say whether the logits are one number per example: (B,), (B, 1), or (B, 1, 1, 1)."""
    return raw.ndim == 1 or (raw.numel() == len(raw) and raw.shape[1] == 1)


def as_classes(raw: Tensor, rows: int | None = None) -> Tensor:
    """Logits (B, C), C >= 2, of logits as a model has them; part of the same graph.

    One logit z becomes the two classes (-z/2, +z/2): their softmax is (1 - sigmoid z, sigmoid z), their
    difference is z, and class 1 is "z > 0". Maps of one position (B, C, 1, 1) are flattened.

    Args:
        raw: (B, C), (B, C, 1, 1), or one logit per example: (B, 1) or (B,).
        rows: How many examples the model was given.

    Raises:
        InputError: Another shape, another number of rows, or integers.
    """
    fits = raw.ndim in {1, 2} or (raw.ndim == 4 and raw.shape[2:] == (1, 1))
    fits = fits and bool(raw.numel())
    if not fits or not raw.is_floating_point() or (rows is not None and len(raw) != rows):
        got = f"{raw.dtype} of shape {tuple(raw.shape)}"
        got = got if rows is None else f"{got} for {rows} examples"
        must = "return logits (batch, classes), or one logit for each example"
        reject("the model", "a classifier", must, got, _ADVICE)
    if is_lone(raw):
        half = raw.reshape(-1) / 2
        return torch.stack((-half, half), 1)
    return raw if raw.ndim == 2 else raw.flatten(1)


def logits_of(output: object, part: int | str | None = None, *, rows: int | None = None) -> Tensor:
    """Logits (B, C), C >= 2, in what a model returns: :func:`as_classes` of :func:`raw_logits`.

    Args:
        output: What ``model(inputs)`` returned.
        part: Which part of it holds the logits.
        rows: How many examples the model was given.

    Raises:
        InputError: It holds no such logits.
    """
    return as_classes(raw_logits(output, part, rows=rows), rows)


def scores_of(output: object, part: int | str | None = None, *, rows: int | None = None) -> Tensor:
    """The score (B, C) of each class that is attributed or explained: its logit; for one logit -z and +z.

    Args and errors are those of :func:`logits_of`.
    """
    raw = raw_logits(output, part, rows=rows)
    logits = as_classes(raw, rows)
    return 2 * logits if is_lone(raw) else logits


def residual(logits: Tensor, target: Tensor) -> Tensor:
    """The derivative (B, C) of the target's cross-entropy by the logits: softmax - onehot.

    The target's entry is minus the sum of the others. As p - 1 it would lose all its digits where the model
    is sure, and with it the direction of the gradient.

    Args:
        logits: (B, C), detached or not; half precision is computed in float32.
        target: (B,) class indices.
    """
    exact = logits if logits.dtype == torch.float64 else logits.float()
    others = exact.softmax(1).scatter(1, target[:, None], 0.0)
    return others.scatter(1, target[:, None], -others.sum(1, keepdim=True)).to(logits.dtype)
