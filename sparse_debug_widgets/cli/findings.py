"""The main job without a browser: live model, deep features, path, sparse layer back into the model.

A person who works through the tutorial drags to where a class rests on a few features, looks at what excites
the strongest one, and silences it. Here the demo's recorded truth does the looking.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import nn

from sparse_debug_widgets.cli.console import progress_bar
from sparse_debug_widgets.core.batching import batches, move
from sparse_debug_widgets.core.hooks import model_untouched
from sparse_debug_widgets.core.threads import thread_limit
from sparse_debug_widgets.data import Demo, load_demo
from sparse_debug_widgets.sparse import (
    TRAIN,
    DeepFeatures,
    RegularizationPath,
    SparseDecisionLayer,
    elastic_net_path,
    extract_features,
)

TOLERANCE = 0.05
"""Accuracy on the validation split that the sparse layer may give up."""
N_TOP = 10
N_PICTURES = 20
DETECTS = 0.9
"""A feature whose area under the ROC curve reaches this is said to detect the mark."""


@dataclass(frozen=True)
class TopFeature:
    """One of the strongest features of a class.

    Attributes:
        index: its column.
        name: its name.
        weight: in the sparse layer, per standard deviation of the feature.
        detects_mark: area under the ROC curve for the planted mark, over training pictures of the other
            classes (in the flawed class mark and class are one); NaN where nothing is planted.
    """

    index: int
    name: str
    weight: float
    detects_mark: float


@dataclass(frozen=True)
class Findings:
    """The findings of the main job.

    Attributes:
        demo: the demo it ran on.
        path: the regularisation path of its decision layer.
        selected: index of the chosen lambda.
        class_index: the class looked at: the flawed one where there is a planted flaw.
        top: its strongest features, strongest first.
        silenced: column of the strongest feature, if it detects the mark; empty otherwise.
        exciting: the training pictures of other classes that excite the strongest feature most, best first.
        accuracies: stage ("dense", "sparse", "silenced") -> measure -> share of the pictures.
    """

    demo: Demo
    path: RegularizationPath
    selected: int
    class_index: int
    top: tuple[TopFeature, ...]
    silenced: tuple[int, ...]
    exciting: tuple[int, ...]
    accuracies: Mapping[str, Mapping[str, float]]


def investigate(name: str) -> Findings:
    """Run the job on a demo; its network is so small that a second thread would only be waited for."""
    with thread_limit(1):
        return _investigate(load_demo(name))


def _investigate(demo: Demo) -> Findings:
    with progress_bar("deep features") as progress:
        features = extract_features(
            demo.model, demo.train, test=demo.test, class_names=demo.class_names, progress=progress
        )
    with progress_bar("elastic-net path") as progress:
        path = elastic_net_path(features, progress=progress)
    selected = path.select(tolerance=TOLERANCE)
    layer = path.decision_layer(selected)
    class_index = getattr(demo.truth, "flaw_class", 0)
    top = strongest(path, selected, class_index, features, demo)
    silenced = tuple(feature.index for feature in top[:1] if feature.detects_mark >= DETECTS)
    layers: dict[str, SparseDecisionLayer | None] = {"dense": None, "sparse": layer}
    if silenced:
        layers["silenced"] = layer.silence(silenced)
    accuracies = {stage: measure(demo, installed, class_index) for stage, installed in layers.items()}
    return Findings(
        demo, path, selected, class_index, top, silenced, exciting(features, top, class_index), accuracies
    )


def strongest(
    path: RegularizationPath, selected: int, class_index: int, features: DeepFeatures, demo: Demo
) -> tuple[TopFeature, ...]:
    """The strongest features of a class, by absolute weight."""
    weights = path.weights_at(selected)[class_index]
    order = np.argsort(-np.abs(weights), kind="stable")[:N_TOP]
    marked, others = _marked_among_others(features, class_index, demo)
    return tuple(
        TopFeature(
            index=int(feature),
            name=path.feature_names[feature],
            weight=float(weights[feature]),
            detects_mark=area_under_curve(features.values[others, feature], marked),
        )
        for feature in order
        if weights[feature] != 0
    )


def exciting(features: DeepFeatures, top: tuple[TopFeature, ...], class_index: int) -> tuple[int, ...]:
    """The rows of the training split, of other classes, that excite the strongest feature most."""
    if not top:
        return ()
    rows = np.flatnonzero((features.splits == TRAIN) & (features.labels != class_index))
    order = np.argsort(-features.values[rows, top[0].index], kind="stable")[:N_PICTURES]
    return tuple(int(row) for row in rows[order])


def _marked_among_others(
    features: DeepFeatures, class_index: int, demo: Demo
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """A mask of the training pictures of other classes that carry the mark, and their rows."""
    if not hasattr(demo.truth, "tagged"):
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64)
    tagged = demo.truth.tagged("train")
    n = len(tagged)
    rows = np.flatnonzero((features.splits[:n] == TRAIN) & (features.labels[:n] != class_index))
    return tagged[rows], rows


def area_under_curve(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Share of (positive, negative) pairs that the score puts in the right order, ties counted half.

    >>> area_under_curve(np.array([1.0, 2.0, 3.0]), np.array([False, True, True]))
    1.0
    """
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def measure(demo: Demo, layer: SparseDecisionLayer | None, class_index: int) -> dict[str, float]:
    """Accuracy of the live model, with a sparse layer installed or as it is, on each test set."""
    found = {}
    for split, data in (("test", demo.test), ("clean test", demo.clean_test)):
        if data is None:
            continue
        if layer is None:
            predicted, labels = predictions(demo.model, data)
        else:
            with layer.installed(demo.model):
                predicted, labels = predictions(demo.model, data)
        found[split] = float((predicted == labels).mean())
        alarms = (predicted == class_index)[labels != class_index]
        found[f"{split}: others taken for {demo.class_names[class_index]}"] = float(alarms.mean())
    return found


def predictions(model: nn.Module, data: object) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Predicted and true classes of a data set."""
    device = next(model.parameters()).device
    predicted, labels = [], []
    with model_untouched(model), torch.no_grad():
        for batch in batches(data):
            predicted.append(model(move(batch.inputs, device)).argmax(1).cpu().numpy())
            labels.append(np.asarray(batch.labels))
    return np.concatenate(predicted), np.concatenate(labels)
