"""A forward pass that remembers how mass will move down: a scoped function mode, nothing is patched.

Inside its ``with`` block the mode sees every call of a PyTorch function, be it made by a module, by a
function, by an operator or in place. Where an argument depends on the start of the graph the call becomes a
node of autograd's graph whose backward pass is the rule of excitation backprop; autograd itself leads mass
through branches, reused modules and reshaping.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.overrides import resolve_name

from sparse_debug_widgets.saliency.excitation.call import Call, Rule, Workspace
from sparse_debug_widgets.saliency.excitation.linear import TRANSPOSED, pull_linear
from sparse_debug_widgets.saliency.excitation.rules import NORMS, find_rules
from sparse_debug_widgets.saliency.probe.call_mode import CallMode
from sparse_debug_widgets.saliency.probe.checkpointing import kept

# Position of the scale among the arguments of a normalisation.
_SCALE = {"batch_norm": 3, "instance_norm": 3, "group_norm": 2}
_ROUTE = "excitation: a route"
_WRITERS = frozenset([torch.Tensor.__setitem__, torch.Tensor.copy_])


class NoRuleError(Exception):
    """An operation without a rule; the graph says in which layer it ran."""

    def __init__(self, operation: str, got: str) -> None:
        super().__init__(operation)
        self.operation, self.got = operation, got


class ExcitationMode(CallMode):
    """See the module.

    Args:
        skip: ``"split"`` residual additions by what is positive, or ``"ignore"`` the shortcut.
    """

    def __init__(self, *, skip: str = "split") -> None:
        super().__init__()
        self._skip = skip
        self.workspace = Workspace()
        self._rules, self.module_rules = find_rules()

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        """Run a function; where it depends on the start of the graph, by its rule."""
        if not torch.is_grad_enabled() or not tracked((*args, *kwargs.values())):
            return func(*args, **kwargs)
        rule = self._rules.get(func)
        ends = _ends((*args, *kwargs.values()))
        if rule is None:
            found = func(*args, **kwargs)
            # Questions about a tensor (its shape, its largest entry) have no rule and need none.
            if tracked(found):
                raise _no_rule(func)
            return found
        if not _is_in_place(func, args, kwargs):
            found = self._run(func, rule, args, kwargs)
            if rule.pull is None:
                note_route(found, ends)
            return found
        found = self._in_place(func, rule, args, kwargs)
        # What is written into a tensor is copied there, and copying is a route.
        note_route((*args, *kwargs.values()), ends)
        return found

    def _in_place(
        self, func: Callable[..., Any], rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401
        """Compute the result apart, then make the tensor the result: nodes keep what they were given."""
        if not args:
            # The tensor by keyword is the first argument, whatever its name.
            name, *rest = kwargs
            args, kwargs = (kwargs[name],), {k: kwargs[k] for k in rest}
        target: Tensor = args[0]
        own = target.requires_grad and not target._is_view()
        if func in _WRITERS:
            if own:
                target.data = target.data.clone()
            return func(*args, **kwargs)
        apart, args, kwargs = _apart(func, args, kwargs)
        found = self._run(apart, self._rules.get(apart, rule), args, kwargs, dirty=own)
        if found is target:
            return target
        if own and found.shape == target.shape:
            target.data = found.detach()
        return target.copy_(found)

    def _run(
        self,
        func: Callable[..., Any],
        rule: Rule,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        dirty: bool = False,
    ) -> Any:  # noqa: ANN401
        if rule.pull is None:
            # Under checkpointing the block would run again without this mode: its tensors are kept instead.
            with kept():
                return func(*args, **kwargs)
        places = _places(args, kwargs)
        if len(places) > rule.inputs:
            raise _no_rule(func, f"{len(places)} inputs that depend on what is explained")
        if rule.first and places[0] not in (0, "input"):
            raise _no_rule(func, "a denominator that depends on what is explained")
        sources, plain_args, plain_kwargs, inputs = _parted(places, args, kwargs)
        call = Call(func, rule, plain_args, plain_kwargs, inputs, tuple(places), sources, self.workspace)
        call.versions = tuple(x._version for x in sources)
        with torch.no_grad():
            value = rule.run(call) if rule.run else func(*plain_args, **plain_kwargs)
        if value is inputs[0]:
            # Dropout that is switched off.
            return sources[0]
        fits = value.shape == sources[0].shape and value.dtype == sources[0].dtype
        target = sources[0] if dirty and fits else None
        before = _turned(func, sources[0], args, kwargs) or _joined(call, value)
        if before is not None:
            return _node(before, value, target)
        if not call.output.numel() or call.output is value:
            # Noted as an alias: the tensor itself would hold the graph in a circle.
            call.output = value.detach()
        if len(sources) == 2 and self._skip == "ignore":
            call.memo["skipped"] = _shortcut(*sources)
        return _node(call, value, target)

    def insert(
        self, module: nn.Module, rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
    ) -> Tensor:
        """Put the call of a module that has run already into the graph."""
        places = _places(args, kwargs)
        sources, plain_args, plain_kwargs, inputs = _parted(places, args, kwargs)
        call = Call(module, rule, plain_args, plain_kwargs, inputs, tuple(places), sources, self.workspace)
        call.versions, call.output = tuple(x._version for x in sources), output.detach()
        return _node(call, output.detach().clone(), None)


def _places(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int | str]:
    """List the places of the tracked tensors."""
    positions: list[int | str] = [k for k, a in enumerate(args) if tracked(a)]
    return positions + [k for k, a in kwargs.items() if tracked(a)]


def _parted(
    places: list[int | str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Tensor, ...], tuple[Any, ...], dict[str, Any], tuple[Tensor, ...]]:
    """Tracked tensors, all arguments without their graph, and the tensors among these."""
    sources = tuple(args[k] if isinstance(k, int) else kwargs[k] for k in places)
    plain_args = tuple(a.detach() if k in places else a for k, a in enumerate(args))
    plain_kwargs = {k: a.detach() if k in places else a for k, a in kwargs.items()}
    inputs = tuple(plain_args[k] if isinstance(k, int) else plain_kwargs[k] for k in places)
    return sources, plain_args, plain_kwargs, inputs


class Ruled(torch.autograd.Function):
    """A node whose backward pass is the rule of its call."""

    @staticmethod
    def forward(ctx: Any, call: Call, value: list[Tensor], target: Tensor | None, *_: Tensor) -> Tensor:  # noqa: ANN401
        """Hand on the value, which is known already; in the place of ``target`` where there is one."""
        ctx.call = call
        # A node that mass does not reach has nothing to compute.
        ctx.set_materialize_grads(False)
        if target is None:
            return value.pop()
        ctx.mark_dirty(target)
        target.data = value.pop()
        return target

    @staticmethod
    def backward(ctx: Any, mass: Tensor | None) -> Any:  # noqa: ANN401
        """Masses of the inputs."""
        call: Call = ctx.call
        pull = call.rule.pull
        if mass is None or pull is None:
            return (None, None, None, *[None] * len(call.inputs))
        with torch.no_grad():
            masses = pull(call, mass)
        return (None, None, None, *masses)


def _node(call: Call, value: Tensor, target: Tensor | None) -> Tensor:
    found = cast("Tensor", Ruled.apply(call, [value], target, *call.sources))
    if target is not None and any(x is target for x in call.sources):
        # Its history begins with this node now: the node must not hold it, or neither is ever freed.
        call.sources = ()
    return found


def _joined(call: Call, value: Tensor) -> Call | None:
    """The call before one that hands all mass on: a second node of it, with the new value, saves one."""
    before = call_of(call.sources[0].grad_fn) if call.rule.whole else None
    fits = value.shape == call.inputs[0].shape
    return before if before is not None and fits and before.fresh() else None


def tracked(value: object) -> bool:
    """Say whether there is a tensor in it that depends on the start of the graph."""
    if isinstance(value, Tensor):
        # A weight that somebody holds outside the module tree is not frozen; it is a weight all the same.
        return value.requires_grad and not isinstance(value, nn.Parameter)
    return isinstance(value, tuple | list) and any(tracked(part) for part in value)


def call_of(node: Any) -> Call | None:  # noqa: ANN401 - nodes have no public type
    """The call behind a node of autograd's graph, where it is one of ours."""
    call = getattr(node, "call", None)
    return call if isinstance(call, Call) else None


def is_linear(call: Call) -> bool:
    """Say whether a call has weights with a sign."""
    return call.rule.signed


def _turned(func: object, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """The linear call before a normalisation that turns the sign of some channels, turned as well.

    What excites such a channel's output are the negative weights of the layer before it.
    """
    call = call_of(x.grad_fn)
    if func not in NORMS or call is None or call.rule.pull is not pull_linear or call.sign is not None:
        return None
    if not call.fresh():
        return None
    place = _SCALE[func.__name__]  # type: ignore[attr-defined]
    scale = args[place] if len(args) > place else kwargs.get("weight")
    weight = call.args[1] if len(call.args) > 1 else call.kwargs["weight"]
    channels = weight.shape[1 if call.function in TRANSPOSED else 0]
    if scale is None or channels != len(scale) or not bool((scale < 0).any()):
        return None
    sign = torch.where(scale < 0, -1, 1).to(weight.dtype)
    return replace(call, sign=sign, memo={"negative": call.memo["negative"]})


def _shortcut(first: Tensor, second: Tensor) -> int | None:
    """Find the summand that the other one was computed from, if any."""
    for skip, branch in ((0, second), (1, first)):
        target, stack, seen = (first, second)[skip].grad_fn, [branch.grad_fn], set[Any]()
        while stack:
            node = stack.pop()
            if node is target and target is not None:
                return skip
            if node is not None and node not in seen:
                seen.add(node)
                stack.extend(parent for parent, _ in node.next_functions)
    return None


def _ends(values: tuple[Any, ...]) -> set[Any]:
    """Nodes where the graph stood before a call; a view's own way from its base is a route, noted here."""
    nodes: set[Any] = set()
    for tensor in _tensors(values):
        base = tensor._base
        if base is not None:
            nodes.add(base.grad_fn)
            # Writing into the base gives its views a new history, made when it is asked for.
            note_route(tensor, {base.grad_fn})
        nodes.add(tensor.grad_fn)
    return nodes


def _tensors(value: object) -> Iterator[Tensor]:
    """The tensors in it that depend on the start of the graph."""
    if isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, Tensor) and tracked(value):
        yield value


def note_route(value: object, ends: set[Any]) -> None:
    """Remember the nodes that a route has left behind, between what it returned and what it was given."""
    stack: list[Any] = [tensor.grad_fn for tensor in _tensors(value)]
    while stack:
        node = stack.pop()
        # Code of people's own is never a route, wherever it ran.
        if node is None or node in ends or isinstance(node, BackwardCFunction) or is_route(node):
            continue
        node.metadata[_ROUTE] = True
        stack.extend(parent for parent, _ in node.next_functions)


def is_route(node: Any) -> bool:  # noqa: ANN401 - nodes have no public type
    """Did a rule of the registry say that mass takes the way of this node's gradient?"""
    return _ROUTE in node.metadata


def begins_here(node: Any) -> bool:  # noqa: ANN401 - nodes have no public type
    """Is it where the graph begins: the node of a leaf?"""
    return hasattr(node, "variable") and not isinstance(node, BackwardCFunction)


@cache
def _inplace_position(func: Callable[..., Any]) -> int | None:
    try:
        names = list(inspect.signature(func).parameters)
    except (TypeError, ValueError):
        return None
    return names.index("inplace") if "inplace" in names else None


def _apart(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The same call, not in place."""
    if "inplace" in kwargs:
        return func, args, kwargs | {"inplace": False}
    position = _inplace_position(func)
    if position is not None and len(args) > position:
        return func, (*args[:position], False, *args[position + 1 :]), kwargs
    plain = getattr(torch.Tensor, func.__name__.removesuffix("_"), None)
    return (func, (args[0].clone(), *args[1:]), kwargs) if plain is None else (plain, args, kwargs)


def _is_in_place(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    if "inplace" in kwargs:
        return bool(kwargs["inplace"])
    if func in _WRITERS or (name.endswith("_") and not name.endswith("__")):
        return True
    position = _inplace_position(func)
    return position is not None and len(args) > position and bool(args[position])


def _no_rule(func: Callable[..., Any], got: str = "an operation without one") -> NoRuleError:
    name = resolve_name(func) or getattr(func, "__name__", repr(func))
    return NoRuleError(name, got)
