"""Excitation backprop through linear and convolutional layers.

With inputs x >= 0 the positive part of the weights says it all: totals W+ x, masses x * W+^T (p / W+ x). That
is one product more than a gradient. Inputs of both signs contribute positively by W+ x+ + W- x-, which would
be two more; since W x is known from the forward pass, (W x + |W| |x|) / 2 gives the totals with one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sparse_debug_widgets.saliency.excitation.call import Call, divisor, float_of

# Weights of more numbers are taken in blocks of rows, which stay in the processor's cache.
_BLOCK = 1 << 18
TRANSPOSED = frozenset(
    [functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d]
)


class _Product:
    """``operation(x, w)`` without bias, and its transpose in x."""

    def __init__(self, function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:  # noqa: ANN401
        args, kwargs = list(arguments), dict(options)
        given = [args.pop(0) if args else kwargs.pop(name, None) for name in ("input", "weight", "bias")]
        self.x: Tensor = given[0]
        self.weight: Tensor = given[1]
        self._bias: Tensor | None = given[2]
        self._function, self._rest, self._options = function, tuple(args), kwargs
        self.dense = function is functional.linear
        self._turned = function in TRANSPOSED

    @classmethod
    def of(cls, call: Call) -> _Product:
        """In at least single precision."""
        product = cls(call.function, call.args, call.kwargs)
        product.x, product.weight = float_of(product.x), float_of(product.weight)
        return product

    def run(self) -> tuple[Tensor, Tensor]:
        """Run the operation with and without its bias."""
        value = self(self.x, self.weight)
        return (value, value) if self._bias is None else (value + self.along(self._bias, value), value)

    def along(self, values: Tensor, like: Tensor) -> Tensor:
        """A number per channel, laid along the channels."""
        axis = like.ndim - 1 if self.dense else like.ndim + 1 - self.weight.ndim
        return values.view(*[-1 if k == axis else 1 for k in range(like.ndim)])

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.dense:
            return functional.linear(x, weight)
        found: Tensor = self._function(x, weight, None, *self._rest, **self._options)
        return found

    def transposed(self, mass: Tensor, weight: Tensor) -> Tensor:
        if self.dense:
            return torch.matmul(mass, weight)
        settings = self._convolution(weight)
        if settings is None:
            return vjp(lambda x: self(x, weight), self.x, mass)
        only_input = [True, False, False]
        found: Tensor = torch.ops.aten.convolution_backward(
            mass, self.x, weight, None, *settings, only_input
        )[0]
        return found

    def _convolution(self, weight: Tensor) -> tuple[Any, ...] | None:
        """Arguments of the backward pass of a convolution: stride, padding, dilation, and so on."""
        n = weight.ndim - 2
        names = [
            "stride",
            "padding",
            *(["output_padding", "groups", "dilation"] if self._turned else ["dilation", "groups"]),
        ]
        values: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
        values |= dict(zip(names, self._rest, strict=False)) | self._options
        if isinstance(values["padding"], str) or self.x.ndim != weight.ndim:
            return None
        wide = {k: _tuple(values[k], n) for k in ("stride", "padding", "dilation", "output_padding")}
        return (
            wide["stride"],
            wide["padding"],
            wide["dilation"],
            self._turned,
            wide["output_padding"],
            values["groups"],
        )

    def weights(self, sign: Tensor | None, way: int) -> Tensor:
        """The weights, rows turned round where the normalisation that follows turns them; or all of them."""
        if sign is None:
            return self.weight if way > 0 else -self.weight
        rows = (1, -1) if self._turned else (-1,)
        return self.weight * (way * sign).view(*rows, *[1] * (self.weight.ndim - len(rows)))


def run_linear(call: Call) -> Tensor:
    """Run a linear or convolutional layer, and note what its rule will need."""
    product = _Product(call.function, call.args, call.kwargs)
    call.memo["negative"] = bool(product.x.amin() < 0)
    if not call.memo["negative"]:
        value: Tensor = call.function(*call.args, **call.kwargs)
        return value
    # Bias and product apart: subtracting a large bias later would leave its rounding errors only.
    value, call.output = product.run()
    return value


def pull_linear(call: Call, mass: Tensor) -> tuple[Tensor]:
    """Masses of the input of a linear or convolutional layer."""
    product = _Product.of(call)
    mass = float_of(mass)
    found = _pull(call, product, mass, 1)
    if call.contrast:
        found = found - _pull(call, product, mass, -1)
    return (found,)


def _pull(call: Call, product: _Product, mass: Tensor, way: int) -> Tensor:
    """Masses by the positive contributions of the weights (way 1) or of their negatives (way -1)."""
    x = product.x
    negative = call.memo["negative"]
    if not negative and product.dense and product.weight.numel() > _BLOCK:
        return _in_blocks(call, product, mass, way)
    weight = product.weights(call.sign, way)
    total = call.memo.get(f"total {way}")
    if total is None and negative:
        total = divisor(_signed_total(call, product, weight, way))
    plus = torch.clamp(weight, min=0, out=call.workspace.like(weight, "weights"))
    if total is None:
        total = divisor(product(x, plus))
    if call.workspace.last and f"total {way}" not in call.memo:
        shares = torch.div(mass, total, out=total)
    else:
        call.memo[f"total {way}"] = total
        shares = mass / total
    if not negative:
        return product.transposed(shares, plus).mul_(x)
    # The total was doubled: so are the weights.
    above = product.transposed(shares, plus.mul_(2))
    below = product.transposed(shares, torch.clamp(weight, max=0, out=plus).mul_(2))
    return torch.where(x > 0, above, below).mul_(x)


def _signed_total(call: Call, product: _Product, weight: Tensor, way: int) -> Tensor:
    """Twice W+ x+ + W- x-, as W x + |W| |x|; what is but rounding is 0 or less."""
    x = product.x
    if call.output.dtype != x.dtype:
        # A half precision output is too coarse to start from.
        return 2 * (
            product(x.clamp_min(0), weight.clamp_min(0)) + product(x.clamp_max(0), weight.clamp_max(0))
        )
    size = call.memo.get("size")
    if size is None:
        positive = torch.abs(weight, out=call.workspace.like(weight, "weights"))
        size = product(x.abs(), positive)
        if call.contrast:
            call.memo["size"] = size
    # A little less than W x + |W| |x|: what is but rounding falls below 0.
    less = 1 - 4 * torch.finfo(size.dtype).eps
    if call.sign is None:
        return torch.add(call.output if way > 0 else -call.output, size, alpha=less)
    return torch.addcmul(less * size, call.output, product.along(way * call.sign, size))


def _in_blocks(call: Call, product: _Product, mass: Tensor, way: int) -> Tensor:
    """The same for large matrices and x >= 0, each weight read once."""
    x, weight = product.x, product.weight
    found = torch.zeros_like(x)
    rows = max(1, _BLOCK // weight.shape[1])
    for start in range(0, len(weight), rows):
        block = slice(start, start + rows)
        part = mass[..., block]
        if not bool(part.any()):
            continue
        plus = (weight[block] * way).clamp_min_(0) if way < 0 else weight[block].clamp_min(0)
        if call.sign is not None:
            plus = (weight[block] * (way * call.sign[block, None])).clamp_min_(0)
        found += (part / divisor(functional.linear(x, plus))) @ plus
    return found * x


def pull_matmul(call: Call, mass: Tensor) -> tuple[Tensor]:
    """Masses of the one factor of a matrix product that depends on what is explained."""
    x, mass = float_of(call.inputs[0]), float_of(mass)
    place = call.places[0]
    other = next(
        a for k, a in (*enumerate(call.args), *call.kwargs.items()) if k != place and isinstance(a, Tensor)
    )
    first = place in (0, "input", "self")

    def by(part: Tensor, weight: Tensor) -> Tensor:
        return torch.matmul(part, weight) if first else torch.matmul(weight, part)

    def positive(weight: Tensor) -> Tensor:
        above, below = weight.clamp_min(0), weight.clamp_max(0)
        total = by(x.clamp_min(0), above) + by(x.clamp_max(0), below)
        shares = mass / divisor(total)
        up = vjp(lambda part: by(part, above), x, shares)
        down = vjp(lambda part: by(part, below), x, shares)
        return torch.where(x > 0, up, down) * x

    other = float_of(other)
    found = positive(other)
    return (found - positive(-other),) if call.contrast else (found,)


def vjp(function: Callable[[Tensor], Tensor], x: Tensor, mass: Tensor) -> Tensor:
    """The transpose of a function that is linear in x, at the price of running it."""
    leaf = x.detach().requires_grad_(True)
    with torch.enable_grad():
        value = function(leaf)
    (found,) = torch.autograd.grad(value, leaf, mass)
    return found


def _tuple(value: Any, n: int) -> list[int]:  # noqa: ANN401 - a number or several
    return (
        [int(v) for v in value] * (n if len(value) == 1 else 1)
        if isinstance(value, tuple | list)
        else [int(value)] * n
    )
