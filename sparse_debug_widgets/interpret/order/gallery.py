"""The gallery of interpretations: small pictures with a note, words or a sentence for each feature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.pixels import box_from
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.interpret.deep.examples import rgb_bytes
from sparse_debug_widgets.interpret.lime.image_explanations import ImageExplanations
from sparse_debug_widgets.interpret.lime.text_explanations import TextExplanations
from sparse_debug_widgets.interpret.lime.wordcloud import WordClouds, word_clouds
from sparse_debug_widgets.interpret.prototypes.prototypes import Prototypes
from sparse_debug_widgets.interpret.visualize.visualize import Visualizations

Array = npt.NDArray[Any]
_SMALLEST, _LARGEST = 64, 96
_WORDS = 12
_KINDS = (Prototypes, ImageExplanations, Visualizations, TextExplanations, WordClouds)


class Gallery(NamedTuple):
    """See the fields of the same name of ``FeatureOrder``."""

    columns: tuple[str, ...]
    pictures: Array | None
    notes: tuple[tuple[str, ...], ...]
    raising: tuple[tuple[str, ...], ...]
    lowering: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]


class _Column(NamedTuple):
    """A heading, and for a feature's place among those interpreted its picture (h, w, 3) and note."""

    heading: str
    show: Callable[[int], tuple[Array, str] | None]


def gather(interpretations: Sequence[Result], features: Array, n_all: int, n_prototypes: int) -> Gallery:
    """Look every feature up in every interpretation.

    Args:
        interpretations: Of kinds that are known here.
        features: (S,) numbers.
        n_all: p, number of features of the model.
        n_prototypes: Pictures of prototypes.

    Returns:
        What there is to show, in the order of the features.

    Raises:
        InputError: Another kind of result, or one that holds none of these features.
    """
    shown: list[tuple[str, list[tuple[Array, str] | None]]] = []
    raising: list[tuple[str, ...]] = [() for _ in features]
    lowering, sentences = list(raising), ["" for _ in features]
    for one in interpretations:
        places = _places(one, features, n_all)
        for heading, show in _columns(one, n_prototypes):
            shown.append((heading, [None if place is None else show(place) for place in places]))
        clouds = word_clouds(one) if isinstance(one, TextExplanations) else one
        for s, place in enumerate(places):
            if place is None:
                continue
            if isinstance(clouds, WordClouds):
                raising[s], lowering[s] = (
                    tuple(word for word, _ in clouds.cloud(int(features[s]), sign)[:_WORDS])
                    for sign in ("positive", "negative")
                )
            if isinstance(one, Prototypes) and one.sentences is not None and one.top[place, 0] >= 0:
                sentences[s] = one.sentences[int(np.searchsorted(one.shown_rows, one.top[place, 0]))]
    return Gallery(
        columns=tuple(heading for heading, _ in shown),
        pictures=_stacked([cells for _, cells in shown], len(features)),
        notes=tuple(
            tuple("" if cells[s] is None else str(cells[s][1]) for _, cells in shown)  # type: ignore[index]
            for s in range(len(features))
        ),
        raising=tuple(raising),
        lowering=tuple(lowering),
        sentences=tuple(sentences),
    )


def _places(one: Any, features: Array, n_all: int) -> list[int | None]:  # noqa: ANN401 - checked here
    what = "the order of features"
    if not isinstance(one, _KINDS):
        names = ", ".join(kind.__name__ for kind in _KINDS)
        reject("an interpretation", what, f"be one of {names}", type(one).__name__)
    if len(one.features) and int(np.max(one.features)) >= n_all:
        must = f"be of the path's {n_all} features"
        reject(type(one).__name__, what, must, f"feature {int(np.max(one.features))}")
    place = {int(j): k for k, j in enumerate(one.features)}
    found = [place.get(int(j)) for j in features]
    if len(features) and all(one is None for one in found):
        must = f"hold one of the features that enter: {features[:10].tolist()}"
        reject(type(one).__name__, what, must, f"{np.asarray(one.features)[:10].tolist()}")
    return found


def _columns(one: Any, n_prototypes: int) -> list[_Column]:  # noqa: ANN401 - one of _KINDS
    if isinstance(one, Prototypes) and one.pictures is not None:
        ranks = range(min(n_prototypes, one.top.shape[1]))
        return [_Column("most active", lambda j, r=r: _prototype(one, j, r)) for r in ranks]  # type: ignore[misc]
    if isinstance(one, ImageExplanations):
        return [_Column("LIME", lambda j: _explained(one, j))]
    if isinstance(one, Visualizations):
        headings = ["visualised" if sign > 0 else "least active" for sign in one.signs]
        return [
            _Column(heading, lambda j, s=s: _visualised(one, j, s))  # type: ignore[misc]
            for s, heading in enumerate(headings)
        ]
    return []


def _prototype(one: Prototypes, place: int, rank: int) -> tuple[Array, str] | None:
    row = int(one.top[place, rank])
    if row < 0 or one.pictures is None:
        return None
    picture = one.pictures[int(np.searchsorted(one.shown_rows, row))]
    return rgb_bytes(picture[None], box_from(one.provenance.params))[
        0
    ], f"{one.top_activations[place, rank]:.1f} sd"


def _explained(one: ImageExplanations, place: int) -> tuple[Array, str]:
    best = int(one.activations[:, place].argmax())
    quality = "poor fit" if one.poor[best, place] else f"R² {one.r2[best, place]:.2f}"
    return one.overlay(best, int(one.features[place])), quality


def _visualised(one: Visualizations, place: int, sign: int) -> tuple[Array, str]:
    return rgb_bytes(one.pictures[place, sign][None], box_from(one.provenance.params))[
        0
    ], f"{one.activations[place, sign]:.1f} sd"


def _stacked(columns: list[list[tuple[Array, str] | None]], n: int) -> npt.NDArray[np.uint8] | None:
    """Pictures (S, T, h, w, 3) of one size, that of the first; zeros where there is none."""
    first = next((cell[0] for cells in columns for cell in cells if cell is not None), None)
    if first is None:
        return None
    size = _thumbnail_size(first.shape[0], first.shape[1])
    found = np.zeros((n, len(columns), *size, 3), np.uint8)
    for t, cells in enumerate(columns):
        for s, cell in enumerate(cells):
            if cell is not None:
                found[s, t] = _resized(cell[0], size)
    return found


def _thumbnail_size(height: int, width: int) -> tuple[int, int]:
    longest = max(height, width)
    factor = -(-_SMALLEST // longest) if longest < _SMALLEST else min(1.0, _LARGEST / longest)
    return max(1, round(height * factor)), max(1, round(width * factor))


def _resized(picture: Array, size: tuple[int, int]) -> Array:
    if picture.shape[:2] == size:
        return picture
    # Few pixels stay visible as such; many are averaged.
    way = Image.Resampling.NEAREST if picture.shape[0] < size[0] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), way))
