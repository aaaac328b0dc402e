"""The rules of excitation backprop, in a registry: how mass moves down through one operation.

Excitation backprop (Zhang et al., 2016, "Top-down neural attention by excitation backprop"; its authors note
that a patent is pending) hands a mass of 1 from a unit down to what excited it: input j of a linear unit i
gets the share x_j w_ij+ / sum_k x_k w_ik+ of the unit's mass. Inputs of any sign count by their positive
contributions, (x_j w_ij)+. Biases get nothing; where a unit has no positive contribution its mass is lost,
and the total that arrives says so.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.saliency.excitation.call import Call, Rule, divisor, float_of, floor_of
from sparse_debug_widgets.saliency.excitation.linear import pull_linear, pull_matmul, run_linear


def functions(*names: str) -> tuple[Any, ...]:
    """All forms of some operations: functions, methods, in place, operators."""
    homes = (torch, torch.Tensor, functional, torch._C._nn)
    forms = [form for n in names for form in (n, f"{n}_", f"_{n}", f"__{n}__", f"__i{n}__", f"__r{n}__")]
    found = [getattr(home, form) for home in homes for form in forms if hasattr(home, form)]
    return tuple(dict.fromkeys(found))


def _run_average(call: Call) -> Tensor:
    if any(isinstance(a, str) and a == "bicubic" for a in (*call.args, *call.kwargs.values())):
        must = "weigh pixels by numbers of at least 0"
        reject("mode='bicubic'", "excitation backprop", must, "an interpolation with negative ones")
    value: Tensor = call.function(*call.args, **call.kwargs)
    return value


def _average(call: Call, mass: Tensor) -> tuple[Tensor]:
    """Pooling by averages, means, sums, enlarging: shares proportional to what is positive."""
    positive = call.memo.get("positive")
    if positive is None:
        positive = float_of(call.inputs[0]).clamp_min(0).requires_grad_(True)
        with torch.enable_grad():
            total = call.again(positive)
        call.memo |= {"positive": positive, "graph": total, "total": divisor(total.detach().clone())}
    shares = float_of(mass) / call.memo["total"]
    (found,) = torch.autograd.grad(call.memo["graph"], positive, shares, retain_graph=True)
    return (found * positive.detach(),)


def _rectify(call: Call, mass: Tensor) -> tuple[Tensor]:
    """Rectifiers: what is 0 sends nothing."""
    return (torch.ops.aten.threshold_backward(mass, call.output, 0),)


def _same(call: Call, mass: Tensor) -> tuple[Tensor]:
    """Functions of one number each: all mass goes on."""
    return (mass.sum_to_size(call.inputs[0].shape),)


def _scale(call: Call, mass: Tensor) -> tuple[Tensor]:
    """Products with constants: all mass goes on, but not through a 0."""
    if call.function not in _DIVISIONS:
        others = [a for a in (*call.args, *call.kwargs.values()) if a is not call.inputs[0]]
        for other in others:
            mass = mass * (other != 0)
    return (mass.sum_to_size(call.inputs[0].shape),)


def _add(call: Call, mass: Tensor) -> tuple[Tensor, ...]:
    """Sums: shares of what is positive, halves where nothing is; constants get nothing."""
    if len(call.inputs) == 1:
        return _same(call, mass)
    skipped, share = call.memo.get("skipped"), call.memo.get("share")
    mass = float_of(mass)
    if share is None and skipped is not None:
        share = torch.full_like(mass, float(skipped == 1))
    elif share is None:
        weight = call.kwargs.get("alpha", 1) * (-1 if call.function in _DIFFERENCES else 1)
        first, second = (float_of(part).expand(mass.shape) for part in call.inputs)
        floor = floor_of(first.dtype)
        # Never quite 0: where both are, each gets half.
        first = first.clamp_min(floor)
        share = first.div_((second if weight == 1 else weight * second).clamp_min(floor).add_(first))
    if call.workspace.last and "share" not in call.memo:
        left = share.mul_(mass)
    else:
        call.memo["share"] = share
        left = share * mass
    parts = (left, mass - left)
    return tuple(p.sum_to_size(x.shape) for p, x in zip(parts, call.inputs, strict=True))


_DIVISIONS = frozenset(functions("div", "true_divide", "truediv"))
_DIFFERENCES = frozenset(functions("sub", "subtract"))
_REVERSED = frozenset(
    f for n in ("__rsub__", "__rdiv__", "__rtruediv__") if (f := getattr(torch.Tensor, n, None))
)
LINEAR = functions(
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"
)
NORMS = functions("batch_norm", "group_norm", "instance_norm")

EXCITATION_RULES: Registry[Rule] = Registry(
    "excitation rule",
    {
        "linear": Rule(LINEAR, pull_linear, run=run_linear, signed=True),
        "matmul": Rule(functions("matmul", "mm", "bmm", "mv"), pull_matmul, signed=True),
        "average": Rule(
            functions(
                *("avg_pool1d", "avg_pool2d", "avg_pool3d", "mean", "sum", "interpolate", "upsample"),
                *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
            ),
            _average,
            run=_run_average,
        ),
        "rectifier": Rule(functions("relu"), _rectify),
        "one by one": Rule(
            functions(
                *("relu6", "hardtanh", "clamp", "clip", "clamp_min", "clamp_max", "leaky_relu", "rrelu"),
                *("prelu", "elu", "selu", "celu", "silu", "gelu", "mish", "softplus", "hardswish", "tanh"),
                *("sigmoid", "hardsigmoid", "logsigmoid", "softsign", "dropout", "dropout1d", "dropout2d"),
                *("dropout3d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "neg", "float"),
            ),
            _same,
            whole=True,
        ),
        "normalisation": Rule(
            (*NORMS, *functions("layer_norm", "local_response_norm", "rms_norm")), _same, whole=True
        ),
        "add": Rule(functions("add", "sub", "subtract", "rsub"), _add, inputs=2),
        "scale": Rule(functions("mul", "multiply"), _scale),
        "divide": Rule(
            tuple(f for f in functions("div", "true_divide", "truediv") if f not in _REVERSED),
            _scale,
            first=True,
        ),
        # The gradient of these is 1 where a number went, 0 elsewhere: mass takes the same way.
        "route": Rule(
            functions(
                *("threshold", "max_pool1d", "max_pool2d", "max_pool3d", "fractional_max_pool2d"),
                *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "max_unpool2d"),
                *("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices"),
                *("adaptive_max_pool1d_with_indices", "adaptive_max_pool2d_with_indices"),
                *("adaptive_max_pool3d_with_indices", "fractional_max_pool2d_with_indices"),
                *("max", "min", "amax", "amin", "maximum", "minimum", "topk", "sort", "where", "getitem"),
                *("setitem", "masked_fill", "masked_select", "gather", "index_select", "take", "narrow"),
                *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "permute", "transpose"),
                *("swapaxes", "swapdims", "movedim", "moveaxis", "t", "squeeze", "unsqueeze", "contiguous"),
                *("clone", "to", "type", "type_as", "double", "half", "bfloat16", "cpu", "cuda", "cat"),
                *("concat", "concatenate", "stack", "hstack", "vstack", "dstack", "chunk", "split"),
                *("split_with_sizes", "tensor_split", "unbind", "expand", "expand_as", "broadcast_to"),
                *("repeat", "tile", "repeat_interleave", "roll", "flip", "rot90", "pad", "pixel_shuffle"),
                *("pixel_unshuffle", "channel_shuffle", "unfold", "select", "diagonal", "copy", "detach"),
                *("requires_grad", "numpy_T", "positive", "ravel", "constant_pad_nd", "slice_scatter"),
                *("native_channel_shuffle", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_tensors"),
            )
            + tuple(getattr(torch.Tensor, name).__get__ for name in ("T", "mT", "data", "H", "mH")),
            None,
            inputs=1_000,
        ),
    },
)


def find_rules() -> tuple[dict[Any, Rule], dict[type[nn.Module], Rule]]:
    """Rules by function and by class of module; later entries of the registry win."""
    by_function: dict[Any, Rule] = {}
    by_class: dict[type[nn.Module], Rule] = {}
    for rule in EXCITATION_RULES.values():
        for covered in rule.covers:
            if isinstance(covered, type) and issubclass(covered, nn.Module):
                by_class[covered] = rule
            else:
                by_function[covered] = rule
    return by_function, by_class
