"""Saliency results as the page draws them: rows of one picture, model and class; a map for each method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.pixels import Box, box_from, unit_pixels
from sparse_debug_widgets.saliency import Attribution, Lambda1Sweep
from sparse_debug_widgets.widgets.kit import fields, wire
from sparse_debug_widgets.widgets.panels.saliency.work import SWEEP, Failure, Piece
from sparse_debug_widgets.widgets.shared import heat
from sparse_debug_widgets.widgets.shared.heat import Sheet

Array = npt.NDArray[Any]

MOST_ROWS = 24
_LARGE = 100
# Entries of a result's details that say something about one map.
_NOTES = ("sparsity", "lambda1", "lambda2", "largest_eigenvalue", "relative_error", "completeness_residual")


class Style(NamedTuple):
    """The style of maps, which results do not know.

    Attributes:
        name: Number of a class -> its name.
        words: Token numbers (T,) -> words.
        levels: Steps of each map on the wire.
        every: Every so many lambdas of a sweep are sent, those with a mark always.
        shrink: Blocks of so many by so many pixels of a large picture become one.
        box: Range of the pixels of pictures, or None.
    """

    name: Callable[[int], str]
    words: Callable[[Array], list[str]]
    levels: int = heat.FINE
    every: int = 1
    shrink: int = 1
    box: Box | None = None


def maps_sheet(pieces: Sequence[Piece], style: Style, **more: object) -> Sheet:
    """All maps of one kind of display, method by method.

    Args:
        pieces: Finished steps; those of a sweep are left out.
        style: Names, words and steps.
        **more: Goes into the value.
    """
    value: dict[str, Any] = {"rows": [], "methods": [], "cells": [], **more}
    arrays: dict[str, wire.Array] = {}
    rows = _Rows(value, arrays, style)
    for piece in pieces:
        if piece.method == SWEEP:
            continue
        if piece.method not in value["methods"]:
            value["methods"].append(piece.method)
        if isinstance(piece.found, Failure):
            rows.failed(piece, {"method": piece.method})
        elif isinstance(piece.found, Attribution):
            values = rows.shrunk(piece.found.values[:MOST_ROWS], piece.found.layout)
            flat = heat.planes(values, piece.found.layout)
            for b, row in enumerate(rows.of(piece.model, piece.found)):
                cell = {"row": row, "method": piece.method, "notes": _notes(piece.found, b)}
                rows.put(cell, flat[None, b], value["cells"])
    return rows.sheet()


def sweep_sheet(pieces: Sequence[Piece], style: Style, **more: object) -> Sheet:
    """The whole sweep of each row; see :func:`maps_sheet`."""
    found = [piece for piece in pieces if piece.method == SWEEP]
    sweeps = [piece.found for piece in found if isinstance(piece.found, Lambda1Sweep)]
    if not found:
        return Sheet({}, {})
    value: dict[str, Any] = {"rows": [], "cells": [], "ratios": [], "method": "", **more}
    arrays: dict[str, wire.Array] = {}
    rows = _Rows(value, arrays, style)
    if sweeps:
        value |= {"method": sweeps[0].provenance.method}
        kept = _kept(sweeps, style.every)
        value["ratios"] = sweeps[0].ratios[kept].tolist()
    for piece in found:
        sweep = piece.found
        if isinstance(sweep, Lambda1Sweep):
            steps, batch = sweep.values.shape[0], min(sweep.values.shape[1], MOST_ROWS)
            shown = sweep.values[:, :batch].reshape(-1, *sweep.values.shape[2:])
            flat = heat.planes(rows.shrunk(shown, sweep.layout), sweep.layout)
            flat = flat.reshape(steps, batch, *flat.shape[1:])[kept]
            for b, row in enumerate(rows.of(piece.model, sweep)):
                curves = {
                    "lambdas": sweep.lambdas[kept, b].tolist(),
                    "sparsity": sweep.sparsity[kept, b].tolist(),
                    "surrogate": sweep.surrogate[kept, b].tolist(),
                    "increase": sweep.loss_increase[kept, b].tolist(),
                    "chosen": int(np.flatnonzero(kept == sweep.chosen[b])[0]),
                }
                rows.put({"row": row, **curves}, flat[:, b], value["cells"])
        elif isinstance(sweep, Failure):
            rows.failed(piece, {})
    return rows.sheet()


def _kept(sweeps: Sequence[Lambda1Sweep], every: int) -> npt.NDArray[np.int64]:
    """Lambdas that are sent: every so many, the last, and all that an example's automatic choice is."""
    steps = len(sweeps[0].ratios)
    wanted = {*range(0, steps, every), steps - 1, *(int(k) for sweep in sweeps for k in sweep.chosen)}
    return np.array(sorted(wanted), dtype=np.int64)


class _Rows:
    """Collects rows, pictures and maps; the same picture is sent once."""

    def __init__(self, value: dict[str, Any], arrays: dict[str, wire.Array], style: Style) -> None:
        self._value = value
        self._arrays = arrays
        self._style = style
        self._known: dict[tuple[str, int, int], int] = {}
        self._pictures: list[Array] = []

    def of(self, model: str, found: Attribution | Lambda1Sweep) -> list[int]:
        """Numbers of the rows of a result."""
        numbers = []
        for b in range(min(len(found.target), MOST_ROWS)):
            picture = self._picture(found, b)
            key = (model, picture, int(found.target[b]))
            if key not in self._known:
                self._known[key] = len(self._value["rows"])
                self._value["rows"].append(self._row(model, picture, found, b))
            numbers.append(self._known[key])
        return numbers

    def _row(self, model: str, picture: int, found: Attribution | Lambda1Sweep, b: int) -> dict[str, Any]:
        target, predicted, confidence = int(found.target[b]), int(found.predicted[b]), found.confidence[b]
        row: dict[str, Any] = {
            "model": fields.cut(model, 100),
            "picture": picture,
            "target": target,
            "targetName": fields.cut(self._style.name(target), 200),
            "predicted": predicted,
            "predictedName": fields.cut(self._style.name(predicted), 200),
            "confidence": float(confidence),
        }
        if found.layout == "tokens":
            row["words"] = self._style.words(found.inputs[b])
        if found.layout == "features":
            row["words"] = [f"{value:.3g}" for value in np.asarray(found.inputs[b]).ravel()]
        return dict(wire.jsonable(row))

    def _picture(self, found: Attribution | Lambda1Sweep, b: int) -> int:
        given = np.asarray(found.inputs[b])
        if found.layout == "image":
            given = unit_pixels(given, box_from(found.provenance.params) or self._style.box)
        given = self.shrunk(given[None], found.layout)[0]
        self._value |= {"layout": found.layout, "shape": _map_shape(given, found.layout)}
        for k, known in enumerate(self._pictures):
            if known.shape == given.shape and np.array_equal(known, given):
                return k
        self._pictures.append(given)
        return len(self._pictures) - 1

    def shrunk(self, values: Array, layout: str) -> Array:
        """Values (..., height, width) of large pictures with blocks of pixels averaged."""
        k = self._style.shrink
        if layout != "image" or k == 1 or min(values.shape[-2:]) < _LARGE:
            return values
        return heat.shrunk(values, k)

    def put(self, cell: dict[str, Any], flat: Array, cells: list[dict[str, Any]]) -> None:
        """Add the maps (K, P, n) of one cell."""
        packed = heat.pack(flat, self._style.levels)
        name = f"c{len(cells)}"
        self._arrays[name] = packed.data
        more = {"array": name, "units": packed.units, "levels": packed.levels, "planes": flat.shape[1]}
        cells.append(dict(wire.jsonable({**cell, **more})))

    def failed(self, piece: Piece, cell: dict[str, Any]) -> None:
        """Say in their place why there are no maps."""
        if isinstance(piece.found, Failure):
            entry = {**cell, "model": piece.model, "error": fields.cut(piece.found.message, 1000)}
            self._value["cells"].append(entry)

    def sheet(self) -> Sheet:
        """Return what has been collected."""
        if self._value.get("layout") == "image":
            self._arrays["pictures"] = np.stack([heat.pixels(picture) for picture in self._pictures])
        return Sheet(self._value, self._arrays)


def _map_shape(given: Array, layout: str) -> list[int]:
    """Height and width of a map."""
    return list(given.shape[-2:]) if layout == "image" else [1, given.size]


def _notes(found: Attribution, b: int) -> dict[str, float]:
    """Say what the method reports about one map."""
    notes: dict[str, float] = {}
    for name in _NOTES:
        entry: Any = found.details.get(name)
        if isinstance(entry, Sequence) and not isinstance(entry, str) and b < len(entry):
            notes[name] = float(entry[b])
    return notes


def warned(pieces: Sequence[Piece]) -> dict[str, list[str]]:
    """Collect what methods warned of, by method and model."""
    return {dotted(p): [fields.cut(text, 500) for text in p.notices] for p in pieces if p.notices}


def dotted(piece: Piece) -> str:
    """A step in words."""
    return f"{piece.method}, {piece.model}" if piece.model else piece.method
