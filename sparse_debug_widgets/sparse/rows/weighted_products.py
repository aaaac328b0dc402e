"""Weighted products of features, ``X_A diag(w) X_B^T``: many at a time, over the examples in one matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.rows.row_products import gradient_loop, reached, weighed_rows
from sparse_debug_widgets.sparse.rows.row_source import Indices
from sparse_debug_widgets.sparse.rows.sharing import over_tasks

_GATHER = 5
"""A product with all features is cheaper than a copy of some when they are at most this many times more."""
_OVERHEAD = 3_000_000
"""Up to this many values of X one product for all sets beats many small ones."""
_BORDER_BYTES = 1 << 26
_PART, _EXAMPLES = 1 << 22, 2048
"""Values of X that one copy of some rows holds, and the least examples that it has."""
_RARE = 0.03
"""Share of examples that count up to which a copy of these is cheaper than a loop over all."""
_BATCH = 1 << 26
"""Values of X that one batched product gathers at most."""


def symmetric_products(values: Tensor, sets: Sequence[Indices], curvatures: Tensor) -> list[Tensor]:
    """``X_i diag(w_i) X_i^T`` for each set of features.

    Args:
        values: Features (p, n).
        sets: k index arrays (a_i,) that begin with 0, the feature of ones; j + 1 is feature j.
        curvatures: (k, n), of either sign; examples of weight zero are left out where they are the most.
    """
    return [_symmetric(values, entries, row) for entries, row in zip(sets, curvatures, strict=True)]


def _symmetric(values: Tensor, entries: Indices, weights: Tensor) -> Tensor:
    chosen = torch.from_numpy(entries[1:] - 1).to(values.device)
    size = len(entries)
    out = weights.new_zeros(size, size)
    signs = (1.0, -1.0) if bool((weights < 0).any()) else (1.0,)
    for sign in signs:
        for part, share in _parts(weights if len(signs) == 1 else (sign * weights).clamp_min(0.0), size):
            root = share.sqrt()
            rows = _weighed(values, chosen, part, root)
            add_outer(rows, out[1:, 1:], sign)
            out[0, 1:].add_(rows @ root, alpha=sign)
            out[0, 0] += sign * share.sum()
    out[1:, 0] = out[0, 1:]
    return out


def _parts(weights: Tensor, rows: int) -> Iterator[tuple[slice | Tensor, Tensor]]:
    """Examples that count, so many at a time that copies of some rows stay small; with their weights.

    A copy is bounded, whatever the number of examples: it would otherwise be as large as the features.
    """
    kept = _examples(weights)
    step = max(_EXAMPLES, _PART // max(1, rows))
    count = len(weights) if kept is None else len(kept)
    for low in range(0, count, step):
        part = slice(low, min(low + step, count))
        yield (part, weights[part]) if kept is None else (kept[part], weights[kept[part]])


def _gathered(values: Tensor, rows: Tensor, part: slice | Tensor) -> Tensor:
    """Copies of some rows of a range of examples, or of listed ones."""
    return values[:, part][rows] if isinstance(part, slice) else values[rows[:, None], part]


def _weighed(values: Tensor, rows: Tensor, part: slice | Tensor, weights: Tensor) -> Tensor:
    """The same times a weight for each of those examples, in the precision of the weights."""
    if weights.dtype != values.dtype or not reached(values):
        return _gathered(values, rows, part).to(weights.dtype).mul_(weights)
    return weighed_rows(values, rows, part, weights)


def add_outer(rows: Tensor, out: Tensor, sign: float = 1.0, blocks: int = 4) -> None:
    """Add ``sign * rows @ rows.T`` to a matrix, with about half the work for large ones."""
    size = rows.shape[0]
    if size < 256:
        out.add_(rows @ rows.T, alpha=sign)
        return
    edges = [size * i // blocks for i in range(blocks + 1)]
    for low, high in pairwise(edges):
        block = rows[low:] @ rows[low:high].T
        out[low:, low:high].add_(block, alpha=sign)
        out[low:high, high:].add_(block[high - low :].T, alpha=sign)


def _examples(weights: Tensor) -> Tensor | None:
    """The examples that count, or None where they are most: then leaving none out is faster."""
    kept = weights.nonzero()[:, 0]
    return kept if 2 * len(kept) < len(weights) else None


def cross_products(
    values: Tensor, left: Sequence[Indices], right: Sequence[Indices], curvatures: Tensor
) -> list[Tensor]:
    """``X_left diag(w_i) X_right^T`` for each pair of sets of features.

    Args:
        values: Features (p, n).
        left: k index arrays (a_i,); 0 is the feature of ones, j + 1 is feature j.
        right: k index arrays (b_i,).
        curvatures: (k, n) non-negative; examples of weight zero are left out where they are the most.
    """
    if curvatures.dtype == values.dtype and reached(values):
        return _borders(values, left, right, curvatures)
    out = [curvatures.new_empty(0, 0)] * len(left)
    limit = max(1, _BORDER_BYTES // (4 * values.shape[1]))
    batch: list[int] = []
    for i, (rows, columns) in enumerate(zip(left, right, strict=True)):
        kept = _examples(curvatures[i])
        wide = kept is None and values.shape[0] <= _GATHER * len(columns)
        if not wide and values.numel() > _OVERHEAD:
            out[i] = _cross(values, rows, columns, curvatures[i])
            continue
        if batch and sum(len(left[b]) for b in batch) + len(rows) > limit:
            _cross_together(values, left, right, curvatures, batch, out)
            batch = []
        batch.append(i)
    if batch:
        _cross_together(values, left, right, curvatures, batch, out)
    return out


def _borders(
    values: Tensor, left: Sequence[Indices], right: Sequence[Indices], curvatures: Tensor
) -> list[Tensor]:
    """The same by compiled loops, which read rows where they are: few by many, as when a matrix grows."""
    out = [curvatures.new_empty(len(a), len(b)) for a, b in zip(left, right, strict=True)]
    examples, loop, matrix = values.shape[1], gradient_loop(values.dtype), values.numpy()
    height = max(2, _PART // examples)
    alive = torch.count_nonzero(curvatures, dim=1).tolist()
    tasks, work = [], 0

    def border(i: int, low: int) -> None:
        rows, columns = left[i][low : low + height], right[i]
        weighted = matrix[np.maximum(rows - 1, 0)]
        weighted[rows == 0] = 1.0
        weighted *= curvatures[i].numpy()
        product = np.empty((len(rows), len(columns)))
        loop(weighted, matrix, np.maximum(columns - 1, 0), product, 0, len(columns))
        product[:, columns == 0] = weighted.sum(1, dtype=np.float64)[:, None]
        out[i].numpy()[low : low + height] = product

    for i, (rows, columns) in enumerate(zip(left, right, strict=True)):
        if alive[i] <= _RARE * examples:
            out[i] = _cross(values, rows, columns, curvatures[i])
            continue
        work += len(rows) * len(columns) * examples
        tasks += [partial(border, i, low) for low in range(0, len(rows), height)]
    over_tasks(tasks, work=work)
    return out


def _rows(values: Tensor, entries: Indices, part: slice | Tensor, dtype: torch.dtype) -> Tensor:
    """Rows of the features, the feature of ones among them, as a copy."""
    chosen = torch.from_numpy(np.maximum(entries - 1, 0)).to(values.device)
    rows = _gathered(values, chosen, part).to(dtype)
    if (entries == 0).any():
        rows[torch.from_numpy(entries == 0).to(values.device)] = 1.0
    return rows


def _cross(values: Tensor, left: Indices, right: Indices, weights: Tensor) -> Tensor:
    out = weights.new_zeros(len(left), len(right))
    for part, share in _parts(weights, len(left) + len(right)):
        weighted = _rows(values, left, part, share.dtype).mul_(share)
        out.addmm_(weighted, _rows(values, right, part, share.dtype).T)
    return out


def _cross_together(
    values: Tensor,
    left: Sequence[Indices],
    right: Sequence[Indices],
    curvatures: Tensor,
    batch: list[int],
    out: list[Tensor],
) -> None:
    """One product with all features for several pairs of sets."""
    sizes = [len(left[i]) for i in batch]
    owners = np.repeat(batch, sizes).tolist()
    dtype, entries = curvatures.dtype, np.concatenate([left[i] for i in batch])
    weighted = _rows(values, entries, slice(None), dtype)
    for row, owner in zip(weighted, owners, strict=True):
        row.mul_(curvatures[owner])
    products, sums = weighted @ values.to(dtype).T, weighted.sum(1)
    low = 0
    for i, size in zip(batch, sizes, strict=True):
        columns = torch.from_numpy(np.maximum(right[i] - 1, 0)).to(values.device)
        part = products[low : low + size][:, columns]
        ones = torch.from_numpy(right[i] == 0).to(values.device)
        out[i] = torch.where(ones, sums[low : low + size, None], part)
        low += size


def batched_products(values: Tensor, left: Tensor, right: Tensor | None, curvatures: Tensor) -> Tensor:
    """``X_left diag(w_i) X_right^T`` for padded sets of features, batch by batch, without a loop over sets.

    Sets of similar size share a batch, which is as wide as its widest; long batches go over the examples in
    parts, so that memory is bounded.

    Args:
        values: Features (p, n).
        left: (k, a) int64; 0 is the feature of ones, j + 1 is feature j, -1 is padding at the end.
        right: (k, b) int64, or None for the symmetric products.
        curvatures: (k, n) non-negative.

    Returns:
        (k, a, b) in the precision of the curvatures, zero where padded.
    """
    other = left if right is None else right
    out = curvatures.new_zeros(*left.shape, other.shape[1])
    sizes = torch.maximum((left >= 0).sum(1), (other >= 0).sum(1))
    order = sizes.argsort(descending=True)
    widths, low = sizes[order].tolist(), 0
    while low < len(order):
        step = max(1, min(values.shape[1], _BATCH // max(1, widths[low])))
        # Full rows of examples first; only then several sets at once.
        together = max(1, _BATCH // max(1, widths[low] * step))
        chosen = order[low : low + together]
        a, b = min(widths[low], left.shape[1]), min(widths[low], other.shape[1])
        for start in range(0, values.shape[1], step):
            part = slice(start, start + step)
            weights = curvatures[chosen, part]
            if right is None:
                rows = _padded_rows(values, left[chosen, :a], part, weights.dtype).mul_(
                    weights.sqrt()[:, None]
                )
                out[chosen, :a, :a] += torch.bmm(rows, rows.transpose(1, 2))
            else:
                rows = _padded_rows(values, left[chosen, :a], part, weights.dtype).mul_(weights[:, None])
                columns = _padded_rows(values, right[chosen, :b], part, weights.dtype)
                out[chosen, :a, :b] += torch.bmm(rows, columns.transpose(1, 2))
        low += together
    return out


def _padded_rows(values: Tensor, index: Tensor, part: slice, dtype: torch.dtype) -> Tensor:
    """Rows (k, a, len(part)) of the features, ones for 0 and zeros for padding."""
    rows = values[:, part][(index - 1).clamp_min(0)].to(dtype)
    rows.masked_fill_((index == 0)[:, :, None], 1.0)
    return rows.masked_fill_((index < 0)[:, :, None], 0.0)
