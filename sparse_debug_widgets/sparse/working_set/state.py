"""What a working-set run knows between two strengths, as arrays: a run restored from them repeats bit by bit.

Gram matrices, predictions and the order of the features at work are a matter of history, and rounding depends
on them. Everything else is made anew from these and from the problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.solver import State
from sparse_debug_widgets.sparse.working_set.grams import ClassGram
from sparse_debug_widgets.sparse.working_set.point import Point
from sparse_debug_widgets.sparse.working_set.preconditioner import BlockPreconditioner

if TYPE_CHECKING:
    from sparse_debug_widgets.sparse.working_set.engine import WorkingSetRun

_FACTORS = ("factors", "columns", "valid", "scale", "covered")


def take(run: WorkingSetRun) -> State:
    """The state of a run between two strengths."""
    point, grams = run._point, run.grams
    tensors: dict[str, Tensor] = {
        "gradient": run._gradient,
        "weights": point.weights,
        "logits": point.logits,
        "response": point.response,
        "columns": run.rows.columns,
        "curvatures": grams._curvatures,
        "mass": grams._mass,
    }
    if len(run._trail) == 2:
        tensors["older_weights"], tensors["older_logits"] = run._trail[0]
    if run.preconditioner is not None:
        tensors |= {f"factor_{name}": getattr(run.preconditioner, name) for name in _FACTORS}
    state = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    state["numbers"] = np.array([run._lambda, point.loss, *point.norms, run.last_products, grams.builds])
    state["known"] = np.array([len(run._trail)])
    state["stale"] = grams.stale.copy()
    for c, gram in enumerate(grams.classes):
        if len(gram.entries):
            state[f"entries_{c}"], state[f"matrix_{c}"] = gram.entries, gram.matrix
    return state | run.coupled.state()


def put(run: WorkingSetRun, state: State) -> None:
    """Make a fresh run go on from a state."""
    device = run.problem.design.device

    def tensor(name: str) -> Tensor:
        # A copy in memory of torch's own: products may round by how their operands are aligned.
        return torch.from_numpy(np.ascontiguousarray(state[name])).clone().to(device)

    lambda_, loss, l1, l2, products, builds = state["numbers"].tolist()
    run._gradient, run._lambda, run.last_products = tensor("gradient"), lambda_, int(products)
    run._point = Point(tensor("weights"), tensor("logits"), tensor("response"), loss, (l1, l2))
    known = int(state["known"][0])
    trail = [(run._point.weights, run._point.logits)] if known else []
    run._trail = [(tensor("older_weights"), tensor("older_logits")), *trail] if known == 2 else trail
    run.rows.restore(tensor("columns"))
    run.grams._curvatures, run.grams._mass = tensor("curvatures"), tensor("mass")
    run.grams.stale, run.grams.builds = state["stale"].copy(), int(builds)
    for c, gram in enumerate(run.grams.classes):
        if f"entries_{c}" in state:
            _restore_gram(gram, state, c, run.grams._curvatures[c], run.rows.p)
    run.coupled.restore(state)
    if "factor_factors" in state:
        run.preconditioner = BlockPreconditioner.of(*(tensor(f"factor_{name}") for name in _FACTORS))


def _restore_gram(
    gram: ClassGram, state: Mapping[str, np.ndarray], c: int, curvatures: Tensor, p: int
) -> None:
    gram.entries = state[f"entries_{c}"].copy()
    gram.matrix = state[f"matrix_{c}"].copy()
    gram.held = np.zeros(p + 1, np.bool_)
    gram.held[gram.entries] = True
    gram.examples = ClassGram.examples_of(curvatures)
