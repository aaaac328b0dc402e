"""The parts of a solver's state, checked before a fit goes on from one that was read from a file.

A state is memory of compiled loops: a matrix of another size, or a place beyond the last, would be read past
its end. What is wrong with a state is no reason to refuse the fit: it goes on from the certified strengths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.layout import faults

_LINES = {
    # all working-set ways
    r"(older_)?weights": "C w float finite",
    r"(older_)?logits": "C n float finite",
    r"response|coupled_response|exact_response": "C n float finite",
    r"gradient": "C p float finite",
    r"numbers": "5 float",
    r"known": "1 number",
    r"coupled_matrix": "f f float finite",
    r"coupled_numbers": "2 float finite",
    r"exact_mask": "C w bool",
    r"exact_logits": "C n float finite",
    r"exact_lambda": "1 float finite positive",
    r"exact_hessian": "h h float finite",
    # compiled loops alone
    r"modelled": "e index <E",
    r"coupled_flat": "f index <E",
    r"curvatures_held": "C n float",
    r"stale_models": "C bool",
    r"inverse": "C i i float finite",
    r"inverse_flat": "C i class <E",
    r"inverse_scale": "C float finite",
    # the general way
    r"columns": "k index <w",
    r"curvatures": "C n float",
    r"mass": "C float",
    r"stale": "C bool",
    r"builds": "1 index",
    r"coupled_held": "C w bool",
    r"entries_(\d+)": "a# index <w",
    r"matrix_(\d+)": "a# a# float finite",
    r"columns_held": "C b class <w",
    r"matrices": "C b b float finite",
    r"factor_matrices": "C d d float finite",
    r"factor_columns": "C d index <w",
    r"factor_valid": "C d bool",
    r"factor_scale": "C 1 float finite",
    r"factor_covered": "C w bool",
    # SAGA
    r"weights_(\d+)": "C p float finite",
    r"gradient_(\d+)": "C p float finite",
    r"intercept_(\d+)": "C float finite",
    r"lambdas": "s float finite positive decreasing",
    r"curvature": "C p float finite",
    r"fresh": "1 bool",
}


def state_faults(
    state: Mapping[str, npt.NDArray[Any]], rows: int, p: int, n: int | None = None
) -> Iterator[str]:
    """Tell what is wrong with a state, a phrase each.

    Args:
        state: Arrays by name, of any solver of this package.
        rows: Rows of the weights.
        p: Features that the solver sees.
        n: Examples that it sees; None if unknown.
    """
    # The squared error's way has no intercepts among the weights.
    width = p + 1 if "logits" in state else p
    known = {"C": rows, "p": p, "w": width, "E": rows * width} | ({} if n is None else {"n": n})
    lines = {}
    for name in state:
        found = next(((m, line) for key, line in _LINES.items() if (m := re.fullmatch(key, name))), None)
        if found is None:
            yield f"an unknown part {name!r}"
            return
        lines[name] = found[1].replace("#", (found[0].groups() or ("",))[-1] or "")
    wrong = next(faults(lines, state, {}, known), "")
    if wrong:
        yield wrong
        return
    yield from _together(state, rows, width)


def _together(state: Mapping[str, npt.NDArray[Any]], rows: int, width: int) -> Iterator[str]:
    """Tell which parts do not go together."""
    if "exact_mask" in state and len(state["exact_hessian"]) != int(state["exact_mask"].sum()):
        yield "an exact Hessian of other entries"
    if "coupled_held" in state and len(state["coupled_matrix"]) != int(state["coupled_held"].sum()):
        yield "a model of other entries"
    if "known" in state and not 0 <= float(state["known"][0]) <= 2:
        yield f"{state['known'][0]} points"
    if "modelled" in state:
        classes = state["modelled"] // width
        if (np.diff(classes) < 0).any():
            yield "entries that are not class by class"
        counts = np.bincount(classes, minlength=rows)
        for c in range(rows):
            matrix = state.get(f"matrix_{c}")
            if matrix is not None and len(matrix) != counts[c]:
                yield f"a model of class {c} of other entries"
    for name, array in state.items():
        if name.startswith(("entries_", "modelled", "coupled_flat")) and len(np.unique(array)) != len(array):
            yield f"{name} twice"
    if "lambdas" in state:
        parts = {
            f"{part}_{k}"
            for part in ("weights", "gradient", "intercept")
            for k in range(len(state["lambdas"]))
        }
        if parts - set(state):
            yield f"no {min(parts - set(state))}"
