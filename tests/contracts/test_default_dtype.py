"""``torch.set_default_dtype`` is the user's, scientific notebooks set float64: our numbers stay the same."""

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import sparse_debug_widgets as sdw
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe
from tests.interpret.models import Pictures, pictures

PACKAGE = Path(sdw.__file__).parent
# What takes the default dtype when nothing is said.
CONSTRUCTORS = {"eye", "zeros", "ones", "empty", "rand", "randn", "full", "linspace", "logspace"}
MODEL = Pictures()  # drawn while the default is float32
RECIPE = Recipe(epochs=2, pretraining=2, retries=0)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def test_no_tensor_is_made_without_saying_of_which_dtype() -> None:
    silent = [
        f"{file.relative_to(PACKAGE)}:{call.lineno}: {ast.unparse(call)}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "torch"
        and call.func.attr in CONSTRUCTORS
        and not any(word.arg in {"dtype", None} for word in call.keywords)
    ]
    assert silent == []


def multinomial() -> np.ndarray:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    features = rng.normal(size=(90, 256))
    features[np.arange(90), labels] += 1
    return sdw.elastic_net_path(features, labels, n_lambdas=12).weights_at(-1)


def medium() -> np.ndarray:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, 600)
    features = rng.normal(size=(600, 300))
    features[np.arange(600), labels] += 1
    return sdw.elastic_net_path(features, labels, n_lambdas=12).weights_at(-1)


def visualised() -> np.ndarray:
    inputs, labels = pictures(12)
    features = sdw.extract_features(MODEL, (inputs, labels), validation=0)
    return sdw.visualize_features(MODEL, inputs, features, features=[0], n_steps=3).pictures


def explained() -> np.ndarray:
    found = sdw.x_features(MODEL, pictures(), 1, n=2, gallery=3, recipe=RECIPE)
    return np.concatenate([found.activations.ravel(), found.maps.ravel()])


def attacked() -> np.ndarray:
    inputs, _ = pictures(4)
    return sdw.perturb(MODEL, inputs, ascent=True, method="pgd", norm="l2", eps=0.5, steps=3).delta


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("compute", [multinomial, medium, visualised, explained, attacked])
def test_results_do_not_depend_on_the_default(compute: Callable[[], np.ndarray], dtype: torch.dtype) -> None:
    expected = compute()
    with default_dtype(dtype):
        found = compute()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
