"""The outputs of a model that a fit is about: all of them, or the few classes that the data have.

A network with 1,000 outputs is asked about data of a few classes. The fit is one of these classes, and what
it gives can go back into the network, whose other outputs it then puts out of the question.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import check_int, reject, shorten, suggest
from sparse_debug_widgets.core.classes import Names, names_of_model
from sparse_debug_widgets.sparse.layer.naming import resolve_class_names

Dense = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Ints = npt.NDArray[np.int64]
OUT_OF_QUESTION = -1e4
"""Logit of an output that is none of the classes: its probability is 0 in every precision."""


class Outputs(NamedTuple):
    """The outputs that classes are.

    Attributes:
        rows: (C,) outputs of the model, one for each class.
        labels: (C,) what labels the data have for them.
    """

    rows: tuple[int, ...]
    labels: tuple[int, ...]

    @classmethod
    def of(cls, result: Any) -> Outputs | None:  # noqa: ANN401 (DeepFeatures or a path)
        """Those of features or a path; None where the classes are all outputs."""
        params = getattr(getattr(result, "provenance", None), "params", {})
        if "outputs" not in params:
            return None
        return cls(tuple(params["outputs"]), tuple(params["labels"]))

    def facts(self) -> dict[str, Any]:
        """Return the form in which a result remembers them."""
        return {"outputs": list(self.rows), "labels": list(self.labels)}

    def classes(self, labels: npt.NDArray[Any]) -> Ints:
        """Labels of the data as classes; -1 for those that are none of them."""
        order = np.argsort(self.labels, kind="stable")
        known = np.asarray(self.labels)[order]
        place = np.searchsorted(known, labels).clip(max=len(known) - 1)
        return np.where(known[place] == labels, order[place], -1).astype(np.int64)

    def logits(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Columns of the classes, of logits (n, C) or (n, outputs of the model)."""
        return values if values.shape[1] <= len(self.rows) else values[:, list(self.rows)]


def counted_by(result: Any, model: object) -> Names | None:  # noqa: ANN401 (DeepFeatures or a path)
    """Names that labels of other data are counted by, where they are compared with those of a result."""
    return names_of_model(model) if Outputs.of(result) is not None else tuple(result.class_names) or None


def as_classes(result: Any, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:  # noqa: ANN401 (likewise)
    """Labels, counted by :func:`counted_by`, as the classes of a result; -1 for what is none of them."""
    outputs = Outputs.of(result)
    return labels if outputs is None or labels.dtype.kind == "f" else outputs.classes(labels)


def spread(tensor: torch.Tensor, rows: Iterable[int], n: int, fill: float) -> torch.Tensor:
    """Rows of a weight or bias at the places of n outputs; ``fill`` elsewhere."""
    out = torch.full((n, *tensor.shape[1:]), fill, dtype=tensor.dtype, device=tensor.device)
    out[list(rows)] = tensor
    return out


class Matched(NamedTuple):
    """Classes of the data beside the outputs of the model.

    Attributes:
        names: One per class.
        outputs: None where they are all outputs, in their order.
        dense: Whether the model's own layer speaks of these classes.
        note: For whoever reads the result; may be empty.
    """

    names: Names
    outputs: Outputs | None = None
    dense: bool = True
    note: str = ""

    def dense_layer(self, whole: Dense | None) -> Dense | None:
        """The rows of the model's own decision layer that are these classes'."""
        if whole is None or not self.dense:
            return None
        if self.outputs is None:
            return whole
        rows = list(self.outputs.rows)
        return whole[0][rows], whole[1][rows]

    def classes(self, labels: npt.NDArray[Any], part: str) -> npt.NDArray[Any]:
        """Labels of the data as classes.

        Raises:
            InputError: One that is none of the classes.
        """
        if self.outputs is None or labels.dtype.kind == "f":
            return labels
        found = self.outputs.classes(labels)
        odd = np.flatnonzero(found < 0)
        if len(odd):
            listed = ", ".join(map(str, self.outputs.labels[:5]))
            more = ", ..." if len(self.outputs.labels) > 5 else ""
            got = f"{labels[odd[0]]} in row {odd[0]} ({len(odd)} such rows)"
            advice = "Drop these rows, or name all classes with classes=."
            reject(f"a label of the {part} data", "this fit", f"be one of {listed}{more}", got, advice)
        return found


def match_outputs(
    labels: npt.NDArray[Any],
    names: Names | None,
    n_outputs: int | None,
    classes: object = None,
    model_names: Names | None = None,
    *,
    given: bool = False,
) -> Matched:
    """Find out which outputs of a model the classes of some training labels are.

    Args:
        labels: (n,) class indices, or targets.
        names: One per class, as labels count them; None if unknown.
        n_outputs: Outputs of the model; None if there is no decision layer.
        classes: Outputs by number or name, one for each label 0 ... C-1; None to find out.
        model_names: Names of the outputs, if known.
        given: A person passed the names.

    Raises:
        InputError: Labels out of range, names that do not fit, or no such outputs.
    """
    if classes is not None:
        return _told(labels, names, n_outputs, classes, model_names)
    total = None if n_outputs is None else max(2, n_outputs)
    if labels.dtype.kind == "f" or total is None or (names is not None and len(names) != total and given):
        return Matched(resolve_class_names(labels, names, n_outputs))
    if names is not None and len(names) < total and labels.max(initial=0) < len(names):
        few = resolve_class_names(labels, names, None)
        note = f"the model's own layer has {total} outputs, not these {len(few)} classes, and is left out"
        return Matched(few, dense=False, note=note)
    fitting = names if names is not None and len(names) == total else None
    every = resolve_class_names(labels, fitting, n_outputs)
    there = np.unique(labels)
    if not 2 <= len(there) < total:
        return Matched(every)
    rows = tuple(there.tolist())
    note = f"{len(rows)} of the model's {total} classes occur"
    return Matched(tuple(every[row] for row in rows), Outputs(rows, rows), note=note)


def _told(
    labels: npt.NDArray[Any],
    names: Names | None,
    n_outputs: int | None,
    classes: object,
    model_names: Names | None,
) -> Matched:
    what = "the model"
    if n_outputs is None or n_outputs < 2 or labels.dtype.kind == "f":
        reject("classes", what, "come with class labels and a decision layer of several outputs", "none")
    rows = output_rows(classes, n_outputs, model_names)
    bad = np.flatnonzero((labels < 0) | (labels >= len(rows)))
    if len(bad):
        got = f"{labels[bad[0]]} in row {bad[0]} ({len(bad)} such rows)"
        advice = (
            "classes= says which output each of them is; leave it out where labels are numbers of outputs."
        )
        reject("labels", f"{len(rows)} classes", f"lie in 0 ... {len(rows) - 1}", got, advice)
    if names is None or len(names) != len(rows):
        known = names if names is not None and len(names) == n_outputs else model_names
        names = tuple(known[row] if known and row < len(known) else f"class {row}" for row in rows)
    note = f"{len(rows)} of the model's {n_outputs} classes"
    return Matched(names, Outputs(rows, tuple(range(len(rows)))), note=note)


def output_rows(classes: object, n_outputs: int | None, model_names: Names | None) -> tuple[int, ...]:
    """Numbers of the outputs that a person named.

    Args:
        classes: Outputs by number or name, one for each label.
        n_outputs: Outputs of the model; None if unknown.
        model_names: Names of the outputs, if known.

    Raises:
        InputError: No such list, or outputs that the model does not have.
    """
    must = "be a list of outputs by number or name, one for each class in the order of the labels"
    single = getattr(classes, "ndim", 1) != 1
    if single or isinstance(classes, str | bytes) or not isinstance(classes, Iterable):
        reject("classes", "the model", must, type(classes).__name__)
    rows = []
    for one in classes:
        if isinstance(one, str):
            known = model_names or ()
            if one not in known:
                advice = suggest(one, known) if known else "The model knows no names: pass numbers."
                reject("classes", "the model", "be names of its outputs", shorten(repr(one), 60), advice)
            rows.append(known.index(one))
        else:
            high = None if n_outputs is None else n_outputs - 1
            rows.append(check_int(one, "an entry of classes", "the model", low=0, high=high))
    if len(rows) < 2 or len(set(rows)) < len(rows):
        reject("classes", "a classifier", "be at least two different outputs", shorten(repr(rows), 60))
    return tuple(rows)
