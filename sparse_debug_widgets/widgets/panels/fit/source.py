"""The source of a fit's features: features that exist, or a live model and its data."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import InputError, refuse
from sparse_debug_widgets.core.classes import are_names, label_array
from sparse_debug_widgets.core.fingerprint import model_fingerprint
from sparse_debug_widgets.core.forms import Rows
from sparse_debug_widgets.core.progress import Progress, ProgressCallback
from sparse_debug_widgets.sparse import DeepFeatures, extract_features
from sparse_debug_widgets.sparse.features.extract import check_names
from sparse_debug_widgets.sparse.features.labels import TEST, VALIDATION
from sparse_debug_widgets.sparse.features.origin import check_origin
from sparse_debug_widgets.widgets.kit.namespace import called
from sparse_debug_widgets.widgets.kit.snapshot import snapshot
from sparse_debug_widgets.widgets.panels.fit import settings
from sparse_debug_widgets.widgets.panels.fit.settings import same_share

if TYPE_CHECKING:
    from torch import nn


def _said(name: str, value: object) -> str:
    """An argument as code: what is short and plain as it is, all else by its name in the notebook."""
    plain = isinstance(value, str | int | float) or (
        isinstance(value, list | tuple) and all(isinstance(one, str | int) for one in value)
    )
    return called(value, repr(value) if plain else name)


class FitSource:
    """Features for fits, taken from a copy of the live model when the first fit needs them.

    Args:
        features: Features that exist, or None.
        model: The live model.
        data: Its data; needed to take features, and to take them again.
        options: Further arguments of ``extract_features``: ``layer``, ``class_names``, ...
        cache: Folder that keeps extracted features over a restart of the kernel, or None.

    Raises:
        InputError: Neither features nor a model with data, or data that the features are not from.
    """

    def __init__(
        self,
        features: DeepFeatures | None,
        model: nn.Module | None,
        data: Any,  # noqa: ANN401 (whatever core.batching takes)
        options: Mapping[str, Any],
        cache: Path | None,
    ) -> None:
        if features is None and (model is None or data is None):
            lacks = "data to take features from" if model is not None else "features, or a model with data"
            refuse(
                f"The Fit panel needs {lacks}: call sdw.fit_panel(model, data) or sdw.fit_panel(features)."
            )
        if model is not None and data is not None:
            check_names(
                model,
                _named_labels(data),
                test=_named_labels(options.get("test")),
                **{name: options[name] for name in _NAMES if name in options},
            )
        elif idle := sorted(set(options) - {"test"}):
            refuse(f"These features have been taken already: pass {idle[0]}= to sdw.extract_features(...).")
        if features is not None and data is not None:
            check_origin(features, data, options.get("test"), what="these features")
        self.given = features
        self.model = model
        self.data = data
        self._options = dict(options)
        self._cache = cache
        self._lock = threading.Lock()
        self.features = features
        self._open_labels = open_labels(data) if features is None else None

    @property
    def families(self) -> tuple[str, ...]:
        """Families that the labels allow, as far as these are known, the natural one first."""
        if self.features is not None:
            return settings.families_of(self.features)
        return settings.families_seen(self._open_labels)

    @property
    def share(self) -> float | None:
        """Share of the rows (test rows aside) that is held out already; None before there are features."""
        if self.given is None:
            return None
        rest = int((self.given.splits != TEST).sum())
        return float((self.given.splits == VALIDATION).sum()) / rest if rest else 0.0

    @property
    def refreshable(self) -> bool:
        """Can the features be taken again?"""
        return self.model is not None and self.data is not None

    def copied(self) -> nn.Module | None:
        """A copy of the live model, for a fit that is to take features; None where there are some.

        To be called where cells run: the fit itself goes on beside a cell that may train the model.

        Raises:
            InputError: The model cannot be copied.
        """
        return snapshot(self.model) if self.features is None else None

    def take(
        self, values: Mapping[str, Any], model: nn.Module | None, progress: ProgressCallback
    ) -> DeepFeatures:
        """The features of a fit with these settings, split as they say.

        Args:
            values: Settings.
            model: What :meth:`copied` gave when the fit was started.
            progress: Called once a minibatch.

        Raises:
            Cancelled: The progress callback asked for it.
        """
        with self._lock:
            if self.features is None:
                self.features = self._extract(values, model, progress)
            features = self.features
        seed_kept = self.given is not None or features.provenance.seed == values["seed"]
        share = self.share if self.given is not None else features.provenance.params.get("validation")
        if same_share(values, share) and seed_kept:
            return features
        return features.resplit(values["validation"], values["seed"])

    def split(self, values: Mapping[str, Any]) -> str:
        """Names the split of a fit with these settings."""
        kept = self.given is not None and same_share(values, self.share)
        return "as given" if kept else f"{values['validation']!r} {values['seed']!r}"

    def _extract(
        self, values: Mapping[str, Any], model: nn.Module | None, progress: ProgressCallback
    ) -> DeepFeatures:
        def report(step: Progress) -> None:
            progress(Progress(step.done, step.total, f"taking features, {step.done:g} examples"))

        assert model is not None  # noqa: S101 (there are no features yet)
        progress(Progress(0, 0, "looking at labels"))
        allowed = settings.families_seen(some_labels(self.data))
        if values["family"] not in allowed:
            # Now, and not after the model has read all of the data.
            raise InputError(settings.barred_reason(values["family"], allowed))
        split = {"validation": values["validation"], "seed": values["seed"]}
        if self._cache is not None:
            split["cache"] = self._cache / f"features-{model_fingerprint(model)[:16]}"
        return extract_features(model, self.data, progress=report, **{**split, **self._options})

    def forget(self) -> None:
        """Take the features anew for the next fit: the model or the data have changed."""
        if self.refreshable:
            self.features = self.given = None

    def names(self) -> dict[str, str]:
        """Return what the notebook calls the features, or the model and the data."""
        if self.given is not None:
            return {"features": called(self.given, "features")}
        given = [f"{name}={_said(name, value)}" for name, value in self._options.items()]
        names = {"model": called(self.model, "model"), "data": called(self.data, "data")}
        return {**names, "options": ", ".join(given)} if given else names

    def size(self) -> dict[str, int] | None:
        """Rows, features and outputs of a fit; None before there are features."""
        if self.features is None:
            return None
        f = self.features
        outputs = f.n_classes if f.labels.dtype.kind != "f" else int(np.prod(f.labels.shape[1:]))
        return {"n": f.n, "p": int(f.alive.sum()), "outputs": outputs}


_LOOKED_AT = 64
_NAMES = ("layer", "classes", "class_names", "pooling")
"""Arguments of ``extract_features`` that name something, and may name what does not exist."""


def _named_labels(data: Any) -> Any:  # noqa: ANN401 (whatever core.batching takes)
    """Data as far as names of classes go: labels that are names lie open without the inputs."""
    labels = open_labels(data)
    if labels is None or labels.ndim != 1 or not are_names(labels):
        return data
    return Rows(torch.empty(len(labels), 0, dtype=torch.float32), labels)


def open_labels(data: Any) -> npt.NDArray[Any] | None:  # noqa: ANN401 (whatever core.batching takes)
    """All labels, where they lie open: nothing is read for them. None where they do not."""
    found = None
    data = getattr(data, "dataset", data)  # of a loader
    if isinstance(data, tuple | list) and len(data) == 2:
        found = data[1]
    elif hasattr(data, "tensors"):
        found = data.tensors[-1] if len(data.tensors) > 1 else None
    elif hasattr(data, "targets"):  # torchvision's data sets
        found = data.targets
    return _as_labels(found)


def some_labels(data: Any) -> npt.NDArray[Any] | None:  # noqa: ANN401
    """Labels of a few examples from all over the data, or all of them; None where examples have no places."""
    known = open_labels(data)
    data = getattr(data, "dataset", data)
    if known is not None or isinstance(data, Mapping) or not hasattr(data, "__getitem__"):
        return known
    with suppress(Exception):  # whatever is wrong with the data, reading all of them says it better
        rows = np.unique(np.linspace(0, len(data) - 1, _LOOKED_AT).astype(int))
        return _as_labels([_label_of(data[int(row)]) for row in rows])
    return None


def _label_of(example: Any) -> Any:  # noqa: ANN401
    if isinstance(example, Mapping):
        return example["label"] if "label" in example else example["labels"]
    return example[1]


def _as_labels(labels: object) -> npt.NDArray[Any] | None:
    if labels is None:
        return None
    try:
        return label_array(labels)
    except InputError:
        return None
