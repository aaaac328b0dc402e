"""Did every step of a forward pass go by a rule? Read off the graph, node by node.

A function mode sees calls of PyTorch's functions from Python. Custom autograd functions and scripted code run
below it, and mass would follow their gradients without a word.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from sparse_debug_widgets.saliency.excitation.mode import (
    NoRuleError,
    begins_here,
    call_of,
    is_route,
    note_route,
)


def check_ruled(start: Tensor) -> None:
    """Refuse a graph with a node that is neither a rule's nor a mere route.

    Raises:
        NoRuleError: It names the operation.
    """
    base = start._base
    if base is not None:
        note_route(start, {base.grad_fn})
    stack: list[Any] = [start.grad_fn]
    seen: set[Any] = set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if call_of(node) is None and not begins_here(node) and not is_route(node):
            name = re.sub(r"Backward\w*$", "", type(node).__name__)
            raise NoRuleError(name, "custom or scripted code that no rule can see")
        stack.extend(parent for parent, _ in node.next_functions)
