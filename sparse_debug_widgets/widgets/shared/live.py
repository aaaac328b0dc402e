"""The live model behind a panel: swap a sparse layer in and out, measure what the model then does."""

from __future__ import annotations

import hashlib
import inspect
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import refuse, reject
from sparse_debug_widgets.core.progress import ProgressCallback
from sparse_debug_widgets.sparse.features.origin import check_model_of
from sparse_debug_widgets.sparse.layer.outputs import Outputs, as_classes, counted_by
from sparse_debug_widgets.sparse.path.silencing import Trial, scores_along, standardized_columns, try_each
from sparse_debug_widgets.sparse.problem.families import FAMILIES
from sparse_debug_widgets.widgets.kit.namespace import called
from sparse_debug_widgets.widgets.kit.protocols import Handle, Path
from sparse_debug_widgets.widgets.kit.stale import Watch

if TYPE_CHECKING:
    import torch

_ROWS = 4096
_HELD_OUT = ((2, "test split"), (1, "validation split"))
_UNNAMED = "the panel's data"
_BUDGET = 3e8
"""Multiplications that the scores of all strengths may take while somebody waits."""


class Silenced(NamedTuple):
    """One silenced feature: held at its mean for one class, or for all (None)."""

    feature: int
    class_index: int | None


class Known(NamedTuple):
    """Deep features and labels to measure on, what they are called on the page, and what they depend on."""

    values: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[Any]
    name: str
    state: str

    @property
    def said(self) -> str:
        """Say in words which data, and how many."""
        return f"{self.name}, {len(self.labels):,} examples"


class Swap:
    """The layer in one live model; shared by all panels of that model, so that none of them is left behind.

    Attributes:
        handle: Of the layer that is installed, None while the model has its own.
        path: The path the installed layer comes from.
        state: What panels say about it.
    """

    def __init__(self) -> None:
        self.handle: Handle | None = None
        self.path: Path | None = None
        self.state: Mapping[str, Any] = {}
        self._watchers: weakref.WeakSet[LiveModel] = weakref.WeakSet()

    def watch(self, live: LiveModel) -> None:
        """Tell this panel's side whenever the model changes."""
        self._watchers.add(live)

    def change(self, handle: Handle | None, path: Path | None, state: Mapping[str, Any]) -> None:
        """Note what is in the model now."""
        self.handle, self.path, self.state = handle, path, state
        for live in list(self._watchers):
            live.notify()

    @property
    def active(self) -> bool:
        """Is the layer that was installed through a panel still in the model?"""
        return self.handle is not None and self.handle.active


_swaps: weakref.WeakKeyDictionary[torch.nn.Module, Swap] = weakref.WeakKeyDictionary()


def edited_layer(path: Path, index: int, silenced: Sequence[Silenced]) -> Any:  # noqa: ANN401
    """The sparse layer of one lambda, with features silenced."""
    layer = path.decision_layer(index)
    for feature, class_index in silenced:
        layer = layer.silence(feature, class_index=class_index)
    return layer


class LiveModel:
    """A live model that a panel may change, and put back.

    Args:
        model: The model, or None: then nothing can be swapped, but features can still be measured on.
        path: The path whose layers are swapped in.
        data: A data set, loader or ``(inputs, labels)``, or the :class:`DeepFeatures` of the model.
        changed: Called with what is in the model after each change, also by another panel of the model.

    Raises:
        InputError: The model has no decision layer that fits the path, or features are of another model.
    """

    def __init__(
        self,
        model: torch.nn.Module | None,
        path: Path,
        data: Any = None,  # noqa: ANN401 (whatever core.batching takes, or DeepFeatures)
        changed: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.path = path
        self._data = data
        if _is_features(data):
            check_model_of(path, data, "the Path panel")
        # Another panel may measure on this one's data: that must not keep the panel alive.
        self._changed: Callable[[], Any] = lambda: changed
        if inspect.ismethod(changed):
            self._changed = weakref.WeakMethod(changed)
        self._known: Known | None = None
        self._columns: tuple[Known, npt.NDArray[np.float32]] | None = None
        self._measuring: LiveModel = self
        self._model: torch.nn.Module | None = None
        self._own: Any = None
        self._name = ""
        if model is None:
            return
        from sparse_debug_widgets.core.hooks import unwrap

        self._model = unwrap(model)
        self._swap = _swaps.setdefault(self._model, Swap())
        if self._swap.active:
            # A cell that is run again finds the layer of the panel before: same model, same way back.
            self._name, self._own = self._swap.handle.name, self._swap.handle.original  # type: ignore[union-attr]
        else:
            self._name, self._own = self._find()
        _check_fits(self._own, path)
        self._swap.watch(self)

    def watch(self, fingerprint: str) -> Watch:
        """Return what the path depends on, to be looked at after every cell.

        Args:
            fingerprint: Of the model that the path was computed from; empty if unknown.
        """
        data = None if _is_features(self._data) else self._data
        if not self.bound:
            return Watch(None, data)
        return Watch(
            self._model,
            data,
            fingerprint=fingerprint,
            layer=self._name,
            original=lambda: self._own,
            swapped=lambda: self._swap.active,
        )

    @property
    def renewable(self) -> bool:
        """Are there a model and data to compute the path from again?"""
        return self.bound and self._data is not None and not _is_features(self._data)

    @property
    def sources(self) -> tuple[torch.nn.Module | None, Any]:
        """The model and the data."""
        return self._model, self._data

    def private_copy(self) -> torch.nn.Module:
        """A copy of the model as it is now, with its own decision layer, for work beside the notebook.

        Raises:
            InputError: There is no model, or it cannot be copied.
        """
        import copy

        from sparse_debug_widgets.widgets.kit.snapshot import snapshot

        twin = snapshot(self.check_bound())
        if self._swap.active:
            twin.set_submodule(self._name, copy.deepcopy(self._own))
        return twin

    def _find(self) -> tuple[str, Any]:
        from sparse_debug_widgets.core.batching import batches, move
        from sparse_debug_widgets.core.hooks import placement
        from sparse_debug_widgets.sparse import find_decision_layer

        assert self._model is not None  # noqa: S101 (called with a model only)
        if self.path.layer or self._data is None or _is_features(self._data):
            return find_decision_layer(self._model, self.path.layer or None)
        example = next(iter(batches(self._data, 2))).inputs
        return find_decision_layer(self._model, None, move(example, *placement(self._model)))

    def notify(self) -> None:
        """Tell the panel what is in the model."""
        tell = self._changed()
        if tell is not None:
            tell(self.state)

    @property
    def bound(self) -> bool:
        """Is there a model?"""
        return self._model is not None

    def check_bound(self) -> torch.nn.Module:
        """The model.

        Raises:
            InputError: There is none.
        """
        if self._model is None:
            refuse("This panel has no model to change. Show it with its model: sdw.panel(path, model).")
        return self._model

    def measure_with(self, other: LiveModel) -> None:
        """Measure on the data of another panel of the same path, so that both report the same numbers."""
        self._measuring = other._measuring

    @property
    def data_name(self) -> str:
        """The name of the data that are measured on; empty for none."""
        at = self._measuring
        if not at.measurable:
            return ""
        if at._known is not None:
            return at._known.name
        return _held_out_name(at._data) if _is_features(at._data) else called(at._data, _UNNAMED)

    @property
    def measurable(self) -> bool:
        """Is there data to measure on?"""
        if self._measuring is not self:
            return self._measuring.measurable
        return self._data is not None and (self.bound or _is_features(self._data))

    @property
    def state(self) -> Mapping[str, Any]:
        """The layer in the model: empty for its own, ``{"other": True}`` for one of another path."""
        if not self.bound or not self._swap.active:
            return {}
        return self._swap.state if self._swap.path is self.path else {"other": True}

    def install(self, layer: Any, state: Mapping[str, Any]) -> None:  # noqa: ANN401 (a SparseDecisionLayer)
        """Swap a layer into the model, in place of its own or of the one swapped in before.

        Raises:
            InputError: The panel has no model, or somebody else has replaced the layer meanwhile.
        """
        model = self.check_bound()
        if self._swap.handle is not None:
            self._swap.handle.restore()
        try:
            handle = layer.install(model, self._name)
        except BaseException:
            self._swap.change(None, None, {})
            raise
        self._swap.change(handle, self.path, state)

    def put_back(self) -> None:
        """Put the model's own layer back; nothing happens if it is there already.

        Raises:
            InputError: Somebody else has replaced the layer meanwhile; nothing is changed then.
        """
        if self.bound and self._swap.handle is not None:
            self._swap.handle.restore()
            self._swap.change(None, None, {})

    def save(self, layer: Any, path: str | os.PathLike[str]) -> FilePath:  # noqa: ANN401 (a SparseDecisionLayer)
        """Save the model with a layer in place of its own; the model stays as it is.

        Raises:
            InputError: There is no model, or the file cannot be written so.
        """
        from sparse_debug_widgets.sparse.layer.repaired import save_repaired

        return save_repaired(self.check_bound(), layer, path, name=self._name, original=self._own)

    def score(self, layer: Any, progress: ProgressCallback) -> float:  # noqa: ANN401 (None: the model's own)
        """Accuracy (R squared for targets that are numbers) of the model with this decision layer.

        The deep features are taken once and again only when the layers below have changed, so that the
        next layer is measured at the cost of one matrix product.

        Args:
            layer: The decision layer to judge; None for the model's own.
            progress: Called once a batch; may raise Cancelled.
        """
        known = self.known(progress)
        head = self._own if layer is None else layer
        if head is None and self._measuring is not self:
            head = self._measuring._own
        if head is None:
            return self._dense_score(known)
        outputs = Outputs.of(self.path)
        answers = _apply(head, known.values)
        answers = answers if outputs is None else outputs.logits(answers)
        return FAMILIES[self.path.family].measure(answers, known.labels)

    def _dense_score(self, known: Known) -> float:
        """Score of the model's own layer where there is no model: the path may know its weights."""
        path = self.path
        weight, bias = getattr(path, "dense_weight", None), getattr(path, "dense_bias", None)
        if weight is None or bias is None:
            return float("nan")
        answers = np.asarray(weight) @ self.columns(known) + np.asarray(bias)[:, None]
        return FAMILIES[path.family].measure(answers.T, known.labels)

    def measured_on(self) -> dict[str, Any]:
        """Say for people what was measured on."""
        known = self._measuring._known
        return {"on": known.said if known else "", "n": len(known.labels) if known else 0}

    def columns(self, known: Known) -> npt.NDArray[np.float32]:
        """Features to measure on in the path's units, (p, n); kept while they are the same."""
        if self._columns is None or self._columns[0] is not known:
            self._columns = known, standardized_columns(self.path, known.values)  # type: ignore[arg-type]
        return self._columns[1]

    def along(
        self, silenced: Sequence[Silenced], progress: ProgressCallback, *, budget: float | None = _BUDGET
    ) -> npt.NDArray[np.float64]:
        """Score (K,) of every strength's layer with features silenced; NaN where it would take too long."""
        known = self.known(progress)
        pairs = [tuple(edit) for edit in silenced]
        return scores_along(self.path, self.columns(known), known.labels, pairs, budget=budget)  # type: ignore[arg-type]

    def try_each(
        self,
        index: int,
        class_index: int,
        silenced: Sequence[Silenced],
        progress: ProgressCallback,
        *,
        everywhere: bool,
    ) -> list[Trial]:
        """Each feature of a class silenced on its own, best first."""
        known = self.known(progress)
        return try_each(
            self.path,  # type: ignore[arg-type]
            index,
            self.columns(known),
            known.labels,
            class_index,
            [tuple(edit) for edit in silenced],  # type: ignore[misc]
            everywhere=everywhere,
            progress=progress,
        )

    def prepared(self) -> Callable[..., tuple[Known, float, npt.NDArray[np.float64]]]:
        """A job's function that measures every strength beside the notebook, on a copy of the model.

        Called where cells run; the function it returns may run on any thread.
        """
        at, known = self._measuring, self._measuring._known
        twin = None if _is_features(at._data) else at.private_copy()

        def measure(*, progress: ProgressCallback) -> tuple[Known, float, npt.NDArray[np.float64]]:
            found = known
            if twin is not None:
                state = _upstream(twin, at._name)
                if found is None or found.state != state:
                    found = at._extract(twin, state, progress)
            elif found is None:
                found = _held_out(at._data)
            columns = standardized_columns(self.path, found.values)  # type: ignore[arg-type]
            own = float("nan")
            if twin is not None:
                answers = _apply(twin.get_submodule(at._name), found.values)
                own = FAMILIES[self.path.family].measure(answers, found.labels)
            scores = scores_along(self.path, columns, found.labels, progress=progress)  # type: ignore[arg-type]
            return found, own, scores

        return measure

    def learn(self, known: Known) -> None:
        """Keep deep features that a job has taken."""
        self._measuring._known = known

    def known(self, progress: ProgressCallback) -> Known:
        """Deep features to measure on; taken when asked for, and again after the model has changed."""
        if self._measuring is not self:
            return self._measuring.known(progress)
        if _is_features(self._data):
            if self._known is None:
                self._known = _held_out(self._data)
            return self._known
        model = self.check_bound()
        state = _upstream(model, self._name)
        if self._known is None or self._known.state != state:
            self._known = self._extract(model, state, progress)
        return self._known

    def _extract(self, live: torch.nn.Module, state: str, progress: ProgressCallback) -> Known:
        import torch

        from sparse_debug_widgets.core.batching import batches, move
        from sparse_debug_widgets.core.fingerprint import DataHasher
        from sparse_debug_widgets.core.hooks import call_model, captured, model_untouched, placement

        (device, dtype), values, labels, seen_data = placement(live), [], [], DataHasher()
        names = counted_by(self.path, live)
        with (
            model_untouched(live) as model,
            captured(model, [self._name], inputs=True) as seen,
            torch.no_grad(),
        ):
            for batch in batches(self._data, 256, progress=progress, note="examples", classes=names):
                if batch.labels is None:
                    refuse("Accuracy cannot be measured: the data have no labels. Pass (inputs, labels).")
                seen.clear()
                seen_data.update(batch.inputs, batch.labels)
                call_model(model, move(batch.inputs, device, dtype))
                values.append(seen[self._name].flatten(1).float().cpu().numpy())
                labels.append(batch.labels.cpu().numpy())
        found, rows = np.concatenate(values), as_classes(self.path, np.concatenate(labels))
        if rows.dtype.kind in "iu" and (rows < 0).any():
            found, rows = found[rows >= 0], rows[rows >= 0]  # of other classes than the path's
        name = called(self._data, _UNNAMED)
        provenance = getattr(self.path, "provenance", None)
        if provenance and provenance.params.get("data_fingerprint") == seen_data.hexdigest():
            name += " (with the training rows)"
        return Known(found, rows, name, state)


def _upstream(model: torch.nn.Module, layer: str) -> str:
    """Hash of every tensor that deep features depend on (version counters miss ``p.data`` writes)."""
    import torch

    below = hashlib.blake2b(digest_size=16)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not name.startswith(f"{layer}."):
            below.update(name.encode())
            raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            below.update(raw.numpy().tobytes())
    return below.hexdigest()


def _check_fits(own: Any, path: Path) -> None:  # noqa: ANN401 (an nn.Linear)
    width, features = int(own.in_features), len(path.feature_names)
    if width != features:
        must = f"have a decision layer of {features} features"
        advice = "Pass the model the path was fitted for."
        reject("the model", "this path", must, f"one of {width}", advice)


def _is_features(data: object) -> bool:
    return getattr(type(data), "kind", "") == "deep_features"


def _held_out(features: Any) -> Known:  # noqa: ANN401 (a DeepFeatures)
    """The split to measure on: test if there is one, else validation, else everything."""
    labels, splits = np.asarray(features.labels), np.asarray(features.splits)
    name = _held_out_name(features)
    chosen = np.flatnonzero(splits == next((s for s, said in _HELD_OUT if said == name), 0))
    return Known(np.asarray(features.values[chosen]), labels[chosen], name, "")


def _held_out_name(features: Any) -> str:  # noqa: ANN401 (a DeepFeatures)
    splits = np.asarray(features.splits)
    return next((name for split, name in _HELD_OUT if (splits == split).any()), "training split")


def _apply(head: torch.nn.Module, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    import torch

    weight = next(iter(head.state_dict().values()))
    outputs = []
    with torch.no_grad():
        for first in range(0, len(values), _ROWS):
            rows = torch.from_numpy(np.array(values[first : first + _ROWS]))
            outputs.append(head(rows.to(weight.device, weight.dtype)).double().cpu().numpy())
    return np.concatenate(outputs)
