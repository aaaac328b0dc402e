"""Maps that were saved when they pointed where the loss rises are read with today's sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core import storage
from tests.files.signs import FOLDER, MAPS


def read(name: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    cls: Any = sdw.Lambda1Sweep if name == "sweep" else sdw.Attribution
    head, arrays = storage.read(FOLDER / f"{name}.safetensors", kind=cls.kind, schema=cls.schema)
    return cls.load(FOLDER / f"{name}.safetensors"), head, arrays


@pytest.mark.parametrize("name", MAPS)
def test_a_map_of_before_has_the_sign_of_today(name: str) -> None:
    found, _, arrays = read(name)
    today = MAPS[name]()
    np.testing.assert_allclose(found.values, today.values, rtol=1e-3, atol=1e-4 * np.abs(today.values).max())
    turned = name != "gradient"
    np.testing.assert_array_equal(found.values, -arrays["values"] if turned else arrays["values"])
    assert np.abs(found.values).max() > 0


def test_what_the_map_sums_up_to_turns_with_it() -> None:
    found, head, _ = read("integrated_loss")
    for name in ("completeness_residual", "output_change"):
        np.testing.assert_array_equal(found.details[name], -np.array(head["fields"]["details"][name]))
    sums = found.values.reshape(2, -1).sum(1)
    np.testing.assert_allclose(
        sums - found.details["output_change"], found.details["completeness_residual"], atol=1e-5
    )


@pytest.mark.parametrize("name", ["cafo", "integrated_loss", "sweep"])
def test_a_map_that_was_read_and_saved_again_is_not_turned_twice(name: str, tmp_path: Path) -> None:
    found, *_ = read(name)
    again = type(found).load(found.save(tmp_path / "again.safetensors"))
    np.testing.assert_array_equal(again.values, found.values)


def test_what_a_sweep_of_before_gives_is_a_map_of_today(tmp_path: Path) -> None:
    sweep, *_ = read("sweep")
    one = sweep.attribution(1)
    again = sdw.Attribution.load(one.save(tmp_path / "one.safetensors"))
    np.testing.assert_array_equal(again.values, sweep.values[1, [0]])
