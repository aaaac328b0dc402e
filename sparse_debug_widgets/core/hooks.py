"""Run a live model and leave it exactly as it was, also when something raises in the middle.

Nothing here patches PyTorch: a model is put into another mode by its own flags, watched by its own hooks,
and given back. Hooks that somebody else registered stay where they are.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, cast

import torch
from torch import nn

from sparse_debug_widgets.core.arithmetic import no_autocast
from sparse_debug_widgets.core.buffers import BufferSnapshot
from sparse_debug_widgets.core.checks import InputError, check_choice, refuse, reject, shorten, suggest
from sparse_debug_widgets.core.occupied import occupied
from sparse_debug_widgets.core.pixels import layout_hint
from sparse_debug_widgets.core.seeding import preserve_rng

Mode = Literal["eval", "train", "keep"]
_PARALLEL: tuple[type[nn.Module], ...] = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_CUDNN_FLAGS = ("enabled", "benchmark", "deterministic", "allow_tf32")


def unwrap(model: object) -> nn.Module:
    """The module inside ``torch.compile`` and data-parallel wrappers, checked to be one we can watch.

    Args:
        model: What the user calls their model.

    Returns:
        The original module; layer names are relative to it.

    Raises:
        InputError: Not a module (a class, a state dict, a checkpoint), or a program that was made of one
            (TorchScript, torch.export), whose layers cannot be watched.
    """
    bare = model
    while (inner := _inner(bare)) is not None:
        bare = inner
    if program := _program(bare):
        raise InputError(
            f"This model is {program}: its layers cannot be watched or replaced. Pass the nn.Module that it "
            "was made from."
        )
    if not isinstance(bare, nn.Module):
        got = "a class, not an instance of it" if isinstance(model, type) else type(model).__name__
        advice = "Load the state dict into a model first." if isinstance(model, Mapping) else ""
        reject("model", "this package", "be an instance of torch.nn.Module", got, advice)
    return bare


def _program(model: object) -> str:
    """Name the kind of program that was made of a model; "" for a model itself."""
    if isinstance(model, torch.jit.ScriptModule):
        return "a TorchScript module"
    # An exported program refuses train() by a method of the instance; other graph modules run their layers.
    unlifted = isinstance(model, torch.fx.GraphModule) and "train" in vars(model)
    if unlifted or type(model).__name__ == "ExportedProgram":
        return "a program of torch.export"
    return ""


def _inner(model: object) -> nn.Module | None:
    """Return the model inside a wrapper, or None if the model is no wrapper."""
    inner: object = None
    if isinstance(model, _PARALLEL):
        inner = model.module
    elif isinstance(model, nn.Module):
        inner = getattr(model, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else None


def find_module(model: nn.Module, name: str) -> nn.Module:
    """The submodule of that name.

    Raises:
        InputError: There is none; the message suggests the nearest names.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    if str(name) not in modules:
        known = [known for known in modules if known]
        asked, advice = shorten(repr(name), 60), suggest(str(name), known)
        refuse(f"This {type(model).__name__} has no layer {asked}. {advice}")
    return modules[name]


@contextmanager
def model_untouched(model: nn.Module, *, mode: Mode = "eval", frozen: bool = False) -> Iterator[nn.Module]:
    """Use a model for a while; on exit it is as it was before, also after an exception.

    Restored: the training flag of every submodule, ``requires_grad`` and ``.grad`` of every parameter (the
    same tensors, bitwise), buffers (batch-norm statistics), the global random generators, cuDNN flags.
    The global ones are left alone on a thread beside the main one, where a cell may use them meanwhile.
    Inside, autocast is off, so that results do not depend on where a function is called from, and compiled
    models run eagerly, since compiled code may skip hooks. Another thread that wants the model, or a part of
    it, waits until this one has given it back.

    Args:
        model: The live model.
        mode: ``"eval"``, ``"train"`` or ``"keep"`` the training flags as they are.
        frozen: Parameters ask for no gradient inside. Graphs are smaller then, and hold what depends on the
            inputs only.

    Yields:
        The bare module without wrappers; call this one.

    Raises:
        InputError: Not a module that can be watched; or, with ``frozen``, one whose parameters cannot be
            differentiated through.
    """
    check_choice(mode, ("eval", "train", "keep"), "mode", "model_untouched")
    bare = unwrap(model)
    # One walk over the modules: for a single gradient what is noted here is not small change.
    modules = modules_of(bare)
    if frozen:
        _refuse_inference_tensors(bare)
    with occupied(modules), _put_back_afterwards(modules) as parameters:
        for parameter, requires_grad, gradient in parameters:
            if gradient is not None:
                # Backward passes inside accumulate into fresh tensors instead of the user's.
                parameter.grad = None
            if frozen and requires_grad:
                parameter.requires_grad = False
        if mode != "keep" and any(module.training != (mode == "train") for module in modules):
            bare.train(mode == "train")
        with ExitStack() as stack:
            stack.enter_context(no_autocast())
            if any(_is_compiled(module) for module in modules):
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            yield bare


_Parameters = list[tuple[nn.Parameter, bool, torch.Tensor | None]]


@contextmanager
def _put_back_afterwards(modules: list[nn.Module]) -> Iterator[_Parameters]:
    """Note flags, parameters, buffers and what is global; put all of it back on exit.

    Yields:
        The parameters, each with ``requires_grad`` and ``.grad``.
    """
    flags = [(module, module.training) for module in modules]
    distinct = {id(p): p for module in modules for p in module._parameters.values() if p is not None}
    parameters = [(p, p.requires_grad, p.grad) for p in distinct.values()]
    buffers = BufferSnapshot(modules)
    alone = threading.current_thread() is threading.main_thread()
    cudnn = {name: getattr(torch.backends.cudnn, name) for name in _CUDNN_FLAGS if alone}
    with ExitStack() as stack:
        stack.enter_context(preserve_rng())
        # Callbacks run last in, first out.
        stack.callback(_restore_cudnn, cudnn)
        stack.callback(buffers.restore)
        stack.callback(_restore_parameters, parameters)
        stack.callback(_restore_flags, flags)
        yield parameters


def modules_of(root: nn.Module) -> list[nn.Module]:
    """List the modules of ``root.modules()`` breadth first, at a quarter of the cost."""
    found, seen = [root], {id(root)}
    for module in found:
        for child in module._modules.values():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                found.append(child)
    return found


def _is_compiled(module: nn.Module) -> bool:
    return "_orig_mod" in module._modules or module.__dict__.get("_compiled_call_impl") is not None


def _restore_flags(flags: list[tuple[nn.Module, bool]]) -> None:
    for module, training in flags:
        # Not module.train(): models override it (frozen batch norm), and it would reach the children.
        if module.training != training:
            module.training = training


def _refuse_inference_tensors(model: nn.Module) -> None:
    """Say what to do about parameters that autograd refuses in the middle of a backward pass."""
    name = next((name for name, p in model.named_parameters() if p.is_inference()), "")
    if name:
        raise InputError(
            f"The model's parameters ({name}, ...) were made inside torch.inference_mode(), so that nothing "
            "can be differentiated through them. Make or load the model outside of it, or use a copy that is "
            "made outside of it: model = copy.deepcopy(model)."
        )


def weight_of(layer: nn.Module) -> torch.Tensor:
    """The weight of a layer as it is in evaluation mode, detached.

    A weight can be computed when it is asked for (``torch.nn.utils.parametrizations``): in training mode,
    spectral norm takes a step of its power iteration each time, which is not ours to take.
    """
    flags = [(module, module.training) for module in layer.modules()]
    try:
        for module, _ in flags:
            module.training = False
        return cast("torch.Tensor", layer.weight).detach()
    finally:
        _restore_flags(flags)


def _restore_parameters(saved: _Parameters) -> None:
    for parameter, requires_grad, grad in saved:
        if parameter.requires_grad != requires_grad:
            # Tensors that were made in inference mode take this flag only there.
            with torch.inference_mode(mode=parameter.is_inference()):
                parameter.requires_grad = requires_grad
        if parameter.grad is not grad:
            parameter.grad = grad


def _restore_cudnn(flags: Mapping[str, bool]) -> None:
    for name, value in flags.items():
        if getattr(torch.backends.cudnn, name) != value:
            setattr(torch.backends.cudnn, name, value)


class Captured(Mapping[str, torch.Tensor]):
    """The tensors that :func:`captured` saw: one for each layer, from the last forward pass.

    Indexing wants a layer that ran once; :meth:`calls` has all calls of a layer that is used repeatedly.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._calls: dict[str, list[torch.Tensor]] = {name: [] for name in names}

    def calls(self, name: str) -> tuple[torch.Tensor, ...]:
        """All tensors of one layer since the last :meth:`clear`, in the order of the calls."""
        return tuple(self._calls[name])

    def clear(self) -> None:
        """Forget everything; call it before each forward pass."""
        for calls in self._calls.values():
            calls.clear()

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Note one call of a layer."""
        self._calls[name].append(tensor)

    def __getitem__(self, name: str) -> torch.Tensor:
        calls = self._calls[name]
        if len(calls) != 1:
            ran = f"runs {len(calls)} times" if calls else "does not run"
            refuse(f"Layer {name!r} {ran} in a forward pass, and its output is wanted from one run.")
        return calls[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)


@contextmanager
def captured(
    model: nn.Module, layer_names: Iterable[str], *, inputs: bool = False, detach: bool = True
) -> Iterator[Captured]:
    """Watch layers during forward passes; the hooks are always removed.

    An in-place operation right after the layer (``nn.ReLU(inplace=True)``) does not change what was
    captured. Calls from other threads than the one that entered are not recorded.

    Args:
        model: The live model.
        layer_names: Names of submodules.
        inputs: Capture the first input of each layer instead of its output.
        detach: Capture copies without a graph. With False the captured tensor is part of the graph, so that
            gradients with respect to it can be taken.

    Yields:
        A mapping from layer name to tensor, filled by each forward pass.

    Raises:
        InputError: A name is unknown (the nearest are suggested), or, during the forward pass, a layer's
            input or output is not a tensor.
    """
    bare = unwrap(model)
    names = list(layer_names)
    modules = {name: find_module(bare, name) for name in names}
    record = Captured(names)
    thread = threading.get_ident()
    handles = []
    try:
        for name, module in modules.items():
            if inputs:
                hook = _input_hook(record, name, thread, detach=detach)
                handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
            else:
                output_hook = _output_hook(record, name, thread, detach=detach)
                handles.append(module.register_forward_hook(output_hook))
        yield record
    finally:
        for handle in handles:
            handle.remove()


def _input_hook(record: Captured, name: str, thread: int, *, detach: bool) -> Any:  # noqa: ANN401
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        if threading.get_ident() != thread:
            return None
        value = _tensor(args[0] if args else next(iter(kwargs.values()), None), name, "input")
        if detach:
            # The layer itself may work in place.
            record.add(name, value.detach().clone())
            return None
        record.add(name, value)
        if args:
            return (value.clone(), *args[1:]), kwargs
        first = next(iter(kwargs))
        return args, {**kwargs, first: value.clone()}

    return hook


def _output_hook(record: Captured, name: str, thread: int, *, detach: bool) -> Any:  # noqa: ANN401
    def hook(_: nn.Module, __: tuple[Any, ...], output: object) -> torch.Tensor | None:
        if threading.get_ident() != thread:
            return None
        value = _tensor(output, name, "output")
        if detach:
            record.add(name, value.detach().clone())
            return None
        record.add(name, value)
        # What runs next works on a copy: in-place layers leave the captured node of the graph alone.
        return value.clone()

    return hook


def _tensor(value: object, name: str, side: str) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        refuse(
            f"Layer {name!r} has a {type(value).__name__} as its {side}, and a tensor is needed. "
            "Name a layer inside it."
        )
    return value


def placement(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device of a model's first parameter and dtype of its first floating one: what inputs should have.

    A model without parameters answers for the CPU and float32.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    floats = (parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
    return device, next(floats, torch.float32)


def call_model(model: nn.Module, inputs: torch.Tensor | Mapping[str, torch.Tensor]) -> Any:  # noqa: ANN401
    """Call a model with a tensor, or with keyword arguments where a batch is a mapping.

    Whatever the model raises goes through as it is, with a note of what it was given.

    Raises:
        InputError: The model raised, and the inputs look like pictures in another layout (channels last,
            or one picture without a batch axis), or have other channels or columns than a layer takes.
    """
    try:
        return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)
    except Exception as error:
        _explain_layout(error, inputs)
        if isinstance(error, RuntimeError | TypeError | ValueError | IndexError) and not _has_note(error):
            error.add_note(f"{NOTE}{_described(inputs)}. Check that the data are what this model takes.")
        raise


def _explain_layout(error: Exception, inputs: object) -> None:
    """Say what pictures in another layout need; whatever else went wrong is the caller's."""
    if not isinstance(inputs, torch.Tensor):
        return
    hint = layout_hint(inputs.shape)
    said = shorten(str(error).split("\n", maxsplit=1)[0], 200)
    if hint and isinstance(error, RuntimeError | ValueError | IndexError) and _ABOUT_SHAPES.search(said):
        raise InputError(
            f"The model does not take a batch of shape {tuple(inputs.shape)} ({said}). {hint}"
        ) from error
    _explain_width(error, inputs, said)


def _explain_width(error: Exception, inputs: torch.Tensor, said: str) -> None:
    """Say how many channels or numbers the model's first layer takes, where that is what it complains of."""
    channels, columns = _CHANNELS.search(said), _COLUMNS.search(said)
    if channels and inputs.ndim > 2 and inputs.shape[1] == int(channels[2]):
        wanted, got = int(channels[1]), int(channels[2])
        advice = _RECOLOUR.get((got, wanted), "Pass inputs with the channels that it was trained on.")
        raise InputError(
            f"The model takes inputs of {wanted} channel{'s' * (wanted != 1)}, and these have {got}: shape "
            f"{tuple(inputs.shape)}. {advice}"
        ) from error
    if columns and inputs[0].numel() == int(columns[1]):
        size = "pictures of that size" if inputs.ndim > 2 else "the columns"
        raise InputError(
            f"The model takes inputs of {int(columns[2]):,} numbers, and these have {int(columns[1]):,} "
            f"each: shape {tuple(inputs.shape)}. Pass {size} that it was trained on."
        ) from error


_CHANNELS = re.compile(r"expected input\[.*?\] to have (\d+) channels, but got (\d+) channels")
_COLUMNS = re.compile(r"mat1 and mat2 shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)")
_RECOLOUR = {
    (1, 3): "Grey pictures get three channels by images.repeat(1, 3, 1, 1).",
    (3, 1): "Pictures in colour become grey by images.mean(1, keepdim=True).",
    (4, 3): "A fourth channel is transparency: leave it out, images[:, :3].",
}

_ABOUT_SHAPES = re.compile(r"shape|size|channel|dimension|expected|mat1", re.IGNORECASE)
NOTE = "The model raised this when it was given "


def _has_note(error: Exception) -> bool:
    return any(note.startswith(NOTE) for note in getattr(error, "__notes__", ()))


def _described(inputs: object) -> str:
    if isinstance(inputs, Mapping):
        return ", ".join(f"{name}: {_described(value)}" for name, value in inputs.items())
    if not isinstance(inputs, torch.Tensor):
        return f"a {type(inputs).__name__}"
    dtype = str(inputs.dtype).removeprefix("torch.")
    words = f"a batch of shape {tuple(inputs.shape)}, {dtype}, on {inputs.device}"
    pixels = inputs.dtype == torch.uint8 and inputs.ndim > 2
    return f"{words} (divide integer pixels by 255 first)" if pixels else words
