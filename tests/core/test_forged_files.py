"""Files with a right checksum and wrong contents: refused when they are read, or harmless."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.layout import faults
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.interpret.srae import fit_explanation
from sparse_debug_widgets.interpret.srae_layer import read_layer

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
    "kept_pixels": lambda: sdw.keep_top_pixels(network(), X[:4], np.random.default_rng(0).random((4, 8, 8))),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


def saved(kind: str, folder: Path) -> tuple[type[Result], dict[str, Any], dict[str, Any], int]:
    """A result of this kind as a file: its class, head and arrays."""
    file = folder / kind
    if not file.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            MADE[kind]().save(file)
    cls = next(c for c in subclasses() if c.kind == kind)
    head, arrays = storage.read(file, kind=kind, schema=cls.schema)
    return cls, head, arrays, cls.schema


def subclasses() -> list[type[Result]]:
    for name in sdw.__all__:
        getattr(sdw, name)  # every room is read
    return [cls for cls in Result.__subclasses__() if cls.__module__.startswith("sparse_debug_widgets.")]


def array_forgeries(array: np.ndarray[Any, Any]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """An array with one thing wrong."""
    yield "another axis", array[None]
    yield "flat", array.reshape(-1)[: max(1, array.size // 2)] if array.ndim > 1 else array[None, :0]
    yield "a number", np.asarray(0.5)
    yield "empty", array[:0]
    if array.ndim:
        yield "one row less", array[:-1]
        yield "one row more", np.concatenate([array, array[-1:]]) if len(array) else array[None]
    if array.ndim > 1 and array.shape[-1]:
        yield "one column less", array[..., :-1]
    kind = array.dtype.kind
    yield "truth values", array.astype(bool)
    if kind == "f":
        yield "whole numbers", np.nan_to_num(array).clip(-1e9, 1e9).astype(np.int64)
        yield "all NaN", np.full_like(array, np.nan)
        yield "reversed", array[::-1]
        yield "huge", np.full_like(array, 3e38)
    else:
        yield "numbers with a point", array.astype(np.float64)
    if kind in "iu":
        yield "far too large", np.full_like(array, np.iinfo(array.dtype).max)
    if kind == "i":
        yield "negative", np.full_like(array, -7)


def field_forgeries(value: object) -> Iterator[tuple[str, object]]:
    """A field of the head with one thing wrong."""
    yield "a number", 3
    yield "a text", "x"
    yield "truth", True
    yield "a list of numbers", [1, 2]
    yield "a mapping", {"a": [1]}
    if isinstance(value, list | tuple):
        yield "one less", list(value)[:-1]
        yield "one more", [*value, "one more"]
    if isinstance(value, int | float):
        yield "huge", 10**12
        yield "negative", -5


def forgeries(
    head: dict[str, Any], arrays: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for name, array in arrays.items():
        for what, forged in array_forgeries(array):
            yield f"{name}: {what}", head, {**arrays, name: forged}
        yield (
            f"{name}: none",
            {**head, "none": [*head["none"], name]},
            {k: v for k, v in arrays.items() if k != name},
        )
    for name, value in head["fields"].items():
        for what, forged in field_forgeries(value):
            yield f"{name}: {what}", {**head, "fields": {**head["fields"], name: forged}}, arrays
    for name, value in head["provenance"].items():
        for what, forged in field_forgeries(value):
            yield (
                f"provenance {name}: {what}",
                {**head, "provenance": {**head["provenance"], name: forged}},
                arrays,
            )


def use(found: Result) -> None:
    """What a person does first with a result that was read."""
    repr(found)
    found.to_frame()
    found.plot()


def test_every_kind_is_here_and_says_what_its_arrays_are() -> None:
    assert {cls.kind for cls in subclasses()} == set(MADE)
    for cls in subclasses():
        assert cls.arrays, cls


@pytest.mark.parametrize("kind", sorted(MADE))
def test_forged_contents_are_refused_or_harmless(kind: str, folder: Path, tmp_path: Path) -> None:
    cls, head, arrays, schema = saved(kind, folder)
    use(cls.load(folder / kind))
    raw: list[str] = []
    accepted = tried = 0
    for what, forged_head, forged_arrays in forgeries(head, arrays):
        tried += 1
        storage.write(
            tmp_path / "f", kind=kind, schema=schema, head=forged_head, arrays=forged_arrays, durable=False
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = cls.load(tmp_path / "f")
                accepted += 1
                # Where a result comes from is said, not drawn.
                (repr if what.startswith("provenance") else use)(found)
        except InputError:
            continue
        except Exception as error:
            raw.append(f"{what}: {type(error).__name__}: {str(error)[:80]}")
    assert not raw, f"{len(raw)} of {tried} ({accepted} accepted)\n" + "\n".join(raw)


def test_the_lines_are_read_as_written() -> None:
    lines = {"a": "K C float finite", "b": "C names", "c": "? K+1 index <C"}
    good = {"a": np.zeros((2, 3)), "b": ("x", "y", "z"), "c": np.array([0, 1, 2])}
    assert list(faults(lines, good, {})) == []
    assert list(faults(lines, {**good, "c": None}, {})) == []
    wrong = {
        "a": np.full((2, 3), np.nan), "b": ("x", "y"), "c": np.array([0, 1, 3]),
    }  # fmt: skip
    for name, value in wrong.items():
        assert any(
            fault.startswith(name) or f" {name}" in fault
            for fault in faults(lines, {**good, name: value}, {})
        )
    assert list(faults({}, {"n": "3"}, {"n": "int"})) == ["n of type str"]
    assert list(faults({}, {"n": True}, {"n": "int"})) == ["n of type bool"]
