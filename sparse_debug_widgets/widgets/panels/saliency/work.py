"""The work of the Saliency panel: a job over methods, models and classes of one example.

It works on private copies of the models. Each finished map is published as a piece, so that what is there is
shown while the rest is computed, and stays when the job is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import InputError, refuse, shorten
from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.params import Parameter, check_parameters
from sparse_debug_widgets.core.progress import Progress, ProgressCallback
from sparse_debug_widgets.saliency import METHODS, Attribution, Lambda1Sweep, attribute, lambda1_sweep
from sparse_debug_widgets.saliency.methods.registry import sweep_methods
from sparse_debug_widgets.saliency.studies.sweep import sweep_parameters

Example: TypeAlias = "Tensor | Mapping[str, Tensor]"
PREDICTION = -1
SWEEP = "sweep"


@dataclass(frozen=True)
class Wish:
    """The choice of a person, checked.

    Attributes:
        row: Number of the example.
        x: The example as a batch of one.
        classes: Classes to explain; -1 stands for the prediction of the first model.
        methods: Name -> parameters.
        sweep: Method and parameters of the sweep over lambda_1; None for none.
        seed: Of the noise of smooth methods.
        options: ``chunk_size``, ``output`` and ``embedding`` of :func:`attribute`.
    """

    row: int
    x: Example
    classes: tuple[int, ...]
    methods: dict[str, dict[str, Any]]
    sweep: tuple[str, dict[str, Any]] | None
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def same_place(self, other: Wish) -> bool:
        """Do both ask about the same example, classes and noise?"""
        mine = (self.row, self.classes, self.seed, self.options)
        return mine == (other.row, other.classes, other.seed, other.options)

    def asks(self, method: str) -> object:
        """Parameters of a method, or of the sweep; None where it is not asked for."""
        return self.sweep if method == SWEEP else self.methods.get(method)


class Failure(NamedTuple):
    """The reason why a method does not work on a model."""

    message: str


class Piece(NamedTuple):
    """One finished step.

    Attributes:
        model: Name of the model.
        method: Name of the method, or ``"sweep"``.
        found: Its result for all classes, or why there is none.
        notices: What it warned of.
    """

    model: str
    method: str
    found: Attribution | Lambda1Sweep | Failure
    notices: tuple[str, ...] = ()


def parameters_of(method: str) -> tuple[Parameter, ...]:
    """List what a person may choose of a method, or of the sweep."""
    known = sweep_parameters() if method == SWEEP else METHODS[method].parameters
    return tuple(parameter for parameter in known if parameter.kind != "other")


def check_wish(
    methods: Mapping[str, Mapping[str, Any]], sweep: tuple[str, Mapping[str, Any]] | None
) -> tuple[dict[str, dict[str, Any]], tuple[str, dict[str, Any]] | None]:
    """Methods and sweep with all their parameters, each checked.

    Raises:
        InputError: An unknown method or parameter, a value out of its range, or nothing to do.
    """
    good = {
        name: check_parameters(parameters_of(name) if name in METHODS else (), values, _known(name))
        for name, values in methods.items()
    }
    if sweep is None:
        if not good:
            refuse("Choose at least one method.")
        return good, None
    if sweep[0] not in sweep_methods():
        known, asked = ", ".join(map(repr, sweep_methods())), shorten(repr(sweep[0]), 60)
        refuse(f"There is no sweep of {asked}: lambda1 can be swept for one of {known}.")
    return good, (sweep[0], check_parameters(parameters_of(SWEEP), sweep[1], "lambda1_sweep"))


def _known(name: str) -> str:
    METHODS[name]  # raises for a name that is none
    return name


def run_wish(
    models: Mapping[str, nn.Module],
    wish: Wish,
    done: frozenset[tuple[str, str]] = frozenset(),
    *,
    progress: ProgressCallback,
) -> list[Piece]:
    """Everything that was asked for, method by method; a job's function.

    A method that does not suit a model (Grad-CAM without a convolution) is reported in its place, and the
    others go on.

    Args:
        models: Name -> private copy.
        wish: What to compute.
        done: Pairs (model, method) that are there already.
        progress: Gets a :class:`Piece` for each finished step; may raise Cancelled.

    Raises:
        InputError: No method worked; the error of the first.
        Cancelled: The pieces published so far stay.
    """
    steps = [step for step in _steps(models, wish) if (step.model, step.method) not in done]
    total = sum(step.weight for step in steps)
    at, found, errors = 0.0, [], []
    targets = _targets(wish, next(iter(models.values())))
    x, classes = repeated(wish.x, len(targets)), list(targets)
    for step in steps:

        def inner(part: Progress, at: float = at, step: _Step = step) -> None:
            progress(Progress(at + step.weight * part.fraction, total, step.note))

        inner(Progress(0, 1))
        with collected_notices() as notices:
            try:
                result: Attribution | Lambda1Sweep | Failure = step.call(x, classes, inner)
            except InputError as error:
                errors.append(error)
                result = Failure(str(error))
        piece = Piece(step.model, step.method, result, tuple(notices))
        found.append(piece)
        at += step.weight
        progress(Progress(at, total, step.note, piece))
    if errors and len(errors) == len(steps):
        raise errors[0]
    return found


class _Step(NamedTuple):
    model: str
    method: str
    note: str
    weight: float
    call: Callable[[Example, list[int], ProgressCallback], Attribution | Lambda1Sweep]


def _steps(models: Mapping[str, nn.Module], wish: Wish) -> Iterator[_Step]:
    """Method by method, each for all models: what is compared comes together."""
    for method, values in wish.methods.items():
        for name, model in models.items():
            call = partial(_ask, attribute, model, method, wish, values)
            yield _Step(name, method, _note(method, name, models), METHODS[method].cost(values), call)
    if wish.sweep is not None:
        method, values = wish.sweep
        weight = METHODS[method].cost(values) + values["n_lambdas"] / 2
        for name, model in models.items():
            call = partial(_ask, lambda1_sweep, model, method, wish, values)
            yield _Step(name, SWEEP, _note(f"sweep of {method}", name, models), weight, call)


def _ask(
    function: Any,  # noqa: ANN401 (attribute or lambda1_sweep)
    model: nn.Module,
    method: str,
    wish: Wish,
    values: Mapping[str, Any],
    x: Example,
    target: list[int],
    progress: ProgressCallback,
) -> Any:  # noqa: ANN401 (an Attribution or a Lambda1Sweep)
    given = {**wish.options, **values}
    return function(model, x, method, target=target, seed=wish.seed, progress=progress, **given)


def _note(what: str, name: str, models: Mapping[str, nn.Module]) -> str:
    return f"{what}, {name}" if len(models) > 1 else what


def repeated(x: Example, n: int) -> Example:
    """A batch of one, n times."""
    if isinstance(x, Mapping):
        return {name: entry.repeat(n, *[1] * (entry.ndim - 1)) for name, entry in x.items()}
    return x.repeat(n, *[1] * (x.ndim - 1))


def _targets(wish: Wish, model: nn.Module) -> tuple[int, ...]:
    """Classes to explain, each once; the first model says what the prediction is."""
    classes = wish.classes
    if PREDICTION in classes:
        options = {name: value for name, value in wish.options.items() if name in {"output", "embedding"}}
        predicted = int(attribute(model, wish.x, "gradient", **options).predicted[0])
        classes = tuple(predicted if index == PREDICTION else index for index in classes)
    return tuple(dict.fromkeys(classes))


def top_classes(model: nn.Module, x: Example, options: Mapping[str, Any], n: int = 5) -> list[list[float]]:
    """The n most probable classes with their probabilities, as the model is now; it is left as it was."""
    from sparse_debug_widgets.saliency.probe.probe import probing

    with probing(model, x, output=options.get("output"), embedding=options.get("embedding")) as probe:
        logits = probe.logits[0].double()
    share = logits.softmax(0) if len(logits) > 1 else torch.full_like(logits, np.nan)
    best = share.topk(min(n, len(share)))
    return [[int(k), float(p)] for k, p in zip(best.indices, best.values, strict=True)]
