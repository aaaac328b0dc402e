"""What a first day does with a model, one step after the other."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe
from tests.contracts.untouched import assert_untouched, snapshot
from tests.zoo.models import N_CLASSES, WORDS, Architecture, tokenizer

WORKS, REFUSED, NEEDS, RAW = "works", "refused", "–", "RAW"
_N = 18


def pictures(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Pictures (or series) whose classes differ in the mean of a part."""
    rng = np.random.default_rng(0)
    labels = np.arange(_N) % N_CLASSES
    x = 0.6 * rng.random((_N, *shape))
    width = shape[-1] // N_CLASSES
    for row, label in enumerate(labels):
        x[row, ..., label * width : (label + 1) * width] += 0.4
    return torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(labels)


def sentences() -> tuple[list[str], list[int]]:
    """Sentences of three classes."""
    labels = [k % N_CLASSES for k in range(_N)]
    words = [WORDS[label] for label in labels]
    return [f"{w[k % 4]} {w[(k // 3) % 4]} {w[-k % 3]}" for k, w in enumerate(words)], labels


class Day:
    """One model on its first day.

    Args:
        architecture: Which.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.model = architecture.model()
        self.words = architecture.kind == "tokens"
        self.data: Any = sentences() if self.words else pictures(architecture.shape)
        self.settings: dict[str, Any] = {"tokenizer": tokenizer()} if self.words else {}
        self.features: Any = None
        self.path: Any = None

    def few(self, n: int = 2) -> Any:
        """A few inputs as the model takes them."""
        if not self.words:
            return self.data[0][:n]
        return dict(tokenizer()(self.data[0][:n], padding=True, return_tensors="pt"))

    def extract(self) -> None:
        """Deep features of the data."""
        self.features = sdw.extract_features(
            self.model, self.data, validation=0, batch_size=8, **self.settings
        )
        assert self.features.n == _N

    def fit(self) -> None:
        """A short path."""
        self.path = sdw.elastic_net_path(self.features, n_lambdas=4, eps=0.1, tol=1e-3)
        assert self.path.certified.all()

    def install(self) -> None:
        """The sparse layer in the model says what it says of the features."""
        self._installed(self.path.decision_layer(-1))

    def silence(self) -> None:
        """So does a layer in which the heaviest feature is silenced."""
        layer = self.path.decision_layer(-1)
        heaviest = int(np.abs(layer.standardized_weight).max(0).argmax())
        self._installed(layer.silence([heaviest]))

    def _installed(self, layer: Any) -> None:
        seen: list[Tensor] = []
        with layer.installed(self.model), torch.no_grad():
            head = self.model.get_submodule(self.features.layer)
            hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
            few = self.few()
            found = self.model(**few) if self.words else self.model(few)
            hook.remove()
            # What is read is what was extracted; batches of other sizes round otherwise, layer after layer.
            stored = torch.as_tensor(np.array(self.features.values[:2]), dtype=torch.float32)
            assert (seen[-1] - stored).abs().max() < 0.05 * stored.abs().max()
            logits = found if isinstance(found, Tensor) else found["logits"]
            assert torch.allclose(logits, layer(seen[-1]), rtol=1e-4, atol=1e-5)

    def attribute(self, method: str) -> None:
        """A map of one input."""
        options = {"n_steps": 3} if method == "integrated_gradients" else {}
        found = sdw.attribute(self.model, self.few(1), method, **options)
        assert np.isfinite(found.values).all()

    def perturb(self) -> None:
        """Two steps of the attack."""
        found = sdw.perturb(self.model, self.few(1), eps=1.0, steps=2)
        assert np.isfinite(found.perturbed).all()

    def x_features(self) -> None:
        """One epoch of an explanation network."""
        recipe = Recipe(epochs=1, pretraining=1, retries=0)
        data = sdw.TextData(*self.data, tokenizer()) if self.words else self.data
        sdw.x_features(self.model, data, 0, n=2, gallery=2, recipe=recipe, hidden=(6,))

    def prototypes(self) -> None:
        """The inputs with most and least of a feature."""
        sdw.find_prototypes(self.features, self.data, features=[0], k=2)

    def lime(self) -> None:
        """Twenty maskings of one input."""
        few = {"features": [0], "n_samples": 20}
        if self.words:
            sdw.lime_text(self.model, self.data[0][:1], self.features, **few, **self.settings)
        else:
            sdw.lime_images(self.model, self.few(1), self.features, segments="grid", n_segments=9, **few)

    def visualize(self) -> None:
        """Two steps up one feature."""
        sdw.visualize_features(self.model, self.data, self.features, features=[0], n_steps=2)


STEPS: dict[str, Callable[[Day], None]] = {
    "extract": Day.extract,
    "path": Day.fit,
    "install": Day.install,
    "silence": Day.silence,
    "prototypes": Day.prototypes,
    "gradient": lambda day: day.attribute("gradient"),
    "integrated gradients": lambda day: day.attribute("integrated_gradients"),
    "Grad-CAM": lambda day: day.attribute("gradcam"),
    "excitation": lambda day: day.attribute("excitation_backprop"),
    "CAFO": lambda day: day.attribute("cafo"),
    "CASO": lambda day: day.attribute("caso"),
    "perturb": Day.perturb,
    "x-features": Day.x_features,
    "LIME": Day.lime,
    "visualise": Day.visualize,
}
NEEDS_FEATURES = ("path", "install", "silence", "prototypes", "LIME", "visualise")


def live(architecture: Architecture) -> dict[str, tuple[str, str]]:
    """Do all steps; what became of each, and what was said."""
    day, became = Day(architecture), dict[str, tuple[str, str]]()
    for name, step in STEPS.items():
        if name in NEEDS_FEATURES and day.features is None:
            became[name] = NEEDS, ""
            continue
        before = snapshot(day.model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                step(day)
            became[name] = WORKS, ""
        except InputError as error:
            became[name] = REFUSED, str(error)
        except Exception as error:
            became[name] = RAW, f"{type(error).__name__}: {error}"
        assert_untouched(day.model, before)
    return became
