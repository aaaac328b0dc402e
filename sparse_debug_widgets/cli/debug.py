"""`debug`: a model and its data in, a report as one HTML file out."""

import argparse
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparse_debug_widgets.cli.console import out, watch
from sparse_debug_widgets.core.checks import refuse, reject, shorten
from sparse_debug_widgets.core.jobs import submit
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.core.storage import check_target

_RETURNED = ("model", "data", "test", "groups", "tokenizer", "normalize", "class_names")
_MUST = (
    "return (model, data), (model, data, test), or a dict with 'model', 'data' and any of "
    f"{', '.join(map(repr, _RETURNED[2:]))}"
)
_LIBRARIES = ("torch", "numpy")


def run(arguments: argparse.Namespace) -> int:
    """Look at a model and write the report.

    Returns:
        0.

    Raises:
        InputError: no such function, or a model and data that cannot be debugged.
        StorageError: nothing can be written there.
        Cancelled: it was stopped; nothing is written.
    """
    if (arguments.source is None) == (arguments.demo is None):
        refuse(
            "Name a function that returns the model and its data (package.module:function), or --demo NAME."
        )
    sources = [arguments.data] if arguments.data is not None else []
    target = check_target(arguments.out, "the report", *sources)
    given = _demo(arguments.demo) if arguments.source is None else _called(arguments.source)
    if arguments.data is not None:
        given |= read_data(arguments.data)
    if "data" not in given:
        refuse("There are no data: let the function return (model, data), or name a file of them.")

    from sparse_debug_widgets.analysis import debug_report

    model, data, test = given.pop("model"), given.pop("data"), given.pop("test", None)
    given |= {"batch_size": arguments.batch_size, "seed": arguments.seed}
    job = watch(submit(debug_report, model, data, test, name="debugging", **given))
    if job.error is not None:
        raise job.error
    if job.state == "cancelled":
        out.print("Stopped; nothing was written.")
        raise Cancelled
    report = job.result()
    out.print(str(report), soft_wrap=True)
    out.print(
        f"Wrote {report.to_html(target)}: this report with its tables, for any browser.", soft_wrap=True
    )
    return 0


def _demo(name: str) -> dict[str, Any]:
    from sparse_debug_widgets.data import load_demo

    demo = load_demo(name)
    return {"model": demo.model, "data": demo.train, "test": demo.test, "class_names": demo.class_names}


def _called(source: str) -> dict[str, Any]:
    """The answer of a function that a person names, as arguments of a report.

    Raises:
        InputError: no such module or function, or another answer.
    """
    module_name, _, name = source.partition(":")
    shown = shorten(repr(source))
    if not module_name or not name:
        refuse(f"{shown} names no function: write package.module:function, for example train:model_and_data.")
    # As `python -m` does: modules of the folder that a person stands in are found first.
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            refuse(
                f"There is no module {shorten(repr(module_name))} here. Start from the folder that holds it."
            )
        refuse(f"The module {shorten(repr(module_name))} needs {missing!r}, which is not installed.")
    function = getattr(module, name, None)
    if not callable(function):
        refuse(f"The module {shorten(repr(module_name))} has no function {shorten(repr(name))}.")
    answer = function()
    if isinstance(answer, Mapping) and "model" in answer and not set(answer) - set(_RETURNED):
        return dict(answer)
    if isinstance(answer, tuple) and len(answer) in {2, 3}:
        return dict(zip(_RETURNED, answer, strict=False))
    if isinstance(answer, _module_type()):
        return {"model": answer}
    return reject(shown, "debug", _MUST, type(answer).__name__)


def _module_type() -> type:
    from torch import nn

    return nn.Module


def read_data(path: Path) -> dict[str, Any]:
    """Read an .npz file with `inputs` (n, ...) and `labels`, and `test_inputs`, `test_labels`, `groups`.

    Raises:
        InputError: no such arrays, or arrays of Python objects.
        OSError: the file cannot be read.
    """
    from sparse_debug_widgets.cli.fit import read_arrays

    arrays = read_arrays(
        path, ("inputs",), ("labels", "test_inputs", "test_labels", "groups"), command="debug"
    )
    found: dict[str, Any] = {}
    for name, prefix in (("data", ""), ("test", "test_")):
        inputs, labels = arrays.get(f"{prefix}inputs"), arrays.get(f"{prefix}labels")
        if inputs is not None:
            floats = inputs.astype(np.float32) if inputs.dtype.kind == "f" else inputs
            found[name] = floats if labels is None else (floats, labels)
    if "groups" in arrays:
        found["groups"] = arrays["groups"]
    return found
