"""Arrays that people pass in: features, an existing decision layer, names of features."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import issparse

from sparse_debug_widgets.core.checks import reject, shorten
from sparse_debug_widgets.core.classes import plain_array
from sparse_debug_widgets.core.mapped import release
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.sparse.features.standardize import row_chunks, running_moments
from sparse_debug_widgets.sparse.features.store import TemporaryStore

_DENSE = 1 << 28
"""Entries that a sparse matrix may have in all, zeros included: a gigabyte of float32."""
_FINE = 16.0
"""Steps of float32 that the spread of a column must have."""


class RoundedFeaturesWarning(UserWarning):
    """Features lose digits that matter when they are kept as float32."""


def as_values(values: object) -> tuple[npt.NDArray[np.float32], list[str] | None]:
    """Features as a float32 array of our own, and the column names of a DataFrame.

    A float32 memory map stays what it is. Maps of other numbers, and lists of maps that hold some of the rows
    each, are copied chunk by chunk to a temporary file, which is mapped in their place.

    Raises:
        InputError: Not a numeric array with two dimensions, or empty.
    """
    columns: list[str] | None = None
    if isinstance(values, torch.Tensor):
        if values.is_meta:
            reject("features", "a fit", "hold data", "a tensor on the meta device")
        whole = values.detach()
        if whole.layout != torch.strided:
            _check_room(whole.shape, "a sparse tensor")
            whole = whole.to_dense()
        _tell_rounded(whole)
        array: npt.NDArray[Any] = whole.to("cpu", torch.float32, copy=True).numpy()
    else:
        if issparse(values):
            _check_room(values.shape, "a sparse matrix")  # type: ignore[attr-defined]
            values = values.toarray()  # type: ignore[attr-defined]
        values = _together(values)
        if hasattr(values, "columns") and hasattr(values, "to_numpy"):
            columns = [str(column) for column in values.columns]
            values = values.to_numpy()
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if array.dtype.kind not in "biuf":
        advice = "Encode texts and categories as numbers first."
        reject("features", "a fit", "be numbers", f"dtype {array.dtype}", advice)
    if array.ndim != 2 or 0 in array.shape:
        got = f"shape {tuple(array.shape)}"
        reject("features", "a fit", "have shape (n, p) with at least one row and one column", got)
    if isinstance(array, np.memmap) and array.dtype == np.float32:
        return array, columns
    _tell_rounded(array, columns)
    with np.errstate(over="ignore"):
        # What overflows becomes infinite here and is refused, with its place, by the check for that.
        return np.array(array, np.float32, order="C"), columns


def _check_room(shape: Sequence[int], what: str) -> None:
    """Refuse what is too large to be made dense."""
    size = math.prod(shape)
    if size > _DENSE:
        must = f"have at most {_DENSE:,} entries in all, since fits work on dense features"
        got = f"{what} of {' x '.join(f'{length:,}' for length in shape)} ({4e-9 * size:.0f} GB when dense)"
        reject("features", "a fit", must, got, "Keep fewer columns: those with the most nonzero entries.")


def _tell_rounded(values: npt.NDArray[Any] | torch.Tensor, names: Sequence[str] | None = None) -> None:
    """Warn of columns whose spread float32, in which features are kept, cannot tell from their mean."""
    wide = torch.float64 if isinstance(values, torch.Tensor) else np.dtype(np.float64)
    if values.dtype != wide:
        return
    array: npt.NDArray[np.float64] = values.cpu().numpy() if isinstance(values, torch.Tensor) else values
    with np.errstate(over="ignore", invalid="ignore"):
        found = running_moments(array, np.ones(len(array), np.bool_))
        spread = np.sqrt(found.m2 / max(1, found.count))
        step = float(np.finfo(np.float32).eps) * np.maximum(np.abs(found.low), np.abs(found.high))
        lost = np.flatnonzero((found.high > found.low) & np.isfinite(spread) & (_FINE * step > spread))
    # Constant up to float64's own rounding: nothing was lost.
    lost = lost[spread[lost] > 1e-13 * np.abs(found.mean[lost])]
    if len(lost):
        j = int(lost[0])
        name = repr(shorten(names[j], 40)) if names is not None else f"number {j}"
        verb = "column is" if len(lost) == 1 else "columns are"
        notice(
            f"{len(lost)} {verb} rounded: features are kept as float32. Column {name} has mean "
            f"{found.mean[j]:.3g} and spread {spread[j]:.2g}, and float32 has steps of {step[j]:.2g} there. "
            "Subtract the mean of each column first (X - X.mean(0)).",
            RoundedFeaturesWarning,
        )


def _together(values: object) -> object:
    """The rows of several arrays or maps in one, and maps of other numbers as maps of float32."""
    if isinstance(values, np.ma.MaskedArray):
        return plain_array(values, "features")
    several = isinstance(values, list | tuple)
    given: list[object] = list(values) if isinstance(values, list | tuple) else [values]
    parts = [part for part in given if isinstance(part, np.ndarray) and part.ndim == 2]
    mapped = any(isinstance(part, np.memmap) and part.dtype != np.float32 for part in parts)
    numbers = all(part.dtype.kind in "biuf" for part in parts)
    if not parts or len(parts) < len(given) or not numbers or not (several or mapped):
        return values
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        got = f"{widths[0]} and {widths[-1]}"
        reject("features", "a list of arrays", "have the same number of columns in each of them", got)
    if not any(isinstance(part, np.memmap) for part in parts):
        return np.concatenate(parts)
    store = TemporaryStore(widths[0], 0)
    done = False
    try:
        for part in parts:
            for chunk in row_chunks(*part.shape):
                with np.errstate(over="ignore"):
                    store.append(np.asarray(part[chunk], np.float32), "")
                release(part)
        done = True
        return store.finish()
    finally:
        store.close(failed=not done)


def check_dense(
    weight: object, bias: object, p: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Weight and bias of an existing decision layer in float64; a missing bias is 0.

    Raises:
        InputError: Shapes that do not fit the features.
    """
    if weight is None:
        if bias is not None:
            reject("dense_bias", "features", "come with dense_weight", "it alone")
        return None
    w = _float64(weight)
    b = np.zeros(w.shape[:1]) if bias is None else _float64(bias)
    if w.ndim != 2 or w.shape[1] != p or b.shape != w.shape[:1]:
        got = f"weight {w.shape} and bias {b.shape}"
        reject("dense_weight", f"{p} features", f"have shape (C, {p}), with a bias of shape (C,)", got)
    return w, b


def _float64(array: object) -> npt.NDArray[np.float64]:
    if isinstance(array, torch.Tensor):
        array = array.detach().to("cpu", torch.float64).numpy()
    return np.array(array, np.float64)


def feature_names_of(names: Iterable[object] | None, p: int) -> tuple[str, ...]:
    """Names as texts, one per feature; "feature 0" and so on where there are none.

    Raises:
        InputError: Another number of names, or a name that occurs twice.
    """
    if names is None:
        return tuple(f"feature {j}" for j in range(p))
    texts = tuple(str(name) for name in names)
    if len(texts) != p:
        reject("feature_names", f"{p} features", f"be {p} names", f"{len(texts)} names")
    if len(set(texts)) != p:
        seen: set[str] = set()
        twice = next(name for name in texts if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        reject("feature_names", f"{p} features", "be distinct", f"{shorten(repr(twice))} more than once")
    return texts
