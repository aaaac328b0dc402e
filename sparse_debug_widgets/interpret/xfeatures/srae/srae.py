"""``fit_explanation``: the explanation network of one class, and the baselines that it is compared with."""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils import parameters_to_vector

from sparse_debug_widgets.core.arithmetic import plain_arithmetic
from sparse_debug_widgets.core.checks import check_choice, check_int, reject
from sparse_debug_widgets.core.fingerprint import array_fingerprint
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.progress import ProgressCallback, reporter
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.core.threads import thread_limit
from sparse_debug_widgets.interpret.xfeatures.srae.checkpoint import Checkpoint
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe, SraeProblem, Terms, Trained, train
from sparse_debug_widgets.interpret.xfeatures.srae.lasso import select_features
from sparse_debug_widgets.interpret.xfeatures.srae.layer import LayerActivations
from sparse_debug_widgets.interpret.xfeatures.srae.methods import METHODS
from sparse_debug_widgets.interpret.xfeatures.srae.network import ExplanationNetwork
from sparse_debug_widgets.interpret.xfeatures.srae.result import ClassExplanation
from sparse_debug_widgets.interpret.xfeatures.srae.rows import Chosen, choose_rows, fidelity

Array = npt.NDArray[Any]
_WHAT = "an explanation network"
_HIDDEN = (800, 100)
_LARGEST_N = 8
_COUNTS_FROM = 0.05
_ONE_THREAD = (
    50_000_000  # multiplications in the largest product of a step, below which two threads only wait
)


@dataclass(frozen=True)
class _Settings:
    """The settings of a fit beside its data and n."""

    method: str
    terms: Terms
    recipe: Recipe
    hidden: tuple[int, ...]
    seed: int

    def as_head(self) -> dict[str, Any]:
        """As JSON-able numbers."""
        return {**dataclasses.asdict(self), "hidden": list(self.hidden)}


class ExplanationWarning(UserWarning):
    """An explanation network was fitted, but not as one would like; the message says in what."""


@plain_arithmetic()
def fit_explanation(  # noqa: PLR0913 - every argument but two has a default
    train_rows: LayerActivations,
    class_index: int,
    *,
    test_rows: LayerActivations | None = None,
    method: str = "srae",
    n: int | str = 5,
    terms: Terms | None = None,
    recipe: Recipe | None = None,
    hidden: tuple[int, ...] | None = None,
    n_negatives: int = 8000,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: object = None,
) -> ClassExplanation:
    """Fit an explanation network to one class's score (eq. 3.6), or one of its baselines.

    Positives and negatives weigh the same in all, whatever their numbers.

    Args:
        train_rows: Activations and scores to fit to, see :func:`~.srae_layer.read_layer`.
        class_index: The class.
        test_rows: Held out; None holds out a fifth of ``train_rows``, of positives and negatives alike.
        method: "srae", "nn", "sae", "cae" or "lasso"; all but the last are one code, terms switched off.
        n: Number of x-features; "auto" fits eight and keeps as many as contribute.
        terms: Factors of the loss, in place of the method's own.
        recipe: Epochs, batch size and the like.
        hidden: Widths of the hidden layers of the encoder; None for 800 and 100, but no wider than the layer.
        n_negatives: Negatives are drawn down to so many.
        seed: Of everything random; with the number of threads it fixes every bit.
        checkpoint: A file in which an interrupted training goes on.
        progress: Callback, bool or None.

    Returns:
        The explanation.

    Raises:
        InputError: A class with fewer than n positives, a constant score, parameters out of range, a
            checkpoint of something else.
        Cancelled: The progress callback asked for it; the checkpoint keeps what was reached.

    Warns:
        ExplanationWarning: Negative activations, x-features that are never active, or no try in which two
            x-features contribute.
    """
    check_choice(method, METHODS, "method", _WHAT)
    started = time.perf_counter()
    settings = _Settings(
        method=method,
        terms=terms or METHODS[method].terms or Terms(),
        recipe=_recipe(recipe, method),
        hidden=_hidden(hidden, train_rows.values.shape[1]),
        seed=check_int(seed, "seed", _WHAT, low=0),
    )
    report = reporter(progress)
    size = _LARGEST_N if n == "auto" else check_int(n, "n", _WHAT, low=1, high=64)
    chosen = choose_rows(train_rows, test_rows, class_index, size, n_negatives, seed)
    found = _fitted(chosen, settings, size, report, checkpoint)
    if n == "auto":
        sizes = np.abs(found.contributions)
        count = max(1, int((sizes >= _COUNTS_FROM * sizes.max()).sum()))
        beside = None if checkpoint is None else f"{os.fspath(checkpoint)}-{count}"
        if count < size:
            found = _fitted(chosen, settings, count, report, beside)
    _warn(found, chosen)
    provenance = dataclasses.replace(found.provenance, seconds=time.perf_counter() - started)
    return dataclasses.replace(found, provenance=provenance)


def _hidden(widths: tuple[int, ...] | None, p: int) -> tuple[int, ...]:
    if widths is None:
        return tuple(min(width, p) for width in _HIDDEN)
    if not widths:
        reject("hidden", _WHAT, "name at least one width", "none")
    return tuple(check_int(width, "a width", _WHAT) for width in widths)


def _recipe(recipe: Recipe | None, method: str) -> Recipe:
    # What is tried again is the balance between reconstruction and pull-away.
    chosen = recipe or Recipe()
    return chosen if METHODS[method].balanced else dataclasses.replace(chosen, retries=0)


def _fitted(
    chosen: Chosen,
    settings: _Settings,
    n: int,
    report: ProgressCallback,
    checkpoint: str | os.PathLike[str] | None,
) -> ClassExplanation:
    if METHODS[settings.method].selects:
        return _result(select_features(chosen, n, settings.seed, report), None, chosen, settings)
    values, recipe = chosen.activations, settings.recipe
    widths = (values.shape[1], *settings.hidden, n)
    network = ExplanationNetwork(widths, convolutional=values.ndim == 4, signed=bool(values.min() < 0))
    kept = None
    if checkpoint is not None:
        data = array_fingerprint(values, chosen.targets, chosen.weights)
        kept = Checkpoint(checkpoint, {"data": data, "n": n, **settings.as_head()})
    work = recipe.batch_size * max(a * b for a, b in itertools.pairwise(widths))
    threads = thread_limit(1 if work < _ONE_THREAD else None)
    with torch.enable_grad(), threads:
        problem, units = _problem(chosen)
        trained = train(network, problem, settings.terms, recipe, settings.seed, report, kept)
        _in_logits(network, *units)
    return _result(network, trained, chosen, settings)


def _problem(chosen: Chosen) -> tuple[SraeProblem, tuple[float, float, float]]:
    """The problem in the units of the training, with the units: scale, and mean and spread of the scores."""
    values, targets, weights = chosen.activations, chosen.targets, chosen.weights
    scale = float(np.sqrt(np.square(values, dtype=np.float64).mean()))
    # What x-features have to explain is how far a score lies above that of a typical negative.
    mean = float(targets[~chosen.positive].mean()) if not chosen.positive.all() else float(targets.min())
    average = float((weights * targets).mean())
    spread = float(np.sqrt((weights * np.square(targets - average)).mean()))
    problem = SraeProblem(
        torch.from_numpy(values / np.float32(scale)),
        torch.from_numpy((targets - mean) / spread).float(),
        torch.from_numpy(weights).float(),
        torch.from_numpy(chosen.positive),
    )
    return problem, (scale, mean, spread)


def _in_logits(network: ExplanationNetwork, scale: float, mean: float, spread: float) -> None:
    with torch.no_grad():
        network.scale.fill_(scale)
        network.readout.weight.mul_(spread)
        network.readout.bias.mul_(spread).add_(mean)


def _result(
    network: ExplanationNetwork, trained: Trained | None, chosen: Chosen, settings: _Settings
) -> ClassExplanation:
    values = chosen.activations
    network = network.requires_grad_(False).eval()
    encoded, rebuilt = _passed(network, values)
    weights = network.readout.weight[0].double().numpy()
    tap = chosen.source.tap
    found = ClassExplanation(
        provenance=Provenance(
            method=f"fit_explanation:{settings.method}",
            params={"n": network.n, **settings.as_head()},
            seed=settings.seed,
            fingerprint=array_fingerprint(values, chosen.targets),
        ),
        class_index=chosen.class_index,
        layer=tap.layer,
        reads_input=tap.inputs,
        head=tap.head,
        method=settings.method,
        widths=network.widths,
        convolutional=network.convolutional,
        signed=bool(values.min() < 0),
        parameters=parameters_to_vector(network.parameters()).numpy(),
        scale=float(network.scale),
        weights=weights,
        bias=float(network.readout.bias[0]),
        contributions=weights * encoded[chosen.positive].mean(0),
        alive=(encoded != 0).any(0),
        rebuilt=rebuilt if settings.terms.beta else np.full_like(rebuilt, np.nan),
        history=np.array(trained.history if trained else np.zeros((0, 4)), np.float64),
        tries=tuple(trained.tries) if trained else (),
        fidelity={},
    )
    sides = {"train": (chosen.source, chosen.rows), "test": (chosen.held, chosen.held_rows)}
    measured = {
        f"{name}_{side}": value
        for side, (source, rows) in sides.items()
        for name, value in fidelity(
            source.scores[rows], chosen.class_index, found.explain(source.values[rows])[1]
        ).items()
    }
    return dataclasses.replace(found, fidelity=measured)


def _passed(network: ExplanationNetwork, values: Array) -> tuple[Array, Array]:
    """X-features (M, n), and the share of each feature's variance (p,) that the decoder explains."""
    encoded, errors = [], np.zeros(values.shape[1])
    axes = (0, 2, 3) if values.ndim == 4 else (0,)
    for start in range(0, len(values), 1000):
        chunk = values[start : start + 1000]
        with torch.no_grad():
            inner = network.encoder(torch.from_numpy(chunk) / network.scale)
            encoded.append(network.pooled(inner).double().numpy())
            if len(network.decoder):
                back = (network.decoder(inner) * network.scale).numpy()
                errors += np.square(back - chunk, dtype=np.float64).sum(axes)
    spread = values.var(axes, dtype=np.float64) * (values.size / values.shape[1])
    share = np.full(len(spread), np.nan)
    if len(network.decoder):
        np.divide(spread - errors, spread, out=share, where=spread > 0)
    return np.concatenate(encoded), share


def _warn(found: ClassExplanation, chosen: Chosen) -> None:
    values = chosen.activations
    said = []
    if found.signed:
        share = float((values < 0).mean())
        said.append(
            f"{share:.1%} of the activations of layer {found.layer!r} are negative: heat maps read off such "
            "a layer are less exact. A layer after a ReLU has none"
        )
    if not found.alive.all():
        dead = ", ".join(f"H{i + 1}" for i in np.flatnonzero(~found.alive))
        said.append(f"{dead} never active: contribution 0, empty heat maps. Fewer x-features (n) may do")
    if found.tries and not found.tries[-1]["accepted"] and len(found.weights) > 1:
        said.append(
            f"only one x-feature contributes to class {found.class_index} after {len(found.tries)} tries: "
            "the class may not be made of several concepts at this layer"
        )
    for sentence in said:
        notice(f"{sentence}.", ExplanationWarning)
