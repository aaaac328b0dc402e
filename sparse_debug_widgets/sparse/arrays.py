"""Arrays that people pass in: features, an existing decision layer, names of features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import reject, shorten


def as_values(values: object) -> tuple[npt.NDArray[np.float32], list[str] | None]:
    """Features as a float32 array of our own, and the column names of a DataFrame.

    Raises:
        InputError: Not a numeric array with two dimensions, or empty.
    """
    columns: list[str] | None = None
    if isinstance(values, torch.Tensor):
        array: npt.NDArray[Any] = values.detach().to("cpu", torch.float32, copy=True).numpy()
    else:
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
    with np.errstate(over="ignore"):
        # What overflows becomes infinite here and is refused, with its place, by the check for that.
        return np.array(array, np.float32, order="C"), columns


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
