"""The live model behind a panel: swap a sparse layer in and out, measure what the model then does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.progress import Progress, ProgressCallback
from sparse_debug_widgets.widgets.protocols import Handle, Path

if TYPE_CHECKING:
    import torch

_ROWS = 4096
_SPLITS = ("train", "validation", "test")


class Silenced(NamedTuple):
    """One silenced feature: held at its mean for one class, or for all (None)."""

    feature: int
    class_index: int | None


class Known(NamedTuple):
    """Deep features and labels to measure on, and what they are called on the page."""

    values: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[Any]
    name: str
    state: tuple[object, ...]


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
    """

    def __init__(self, model: torch.nn.Module | None, path: Path, data: Any = None) -> None:  # noqa: ANN401
        self.model = model
        self.path = path
        self._data = data
        self._handle: Handle | None = None
        self._known: Known | None = None
        self._own: Any = None
        self._name = ""
        if model is not None:
            from sparse_debug_widgets.sparse import find_decision_layer

            self._name, self._own = find_decision_layer(model, path.layer or None)
            _check_fits(self._own, path)

    @property
    def measurable(self) -> bool:
        """Is there data to measure on?"""
        return self._data is not None and (self.model is not None or _is_features(self._data))

    @property
    def installed(self) -> bool:
        """Is one of the path's layers in the model now?"""
        return self._handle is not None

    def install(self, layer: Any) -> None:  # noqa: ANN401 (a SparseDecisionLayer)
        """Swap a layer into the model, in place of its own or of the one swapped in before.

        Raises:
            InputError: The panel has no model.
        """
        if self.model is None:
            reject(
                "the panel",
                "changing a model",
                "be bound to one",
                "no model",
                "Show it with sdw.panel(path, model).",
            )
        self.put_back()
        self._handle = layer.install(self.model, layer=self._name)

    def put_back(self) -> None:
        """Put the model's own layer back; nothing happens if it is there already."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            handle.restore()

    def score(self, layer: Any, progress: ProgressCallback) -> float:  # noqa: ANN401 (module, or None for the model's own)
        """Accuracy (R squared for targets that are numbers) of the model with this decision layer.

        Args:
            layer: The decision layer to judge; None for the model's own.
            progress: Called once a batch; may raise Cancelled.
        """
        known = self._features(progress)
        head = self._own if layer is None else layer
        if head is None:
            return float("nan")
        outputs = _apply(head, known.values)
        return _score(outputs, known.labels, self.path.family)

    def data_name(self) -> str:
        """What was measured on, for people."""
        return self._known.name if self._known is not None else "data"

    def n_examples(self) -> int:
        """How many examples were measured on."""
        return len(self._known.labels) if self._known is not None else 0

    def _features(self, progress: ProgressCallback) -> Known:
        if _is_features(self._data):
            if self._known is None:
                self._known = _from_features(self._data)
        else:
            state = self._upstream()
            if self._known is None or self._known.state != state:
                values, labels = self._extract(progress)
                self._known = Known(values, labels, f"{len(labels):,} examples", state)
        return self._known

    def _upstream(self) -> tuple[object, ...]:
        """Changes whenever a tensor that the deep features depend on is written to or replaced."""
        assert self.model is not None  # noqa: S101 (measurable says so)
        current = {id(t) for t in self._modules_tensors(self._decision_module())}
        tensors = [t for t in self._modules_tensors(self.model) if id(t) not in current]
        return tuple((id(t), t.data_ptr(), t._version) for t in tensors)

    @staticmethod
    def _modules_tensors(module: torch.nn.Module) -> list[torch.Tensor]:
        return [*module.parameters(), *module.buffers()]

    def _decision_module(self) -> torch.nn.Module:
        from sparse_debug_widgets.core.hooks import find_module, unwrap

        return find_module(unwrap(self.model), self._name)

    def _extract(self, progress: ProgressCallback) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        import torch

        from sparse_debug_widgets.core.batching import batches
        from sparse_debug_widgets.core.hooks import call_model, captured, model_untouched

        assert self.model is not None  # noqa: S101 (measurable says so)
        device = next(self.model.parameters()).device
        values, labels, done = [], [], 0
        with model_untouched(self.model) as model, captured(model, [self._name], inputs=True) as seen, torch.no_grad():
            for batch in batches(self._data, 256):
                if batch.labels is None:
                    reject("data", "measuring accuracy", "have labels", "examples without labels")
                seen.clear()
                call_model(model, _to(batch.inputs, device))
                values.append(seen[self._name].float().cpu().numpy())
                labels.append(np.asarray(batch.labels))
                done += len(labels[-1])
                progress(Progress(done, 0, f"{done:,} examples"))
        return np.concatenate(values), np.concatenate(labels)


def _to(inputs: Any, device: Any) -> Any:  # noqa: ANN401 (a tensor or a mapping of tensors)
    return {k: v.to(device) for k, v in inputs.items()} if isinstance(inputs, dict) else inputs.to(device)


def _check_fits(own: Any, path: Path) -> None:  # noqa: ANN401 (an nn.Linear)
    width, features = int(own.in_features), len(path.feature_names)
    if width != features:
        reject(
            "the model",
            "this path",
            f"have a decision layer of {features} features",
            f"one of {width}",
            "Pass the model that the features came from.",
        )


def _is_features(data: object) -> bool:
    return getattr(type(data), "kind", "") == "deep_features"


def _from_features(features: Any) -> Known:  # noqa: ANN401 (a DeepFeatures)
    """The held-out split to measure on: test if there is one, else validation, else everything."""
    for split in (2, 1):
        chosen = np.flatnonzero(np.asarray(features.splits) == split)
        if chosen.size:
            return Known(features.values[chosen], np.asarray(features.labels)[chosen], f"{_SPLITS[split]} split", ())
    return Known(features.values, np.asarray(features.labels), "training split", ())


def _apply(head: torch.nn.Module, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    import torch

    weight = next(iter(head.state_dict().values()))
    with torch.no_grad():
        parts = [
            head(torch.from_numpy(np.array(values[i : i + _ROWS])).to(weight.device, weight.dtype)).float().cpu().numpy()
            for i in range(0, len(values), _ROWS)
        ]
    return np.concatenate(parts)


def _score(outputs: npt.NDArray[Any], labels: npt.NDArray[Any], family: str) -> float:
    if family == "gaussian":
        targets = labels.reshape(outputs.shape).astype(np.float64)
        residual = ((targets - outputs) ** 2).sum(axis=0)
        total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
        return float(np.mean(1 - residual / np.where(total > 0, total, 1.0)))
    if outputs.ndim == 1 or outputs.shape[1] == 1:
        predicted = (outputs.reshape(len(outputs)) > 0).astype(np.int64)
    else:
        predicted = outputs.argmax(axis=1)
    return float((predicted == labels.reshape(-1)).mean())
