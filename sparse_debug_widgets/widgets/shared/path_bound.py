"""Panels of one path and its live model: position, class, silenced features, names, the layer in use.

What such panels share is a trait, so that two of one path can be linked; names are the path's own, so that
whoever names a feature names it everywhere.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import check_int, refuse, shorten
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.progress import Progress
from sparse_debug_widgets.sparse.layer.naming import position
from sparse_debug_widgets.sparse.problem.families import FAMILIES
from sparse_debug_widgets.widgets.kit import fields, renewal, wire
from sparse_debug_widgets.widgets.kit.base import Panel
from sparse_debug_widgets.widgets.kit.calls import Answer, Call, action
from sparse_debug_widgets.widgets.kit.protocols import Path
from sparse_debug_widgets.widgets.shared import curves
from sparse_debug_widgets.widgets.shared.live import LiveModel, Silenced, edited_layer

if TYPE_CHECKING:
    import torch

TOLERANCE = 0.05
_LOGGED = 200
_shown: weakref.WeakSet[PathBound] = weakref.WeakSet()


@dataclass(frozen=True)
class Selection:
    """The choice of a person in a panel.

    Attributes:
        index: Of the strength.
        lambda_: The strength.
        class_index: The class, or output.
        class_name: Its name.
        feature: The feature that is looked at, or None.
        feature_name: Its name; "" for none.
        features: Features of the class in use at this strength, strongest first.
        weights: Their weights, standardised units, positive for the class.
        silenced: Pairs (feature, class), the class None where it is silenced for all.
    """

    index: int
    lambda_: float
    class_index: int
    class_name: str
    feature: int | None
    feature_name: str
    features: tuple[int, ...]
    weights: tuple[float, ...]
    silenced: tuple[tuple[int, int | None], ...]


class PathBound(Panel):
    """Base of panels that show one path.

    Attributes:
        idx: Index of the lambda that is looked at (0 is the sparsest).
        class_index: The class that is looked at.
        silenced: Pairs (feature, class) held at their mean; class -1 stands for all classes.
        live: What is in the live model and what it scores; empty while the model's own layer is there.
        names: Features that have been named since the panel was made: number -> name.
        log: The sets of features that were silenced one after the other, each with what it scored where that
            was measured: ``silenced``, ``index``, ``class_index``, ``scores``, ``on``.
        chosen: The feature that is looked at, -1 for none.

    Args:
        path: The path to show.
        model: The live model that the path was computed from; needed for "use this layer".
        data: What accuracy is measured on, before and after.
        class_index: The class to begin with, by number or name.
        index: The lambda to begin with; by default the one of the 5-point rule.
        **more: Other traits and what :class:`Panel` takes.

    Raises:
        InputError: An index out of range, or a model whose decision layer does not fit the path.
    """

    idx = traitlets.Int(0).tag(sync=True)
    class_index = traitlets.Int(0).tag(sync=True)
    silenced: traitlets.List[Any] = traitlets.List().tag(sync=True)
    live = traitlets.Dict().tag(sync=True)
    log: traitlets.List[Any] = traitlets.List().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)
    names = traitlets.Dict().tag(sync=True)
    head = traitlets.Dict().tag(sync=True)
    first = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        path: Path,
        model: torch.nn.Module | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (whatever core.batching takes, or DeepFeatures)
        class_index: int | str = 0,
        index: int | None = None,
        **more: Any,  # noqa: ANN401 (passed on)
    ) -> None:
        self._path = path
        self._live = LiveModel(model, path, data, self._swapped)
        self._rule = _rule(path)
        last = len(path.lambdas) - 1
        row = position(class_index, tuple(path.class_names), "class_index", "this path")
        start = check_int(index, "index", "this path", low=0, high=last) if index is not None else self._rule
        value, arrays = self._class(row)
        super().__init__(
            plain=repr(path),
            idx=start if start >= 0 else last // 2,
            class_index=row,
            live=wire.jsonable(self._live.state),
            first={"value": value, "arrays": wire.in_trait(arrays)},
            **more,
        )
        self._show_head()
        _shown.add(self)
        self.watch(self._live.watch(_facts(path).get("model_fingerprint", "")))

    # -- what a person may also do from Python ---------------------------------------------------------

    @property
    def path(self) -> Path:
        """The path on show; a refresh brings another one."""
        return self._path

    @property
    def layer(self) -> Any:  # noqa: ANN401 (a SparseDecisionLayer)
        """The sparse decision layer that is looked at now, silenced features included."""
        return edited_layer(self._path, self.idx, self._silenced(self.silenced))

    @property
    def selection(self) -> Selection:
        """The choice in the panel now."""
        path, row = self._path, self.class_index
        weights = FAMILIES[path.family].of_class(path.weights_at(self.idx), row)
        used = [int(j) for j in np.argsort(-np.abs(weights), kind="stable") if weights[j] != 0]
        return Selection(
            index=self.idx,
            lambda_=float(path.lambdas[self.idx]),
            class_index=row,
            class_name=path.class_names[row],
            feature=self.chosen if self.chosen >= 0 else None,
            feature_name=path.feature_names[self.chosen] if self.chosen >= 0 else "",
            features=tuple(used),
            weights=tuple(float(weights[j]) for j in used),
            silenced=tuple((edit.feature, edit.class_index) for edit in self._silenced(self.silenced)),
        )

    def use_layer(self) -> dict[str, Any]:
        """Swap the layer that is looked at into the live model.

        Returns:
            ``index``, ``silenced``, and ``before`` and ``after`` where there is data to measure on.

        Raises:
            InputError: The panel has no live model.
        """
        return self._use(self.idx, self.silenced, lambda _: None)

    def share_data(self, other: PathBound) -> None:
        """Measure on the same data as another panel of the path: both then report one click alike.

        The panel that is followed has the say; where it has no data, it takes those of this one.
        """
        here, there = self._live, other._live
        giver, taker = (there, self) if there.measurable else (here, other)
        if giver.measurable:
            taker._live.measure_with(giver)
            taker._show_head()

    def put_back(self) -> None:
        """Put the model's own decision layer back."""
        self._live.put_back()

    def _swapped(self, state: Mapping[str, Any]) -> None:
        if not self.closed:
            self.live = wire.jsonable(state)

    def why_not_renewable(self) -> str:
        """See :meth:`Panel.why_not_renewable`."""
        if self._live.renewable and hasattr(self._path, "provenance"):
            return ""
        return "To refresh it here, show the panel with its model and data."

    def renew(self) -> Job[Any]:
        """Take the features and fit the path again with the same settings, beside the notebook.

        A layer that was swapped in is put back first.
        """
        missing = self.why_not_renewable()
        if missing:
            refuse(f"A refresh needs the model and the data, and this panel does not have both. {missing}")
        self.put_back()
        # A copy: the job goes on beside a cell that may train the model.
        model, data = self._live.private_copy(), self._live.sources[1]
        job = jobs.submit(renewal.fit_again, self._path, model, data, name="refresh of a path", noun="fit")
        return self.follow_renewal(job, PathBound._renewed)

    def _renewed(self, path: Any) -> None:  # noqa: ANN401 (a RegularizationPath)
        """Show the path that was fitted again; what features were called, they are called still."""
        given = {
            j: name
            for j, (name, was) in enumerate(zip(self._path.feature_names, path.feature_names, strict=True))
            if name != was
        }
        path.rename(given)
        self.adopt(path)

    def adopt(self, path: Path) -> None:
        """Show another path of the same model in this panel."""
        model, data = self._live.sources
        self._path = path
        self._live = LiveModel(model, path, data, self._swapped)
        self._rule = _rule(path)
        with self.hold_sync():
            self.silenced, self.log, self.chosen = [], [], -1
            self.class_index = min(self.class_index, len(path.class_names) - 1)
            self.idx = self._rule if self._rule >= 0 else len(path.lambdas) // 2
            value, arrays = self._class(self.class_index)
            self.first = {"value": value, "arrays": wire.in_trait(arrays)}
            self._show_head()
        self.watch(self._live.watch(_facts(path).get("model_fingerprint", "")))

    def _show_head(self) -> None:
        self._labelled = self._path.feature_names
        self.names = {}
        self.head = {"value": self._head(), "arrays": wire.in_trait(self._curves())}

    def check_stale(self) -> tuple[str, ...]:
        """See :meth:`Panel.check_stale`; names that a cell has given are noticed here too."""
        self.sync_names()
        return super().check_stale()

    def sync_names(self) -> None:
        """Tell the page what features are called now."""
        now = self._path.feature_names
        if now is not self._labelled or self.names:
            pairs = enumerate(zip(now, self._labelled, strict=True))
            self.names = {str(j): fields.cut(new, 200) for j, (new, old) in pairs if new != old}

    @property
    def named_here(self) -> dict[int, str]:
        """Features that were given a name since the panel was made, with it."""
        given = self._path.feature_names
        return {int(j): given[int(j)] for j in self.names if given[int(j)] != f"feature {j}"}

    # -- what the front end may request ----------------------------------------------------------------

    @action
    def class_path(self, _call: Call, *, index: int) -> Answer:
        """The curves of one class."""
        check_int(index, "class index", "this path", low=0, high=len(self._path.class_names) - 1)
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
        """Score with features silenced, and without; the model keeps its layer.

        Where it takes no time to speak of, every strength is scored: a drag then asks nobody.
        """
        edits = self._silenced(silenced)
        layer = edited_layer(self._path, self._index(index), edits)
        plain = self._path.decision_layer(index)
        score = self._live.score(layer, call.progress)
        scores = {
            "own": self._live.score(None, call.progress),
            "plain": self._live.score(plain, call.progress),
            "silenced": score,
        }
        said = self._live.measured_on()
        self._note_scores(edits, index, {"scores": wire.jsonable(scores), "on": said["on"]})
        along = self._live.along(edits, call.progress)
        counts = FAMILIES[self._path.family].for_classes(layer.n_nonzero, len(self._path.class_names), axis=0)
        value = {**scores, **said, "meanCount": float(counts.mean()), "name": self._live.data_name}
        return Answer(value, {"along": along.astype(np.float32)})

    def _note_scores(self, edits: Sequence[Silenced], index: int, found: Mapping[str, Any]) -> None:
        """Write into the log what a set of silenced features scored."""
        pairs = [_pair(edit) for edit in edits]
        if self.log and self.log[-1]["silenced"] == pairs:
            self.log = [*self.log[:-1], {**self.log[-1], "index": index, **found}]

    @traitlets.observe("silenced")
    def _log_silenced(self, _change: Any) -> None:  # noqa: ANN401 (a traitlets bunch)
        pairs = [list(pair) for pair in self.silenced]
        before = self.log[-1]["silenced"] if self.log else []
        if pairs != before:
            entry = {"silenced": pairs, "index": self.idx, "class_index": self.class_index}
            self.log = [*self.log, entry][-_LOGGED:]

    @action
    def rename(self, _call: Call, *, feature: int, name: str) -> Answer:
        """Name a feature, in the path itself; an empty name takes the given one back."""
        check_int(feature, "feature", "this path", low=0, high=len(self._path.feature_names) - 1)
        self._path.rename({feature: name})
        for panel in list(_shown):
            if not panel.closed:
                panel.sync_names()
        return Answer({"name": fields.cut(self._path.feature_names[feature], 200)})

    def _use(self, index: int, silenced: Sequence[Any], progress: Any) -> dict[str, Any]:  # noqa: ANN401
        self._live.check_bound()
        edits = self._silenced(silenced)
        layer = edited_layer(self._path, self._index(index), edits)
        state: dict[str, Any] = {"index": index, "silenced": [_pair(edit) for edit in edits]}
        if self._live.measurable:
            # Measured before the swap: a cancelled or failing measurement leaves the model as it was.
            state["before"] = self._live.score(None, progress)
            if edits:
                state["plain"] = self._live.score(self._path.decision_layer(index), progress)
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
                refuse(f"silenced must hold pairs (feature, class); it holds {shorten(repr(pair), 80)}.")
            last_feature, last_row = len(self._path.feature_names) - 1, len(self._path.class_names) - 1
            feature = check_int(pair[0], "silenced feature", "this path", low=0, high=last_feature)
            row = check_int(pair[1], "silenced class", "this path", low=-1, high=last_row)
            edits.append(Silenced(feature, None if row < 0 else row))
        return edits

    @traitlets.validate("chosen")
    def _known_feature(self, proposal: Mapping[str, Any]) -> int:
        return int(min(max(int(proposal["value"]), -1), len(self._path.feature_names) - 1))

    @traitlets.validate("idx", "class_index")
    def _within(self, proposal: Mapping[str, Any]) -> int:
        """A stale page may send anything: keep it in range instead of failing where nobody sees it."""
        name = proposal["trait"].name
        high = len(self._path.class_names) - 1 if name == "class_index" else len(self._path.lambdas) - 1
        return int(min(max(int(proposal["value"]), 0), high))

    # -- what the page gets ----------------------------------------------------------------------------

    def _head(self) -> dict[str, Any]:
        path = self._path
        head: dict[str, Any] = wire.jsonable(
            {
                **FAMILIES[path.family].words(),
                "alpha": float(path.alpha),
                "tol": float(path.tol),
                "layer": fields.cut(path.layer, fields.LABEL_LIMIT),
                "classes": fields.labels(path.class_names),
                "features": fields.labels(path.feature_names),
                "rule": self._rule,
                "tolerance": TOLERANCE,
                "model": self._live.bound,
                "measurable": self._live.measurable,
                "dataName": fields.cut(self._live.data_name, 100),
                "dense": path.dense_weight is not None,
            }
        )
        return head

    def _curves(self) -> dict[str, wire.Array]:
        path = self._path
        bounds = getattr(path, "weight_bounds", None)
        counts = FAMILIES[path.family].for_classes(np.asarray(path.n_nonzero), len(path.class_names), axis=1)
        return {
            "lambdas": np.asarray(path.lambdas, dtype=np.float64),
            "accuracies": np.asarray(path.accuracies, dtype=np.float32),
            "denseAccuracies": np.asarray(path.dense_accuracies, dtype=np.float32),
            "gaps": np.asarray(path.duality_gaps, dtype=np.float32),
            "certified": np.asarray(path.certified, dtype=np.bool_),
            # Paths of old files have no bound on their weights.
            **({} if bounds is None else {"bounds": np.asarray(bounds, dtype=np.float32)}),
            "counts": counts.astype(np.uint16 if counts.max(initial=0) < 2**16 else np.uint32),
        }

    def _class(self, index: int) -> tuple[dict[str, Any], dict[str, wire.Array]]:
        unit, arrays = curves.encode(np.asarray(self._path.class_path(index)))
        dense_unit, dense = self._dense(index)
        value = {"index": index, "unit": unit, "denseUnit": dense_unit}
        return value, {**arrays, **dense, **self._undecided(index)}

    def _undecided(self, index: int) -> dict[str, wire.Array]:
        """Return what the bound on weights leaves open about one class.

        Features whose place of entry it does not prove, the first strengths at which each may and must be in
        use, and of how many weights of each strength it cannot tell whether they are zero.
        """
        path: Any = self._path
        if getattr(path, "weight_bounds", None) is None:
            return {}
        may, must = path.entry_range(index)
        nonzero, zero = path.proved(index)
        open_, many = np.flatnonzero(may != must), (~(nonzero | zero)).sum(axis=1)
        found = {"open": open_.astype(np.uint32)}
        found |= {"mayEnter": may[open_].astype(np.uint16), "mustEnter": must[open_].astype(np.uint16)}
        return {
            **(found if open_.size else {}),
            **({"undecided": many.astype(np.uint32)} if many.any() else {}),
        }

    def _dense(self, index: int) -> tuple[float, dict[str, wire.Array]]:
        """Weights of the model's own layer for one class, float16 in units of the largest."""
        if self._path.dense_weight is None:
            return 1.0, {}
        weights = FAMILIES[self._path.family].of_class(np.asarray(self._path.dense_weight), index)
        unit = float(np.abs(weights).max(initial=0.0)) or 1.0
        return unit, {"dense": (weights / unit).astype(np.float16)}

    def _squeezed(self, row: int, keep: int, levels: int) -> tuple[dict[str, Any], dict[str, wire.Array]]:
        """The curves of one class for a standalone page, the ``keep`` strongest of them."""
        weights = np.asarray(self._path.class_path(row))
        if keep < weights.shape[1]:
            strength = np.abs(weights).max(axis=0)
            weights = np.where(strength >= np.sort(strength)[-keep], weights, 0.0)
        unit, arrays = curves.squeeze(weights, levels)
        dense_unit, dense = self._dense(row)
        value = {"index": row, "unit": unit, "levels": levels, "denseUnit": dense_unit}
        return value, {**arrays, **dense, **self._undecided(row)}


def tie(one: Panel, other: Panel, names: Sequence[str]) -> None:
    """Make traits of two panels one, beginning with the first's values; neither keeps the other alive."""
    for name in names:
        setattr(other, name, getattr(one, name))
    for source, target in ((one, other), (other, one)):
        source.observe(_telling(weakref.ref(target)), names=list(names))


def _telling(panel: weakref.ref[Panel]) -> Callable[[Any], None]:
    def tell(change: Any) -> None:  # noqa: ANN401 (a traitlets bunch)
        living = panel()
        if living is not None and not living.closed:
            setattr(living, change["name"], change["new"])

    return tell


def _facts(path: Path) -> Mapping[str, Any]:
    """Return what the path says of how it was made; nothing if it is a stand-in."""
    provenance = getattr(path, "provenance", None)
    return provenance.params if provenance is not None else {}


def _rule(path: Path) -> int:
    """Index of the 5-point rule, -1 where the path cannot say (no held-out examples)."""
    if np.isnan(np.asarray(path.accuracies)[:, 1]).all():
        return -1
    return int(path.select(tolerance=TOLERANCE))


def _pair(edit: Silenced) -> list[int]:
    return [edit.feature, -1 if edit.class_index is None else edit.class_index]
