"""The "?" of every method: each entry of a registry has a sentence for everybody and a formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sparse_debug_widgets import interpret, saliency
from sparse_debug_widgets.perturbation import METHODS
from sparse_debug_widgets.perturbation.norms import BOX_MODES, NORMS

REGISTRIES: dict[str, Mapping[str, Any]] = {
    "saliency": saliency.METHODS,
    "x-features": interpret.EXPLANATION_METHODS,
    "perturb": METHODS,
    "norm": NORMS,
    "box mode": BOX_MODES,
}
# What only those understand who have read the papers or the code.
FOR_FEW = ("thesis", "eq.", "Definition", "Hessian", "argmax", "_", "(20")


@pytest.mark.parametrize(
    ("registry", "name"), [(room, name) for room, entries in REGISTRIES.items() for name in entries]
)
def test_every_method_says_in_a_sentence_what_it_does(registry: str, name: str) -> None:
    meaning = REGISTRIES[registry][name].meaning
    assert meaning is not None
    assert meaning.says.endswith(".")
    assert meaning.says.count(". ") == 0, "one sentence"
    assert 40 < len(meaning.says) < 260
    assert not [word for word in FOR_FEW if word in meaning.says]
    assert len(meaning.formula) > 8
