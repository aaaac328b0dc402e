"""One forward pass, ready to send mass down from any of its units."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import refuse, reject
from sparse_debug_widgets.core.hooks import find_module, placement
from sparse_debug_widgets.core.outputs import as_classes
from sparse_debug_widgets.saliency.excitation.call import Call, Rule, Workspace
from sparse_debug_widgets.saliency.excitation.check import check_ruled
from sparse_debug_widgets.saliency.excitation.mode import (
    ExcitationMode,
    NoRuleError,
    call_of,
    is_linear,
    tracked,
)
from sparse_debug_widgets.saliency.excitation.units import Start
from sparse_debug_widgets.saliency.probe.calls import memory_guard
from sparse_debug_widgets.saliency.probe.probe import Probe, finite

WHAT = "excitation backprop"
_SOFTMAX = ("softmax", "softmin")


@dataclass(frozen=True)
class Way:
    """Between which two tensors mass moves.

    Attributes:
        layer: Name of the layer in whose output it starts; None: the logits.
        inputs: Start in that layer's first input instead.
        head: A module attached to that tensor; mass starts in its output then. In evaluation mode.
        to: Name of the layer in whose output it is read; None: the inputs of the model.
        skip: ``"split"`` or ``"ignore"`` the shortcut of residual additions.
    """

    layer: str | None = None
    inputs: bool = False
    head: nn.Module | None = None
    to: str | None = None
    skip: str = "split"


@dataclass(frozen=True)
class ExcitationGraph:
    """See the module.

    Attributes:
        start: (R, ...) activations of the units that mass may start from.
        arrival: (R, ...) activations where it is read.
        logits: (R, C) of the model, where mass starts in them.
        workspace: Memory that the rules share.
        lone: (R, ...) the one logit z of each example, where ``start`` are its two scores -z and z.
    """

    start: Tensor
    arrival: Tensor
    logits: Tensor | None
    workspace: Workspace
    lone: Tensor | None = None

    def pull(self, mass: Tensor, *, contrastive: bool = False, keep: bool = True) -> Tensor:
        """Mass (R, ...) that arrives.

        Args:
            mass: (R, ...) mass of each unit of ``start``.
            contrastive: Subtract what arrives with the negated weights of the last linear layer (or layers,
                where several branches end in the units).
            keep: The graph is asked again.

        Raises:
            InputError: Contrastive, and no layer with weights lies between.
        """
        if self.lone is None:
            return self._pull(self.start, mass, contrastive=contrastive, keep=keep)
        # Class 0 is the dual unit of class 1, the one with the negated weights.
        down, up = (part.reshape(self.lone.shape) for part in mass.unbind(1))
        if contrastive:
            return self._pull(self.lone, up - down, contrastive=True, keep=keep)
        if not bool(down.any()):
            return self._pull(self.lone, up, contrastive=False, keep=keep)
        both = self._pull(self.lone, up + down, contrastive=False, keep=True)
        return both - self._pull(self.lone, down, contrastive=True, keep=keep)

    def _pull(self, start: Tensor, mass: Tensor, *, contrastive: bool, keep: bool) -> Tensor:
        tops = _tops(start) if contrastive else []
        if not bool(mass.any()):
            return torch.zeros_like(self.arrival)
        # Half precision has no room for small shares: a larger mass is sent down.
        wide = {torch.float32, torch.float64}
        scale = 1.0 if {start.dtype, self.arrival.dtype} <= wide else 1024.0
        self.workspace.last = not keep
        for call in tops:
            call.contrast = True
        try:
            with memory_guard(len(start)):
                (found,) = torch.autograd.grad(
                    start,
                    self.arrival,
                    (mass * scale).to(start),
                    retain_graph=keep,
                    materialize_grads=True,
                    allow_unused=True,
                )
        finally:
            for call in tops:
                call.contrast = False
        return found if scale == 1 else found.float() / scale


def excitation_graph(probe: Probe, rows: slice, way: Way) -> ExcitationGraph:
    """Run the model on some examples, with a graph for mass between two of its tensors.

    Args:
        probe: The live model and its inputs.
        rows: Which examples.
        way: Where mass starts and where it is read.

    Raises:
        InputError: A layer that does not exist, does not run once, or lies on the wrong side of the other; an
            operation without a rule.
    """
    points, owners = probe.points[rows], probe.owners[rows]
    mode = ExcitationMode(skip=way.skip)
    ends = _Ends(way)
    leaf = points.detach().requires_grad_(way.to is None)
    try:
        with memory_guard(len(points)), torch.enable_grad(), mode, ends.watched(probe.model, mode):
            output = probe.inputs.call(leaf.clone(), owners)
            # Where units of a layer are asked for, what the model returns may be anything.
            raw = probe.raw(output, len(points)) if way.layer is None else None
            logits = None if raw is None else probe.classes(raw.detach(), len(points))
            start = ends.start if raw is None else raw if probe.lone else as_classes(raw)
            if start is not None and way.head is not None:
                with _ruled_modules(way.head, mode):
                    # Its own precision: what it explains may be a model in half or double.
                    precise = start.to(placement(way.head)[1])
                    start = _as_units(way.head(precise), "head")
        if start is not None and start.requires_grad:
            check_ruled(start)
    except NoRuleError as error:
        _explain(error, probe.model, way.head)
    arrival = leaf if way.to is None else ends.arrival
    if start is None or arrival is None:
        name = way.layer if start is None else way.to
        refuse(f"Layer {name!r} did not run in the forward pass. Name a layer that does.")
    if not start.requires_grad:
        below = f"layer {way.to!r}" if way.to else "the inputs"
        above = f"layer {way.layer!r}" if way.layer else "the logits"
        must = f"depend on {below} by operations that have a rule"
        got = "units that do not (is the order of the two layers right? is there detach or argmax between?)"
        reject(above, WHAT, must, got)
    if logits is None or way.head is not None or not probe.lone:
        return ExcitationGraph(start, arrival, logits, mode.workspace)
    return ExcitationGraph(probe.score(logits), arrival, logits, mode.workspace, lone=start)


def send_down(
    probe: Probe, way: Way, starts: Callable[[ExcitationGraph, slice], list[Start]]
) -> tuple[Tensor, Tensor]:
    """Mass of several units for all inputs of a probe.

    Args:
        probe: The live model and its inputs.
        way: Where mass starts and where it is read.
        starts: The units of some examples, given their graph.

    Returns:
        Masses (B, n, ...) where they arrive, and the values (B, n) of the units.
    """
    probe.begin(probe.batch, WHAT)
    values, activations = [], []
    for rows in probe.chunks(probe.batch):
        graph = excitation_graph(probe, rows, way)
        wanted = starts(graph, rows)
        if graph.logits is not None and way.head is None:
            probe.remember(graph.logits, probe.resolve(graph.logits, rows), rows)
        last = len(wanted) - 1
        found = [
            graph.pull(start.mass, contrastive=start.negated, keep=k < last) for k, start in enumerate(wanted)
        ]
        values.append(torch.stack(found, 1))
        activations.append(torch.stack([start.activation for start in wanted], 1))
    return finite(torch.cat(values)), torch.cat(activations)


def _tops(start: Tensor) -> list[Call]:
    """The first calls with weights on each way down."""
    stack, seen, found = [start.grad_fn], set[Any](), []
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        call = call_of(node)
        if call is not None and is_linear(call):
            found.append(call)
        else:
            stack.extend(parent for parent, _ in node.next_functions)
    if not found:
        must = "start above a linear or convolutional layer"
        reject("contrastive=True", WHAT, must, "no such layer on the way down")
    return found


class _Ends:
    """The two tensors that mass moves between, caught by hooks of the layers that make them."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.start: Tensor | None = None
        self.arrival: Tensor | None = None
        self._thread = threading.get_ident()

    @contextmanager
    def watched(self, model: nn.Module, mode: ExcitationMode) -> Iterator[None]:
        """Hooks on the two layers, and on modules with a rule of their own."""
        with ExitStack() as stack:
            # First, so that a layer that has a rule is watched as a whole.
            stack.enter_context(_ruled_modules(model, mode))
            if self.way.to is not None:
                handle = find_module(model, self.way.to).register_forward_hook(self._arrive)
                stack.callback(handle.remove)
            if self.way.layer is not None:
                layer = find_module(model, self.way.layer)
                if self.way.inputs:
                    handle = layer.register_forward_pre_hook(self._enter, with_kwargs=True)
                else:
                    handle = layer.register_forward_hook(self._leave)
                stack.callback(handle.remove)
            yield

    def _arrive(self, _: nn.Module, __: tuple[Any, ...], output: object) -> Tensor | None:
        if threading.get_ident() != self._thread:
            return None
        value = self._one(output, self.way.to, self.arrival)
        # The graph begins here. What runs next gets a copy: it may work in place.
        self.arrival = value.detach().requires_grad_(True)
        return self.arrival.clone()

    def _leave(self, _: nn.Module, __: tuple[Any, ...], output: object) -> Tensor | None:
        if threading.get_ident() != self._thread:
            return None
        self.start = self._one(output, self.way.layer, self.start)
        # Nothing above has to be remembered, and nothing above may change it.
        return self.start.detach().clone()

    def _enter(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        if threading.get_ident() != self._thread:
            return None
        name = next(iter(kwargs), "")
        self.start = self._one(args[0] if args else kwargs.get(name), self.way.layer, self.start)
        above = self.start.detach().clone()
        return ((above, *args[1:]), kwargs) if args else (args, kwargs | {name: above})

    @staticmethod
    def _one(value: object, name: str | None, before: Tensor | None) -> Tensor:
        if before is not None:
            refuse(f"Layer {name!r} runs more than once in a forward pass. Name a layer that runs once.")
        return _as_units(value, f"layer {name!r}")


def _as_units(value: object, what: str) -> Tensor:
    if not isinstance(value, Tensor) or value.ndim < 2 or not value.is_floating_point():
        got = (
            f"{value.dtype} of shape {tuple(value.shape)}"
            if isinstance(value, Tensor)
            else type(value).__name__
        )
        reject(what, WHAT, "hold units (batch, units, ...)", got, "Name a layer inside it.")
    return value


@contextmanager
def _ruled_modules(root: nn.Module, mode: ExcitationMode) -> Iterator[None]:
    """Modules whose class has a rule: what runs inside them is one call."""
    given: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        given.append((args, kwargs))
        plain = tuple(a.detach() if tracked(a) and isinstance(a, Tensor) else a for a in args)
        return plain, {k: a.detach() if isinstance(a, Tensor) else a for k, a in kwargs.items()}

    def leave(rule: Rule) -> Callable[..., Any]:
        def hook(module: nn.Module, _: object, __: object, output: object) -> Tensor | None:
            args, kwargs = given.pop()
            if not tracked((*args, *kwargs.values())):
                return None
            if not isinstance(output, Tensor):
                reject(type(module).__name__, "a rule of its own", "return a tensor", type(output).__name__)
            return mode.insert(module, rule, args, kwargs, output)

        return hook

    with ExitStack() as stack:
        for module in root.modules() if mode.module_rules else []:
            rule = next((mode.module_rules[c] for c in type(module).__mro__ if c in mode.module_rules), None)
            if rule is not None:
                stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
                stack.callback(module.register_forward_hook(leave(rule), with_kwargs=True).remove)
        yield


def _explain(error: NoRuleError, model: nn.Module, head: nn.Module | None) -> NoReturn:
    """Say which operation of which layer has no rule, and what to do."""
    names = {id(m): f"layer {n!r}" if n else "the model" for n, m in model.named_modules()}
    if head is not None:
        names |= {id(m): f"layer {n!r} of head" if n else "head" for n, m in head.named_modules()}
    where, kind, trace = "", "Module", error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_locals.get("self")
        if isinstance(module, nn.Module) and id(module) in names:
            where, kind = f" in {names[id(module)]} ({type(module).__name__})", type(module).__name__
        trace = trace.tb_next
    advice = (
        f"Register one for the module: EXCITATION_RULES.add('my rule', Rule(({kind},), pull)), where "
        "pull(call, mass) returns the mass of each of call.inputs; or choose layer= and to= so that it does "
        "not lie between."
    )
    if any(word in error.operation for word in _SOFTMAX):
        advice = "Excitation backprop starts from scores: name a layer before the softmax with layer=."
    reject(f"{error.operation}{where}", WHAT, "have a rule", error.got, advice)
