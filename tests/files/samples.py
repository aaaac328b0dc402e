"""One thing of every kind that the package writes to files, as small as it can be.

Whoever adds a kind adds it here, and runs ``python -m tests.files.make``: its file is then read in every
version to come.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe
from sparse_debug_widgets.interpret.xfeatures.srae.layer import LayerActivations, Tap, read_layer
from sparse_debug_widgets.interpret.xfeatures.srae.srae import fit_explanation
from sparse_debug_widgets.sparse.layer.repaired import save_repaired

Numbers = Mapping[str, Any]

# ---------------------------------------------------------------- results

X = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(24) % 3


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 9), nn.ReLU(), nn.Linear(9, 3)
    ).eval()


class Reader(nn.Module):
    """A bag of words."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embedding, self.head = nn.Embedding(20, 5), nn.Linear(5, 2)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.embedding(input_ids).mean(1))
        return out


def tokens(sentences: list[str]) -> torch.Tensor:
    return torch.tensor([[len(word) % 20 for word in ((s.split() or ["x"]) * 4)[:4]] for s in sentences])


SENTENCES = ["a bb ccc", "dddd a eeeee", "bb bb ffffff", "ccc a a", "gg hhh a", "a iiii bb"]


def texts() -> tuple[Any, Any]:
    data = TextData(SENTENCES, [0, 1, 0, 1, 0, 1], tokens)
    return Reader().eval(), data


def explained() -> Any:
    model, data = texts()
    features = sdw.extract_features(model, data, validation=0)
    return sdw.lime_text(model, SENTENCES, features, tokenizer=tokens, n_samples=30)


def probed() -> Any:
    model, data = texts()
    words = sdw.elastic_net_path(sdw.extract_features(model, data, validation=0), n_lambdas=4)
    return sdw.bias_probe(model, words, data, ["a a", "zz"], index=-1)


def deep() -> Any:
    return sdw.extract_features(network(), (X, Y), test=(X[:6], Y[:6]))


def path() -> Any:
    return sdw.elastic_net_path(deep(), n_lambdas=6, eps=0.1)


MADE: dict[str, Callable[[], Any]] = {
    "deep_features": deep,
    "regularization_path": path,
    "feature_order": lambda: sdw.feature_order(path(), 1),
    "prototypes": lambda: sdw.find_prototypes(deep(), (X, Y), test=(X[:6], Y[:6]), k=2),
    "image_explanations": lambda: sdw.lime_images(network(), X[:2], deep(), n_samples=80, segments="grid"),
    "text_explanations": explained,
    "word_clouds": lambda: sdw.word_clouds(explained()),
    "visualizations": lambda: sdw.visualize_features(network(), (X, Y), deep(), features=[0, 2], n_steps=2),
    "class_explanation": lambda: fit_explanation(read_layer(network(), (X, Y), None), 1, method="lasso", n=2),
    "x_features": lambda: sdw.x_features(network(), (X, Y), 1, method="lasso", n=2, gallery=3),
    "perturbation": lambda: sdw.perturb(network(), X[:2], eps=2.0, steps=2, keep_iterates=True),
    "error_counterfactuals": lambda: sdw.error_counterfactuals(network(), (X, Y), eps=2.0, steps=2),
    "concept_probe": lambda: sdw.probe_concept(network(), 1, shape=(1, 8, 8), steps=2, seeds=(0, 1)),
    "adversarial_training": lambda: sdw.adversarial_training(network(), (X, Y), epochs=1, eps=0.1),
    "attribution": lambda: sdw.attribute(network(), X[:2], "cafo"),
    "lambda1_sweep": lambda: sdw.lambda1_sweep(network(), X[:2], n_lambdas=4),
    "curvature": lambda: sdw.curvature(network(), X[:2], n_eigenpairs=2),
    "curvature_agreement": lambda: sdw.curvature_agreement(network(), (X, Y)),
    "excitation": lambda: sdw.excitation(network(), X[:2]),
    "rank_one_errors": lambda: sdw.rank_one_errors((3,), confidences=(0.5, 0.9)),
    "debug_report": lambda: sdw.debug_report(network(), (X, Y), (X[:6], Y[:6]), groups=["a", "b"] * 3),
    "bias_probe": probed,
    "ablation": lambda: sdw.ablation(path(), deep(), index=-1, ks=(1, 3), n_draws=2),
    "confusion": lambda: sdw.confusion(path(), deep(), index=-1, n_permutations=20),
    "misclassification": lambda: sdw.misclassification(path(), deep(), index=-1),
    "suspects": lambda: sdw.suspects(path(), network(), (X, Y), index=-1, draws=20),
    "kept_pixels": lambda: sdw.keep_top_pixels(network(), X[:4], np.random.default_rng(0).random((4, 8, 8))),
}


def result_classes() -> list[type[Result]]:
    """All result classes of the package."""
    for name in sdw.__all__:
        getattr(sdw, name)  # every room is read
    return [cls for cls in Result.__subclasses__() if cls.__module__.startswith("sparse_debug_widgets.")]


# ---------------------------------------------------------------- what work leaves behind to go on from
#
# Inputs and weights are quotients of small whole numbers, so that they are the same bits on every machine
# and the files know them again.


def exact(*shape: int, over: int = 128) -> torch.Tensor:
    """Numbers between 0 and 1, without any rounding."""
    return (torch.arange(int(np.prod(shape))) * 7919 % 101).float().reshape(shape) / over


def filled(model: nn.Module) -> nn.Module:
    """A model whose parameters have no rounding."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(exact(*parameter.shape) - 0.375)
    return model.eval()


PICTURES, LABELS = exact(12, 1, 4, 4), torch.arange(12) % 3


def small_network() -> nn.Module:
    return filled(nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3)))


def small_features() -> Any:
    labels = np.arange(80) % 4
    values = (np.arange(80 * 10).reshape(80, 10) * 7919 % 97 + 40 * (labels[:, None] == np.arange(10))) / 64
    return sdw.DeepFeatures.from_arrays(
        values.astype(np.float32), labels, splits=(np.arange(80) >= 64).astype(np.int64)
    )


def stopped_after(count: int) -> Callable[[Any], None]:
    """A progress callback that stops the work when it is asked for the last time."""
    calls = iter(range(count))

    def progress(_: object) -> None:
        if next(calls, None) is None:
            raise Cancelled

    return progress


def fit_path(folder: Path, solver: str, progress: Any = False) -> Numbers:
    lambdas = [2.0**-k for k in range(2, 8)]
    path = sdw.elastic_net_path(
        small_features(), lambdas=lambdas, solver=solver, tol=1e-6, checkpoint=folder, progress=progress
    )
    return {"lambdas": path.lambdas, "objectives": path.objectives, "losses": path.losses}


def train(folder: Path, progress: object = False) -> Numbers:
    model = small_network()
    found = sdw.adversarial_training(
        model,
        (PICTURES, LABELS),
        eps=0.1,
        epochs=2,
        checkpoint=folder / "training.safetensors",
        progress=progress,
    )
    return {
        "radii": found.radii,
        "losses": found.losses,
        "weight": model.get_parameter("3.weight").detach().numpy(),
    }


def explain(folder: Path, progress: object = False) -> Numbers:
    values = exact(40, 6).numpy()
    scores = np.stack([values[:, :3].sum(1), values[:, 3:].sum(1)], 1)
    rows = LayerActivations(Tap("3", True, "3"), values, scores, np.arange(40) % 2)
    recipe = Recipe(epochs=6, pretraining=2, batch_size=20, retries=0)
    file = folder / "explanation.safetensors"
    found = fit_explanation(
        rows, 0, n=2, recipe=recipe, hidden=(4,), checkpoint=file, progress=progress, test_rows=rows
    )
    return {"history": found.history, "parameters": found.parameters}


def explain_pictures(folder: Path) -> Numbers:
    model = small_network()
    features = sdw.extract_features(model, (PICTURES, LABELS), validation=0)
    found = sdw.lime_images(
        model,
        PICTURES[:1],
        features,
        n_samples=40,
        segments=np.arange(16).reshape(4, 4) // 4,
        hide=0.0,
        cache=folder,
    )
    return {"weights": found.weights, "r2": found.r2}


def explain_sentences(folder: Path) -> Numbers:
    model = filled(Reader())
    features = sdw.extract_features(model, TextData(SENTENCES, [0, 1, 0, 1, 0, 1], tokens), validation=0)
    found = sdw.lime_text(model, SENTENCES[:1], features, tokenizer=tokens, n_samples=20, cache=folder)
    return {"weights": found.weights, "r2": found.r2}


def extract(folder: Path) -> Numbers:
    found = sdw.extract_features(
        small_network(), (PICTURES, LABELS), batch_size=5, cache=folder, validation=0
    )
    return {"values": found.values, "reused_rows": found.provenance.params["reused_rows"]}


def small_layer() -> Any:
    return sdw.elastic_net_path(small_features(), lambdas=[0.05, 0.02], tol=1e-6).decision_layer(1)


def keep_layer(folder: Path) -> Numbers:
    """A sparse layer, kept as its class says: by its state dict."""
    file, layer = folder / "layer.safetensors", small_layer()
    if file.exists():
        with torch.no_grad():
            layer.weight.zero_()
        layer.load_state_dict(load_file(file))
    else:
        save_file(layer.state_dict(), file)
    return {
        "weight": layer.weight.numpy(),
        "bias": layer.bias.numpy(),
        "standardized": layer.standardized_weight,
    }


def keep_repaired(folder: Path) -> Numbers:
    """A model with a sparse layer inside, whose own class reads it."""
    file, model = folder / "repaired.safetensors", small_network()
    if not file.exists():
        features = sdw.extract_features(model, (PICTURES, LABELS), validation=0)
        path = sdw.elastic_net_path(features, n_lambdas=4, eps=0.1)
        save_repaired(model, path.decision_layer(2), file)
    model.load_state_dict(load_file(file))
    return {"logits": model(PICTURES).detach().numpy()}


def _interrupted(work: Callable[..., Numbers], after: int, *args: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with contextlib.suppress(Cancelled):
            work(folder, *args, stopped_after(after))

    return make


# How the files of each come about, and what a later version does with them.
LEFT: dict[str, tuple[Callable[[Path], object], Callable[[Path], Numbers]]] = {
    "path_saga": (_interrupted(fit_path, 60, "saga"), lambda folder: fit_path(folder, "saga")),
    "path_working_set": (
        _interrupted(fit_path, 14, "working_set"),
        lambda folder: fit_path(folder, "working_set"),
    ),
    "training": (_interrupted(train, 2), train),
    "explanation_network": (_interrupted(explain, 5), explain),
    "lime_pictures": (explain_pictures, explain_pictures),
    "lime_sentences": (explain_sentences, explain_sentences),
    "feature_cache": (extract, extract),
    "decision_layer": (keep_layer, keep_layer),
    "repaired_model": (keep_repaired, keep_repaired),
}
