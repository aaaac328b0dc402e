"""The state of a working-set run between two strengths: a run restored from it repeats bit by bit.

Gram matrices, predictions and the order of the features at work are a matter of history, and rounding depends
on them. Everything else is made anew from these and from the problem.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sparse_debug_widgets.sparse.solvers.solver import State
from sparse_debug_widgets.sparse.solvers.working_set.memory import Memory
from sparse_debug_widgets.sparse.solvers.working_set.point import Point
from sparse_debug_widgets.sparse.solvers.working_set.preconditioner import BlockPreconditioner

_FACTORS = ("matrices", "columns", "valid", "scale", "covered")


def take(memory: Memory) -> State:
    """Collect the state between two strengths."""
    point = memory.point
    tensors: dict[str, Tensor] = {
        "gradient": memory.gradient,
        "weights": point.weights,
        "logits": point.logits,
        "response": point.response,
        "columns": memory.rows.columns,
    }
    if len(memory.trail) == 2:
        tensors["older_weights"], tensors["older_logits"] = memory.trail[0]
    if memory.preconditioner is not None:
        tensors |= {f"factor_{name}": getattr(memory.preconditioner, name) for name in _FACTORS}
    state = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    state["numbers"] = np.array([memory.lambda_, point.loss, *point.norms, memory.last_products])
    state["known"] = np.array([len(memory.trail)])
    return state | memory.grams.state() | memory.coupled.state()


def put(memory: Memory, state: State) -> None:
    """Make a fresh memory that of a state."""
    device = memory.problem.design.device

    def tensor(name: str) -> Tensor:
        # A copy in memory of torch's own: products may round by how their operands are aligned.
        return torch.from_numpy(np.ascontiguousarray(state[name])).clone().to(device)

    lambda_, loss, l1, l2, products = state["numbers"].tolist()
    memory.gradient, memory.lambda_, memory.last_products = tensor("gradient"), lambda_, int(products)
    memory.point = Point(tensor("weights"), tensor("logits"), tensor("response"), loss, (l1, l2))
    known = int(state["known"][0])
    trail = [(memory.point.weights, memory.point.logits)] if known else []
    memory.trail = [(tensor("older_weights"), tensor("older_logits")), *trail] if known == 2 else trail
    if "columns" not in state:  # of a run in compiled loops: its models are other ones
        return
    memory.rows.restore(tensor("columns"))
    memory.grams.restore(state)
    memory.coupled.restore(state)
    if "factor_matrices" in state:
        memory.preconditioner = BlockPreconditioner(*(tensor(f"factor_{name}") for name in _FACTORS))
