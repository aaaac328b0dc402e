"""``visualize_features``: pictures that activate deep features most, or least (the paper's B.1)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_choice, check_int, check_real, reject
from sparse_debug_widgets.core.fingerprint import array_fingerprint, combine, model_fingerprint
from sparse_debug_widgets.core.pixels import box_from, box_params, known_box
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.interpret.deep.examples import Examples, as_pictures, rgb_bytes
from sparse_debug_widgets.interpret.deep.live import chunk_rows, live_features
from sparse_debug_widgets.interpret.deep.units import place_of, units_of
from sparse_debug_widgets.interpret.visualize.ascent import Goal, Settings, climb
from sparse_debug_widgets.interpret.visualize.colours import learn_colours
from sparse_debug_widgets.interpret.visualize.image_parameters import PARAMETERS
from sparse_debug_widgets.sparse.features.deep_features import DeepFeatures

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
_WHAT = "feature visualisation"
_COLOUR_PICTURES = 256
_SMALLEST = 8
_RATES = {"fourier": 0.05, "pixel": 0.05, "plain": 0.02}
EXTREME = 99.9
"""Percentile of real data that a visualisation is compared with."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Visualizations(Result):
    """Pictures made for F features and S signs.

    Attributes:
        features: (F,) feature numbers.
        feature_names: F names.
        signs: (S,) 1: as active as possible, -1: as inactive.
        pictures: (F, S, channels, H, W) float32, within the range of the data.
        activations: (F, S) of these pictures, standardised.
        extremes: (F, S) the 99.9th (for sign -1 the 0.1th) percentile of real data; NaN if not known.
        beyond: (F, S) share of real examples, in percent, that the picture goes beyond; NaN if not known.
        trace: (F, S, T) activation on the way, of the moved pictures; the last is that of the result.
    """

    kind: ClassVar[str] = "visualizations"
    arrays: ClassVar[Mapping[str, str]] = {
        "features": "F index",
        "feature_names": "F names",
        "signs": "S int",
        "pictures": "F S channels H W float",
        "activations": "F S float",
        "extremes": "F S float",
        "beyond": "F S float",
        "trace": "F S T float",
    }

    features: Array
    feature_names: tuple[str, ...]
    signs: Array
    pictures: Array
    activations: Array
    extremes: Array
    beyond: Array
    trace: Array

    def place(self, feature: int | str) -> int:
        """Position of a feature in the arrays, by its number in the model or by its name.

        Args:
            feature: Its number in the model, or its name.

        Raises:
            InputError: It is not among them.
        """
        return place_of(feature, self.features, self.feature_names, _WHAT)

    def to_frame(self) -> pd.DataFrame:
        """One row per picture: feature, sign, activation, the extreme of real data, share it goes beyond."""
        import pandas as pd

        n_signs, n_features = len(self.signs), len(self.features)
        return pd.DataFrame(
            {
                "feature": np.repeat(self.features, n_signs),
                "name": [name for name in self.feature_names for _ in range(n_signs)],
                "sign": np.tile(self.signs, n_features),
                "activation": self.activations.ravel(),
                "extreme": self.extremes.ravel(),
                "beyond": self.beyond.ravel(),
            }
        )

    def plot(self, features: Iterable[int | str] | None = None, *, n: int = 12) -> go.Figure:
        """The pictures, one after the other; for both signs the two side by side.

        Args:
            features: Numbers or names; the first ``n`` by default.
            n: How many features are drawn at most.
        """
        places = range(len(self.features)) if features is None else [self.place(one) for one in features]
        shown, captions = [], []
        for j in list(places)[:n]:
            for s, sign in enumerate(self.signs):
                shown.append(rgb_bytes(self.pictures[j, s][None], box_from(self.provenance.params))[0] / 255)
                arrow = "+" if sign > 0 else "−"
                share = self.beyond[j, s]
                known = f", beyond {share:.0f} %" if np.isfinite(share) else ""
                captions.append(f"{arrow} {self.feature_names[j]}: {self.activations[j, s]:.1f}{known}")
        figure = figures.images(shown, captions, title="Feature visualisation")
        return figure.update_annotations(font={"size": 11})


def visualize_features(  # noqa: PLR0913 - the one entry point, keyword-only
    model: nn.Module,
    data: object,
    source: object,
    *,
    features: object = None,
    signs: Iterable[int] | int = 1,
    parameters: str = "fourier",
    n_steps: int = 512,
    rate: float | None = None,
    jiggle: float | None = None,
    size: tuple[int, int] | None = None,
    chunk_size: int | None = None,
    seed: int = 0,
    normalize: object = None,
    progress: object = None,
) -> Visualizations:
    """Make pictures that activate features as much (or as little) as possible, by gradient ascent.

    All features climb in one batch. Colours are those of the given data: their mean, correlations and range,
    not ImageNet's. The model is left untouched.

    Args:
        model: The live model.
        data: Pictures of the kind the model knows: a Dataset, (X, y) or an array; 256 of them are looked at.
        source: ``DeepFeatures`` or a path of this model. With deep features the result also says how
            extreme the pictures are among real ones.
        features: Names or numbers; None for those of the source that vary, or that the path's layer uses.
        signs: 1, -1 or both.
        parameters: What is optimised: ``"fourier"`` (coefficients), ``"pixel"`` (decorrelated pixels), or
            ``"plain"`` (the pixels themselves with steps of fixed length: enough for robust models).
        n_steps: Steps, each one forward and one backward pass.
        rate: Adam's learning rate, default 0.05; for plain pixels the length of a step, default 0.02.
        jiggle: Strength of random moves, turns and scalings in each step: 1 as in the paper's code, scaled
            with the picture; 0 none. Default 1, for plain pixels 0.
        size: (H, W) of the pictures, from 8; None takes that of the data.
        chunk_size: Pictures in one batch; None: by their size.
        seed: Of starts and moves.
        normalize: How the pictures were normalised, if they were, which also tells what their pixels can
            be: (mean, std), a transform or torchvision weights
            (:func:`~sparse_debug_widgets.core.pixels.normalization`). Data sets that carry their
            transforms need not say it.
        progress: Callback, bool or None; called in every step.

    Returns:
        The pictures and their activations.

    Raises:
        InputError: Data, model, features or parameters that do not fit.
        Cancelled: The progress callback asked for it.

    References:
        Olah, Mordvintsev, Schubert, "Feature Visualization", Distill, 2017; Wong, Santurkar, Madry,
        "Leveraging Sparse Linear Layers for Debuggable Deep Networks", ICML 2021, section B.1;
        ``docs/methods/interpretation.md``.
    """
    started = time.perf_counter()
    check_choice(parameters, PARAMETERS, "parameters", _WHAT)
    check_int(n_steps, "n_steps", _WHAT)
    units, report = units_of(source), reporter(progress)
    columns, directions = units.indices(features), _signs(signs)
    sample, box = _sample(data), known_box(normalize, data)
    shape = (sample.shape[1], *_size(size, sample.shape))
    settings = Settings(
        parameters=parameters,
        shape=shape,
        colours=learn_colours(sample, box),
        n_steps=n_steps,
        rate=check_real(_RATES[parameters] if rate is None else rate, "rate", _WHAT, low=0, open_low=True),
        jiggle=float(parameters != "plain") if jiggle is None else check_real(jiggle, "jiggle", _WHAT, low=0),
        seed=seed,
        real=_resized(torch.from_numpy(sample), shape),
        typical=torch.tensor(units.mean, dtype=torch.float32),
    )
    goals = [Goal(int(j), int(sign)) for j in columns for sign in directions]
    total, done = len(goals) * n_steps, 0.0

    def tick(pictures: float) -> None:
        nonlocal done
        done += pictures
        report(Progress(done, total, "feature visualisation"))

    example = torch.from_numpy(sample[:2])
    with live_features(model, example, units.layer, n_features=units.p) as live, torch.no_grad():
        fingerprint = model_fingerprint(live.model)
        chunk = chunk_rows(chunk_size, example[:1])
        tick(0)
        parts = [goals[start : start + chunk] for start in range(0, len(goals), chunk)]
        climbed = [climb(live, part, settings, tick) for part in parts]
    reached = torch.cat([one.activations for one in climbed]).double().cpu().numpy()
    trace = torch.cat([one.trace for one in climbed]).double().cpu().numpy()
    both = (len(columns), len(directions))
    activations = units.standardize(reached.reshape(both).T, columns).T
    extremes, beyond = _among_real(source, columns, directions, activations)
    return Visualizations(
        provenance=Provenance(
            method=f"visualize_features:{parameters}",
            params={
                "n_steps": n_steps,
                "rate": settings.rate,
                "jiggle": settings.jiggle,
                "layer": live.layer,
                "box": box_params(box),
            },
            seed=seed,
            seconds=time.perf_counter() - started,
            fingerprint=combine(fingerprint, units.fingerprint, array_fingerprint(sample)),
        ),
        features=columns,
        feature_names=tuple(units.names[j] for j in columns),
        signs=directions,
        pictures=torch.cat([one.pictures for one in climbed]).float().cpu().numpy().reshape(*both, *shape),
        activations=activations,
        extremes=extremes,
        beyond=beyond,
        trace=units.standardize(trace.reshape(*both, -1).transpose(1, 2, 0), columns).transpose(2, 0, 1),
    )


def _signs(signs: Iterable[int] | int) -> npt.NDArray[np.int64]:
    given = [signs] if isinstance(signs, int) else list(signs)
    if not given or any(sign not in {1, -1} for sign in given) or len(set(given)) != len(given):
        reject("signs", _WHAT, "be 1, -1 or both", given)
    return np.array(given, np.int64)


def _sample(data: object) -> npt.NDArray[np.float32]:
    """Some pictures of the data, evenly spread."""
    examples = Examples(data)
    if not len(examples):
        reject("data", _WHAT, "hold at least one picture", "none")
    rows = np.unique(np.linspace(0, len(examples) - 1, _COLOUR_PICTURES).astype(int))
    return as_pictures(examples.pictures(rows.tolist()))


def _resized(pictures: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    if tuple(pictures.shape[2:]) == shape[1:]:
        return pictures
    return nn.functional.interpolate(pictures, size=shape[1:], mode="bilinear", antialias=True)


def _size(size: tuple[int, int] | None, shape: tuple[int, ...]) -> tuple[int, int]:
    height, width = size if size is not None else (int(shape[2]), int(shape[3]))
    check_int(height, "height", _WHAT, low=_SMALLEST)
    check_int(width, "width", _WHAT, low=_SMALLEST)
    return height, width


def _among_real(source: object, columns: Array, signs: Array, activations: Array) -> tuple[Array, Array]:
    """Extremes of real data, and the share of it that each picture goes beyond (in percent)."""
    shape = activations.shape
    if not isinstance(source, DeepFeatures):
        return np.full(shape, np.nan), np.full(shape, np.nan)
    real = (np.asarray(source.values[:, columns], np.float64) - source.mean[columns]) / source.scale[columns]
    extremes = np.percentile(real, [EXTREME if sign > 0 else 100 - EXTREME for sign in signs], axis=0).T
    beyond = [100 * np.mean(sign * real < sign * activations[:, s], axis=0) for s, sign in enumerate(signs)]
    return extremes, np.stack(beyond, 1)
