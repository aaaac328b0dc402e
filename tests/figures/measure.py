"""The figures that the documents print, computed by the package's own path."""

from __future__ import annotations

from typing import Any

import numpy as np

import sparse_debug_widgets as sdw
from sparse_debug_widgets.cli.findings import area_under_curve, investigate, predictions
from sparse_debug_widgets.core.threads import thread_limit
from sparse_debug_widgets.data.weights_io import WEIGHTS
from sparse_debug_widgets.perturbation import PGDAttack

Figures = dict[str, dict[str, float]]
# What a card's numbers hold about the sparse layer of a demo with a planted flaw, beside its accuracies.
OBJECT_AUC = {"shapes": "strongest_feature_object_auc", "tickets": "strongest_feature_class_auc"}
_ROBUST_PICTURES = 200


def measure() -> Figures:
    """All figures, by demo and name; some three minutes."""
    with thread_limit(1):
        return {
            **{name: planted(name) for name in OBJECT_AUC},
            "parts": _parts(),
            "digits": _accuracies("digits"),
            "mnist": _mistakes("mnist"),
            "efficientnet-lite0": _accuracies("efficientnet-lite0"),
            "shapes-robust": _robust(),
            "weights": _sizes(),
        }


def _accuracy(demo: Any, data: object) -> float:
    predicted, labels = predictions(demo.model, data)
    return float((predicted == labels).mean())


def _accuracies(name: str) -> dict[str, float]:
    demo = sdw.load_demo(name)
    return {f"accuracy_{split}": _accuracy(demo, getattr(demo, split)) for split in ("train", "test")}


def planted(name: str) -> dict[str, float]:
    """The main job on a demo with a flaw: the sparse layer of the 5-point rule, and one feature silenced."""
    found = investigate(name)
    demo, strongest = found.demo, found.top[0].index
    weights = found.path.weights_at(found.selected)
    numbers = {
        "n_features": weights.shape[1],
        "accuracy_train": _accuracy(demo, demo.train),
        "sparse_features_per_class": float((weights != 0).sum(1).mean()),
        "sparse_features_flaw_class": int((weights[found.class_index] != 0).sum()),
        "strongest_feature": strongest,
    }
    stages = {"dense": "accuracy", "sparse": "sparse_accuracy", "silenced": "silenced_accuracy"}
    for stage, key in stages.items():
        for split, data in (("test", "test"), ("clean test", "clean_test")):
            numbers[f"{key}_{data}"] = found.accuracies[stage][split]
    clean = sdw.extract_features(demo.model, demo.clean_test, validation=0)
    strength, tagged = np.asarray(clean.values)[:, strongest], demo.truth.tagged("clean_test")
    others = clean.labels != found.class_index
    numbers["strongest_feature_tag_auc"] = area_under_curve(strength[others], tagged[others])
    numbers[OBJECT_AUC[name]] = area_under_curve(strength[~tagged], ~others[~tagged])
    return numbers


def _parts() -> dict[str, float]:
    demo, numbers = sdw.load_demo("parts"), dict[str, float]()
    for split in ("train", "test"):
        data: Any = getattr(demo, split)
        predicted, labels = predictions(demo.model, data)
        right, lacking = predicted == labels, (data.variants < 0).any(1)
        numbers[f"accuracy_{split}"] = float(right.mean())
        numbers[f"accuracy_{split}_whole"] = float(right[~lacking].mean())
        numbers[f"accuracy_{split}_lacking"] = float(right[lacking].mean())
    return numbers


def _mistakes(name: str) -> dict[str, float]:
    demo = sdw.load_demo(name)
    predicted, labels = predictions(demo.model, demo.test)
    right = int((predicted == labels).sum())
    return {"n_test": len(labels), "right": right, "wrong": len(labels) - right}


def _robust() -> dict[str, float]:
    """Of the robust network what its card says, and the standard network beside it under a short attack."""
    kept = dict(sdw.load_demo("shapes-robust").numbers)
    demo = sdw.load_demo("shapes")
    few = [demo.test[i] for i in range(_ROBUST_PICTURES)]
    attack = PGDAttack(steps=12)
    for eps in (0.25, 0.5, 1.0):
        kept[f"standard_l2_{eps:g}"] = sdw.robust_accuracy(demo.model, few, norm="l2", eps=eps, attack=attack)
    return kept | {"standard_pictures": _ROBUST_PICTURES}


def _sizes() -> dict[str, float]:
    sizes = {file.stem: file.stat().st_size for file in WEIGHTS.glob("*.safetensors")}
    return {"all_kB": sum(sizes.values()) / 1000, "tickets_kB": sizes["tickets"] / 1000}
