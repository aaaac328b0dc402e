"""A result and data that are passed together belong together, wherever the two meet; the message says which.

What keeps the rows of its data is compared row by row; what keeps examples is looked for in the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse.features.origin import check_held, check_origin
from sparse_debug_widgets.widgets.catalog import PANELS
from tests.files.samples import SENTENCES, X, Y, network, texts, tokens

OTHER = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(5))
ANY_DATA = {
    "RegularizationPath",  # accuracy is measured on whatever data one likes
    "ConceptProbe",  # a drawing of no example; pictures may be any of its shape
}
"""Panels of these results take any data: nothing of the result is about certain examples."""

Meet = Callable[..., Any]


def shown(result: Any, **options: Any) -> Any:
    return sdw.panel(result, network(), fallback="none", **options)


def fitted(result: Any, **options: Any) -> Any:
    return sdw.panel(result, checkpoints=False, fallback="none", **options)


RESULTS: dict[str, tuple[Callable[[], Any], Meet]] = {
    "Perturbation": (lambda: sdw.perturb(network(), X[3:5], eps=2.0, norm="l2", steps=2), shown),
    "ErrorCounterfactuals": (
        lambda: sdw.error_counterfactuals(network(), (X, Y), eps=2.0, norm="l2", steps=2),
        shown,
    ),
    "Attribution": (lambda: sdw.attribute(network(), X[3:5], "gradient"), shown),
    "Lambda1Sweep": (lambda: sdw.lambda1_sweep(network(), X[3:4], n_lambdas=4), shown),
    "XFeatures": (
        lambda: sdw.x_features(network(), (X, Y), 1, method="lasso", n=2, gallery=3, maps=False),
        shown,
    ),
    "DeepFeatures": (lambda: sdw.extract_features(network(), (X, Y)), fitted),
}
FUNCTIONS: dict[str, tuple[str, Meet]] = {
    "find_prototypes": ("DeepFeatures", lambda r, *, data: sdw.find_prototypes(r, data, k=2)),
    "features_panel": (
        "DeepFeatures",
        lambda r, *, data: sdw.features_panel(
            sdw.elastic_net_path(r, n_lambdas=3), network(), data=data, features=r, fallback="none"
        ),
    ),
}
MEETINGS = {**{name: (name, meet) for name, (_, meet) in RESULTS.items()}, **FUNCTIONS}


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        return {name: make() for name, (make, _) in RESULTS.items()}


def test_every_result_that_has_a_panel_is_here() -> None:
    assert {result.__name__ for result in PANELS} == {*RESULTS, *ANY_DATA}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MEETINGS)
def test_other_data_are_refused_and_said_which(name: str, results: dict[str, Any]) -> None:
    result, meet = MEETINGS[name]
    for wrong in (
        (OTHER, Y),
        TensorDataset(OTHER, Y),
        DataLoader(TensorDataset(OTHER, Y), batch_size=5, shuffle=True),
        (OTHER[:7], Y[:7]),
    ):
        with pytest.raises(InputError) as found:
            meet(results[result], data=wrong)
        said = str(found.value)
        count = 7 if isinstance(wrong, tuple) and len(wrong[0]) == 7 else 24
        assert f"got {count}" in said or "got another example in row 0" in said
        assert "Pass those" in said or "pass these" in said or "be what the features were taken from" in said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MEETINGS)
def test_their_own_data_are_accepted_in_any_form(name: str, results: dict[str, Any]) -> None:
    result, meet = MEETINGS[name]
    for own in (
        (X, Y),
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), batch_size=5),
        DataLoader(TensorDataset(X, Y), batch_size=5, shuffle=True),
        (X.numpy(), Y.tolist()),
    ):
        meet(results[result], data=own)


class Cropped(Dataset[Any]):
    """Another picture each time it is read, as with transforms of training."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, row: int) -> Any:
        return X[row] + 1e-2 * torch.from_numpy(np.random.default_rng().random((1, 8, 8))).float(), int(
            Y[row]
        )


@pytest.mark.parametrize("name", ["Perturbation", "Attribution", "ErrorCounterfactuals"])
def test_data_that_are_others_each_time_cannot_be_told_from_others(
    name: str, results: dict[str, Any]
) -> None:
    shown(results[name], data=Cropped())


@pytest.mark.parametrize("name", ["Perturbation", "Attribution", "Lambda1Sweep", "XFeatures"])
def test_a_result_without_data_shows_its_own(name: str, results: dict[str, Any]) -> None:
    shown(results[name])


def test_what_x_features_were_computed_from_is_said(results: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"It was computed from 24 of \(X, y\) as data: pass these"):
        shown(results["XFeatures"], data=(OTHER, Y))


def test_a_drawing_takes_pictures_of_its_shape_only() -> None:
    drawing = sdw.probe_concept(network(), 1, shape=(1, 8, 8), steps=2, seeds=(0,))
    shown(drawing, data=(OTHER, Y))
    with pytest.raises(InputError, match=r"of the shape \(1, 8, 8\) of the drawing; got shape \(1, 4, 4\)"):
        shown(drawing, data=(OTHER[..., :4, :4], Y))


def test_large_data_are_not_read_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(
        "sparse_debug_widgets.sparse.features.origin.time.monotonic", lambda: float(next(clock))
    )
    seen: list[int] = []

    def read() -> Any:
        for row in range(1000):
            seen.append(row)
            yield OTHER[row % 24]

    check_held(X[:2].numpy(), read, "this", OTHER, "")
    assert len(seen) < 10


# ---------------------------------------------------------------- texts


def test_sentences_of_a_saliency_map_are_looked_for_too() -> None:
    model, data = texts()
    found = sdw.attribute(model, tokens(SENTENCES[2:3]), "gradient")
    sdw.panel(found, model, data=data, fallback="none")
    with pytest.raises(InputError, match="none of them is example 0 of the result"):
        sdw.panel(found, model, data=sdw.TextData(["z", "yy yy"], [0, 1], tokens), fallback="none")


class Tokens(Dataset[Any]):
    """Dicts as a tokenizer gives them."""

    def __init__(self, ids: torch.Tensor, mask: torch.Tensor) -> None:
        self.ids, self.mask = ids, mask

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Any:
        return {"input_ids": self.ids[row], "attention_mask": self.mask[row], "label": row % 2}


class Masked(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = torch.nn.Embedding(30, 5), torch.nn.Linear(5, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        kept = attention_mask[..., None].float()
        out: torch.Tensor = self.head((self.embedding(input_ids) * kept).sum(1) / kept.sum(1))
        return out


def token_rows(seed: int, width: int = 6) -> Tokens:
    """20 rows of one to six tokens, padded to a width."""
    ids = torch.randint(2, 30, (20, 6), generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(6) < 1 + torch.arange(20)[:, None] % 6
    more = width - 6
    pad = torch.nn.functional.pad
    return Tokens(pad(torch.where(mask, ids, 1), (0, more), value=1), pad(mask.long(), (0, more)))


def test_token_numbers_are_compared_not_only_counted() -> None:
    features = sdw.extract_features(Masked(), token_rows(0), batch_size=7)
    check_origin(features, token_rows(0))
    check_origin(features, token_rows(0, width=9))  # padding is no content
    with pytest.raises(InputError, match="got another example in row 0"):
        check_origin(features, token_rows(1))
    swapped = token_rows(0)
    swapped.ids[[5, 11]] = swapped.ids[[11, 5]]
    with pytest.raises(InputError, match="got another example"):
        check_origin(features, swapped)
