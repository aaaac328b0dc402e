"""Write what this version saves into the folder of its name, for later versions to read.

    python -m tests.files.make

Files that are there stay as they are: they are what was saved then.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparse_debug_widgets.core.result import Result
from tests.files.samples import LEFT, MADE

HERE = Path(__file__).parent
VERSION = "0.2"
VALUES = "values.json"
_SHOWN = 8


def fields_of(result: Result) -> dict[str, Any]:
    """All fields of a result but where it comes from."""
    return {
        field.name: getattr(result, field.name)
        for field in dataclasses.fields(result)
        if field.name != "provenance"
    }


def described(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as plain JSON: of an array its form and some of its numbers."""
    return {name: _described(value) for name, value in values.items()}


def _described(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return json.loads(json.dumps(value))
    flat = value.reshape(-1)
    rows = np.unique(np.linspace(0, max(0, flat.size - 1), min(_SHOWN, flat.size)).astype(int))
    return {"shape": list(value.shape), "dtype": value.dtype.str, "some": flat[rows].tolist()}


def written(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write what is missing in a folder; gives the name of each file or folder with its values."""
    for kind, make in MADE.items():
        file = folder / f"{kind}.safetensors"
        if not file.exists():
            result = make()
            result.save(file)
            yield kind, described(fields_of(result))
    for name, (begin, go_on) in LEFT.items():
        if not (folder / name).exists():
            with tempfile.TemporaryDirectory() as place:
                begin(Path(place))
                shutil.copytree(place, folder / name)
                yield name, described(go_on(Path(place)))


def main() -> None:
    folder = HERE / VERSION
    folder.mkdir(exist_ok=True)
    file = folder / VALUES
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known |= dict(written(folder))
    lines = (f"{json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
