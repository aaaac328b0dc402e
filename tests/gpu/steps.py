"""Every function of the package that computes where the model is, as a step to be done on two devices.

A step takes a device and gives arrays; the CPU's are what a card must give too.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.progress import Cancelled, Progress
from sparse_debug_widgets.data.tickets import TicketsDataset, tokenizer_of_tickets
from sparse_debug_widgets.evaluate import keep_top_pixels
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe
from sparse_debug_widgets.interpret.xfeatures.srae.srae import ExplanationWarning
from sparse_debug_widgets.perturbation import METHODS as ATTACKS
from sparse_debug_widgets.perturbation.norms import NORMS
from sparse_debug_widgets.saliency import METHODS
from sparse_debug_widgets.sparse.solvers.saga import Saga
from tests.zoo.models import ZOO

Arrays = Iterable[npt.ArrayLike]
N_CLASSES = 3


def network() -> nn.Sequential:
    """Convolutions, batch norm, dropout, in-place ReLU, a linear head; in training mode, as users have it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        relu = nn.ReLU(inplace=True)
        model = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            relu,
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            relu,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(8, N_CLASSES),
        )
    nn.init.constant_(model[4].bias, 0.5)  # no feature is dead
    return model


def pictures(n: int = 12) -> tuple[Tensor, Tensor]:
    """Pictures whose classes have colours."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % N_CLASSES
    x = 0.5 * rng.random((n, 3, 16, 16))
    x[np.arange(n), labels] += 0.4
    return torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(labels)


def table(family: str = "multinomial", n: int = 90, p: int = 9) -> tuple[Any, Any]:
    """Features and labels that few of them explain."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    if family == "gaussian":
        return X, X[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(size=(n, 2))
    classes = 2 if family == "binomial" else N_CLASSES
    y = rng.integers(0, classes, n)
    X[np.arange(n), y] += 1.0
    return X, y


class Words(nn.Module):
    """Token numbers in, logits out."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.words, self.last = nn.Embedding(9, 4), nn.Linear(4, N_CLASSES)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.words(input_ids) * attention_mask[:, :, None]
        logits: Tensor = self.last(x.sum(1).tanh())
        return logits


STEPS: dict[str, Callable[[str], Arrays]] = {}


def step(name: str) -> Callable[[Callable[..., Arrays]], Callable[..., Arrays]]:
    """Enter a step under a name."""

    def enter(run: Callable[..., Arrays]) -> Callable[..., Arrays]:
        assert name not in STEPS, name
        STEPS[name] = run
        return run

    return enter


# -- the sparse path -------------------------------------------------------------------------------------


def _path(place: str, solver: Any, family: str, **options: Any) -> Arrays:
    settings: dict[str, Any] = {"n_lambdas": 3, "eps": 0.2, "tol": 1e-3, "validation": 0.2} | options
    path = sdw.elastic_net_path(*table(family), solver=solver, family=family, device=place, **settings)
    assert path.certified.all()
    return [path.weights_at(k) for k in range(3)]


for _solver in ("saga", "working_set"):
    for _family in ("multinomial", "binomial", "gaussian"):

        @step(f"elastic_net_path, {_solver}, {_family}")
        def _(place: str, solver: str = _solver, family: str = _family) -> Arrays:
            return _path(place, solver, family)


@step("elastic_net_path, saga, grouped")
def _(place: str) -> Arrays:
    return _path(place, "saga", "multinomial", group=True)


@step("elastic_net_path, working_set, weights, factors and float32")
def _(place: str) -> Arrays:
    rng = np.random.default_rng(1)
    more = {"sample_weight": rng.random(90), "penalty_factors": rng.random(9) + 0.5, "storage": "float32"}
    return _path(place, "working_set", "multinomial", **more)


@step("elastic_net_path, working_set, bfloat16")
def _(place: str) -> Arrays:
    return _path(place, "working_set", "multinomial", storage="bfloat16")


@step("elastic_net_path, working_set, warm start")
def _(place: str) -> Arrays:
    first = sdw.elastic_net_path(*table(), device=place, n_lambdas=2, eps=0.3, tol=1e-3)
    return _path(place, "working_set", "multinomial", start=first)


@step("elastic_net_path, saga, table on the host")
def _(place: str) -> Arrays:
    return _path(place, Saga(table_device="cpu"), "multinomial")


for _solver in ("saga", "working_set"):

    @step(f"elastic_net_path, {_solver}, as tight as is nearly free, bounds on the weights")
    def _(place: str, solver: str = _solver) -> Arrays:
        path = sdw.elastic_net_path(*table(), solver=solver, device=place, n_lambdas=3, eps=0.2)
        assert path.certified.all()
        assert np.isfinite(path.weight_bounds).all()
        return [path.weights_at(k) for k in range(3)]


@step("elastic_net_path, working_set, from a file in parts")
def _(place: str) -> Arrays:
    X, y = table(n=2000, p=60)
    features = sdw.DeepFeatures.from_arrays(X, y, validation=0.1)
    path = sdw.elastic_net_path(features, device=place, n_lambdas=3, eps=0.3, tol=1e-3, memory_budget=1.4e7)
    return [path.weights_at(k) for k in range(3)]


for _solver in ("saga", "working_set"):

    @step(f"elastic_net_path, {_solver}, gone on with")
    def _(place: str, solver: str = _solver) -> Arrays:
        def stop(done: Progress) -> None:
            if done.piece is not None:
                raise Cancelled

        with tempfile.TemporaryDirectory() as folder:
            kept = {"checkpoint": Path(folder) / "fit"}
            sdw.elastic_net_path(
                *table(),
                solver=solver,
                device=place,
                n_lambdas=3,
                tol=1e-3,
                eps=0.2,
                validation=0.2,
                progress=stop,
                **kept,
            )
            return _path(place, solver, "multinomial", **kept)


# -- features, and the layer in the model ----------------------------------------------------------------


def _features(model: nn.Module, n: int = 36) -> sdw.DeepFeatures:
    return sdw.extract_features(model, pictures(n), validation=0, batch_size=16)


def _layer(model: nn.Module, features: sdw.DeepFeatures) -> Any:
    path = sdw.elastic_net_path(features, n_lambdas=4, eps=0.1, tol=1e-3)
    return path.decision_layer(-1)


@step("extract_features")
def _(place: str) -> Arrays:
    return [_features(network().to(place)).values]


@step("extract_features, device=")
def _(place: str) -> Arrays:
    return [sdw.extract_features(network(), pictures(), validation=0, device=place).values]


@step("SparseDecisionLayer, applied and silenced")
def _(place: str) -> Arrays:
    model = network()
    layer = _layer(model, _features(model))
    model, x = model.to(place).eval(), pictures()[0].to(place)
    out = []
    for shown in (layer, layer.silence([0, 3]), layer.silence([1], at="mean")):
        with shown.installed(model):
            out.append(model(x).detach().cpu())
    return [*out, model(x).detach().cpu()]


# -- saliency --------------------------------------------------------------------------------------------

_FAST: dict[str, dict[str, Any]] = {
    "smoothgrad": {"n_samples": 3},
    "integrated_gradients": {"n_steps": 3},
    "smooth_cafo": {"n_samples": 2},
    "smooth_caso": {"n_samples": 2},
}

for _method in METHODS:

    @step(f"attribute, {_method}")
    def _(place: str, method: str = _method) -> Arrays:
        x, y = pictures(3)
        model = network().eval()
        model[-1].weight.data *= 10
        found = sdw.attribute(model.to(place), x, method, target=y, **_FAST.get(method, {}))
        return [found.values]


@step("attribute, gradcam of a transformer")
def _(place: str) -> Arrays:
    model = ZOO["torchvision VisionTransformer"].model().to(place)
    x = torch.as_tensor(np.random.default_rng(0).random((2, 3, 32, 32)), dtype=torch.float32)
    return [sdw.attribute(model, x, "gradcam", positive=False).values]


@step("attribute, data on the card")
def _(place: str) -> Arrays:
    x, y = (part.to(place) for part in pictures(3))
    return [sdw.attribute(network().eval().to(place), x, "gradient", target=y).values]


@step("attribute, tokens")
def _(place: str) -> Arrays:
    model = Words().eval().to(place)
    given = {
        "input_ids": torch.arange(6).reshape(2, 3),
        "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
    }
    return [sdw.attribute(model, given, method).values for method in ("gradient", "cafo", "caso")]


@step("excitation of units")
def _(place: str) -> Arrays:
    return [
        sdw.excitation(network().eval().to(place), pictures(2)[0], units=range(2), contrastive=True).values
    ]


@step("curvature")
def _(place: str) -> Arrays:
    found = sdw.curvature(network().eval().to(place), pictures(2)[0], n_eigenpairs=2)
    return [found.eigenvalues]


@step("curvature_agreement")
def _(place: str) -> Arrays:
    found = sdw.curvature_agreement(network().eval().to(place), pictures(2))
    return [found.difference]


@step("lambda1_sweep")
def _(place: str) -> Arrays:
    return [sdw.lambda1_sweep(network().eval().to(place), pictures(2)[0]).values]


# -- perturbations ---------------------------------------------------------------------------------------

for _norm in NORMS:
    for _attack in ATTACKS:

        @step(f"perturb, {_attack}, {_norm}")
        def _(place: str, norm: str = _norm, attack: str = _attack) -> Arrays:
            x, y = pictures(3)
            eps = {"linf": 0.05, "l2": 0.5}.get(norm, 3.0)
            model = network().eval().to(place)
            found = sdw.perturb(model, x, target=y, norm=norm, method=attack, eps=eps, steps=3, ascent=True)
            return [found.perturbed]


@step("error_counterfactuals")
def _(place: str) -> Arrays:
    model = network().eval().to(place)
    found = sdw.error_counterfactuals(model, pictures(), eps=2.0, steps=2, sure=0.0, max_errors=3)
    return [found.fix_delta, found.why_delta]


@step("probe_concept")
def _(place: str) -> Arrays:
    found = sdw.probe_concept(network().eval().to(place), 0, shape=(3, 16, 16), steps=2, seeds=(0,))
    return [found.deltas]


@step("robust_accuracy")
def _(place: str) -> Arrays:
    return [sdw.robust_accuracy(network().eval().to(place), pictures(), norm="l2", eps=0.1)]


@step("adversarial_training")
def _(place: str) -> Arrays:
    model = network().to(place)
    done = sdw.adversarial_training(model, pictures(), epochs=2, batch_size=6)
    return [done.losses, *(parameter.detach().cpu() for parameter in model.parameters())]


# -- what a feature means --------------------------------------------------------------------------------


@step("find_prototypes")
def _(place: str) -> Arrays:
    model = network().eval().to(place)
    return [sdw.find_prototypes(model, pictures(), k=2).top]


for _kind in ("fourier", "pixel", "plain"):

    @step(f"visualize_features, {_kind}")
    def _(place: str, kind: str = _kind) -> Arrays:
        model = network().eval().to(place)
        found = sdw.visualize_features(
            model, pictures(), _features(model), features=[0, 2], n_steps=3, parameters=kind, size=(16, 16)
        )
        return [found.pictures]


@step("lime_images")
def _(place: str) -> Arrays:
    model = network().eval().to(place)
    found = sdw.lime_images(
        model, pictures(2)[0], _features(model), features=[0, 2], segments="grid", n_segments=9, n_samples=30
    )
    return [found.weights]


for _kind in ("srae", "lasso"):

    @step(f"x_features, {_kind}")
    def _(place: str, kind: str = _kind) -> Arrays:
        model, recipe = network().eval().to(place), Recipe(epochs=2, pretraining=1, retries=0)
        own = {} if kind == "lasso" else {"recipe": recipe, "hidden": (6,)}
        with warnings.catch_warnings():  # two epochs explain little
            warnings.simplefilter("ignore", ExplanationWarning)
            found = sdw.x_features(model, pictures(48), 0, n=2, gallery=4, method=kind, **own)
        return [found.maps, found.activations]


@step("text: extract_features, find_prototypes, lime_text")
def _(place: str) -> Arrays:
    demo = sdw.load_demo("tickets")
    model, data = demo.model.to(place), TicketsDataset("test", 40)
    features, tokenizer = sdw.extract_features(model, data, validation=0), tokenizer_of_tickets()
    shown = sdw.find_prototypes(features, data, k=2)
    sentence = "please refund the broken phone"
    found = sdw.lime_text(model, [sentence], features, tokenizer=tokenizer, features=[0], n_samples=20)
    return [features.values, shown.top, *found.weights]


@step("keep_top_pixels")
def _(place: str) -> Arrays:
    model, (x, y) = network().eval().to(place), pictures(4)
    return [keep_top_pixels(model, x, np.random.default_rng(0).random((4, 16, 16)), target=y).accuracy]
