"""The Path panel: drag a regularisation path of a decision layer, and put the chosen layer to work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import InputError, check_int, reject
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.progress import Progress
from sparse_debug_widgets.widgets import controls, curves, renewal, wire
from sparse_debug_widgets.widgets.base import Export, Panel
from sparse_debug_widgets.widgets.calls import Answer, Call, action
from sparse_debug_widgets.widgets.live import LiveModel, Silenced, edited_layer
from sparse_debug_widgets.widgets.protocols import Path

if TYPE_CHECKING:
    import torch

TOLERANCE = 0.05
# A page inside a notebook shows this many curves in all; to_html() has no limit.
_SMALL_CURVES = 5_200
# Numbers in a page beyond which they are rounded to coarser steps.
_FINE_NUMBERS = 150_000


class PathPanel(Panel):
    """Coefficient paths, accuracy against sparsity, strongest features, features per class: all draggable.

    Attributes:
        idx: Index of the lambda that is looked at (0 is the sparsest).
        class_index: The class that is looked at.
        pinned: Index of the pinned lambda, -1 for none.
        silenced: Pairs (feature, class) held at their mean; class -1 stands for all classes.
        live: What is in the live model and what it scores; empty while the model's own layer is there.

    Args:
        path: The path to show.
        model: The live model that the path was computed from; needed for "use this layer".
        data: What accuracy is measured on, before and after.
        class_index: The class to begin with.
        index: The lambda to begin with; by default the one of the 5-point rule.
        title: Title of exported pages.
        fallback: See :class:`Panel`.

    Raises:
        InputError: An index out of range, or a model whose decision layer does not fit the path.
    """

    name = "path"

    idx = traitlets.Int(0).tag(sync=True)
    class_index = traitlets.Int(0).tag(sync=True)
    pinned = traitlets.Int(-1).tag(sync=True)
    silenced: traitlets.List[Any] = traitlets.List().tag(sync=True)
    live = traitlets.Dict().tag(sync=True)
    head = traitlets.Dict().tag(sync=True)
    first = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        path: Path,
        model: torch.nn.Module | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (whatever core.batching takes, or DeepFeatures)
        class_index: int = 0,
        index: int | None = None,
        title: str = "Regularisation path",
        fallback: str = "auto",
    ) -> None:
        self._path = path
        self._live = LiveModel(model, path, data, self._swapped)
        self._rule = _rule(path)
        last = len(path.lambdas) - 1
        check_int(class_index, "class_index", "this path", low=0, high=int(path.n_classes) - 1)
        start = check_int(index, "index", "this path", low=0, high=last) if index is not None else self._rule
        value, arrays = self._class(class_index)
        super().__init__(
            title=title,
            plain=repr(path),
            fallback=fallback,
            idx=start if start >= 0 else last // 2,
            class_index=class_index,
            live=wire.jsonable(self._live.state),
            head={"value": self._head(), "arrays": wire.in_trait(self._curves())},
            first={"value": value, "arrays": wire.in_trait(arrays)},
        )
        self.watch(self._live.watch(_facts(path).get("model_fingerprint", "")))

    # -- what a person may also do from Python ---------------------------------------------------------

    @property
    def layer(self) -> Any:  # noqa: ANN401 (a SparseDecisionLayer)
        """The sparse decision layer that is looked at now, silenced features included."""
        return edited_layer(self._path, self.idx, self._silenced(self.silenced))

    def use_layer(self) -> dict[str, Any]:
        """Swap the layer that is looked at into the live model.

        Returns:
            ``index``, ``silenced``, and ``before`` and ``after`` where there is data to measure on.

        Raises:
            InputError: The panel has no live model.
        """
        return self._use(self.idx, self.silenced, lambda _: None)

    def put_back(self) -> None:
        """Put the model's own decision layer back."""
        self._live.put_back()

    def _swapped(self, state: Mapping[str, Any]) -> None:
        self.live = wire.jsonable(state)

    def why_not_renewable(self) -> str:
        """See :meth:`Panel.why_not_renewable`."""
        if self._live.renewable and hasattr(self._path, "provenance"):
            return ""
        return "To refresh it here, show it with its data: sdw.panel(path, model, data=...)."

    def renew(self) -> Job[Any]:
        """Take the features and fit the path again with the same settings, beside the notebook.

        A layer that was swapped in is put back first.
        """
        missing = self.why_not_renewable()
        if missing:
            reject("the panel", "a refresh", "have a model and data", "not both", missing)
        self.put_back()
        model, data = self._live.sources
        job = jobs.submit(renewal.fit_again, self._path, model, data, name="refresh of a path")
        return self.follow_renewal(job, PathPanel._renewed)

    def _renewed(self, path: Any) -> None:  # noqa: ANN401 (a RegularizationPath)
        """Show another path in this panel."""
        model, data = self._live.sources
        self._path = path
        self._live = LiveModel(model, path, data, self._swapped)
        self._rule = _rule(path)
        with self.hold_sync():
            self.silenced, self.pinned = [], -1
            self.class_index = min(self.class_index, int(path.n_classes) - 1)
            self.idx = self._rule if self._rule >= 0 else len(path.lambdas) // 2
            value, arrays = self._class(self.class_index)
            self.first = {"value": value, "arrays": wire.in_trait(arrays)}
            self.head = {"value": self._head(), "arrays": wire.in_trait(self._curves())}
        self.watch(self._live.watch(_facts(path).get("model_fingerprint", "")))

    # -- what the front end may request ----------------------------------------------------------------

    @action
    def class_path(self, _call: Call, *, index: int) -> Answer:
        """The curves of one class."""
        check_int(index, "class index", "this path", low=0, high=int(self._path.n_classes) - 1)
        return Answer(*self._class(index))

    @action
    def use(self, call: Call, *, index: int, silenced: Sequence[Any] = ()) -> Answer:
        """Swap a layer into the live model, and say what it scored before and after."""
        return Answer(self._use(index, silenced, call.progress))

    @action
    def restore(self, _call: Call) -> Answer:
        """Put the model's own layer back."""
        self.put_back()
        return Answer({})

    @action
    def measure(self, call: Call, *, index: int, silenced: Sequence[Any] = ()) -> Answer:
        """Accuracy with features silenced, and without; the model keeps its layer."""
        edits = self._silenced(silenced)
        layer = edited_layer(self._path, self._index(index), edits)
        plain = self._path.decision_layer(index)
        score = self._live.score(layer, call.progress)
        return Answer(
            {
                "silenced": score,
                "plain": self._live.score(plain, call.progress),
                "own": self._live.score(None, call.progress),
                **self._live.measured_on(),
            }
        )

    def _use(self, index: int, silenced: Sequence[Any], progress: Any) -> dict[str, Any]:  # noqa: ANN401
        self._live.check_bound()
        edits = self._silenced(silenced)
        layer = edited_layer(self._path, self._index(index), edits)
        state: dict[str, Any] = {"index": index, "silenced": [_pair(edit) for edit in edits]}
        if self._live.measurable:
            # Measured before the swap: a cancelled or failing measurement leaves the model as it was.
            state["before"] = self._live.score(None, progress)
            state["after"] = self._live.score(layer, progress)
            state |= self._live.measured_on()
        progress(Progress(1, 1, "swapping the layer in"))
        self._live.install(layer, state)
        return state

    def _index(self, index: int) -> int:
        return check_int(index, "index", "this path", low=0, high=len(self._path.lambdas) - 1)

    def _silenced(self, pairs: Sequence[Any]) -> list[Silenced]:
        edits = []
        for pair in pairs:
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise InputError(f"silenced must hold pairs (feature, class); got {pair!r:.80}")
            last_feature, last_row = len(self._path.feature_names) - 1, int(self._path.n_classes) - 1
            feature = check_int(pair[0], "silenced feature", "this path", low=0, high=last_feature)
            row = check_int(pair[1], "silenced class", "this path", low=-1, high=last_row)
            edits.append(Silenced(feature, None if row < 0 else row))
        return edits

    @traitlets.validate("idx", "class_index", "pinned")
    def _within(self, proposal: Mapping[str, Any]) -> int:
        """A stale page may send anything: keep it in range instead of failing where nobody sees it."""
        name = proposal["trait"].name
        high = int(self._path.n_classes) - 1 if name == "class_index" else len(self._path.lambdas) - 1
        return int(min(max(int(proposal["value"]), -1 if name == "pinned" else 0), high))

    # -- what the page gets ----------------------------------------------------------------------------

    def _head(self) -> dict[str, Any]:
        path = self._path
        rows = _row_names(path)
        head: dict[str, Any] = wire.jsonable(
            {
                "family": path.family,
                "alpha": float(path.alpha),
                "tol": float(path.tol),
                "layer": controls.cut(path.layer, controls.LABEL_LIMIT),
                "classes": controls.labels(rows),
                "features": controls.labels(path.feature_names),
                "rule": self._rule,
                "tolerance": TOLERANCE,
                "model": self._live.bound,
                "measurable": self._live.measurable,
                "dense": path.dense_weight is not None,
            }
        )
        return head

    def _curves(self) -> dict[str, wire.Array]:
        path = self._path
        counts = np.asarray(path.n_nonzero)
        return {
            "lambdas": np.asarray(path.lambdas, dtype=np.float64),
            "accuracies": np.asarray(path.accuracies, dtype=np.float32),
            "denseAccuracies": np.asarray(path.dense_accuracies, dtype=np.float32),
            "gaps": np.asarray(path.duality_gaps, dtype=np.float32),
            "certified": np.asarray(path.certified, dtype=np.bool_),
            "counts": counts.astype(np.uint16 if counts.max(initial=0) < 2**16 else np.uint32),
        }

    def _class(self, index: int) -> tuple[dict[str, Any], dict[str, wire.Array]]:
        unit, arrays = curves.encode(np.asarray(self._path.class_path(index)))
        dense_unit, dense = self._dense(index)
        return {"index": index, "unit": unit, "denseUnit": dense_unit}, {**arrays, **dense}

    def _dense(self, index: int) -> tuple[float, dict[str, wire.Array]]:
        """Weights of the model's own layer for one class, float16 in units of the largest."""
        if self._path.dense_weight is None:
            return 1.0, {}
        weights = np.asarray(self._path.dense_weight)[index]
        unit = float(np.abs(weights).max(initial=0.0)) or 1.0
        return unit, {"dense": (weights / unit).astype(np.float16)}

    def export(self, *, small: bool = False) -> Export:
        """Everything a page needs to answer its own requests.

        Args:
            small: For the page inside a notebook: past a few thousand curves, only the strongest ones.
        """
        path = self._path
        value = {**self._head(), "model": False, "measurable": False}
        keep = len(path.feature_names)
        if small:
            keep = max(24, _SMALL_CURVES // int(path.n_classes))
            value["shortened"] = keep if keep < len(path.feature_names) else 0
        rows = range(int(path.n_classes)) if not small else _around(self.class_index, int(path.n_classes))
        levels = curves.FINE if int(np.sum(path.n_nonzero)) <= _FINE_NUMBERS else curves.COARSE
        replies = [("class_path", {"index": row}, *self._squeezed(row, keep, levels)) for row in rows]
        state = {
            "idx": self.idx,
            "class_index": self.class_index,
            "pinned": self.pinned,
            "silenced": [list(pair) for pair in self.silenced],
            "live": {},
            "first": {},
        }
        return Export(state, {"head": (value, self._curves())}, replies)

    def _squeezed(self, row: int, keep: int, levels: int) -> tuple[dict[str, Any], dict[str, wire.Array]]:
        weights = np.asarray(self._path.class_path(row))
        if keep < weights.shape[1]:
            strength = np.abs(weights).max(axis=0)
            weights = np.where(strength >= np.sort(strength)[-keep], weights, 0.0)
        unit, arrays = curves.squeeze(weights, levels)
        dense_unit, dense = self._dense(row)
        return {"index": row, "unit": unit, "levels": levels, "denseUnit": dense_unit}, {**arrays, **dense}


def _facts(path: Path) -> Mapping[str, Any]:
    """What the path says of how it was made; nothing where it is a stand-in."""
    provenance = getattr(path, "provenance", None)
    return provenance.params if provenance is not None else {}


def _rule(path: Path) -> int:
    """Index of the 5-point rule, -1 where the path cannot say (no held-out examples)."""
    if np.isnan(np.asarray(path.accuracies)[:, 1]).all():
        return -1
    return int(path.select(tolerance=TOLERANCE))


def _row_names(path: Path) -> list[str]:
    names = list(path.class_names)
    if len(names) == int(path.n_classes):
        return names
    if path.family == "binomial" and len(names) == 2:
        return [f"{names[1]} (against {names[0]})"]
    return [f"output {row}" for row in range(int(path.n_classes))]


def _pair(edit: Silenced) -> list[int]:
    return [edit.feature, -1 if edit.class_index is None else edit.class_index]


def _around(row: int, n_rows: int, reach: int = 25) -> range:
    """The class that is looked at and its neighbours: a page inside a notebook has at most 50 classes."""
    first = max(0, min(row - reach, n_rows - 2 * reach))
    return range(first, min(n_rows, first + 2 * reach))
