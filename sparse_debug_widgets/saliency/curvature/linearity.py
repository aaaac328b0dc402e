"""Is a network piecewise linear? Read off the graph of a forward pass, operation by operation.

The closed form of the Hessian, H = J (diag(p) - p p^T) J^T, is exact for piecewise-linear networks only
(paper of CASO, Proposition 1). Module lists cannot tell, because of functional calls; the graph can. It must
have been made with frozen parameters, so that each of its edges leads to the inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

# Linear, or piecewise linear, in each argument. Unknown operations count as curved: slower, never wrong.
_NAMES = """
    AccumulateGrad Add Addmm Addmv Addbmm Baddbmm Bmm Mm Mv Dot Mul Div Sub Rsub Neg Sum Mean Nansum Cumsum
    Convolution ConvolutionOverrideable MkldnnConvolution CudnnConvolution ThnnConv2D SlowConv2D SlowConv3D
    ConvDepthwise2D ConvDepthwise3D SlowConvTranspose2D SlowConvTranspose3D SlowConvDilated2D
    SlowConvDilated3D Linear MkldnnLinear
    _Affine _Linear NativeBatchNorm CudnnBatchNorm MiopenBatchNorm NativeDropout FusedDropout
    Relu Threshold Hardtanh LeakyRelu Prelu PreluKernel RreluWithNoise Rrelu Abs Clamp ClampMin ClampMax
    Maximum Minimum Max Min Amax Amin Sort Topk Kthvalue Median Hardshrink Softshrink Hardsigmoid
    MaxPool1D MaxPool2D MaxPool3D MaxPool2DWithIndices MaxPool3DWithIndices AdaptiveMaxPool1D
    AdaptiveMaxPool2D AdaptiveMaxPool3D FractionalMaxPool2D MaxUnpool2D
    AvgPool1D AvgPool2D AvgPool3D AdaptiveAvgPool1D AdaptiveAvgPool2D AdaptiveAvgPool3D
    MkldnnAdaptiveAvgPool2D UpsampleNearest1D UpsampleNearest2D UpsampleNearest3D
    UpsampleNearestExact1D UpsampleNearestExact2D UpsampleLinear1D UpsampleBilinear2D UpsampleBilinear2DAa
    UpsampleBicubic2D UpsampleTrilinear3D ReflectionPad1D ReflectionPad2D ReflectionPad3D
    ReplicationPad1D ReplicationPad2D ReplicationPad3D ConstantPadNd PixelShuffle PixelUnshuffle Im2Col Col2Im
    View UnsafeView ReshapeAlias Reshape Flatten Unflatten T Transpose Permute Squeeze Unsqueeze Expand Repeat
    Alias AsStrided Clone Contiguous ToCopy CopySlices CopyBackwards Copy Slice Select
    Index IndexSelect IndexAdd IndexPut Gather Scatter ScatterAdd MaskedFill MaskedSelect MaskedScatter Where
    Split SplitWithSizes Chunk Unbind Cat Stack Hstack Vstack Narrow Roll Flip Rot90 Diagonal Diag Tril Triu
    Unfold Movedim Swapaxes Detach Lift Identity
"""
_LINEAR = frozenset(_NAMES.split())
# With two operands that both depend on the inputs these are products of functions: curved.
_PRODUCTS = frozenset(
    ["Mul", "Div", "Mm", "Bmm", "Mv", "Dot", "Addmm", "Addmv", "Addbmm", "Baddbmm", "Linear", "Convolution"]
)
_BATCH_NORMS = frozenset(["NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm"])


def curved_operations(output: Tensor) -> tuple[str, ...]:
    """Names of the operations on the way from the inputs to an output that are not piecewise linear.

    Args:
        output: Part of a graph made with frozen parameters.

    Returns:
        Sorted names such as ``("Gelu", "Softmax")``; empty for a piecewise-linear network.
    """
    found = {name for name, node in _nodes(output) if _is_curved(name, node)}
    return tuple(sorted(found))


def operation_names(output: Tensor) -> set[str]:
    """Names of all operations on the way to an output."""
    return {name for name, _ in _nodes(output)}


def _nodes(output: Tensor) -> Iterator[tuple[str, Any]]:
    """Each node of a graph once, with the name of its operation."""
    seen: set[Any] = set()
    stack: list[Any] = [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield re.sub(r"Backward\w*$", "", node.name()), node
        stack.extend(parent for parent, _ in node.next_functions)


def _is_curved(name: str, node: Any) -> bool:  # noqa: ANN401 - nodes have no public type
    if name.rpartition("::")[2] not in _LINEAR:
        return True
    if name in _PRODUCTS:
        parents = [parent for parent, _ in node.next_functions]
        # Of the added term of addmm and its like nothing is multiplied.
        factors = parents[1:] if name.lower().startswith(("add", "badd")) else parents
        if name == "Convolution":
            factors = parents[:2]
        return sum(parent is not None for parent in factors) > 1 or _divides_by_input(name, parents)
    # Statistics of the batch itself make a normalisation curved, also in evaluation mode.
    return name in _BATCH_NORMS and bool(getattr(node, "_saved_training", False))


def _divides_by_input(name: str, parents: list[Any]) -> bool:
    return name == "Div" and len(parents) > 1 and parents[1] is not None
