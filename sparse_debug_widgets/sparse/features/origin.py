"""The origin of features: row i belongs to example i, so other data must not be taken for them.

Features remember how many examples of what they were taken from, and a mark of each example. Whoever is given
features and data looks at a few examples: that costs nothing, and another order or another set is found out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils import data as torch_data

from sparse_debug_widgets.core.batching import batches, count_examples
from sparse_debug_widgets.core.checks import InputError, reject, shorten
from sparse_debug_widgets.core.forms import Rows, as_data, is_pair, is_table
from sparse_debug_widgets.core.text import TextData

Marks = npt.NDArray[np.uint64]
_LOOKS = 8
_SOUGHT = 4
_SECONDS = 2.0
_PARTS = ("data", "test=")
_TOKENS = "input_ids"


def marks_of(inputs: Any) -> Marks | None:  # noqa: ANN401 (a tensor, sentences, or a mapping)
    """A mark of each example of a batch; None where they cannot be told apart.

    Of token numbers the mask says what is padding, which depends on the other examples of a batch; where
    there is none, zeros at the end are.

    Args:
        inputs: Tensor (B, ...), B sentences, or a mapping of tensors (B, ...).
    """
    if isinstance(inputs, torch.Tensor):
        host = inputs.detach().cpu().contiguous()
        form = f"{host.dtype}{tuple(host.shape[1:])}".encode()
        rows = host.reshape(len(host), -1).view(torch.uint8).numpy() if host.numel() else [b""] * len(host)
        return np.array([_mark(form, row) for row in rows], np.uint64)
    if isinstance(inputs, Sequence):
        return np.array([_mark(b"", str(text).encode()) for text in inputs], np.uint64)
    if not isinstance(inputs, Mapping) or not all(isinstance(part, torch.Tensor) for part in inputs.values()):
        return None
    if _TOKENS in inputs:
        return np.array([_mark(_TOKENS.encode(), row.tobytes()) for row in _token_rows(inputs)], np.uint64)
    marks = [marks_of(inputs[name]) for name in sorted(inputs)]
    together = np.stack([part for part in marks if part is not None], 1)
    return np.array([_mark(b"", row.tobytes()) for row in together], np.uint64)


def _token_rows(inputs: Mapping[str, torch.Tensor]) -> Iterator[npt.NDArray[np.int64]]:
    """Token numbers of each example without padding."""
    ids = inputs[_TOKENS].detach().cpu().numpy().astype(np.int64)
    mask = inputs.get("attention_mask")
    seen = None if mask is None or mask.shape != ids.shape else mask.detach().cpu().numpy() != 0
    for k, row in enumerate(ids):
        yield np.ascontiguousarray(np.trim_zeros(row, "b") if seen is None else row[seen[k]])


def _mark(form: bytes, content: Any) -> int:  # noqa: ANN401 (bytes, or an array of them)
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, key=form[:64]).digest(), "little")


def named(data: object) -> str:
    """Name the kind of data in a word or two, for messages."""
    if isinstance(data, tuple) and len(data) == 2:
        return "(X, y)"
    while not hasattr(data, "__getitem__") and hasattr(data, "dataset"):
        data = data.dataset
    return type(data).__name__


def check_origin(
    features: Any,  # noqa: ANN401 (DeepFeatures)
    data: object,
    test: object = None,
    *,
    rows: npt.NDArray[Any] | None = None,
    what: str = "these features",
) -> None:
    """Refuse data that are not those that features were taken from.

    Args:
        features: ``DeepFeatures``.
        data: The data, as a person passed them.
        test: The test data.
        rows: Rows of the features whose examples are asked for; None for all.
        what: What the data are wanted for.

    Raises:
        InputError: Another number of examples, test data that are missing or too many, or other examples.
    """
    if any(isinstance(part, Mapping | str) for part in (data, test)):
        return  # no examples: whoever reads them says so
    given = [_readable(part) for part in (data, test) if part is not None]
    counts = [count_examples(part) for part in given]
    if any(count is None for count in counts):
        return
    params = features.provenance.params
    sizes = [int(size) for size in params.get("sizes", ())]
    last = features.n - 1 if rows is None else int(np.max(rows, initial=-1))
    fits = counts == sizes[: len(counts)] if sizes else sum(c or 0 for c in counts) == features.n
    if not fits or (sizes and last >= sum(sizes[: len(counts)])):
        got = " and ".join(f"{count:,} as {name}" for count, name in zip(counts, _PARTS, strict=False))
        advice = "Pass these, in their order."
        if fits:
            advice = "Pass them as test=, as to extract_features."
        reject("data", what, f"be what the features were taken from, {remembered(features)}", got, advice)
    marks = getattr(features, "marks", None)
    if marks is None:
        return
    first = 0
    for part, count in zip(given, counts, strict=True):
        _check_examples(part, np.asarray(marks[first : first + (count or 0)]), first, features, what)
        first += count or 0


def check_held(
    inputs: npt.NDArray[Any] | Sequence[str],
    read: Callable[[], Iterable[Any]],
    what: str,
    data: object,
    advice: str,
) -> None:
    """Refuse data that do not hold the examples that a result is about.

    Results of some examples keep these, not where they lie. Data are read until they are found, or for two
    seconds; what is not found in more data than that may still be there.

    Args:
        inputs: (B, ...) examples that the result keeps, or B sentences.
        read: Gives the examples of the data one by one, from the first.
        what: What the data are wanted for.
        data: The data, as a person passed them.
        advice: What to do.

    Raises:
        InputError: Data that are read whole and lack an example, other than data that are others each time.
    """
    rows = np.unique(np.linspace(0, len(inputs) - 1, min(_SOUGHT, len(inputs))).astype(np.int64))
    missing = {row: _plain(inputs[row]) for row in rows.tolist()}
    until, count = time.monotonic() + _SECONDS, 0
    first: Any = None
    for example in read():
        one = _plain(example)
        first = one if first is None else first
        missing = {row: sought for row, sought in missing.items() if not _alike(one, sought)}
        count += 1
        if not missing or time.monotonic() > until:
            return
    again = next(iter(read()), None)
    if missing and first is not None and _alike(_plain(again), first):
        must = f"hold the {len(inputs):,} examples of this result"
        got = f"{count:,} of {named(data)}, and none of them is example {min(missing)} of the result"
        reject("data", what, must, got, advice)


def _plain(example: Any) -> Any:  # noqa: ANN401 (a text, or an array)
    """An example for comparison: a text, or numbers of one kind."""
    if isinstance(example, str):
        return example
    held = example.detach().cpu() if isinstance(example, torch.Tensor) else example
    held = held.float().numpy() if isinstance(held, torch.Tensor) else held
    return np.asarray(held, np.float32)


def _alike(one: Any, other: Any) -> bool:  # noqa: ANN401 (texts or arrays)
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and one == other
    if one.ndim == other.ndim == 1 and len(one) != len(other):
        # Token numbers, padded at either end to the length of others.
        short, long = sorted((one, other), key=len)
        return bool(len(short)) and (
            np.array_equal(short, long[: len(short)]) or np.array_equal(short, long[-len(short) :])
        )
    if one.shape != other.shape or (one.size and abs(one.flat[0] - other.flat[0]) > _close(one)):
        return False
    return bool(np.allclose(one, other, rtol=0, atol=_close(one), equal_nan=True))


def _close(one: npt.NDArray[np.float32]) -> float:
    """A distance that rounding explains."""
    return 1e-5 * max(1.0, float(np.abs(one).max(initial=0)))


def remembered(features: Any) -> str:  # noqa: ANN401 (DeepFeatures)
    """Say in words what features were taken from."""
    params = features.provenance.params
    sizes, sources = params.get("sizes", ()), params.get("sources", ())
    if not sizes:
        return f"{features.n:,} examples"
    parts = [
        f"{size:,} of {shorten(str(source), 40)} as {name}"
        for size, source, name in zip(sizes, sources or ("examples",) * len(sizes), _PARTS, strict=False)
    ]
    return " and ".join(parts)


def _readable(data: object) -> Any:  # noqa: ANN401 (a tuple of sentences, or as core.forms has it)
    sentences = data[0] if is_pair(data) else data  # type: ignore[index]
    listed = sentences.tolist() if hasattr(sentences, "tolist") and is_table(sentences) else sentences
    if isinstance(listed, list | tuple) and listed and all(isinstance(text, str) for text in listed):
        return tuple(listed)  # sentences may come without their tokenizer, where they are only shown
    return as_data(data)


def _check_examples(part: Any, marks: Marks, first: int, features: Any, what: str) -> None:  # noqa: ANN401
    """Look at a few examples, at both ends and between."""
    rows = np.unique(np.linspace(0, len(marks) - 1, _LOOKS).astype(np.int64))
    found = _read(part, rows)
    if found is None or not len(rows):
        return
    other = np.flatnonzero(found != marks[rows])
    # An example that is another one each time it is read (a random crop) cannot be told from others.
    if len(other) and (again := _read(part, rows)) is not None and np.array_equal(again, found):
        got = f"another example in row {first + int(rows[other[0]])}"
        advice = "The order counts: row i of the features is example i."
        reject("data", what, f"be what the features were taken from, {remembered(features)}", got, advice)


def _read(part: Any, rows: npt.NDArray[np.int64]) -> Marks | None:  # noqa: ANN401 (data in any form)
    """Marks of some examples; None where examples cannot be asked for one by one as they were then."""
    sentences = part.sentences if isinstance(part, TextData) else part
    if isinstance(sentences, tuple):
        return marks_of([sentences[row] for row in rows])
    if isinstance(part, torch_data.DataLoader):
        if part.collate_fn is not torch_data.default_collate:
            return None
        part = part.dataset
    if not hasattr(part, "__getitem__"):
        return None
    few = Rows(part.inputs[rows]) if isinstance(part, Rows) else torch_data.Subset(part, rows.tolist())
    try:
        (batch,) = batches(few, len(rows))
    except (InputError, ValueError):
        return None
    return marks_of(batch.inputs)


def check_model_of(path: Any, features: Any, what: str) -> None:  # noqa: ANN401 (a path and DeepFeatures)
    """Refuse features that another model gave than the one that a path was computed from.

    Raises:
        InputError: Another number of features, or another model.
    """
    if features.p != len(path.feature_names):
        must = f"have the {len(path.feature_names)} features of the path"
        reject("features", what, must, f"{features.p}", "Pass the features that the path was fitted to.")
    known = [
        getattr(getattr(one, "provenance", None), "params", {}).get("model_fingerprint")
        for one in (path, features)
    ]
    if all(known) and known[0] != known[1]:
        advice = "Pass features of that model, or fit the path again."
        must = "be of the model that the path was computed from"
        reject("features", what, must, "those of another model, or of the same one as it was later", advice)
