"""Checkpoints with a right checksum and wrong contents: refused, not used, or harmless; never a raw error.

A path that goes on from one ends certified, whatever the solver was told that it knew.
"""

from __future__ import annotations

import itertools
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import InputError
from tests.core.test_forged_files import array_forgeries, field_forgeries
from tests.files.make import HERE, VERSION
from tests.files.samples import LEFT

PARTS = {
    ("path_saga", "lambda-00001"): "path_checkpoint_lambda",
    ("path_saga", "state"): "path_checkpoint_state",
    ("path_working_set", "lambda-00001"): "path_checkpoint_lambda",
    ("path_working_set", "state"): "path_checkpoint_state",
    ("training", "training"): "adversarial_training_checkpoint",
    ("explanation_network", "explanation"): "x_feature_checkpoint",
}
RECORDED = {"losses", "accuracies", "objective", "gap", "weight_bound", "seconds", "iterations", "reason"}
"""Numbers about a strength that was solved: nothing else tells what they were."""


def forgeries(head: dict[str, Any], arrays: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name, array in arrays.items():
        made = array_forgeries(array) if array.ndim else iter([("an axis", array[None])])
        for what, forged in made:
            yield f"{name}: {what}", head, {**arrays, name: forged}
        yield f"{name}: none", head, {key: value for key, value in arrays.items() if key != name}
        yield "more", head, {**arrays, "more": array}
    for name, value in head.items():
        for what, forged in field_forgeries(value):
            yield f"{name}: {what}", {**head, name: forged}, arrays
        yield f"{name}: none", {key: held for key, held in head.items() if key != name}, arrays


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_forged_checkpoints_are_refused_or_harmless(name: str, part: str, tmp_path: Path) -> None:
    kind, source = PARTS[name, part], HERE / VERSION / name
    head, arrays = storage.read(source / f"{part}.safetensors", kind=kind, schema=1)
    right = LEFT[name][1](Path(shutil.copytree(source, tmp_path / "right")))
    raw: list[str] = []
    # A fit takes a third of a second: every fourth forgery of a path, so that each part has its turn.
    tried = itertools.islice(forgeries(head, arrays), 0, None, 4 if name.startswith("path") else 1)
    for number, (what, forged_head, forged_arrays) in enumerate(tried):
        folder = Path(shutil.copytree(source, tmp_path / str(number)))
        storage.write(
            folder / f"{part}.safetensors",
            kind=kind,
            schema=1,
            head=forged_head,
            arrays=forged_arrays,
            durable=False,
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = LEFT[name][1](folder)
        except InputError:
            continue
        except Exception as error:
            raw.append(f"{what}: {type(error).__name__}: {str(error)[:80]}")
        else:
            told = what.partition(":")[0] in RECORDED or not name.startswith("path")
            if not told and not np.allclose(found["objectives"], right["objectives"], rtol=1e-3):
                raw.append(f"{what}: another path")
        finally:
            shutil.rmtree(folder)
    assert not raw, "\n".join(raw)
