"""Did every step of a forward pass go by a rule? Read off the graph, node by node.

A function mode sees calls of PyTorch's functions from Python. Custom autograd functions and scripted code run
below it, and mass would follow their gradients without a word.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor
from torch.autograd.function import BackwardCFunction

from sparse_debug_widgets.saliency.excitation_mode import NoRuleError, call_of

# Nodes of what the rule "route" covers.
_NAMES = """
    AccumulateGrad Alias AsStrided Cat Chunk Clone ConstantPadNd Copy CopyBackwards CopySlices Detach Diagonal
    Expand Flatten Flip Gather Identity Index IndexPut IndexSelect Lift MaskedFill MaskedSelect MaskedScatter
    Max Maximum Min Minimum Amax Amin Narrow NativeChannelShuffle ChannelShuffle Permute PixelShuffle
    PixelUnshuffle Repeat Reshape ReshapeAlias Roll Rot90 Scatter Select Slice SliceScatter SelectScatter Sort
    Split SplitWithSizes Squeeze Stack T Take Threshold ToCopy Topk Transpose Unbind Unflatten Unfold
    UnsafeSplit UnsafeView Unsqueeze View Where MaxPool1D MaxPool2D MaxPool3D MaxPool2DWithIndices
    MaxPool3DWithIndices
    AdaptiveMaxPool1D AdaptiveMaxPool2D AdaptiveMaxPool3D FractionalMaxPool2D MaxUnpool2D MkldnnMaxPool2D
    ReflectionPad1D ReflectionPad2D ReflectionPad3D ReplicationPad1D ReplicationPad2D ReplicationPad3D
"""
_ROUTES = frozenset(_NAMES.split())


def check_ruled(start: Tensor) -> None:
    """Refuse a graph with a node that is neither a rule's nor a mere route.

    Raises:
        NoRuleError: It names the operation.
    """
    stack: list[Any] = [start.grad_fn]
    seen: set[Any] = set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if call_of(node) is None:
            name = re.sub(r"Backward\w*$", "", type(node).__name__)
            if isinstance(node, BackwardCFunction) or name not in _ROUTES:
                raise NoRuleError(name, "custom or scripted code that no rule can see")
        stack.extend(parent for parent, _ in node.next_functions)
