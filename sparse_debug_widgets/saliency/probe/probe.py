"""A live model, ready to be asked for logits and input gradients near some inputs.

All methods go through a :class:`Probe`: it chunks, reports, checks what the model returns, and names the
``chunk_size`` to try when memory runs out. The model is only touched inside :func:`probing`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import check_int, refuse, reject
from sparse_debug_widgets.core.hooks import model_untouched
from sparse_debug_widgets.core.image_order import ImageOrder
from sparse_debug_widgets.core.outputs import as_classes, is_lone, raw_logits, residual
from sparse_debug_widgets.core.pixels import known_box
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.seeding import torch_generator
from sparse_debug_widgets.core.targets import Target, class_indices
from sparse_debug_widgets.saliency.probe.batch_norm import FrozenBatchNorm, is_differentiated
from sparse_debug_widgets.saliency.probe.calls import (
    WHAT,
    Forward,
    Of,
    memory_guard,
)
from sparse_debug_widgets.saliency.probe.inputs import Inputs, read_inputs
from sparse_debug_widgets.saliency.probe.tensors import all_finite

# Measured on one CPU thread at 224 px, passes per image: EfficientNet-Lite0 0.69 in chunks of 6, 0.75 of 8,
# 0.85 of 16; ResNet-50 0.80, 0.76, 0.77. Activations above 32 MB go back to the system each time.
_CHUNK_ELEMENTS = {"cpu": 6 * 3 * 224 * 224, "cuda": 64 * 3 * 224 * 224}
_MAX_CHUNK = 256
_ADVICE = "Choose a part of its output with output=, or wrap it in a module that returns its logits."


class Probe:
    """See the module; made by :func:`probing`."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        target: Target | None,
        *,
        output: int | str | None,
        chunk_size: int | None,
        seed: int,
        progress: object,
        normalize: object = None,
    ) -> None:
        self.model = model
        self.box = known_box(normalize)
        self.points = inputs.points
        self.inputs = inputs
        self.seed = seed
        self.chunk_size = chunk_size or default_chunk_size(inputs.points)
        self._output = output
        self._wanted = class_indices(target, len(inputs.points), WHAT)
        self._report = reporter(progress)
        self._done, self._total, self._note = 0.0, 0.0, ""
        self._seen: tuple[Tensor, Tensor] | None = None
        self._partial = (inputs.points, inputs.points)
        self._order = ImageOrder(model, inputs.points)
        self.lone = False

    @property
    def batch(self) -> int:
        """B, the number of examples."""
        return len(self.points)

    @property
    def owners(self) -> Tensor:
        """(B,) the example number of each row of ``points``."""
        return torch.arange(self.batch, device=self.points.device)

    @property
    def logits(self) -> Tensor:
        """(B, C) logits of the inputs; computed when first asked for."""
        return self._answers()[0]

    @property
    def target(self) -> Tensor:
        """(B,) the class that is explained: the one asked for, else the predicted one."""
        return self._answers()[1]

    def _answers(self) -> tuple[Tensor, Tensor]:
        if self._seen is None:
            with torch.no_grad():
                found = [self.run(self.points[rows], self.owners[rows]) for rows in self.chunks(self.batch)]
            logits = torch.cat(found)
            self._seen = logits, self.resolve(logits, slice(0, self.batch))
        return self._seen

    def remember(self, logits: Tensor, target: Tensor, rows: slice) -> None:
        """Keep the logits of a forward pass over all inputs that was made anyway, part by part."""
        parts = (
            (logits.detach(), target)
            if rows.start == 0
            else (torch.cat([self._partial[0], logits.detach()]), torch.cat([self._partial[1], target]))
        )
        self._partial = parts
        if rows.stop == self.batch:
            self._seen = parts

    def resolve(self, logits: Tensor, rows: slice) -> Tensor:
        """Classes (R,) to explain, given the logits (R, C) of some examples.

        Raises:
            InputError: The logits are not finite, or a target class does not exist.
        """
        if not all_finite(logits):
            refuse(
                "The model's logits are NaN or infinite for these inputs. Check its weights and the scale "
                "of the inputs."
            )
        if self._wanted is None:
            return logits.detach().argmax(1)
        target, classes = self._wanted[rows].to(logits.device), logits.shape[1]
        if int(target.max()) >= classes:
            must = f"be in 0 ... {classes - 1}"
            reject("target", f"a model of {classes} classes", must, str(int(target.max())))
        return target

    def begin(self, total: float, note: str) -> None:
        """Start counting the work of a step, in rows that pass through the model."""
        self._done, self._total, self._note = 0.0, total, note
        self._report(Progress(0, total, note))

    def advance(self, rows: float) -> None:
        """Report work that is done; this is where a callback may cancel."""
        self._done += rows
        self._report(Progress(self._done, max(self._total, self._done), self._note))

    def chunks(self, rows: int) -> Iterator[slice]:
        """Slices of at most ``chunk_size`` rows; each one reports when the caller comes back for more."""
        for start in range(0, rows, self.chunk_size):
            chunk = slice(start, min(rows, start + self.chunk_size))
            yield chunk
            self.advance(chunk.stop - chunk.start)

    def run(self, points: Tensor, owners: Tensor) -> Tensor:
        """Logits (R, C) at points (R, ...) that belong to the examples ``owners`` (R,).

        Raises:
            InputError: The model does not return such logits, or memory does not suffice.
        """
        with memory_guard(len(points)):
            return self._order.run(
                len(points),
                lambda order: self.checked(self._run(points, owners, order), len(points)),
            )

    def _run(self, points: Tensor, owners: Tensor, order: torch.memory_format) -> Any:  # noqa: ANN401
        # A copy, so that a model that begins with an in-place operation can be differentiated.
        copy = points.clone(memory_format=order)
        # A function mode sees every call on every tensor: only where a derivative pays for that.
        with FrozenBatchNorm() if is_differentiated(points) else nullcontext():
            return self.inputs.call(copy, owners)

    def forward(self, points: Tensor, owners: Tensor) -> Forward:
        """Logits with a graph that leads back to the points."""
        leaf = points.detach().requires_grad_(True)
        with torch.enable_grad():
            return Forward(leaf, self.run(leaf, owners))

    def gradient(self, of: Of = "logit") -> Tensor:
        """Input gradient (B, ...) at the inputs, from one forward and one backward pass."""
        gradients = []
        for rows in self.chunks(self.batch):
            forward = self.forward(self.points[rows], self.owners[rows])
            target = self.resolve(forward.logits, rows)
            gradients.append(forward.pull(self.pull_weights(forward.logits, target, of)))
            self.remember(forward.logits, target, rows)
        return finite(torch.cat(gradients))

    def sum_gradients(
        self, copies: int, point: Callable[[int], Tensor], weights: Sequence[float], of: Of
    ) -> Tensor:
        """Weighted sum (B, ...) of gradients at several points per example.

        Args:
            copies: Number of points per example.
            point: Number of a copy -> points (B, ...).
            weights: One per copy.
            of: What is differentiated.
        """
        total = torch.zeros_like(self.points, dtype=accumulation_dtype(self.points))
        # Asked for once per copy, in order: a chunk spans several copies, or a copy several chunks.
        made: dict[int, Tensor] = {}
        for rows in self.chunks(copies * self.batch):
            # Numbers of Python: read off tensors on a card, each would make the host wait.
            pairs = [divmod(number, self.batch) for number in range(rows.start, rows.stop)]
            made = {c: made[c] if c in made else point(c) for c in sorted({c for c, _ in pairs})}
            points = torch.stack([made[c][owner] for c, owner in pairs])
            owners = torch.tensor([owner for _, owner in pairs], device=self.points.device)
            forward = self.forward(points, owners)
            gradient = forward.pull(self.pull_weights(forward.logits, self.target[owners], of))
            scale = torch.tensor([weights[c] for c, _ in pairs], dtype=total.dtype, device=total.device)
            # In the order of the sum: adding up in two orders at once costs four times as much.
            gradient = gradient.to(total.dtype).contiguous()
            total.index_add_(0, owners, gradient * scale.view(-1, *[1] * (total.ndim - 1)))
        return finite(total)

    def pull_weights(self, logits: Tensor, target: Tensor, of: Of) -> Tensor:
        """Derivative (R, C) of the target's score, or of its cross-entropy, with respect to the logits.

        The score is the logit; of a model with one logit z it is -z and +z, and its logits are half of that.
        """
        if of == "loss":
            return residual(logits.detach(), target)
        return torch.zeros_like(logits).scatter_(1, target[:, None], 2.0 if self.lone else 1.0)

    def score(self, logits: Tensor) -> Tensor:
        """The score (R, C) of each class, of its logits; see :meth:`pull_weights`."""
        return 2 * logits if self.lone else logits

    def checked(self, output: object, rows: int) -> Tensor:
        """The logits (R, C) in what the model returned for ``rows`` examples.

        Raises:
            InputError: There are none.
        """
        return self.classes(self.raw(output, rows), rows)

    def classes(self, raw: Tensor, rows: int) -> Tensor:
        """The logits (R, C), C >= 2, of the logits as the model has them."""
        self.lone = is_lone(raw)
        return as_classes(raw, rows)

    def raw(self, output: object, rows: int) -> Tensor:
        """The logits as the model has them."""
        return raw_logits(output, self._output, rows=rows, advice=_ADVICE)


@contextmanager
def probing(  # noqa: PLR0913 - what every method may be asked with
    model: nn.Module,
    x: object,
    target: Target | None = None,
    *,
    output: int | str | None = None,
    embedding: str | None = None,
    chunk_size: int | None = None,
    seed: int = 0,
    progress: object = None,
    normalize: object = None,
) -> Iterator[Probe]:
    """Open a model for questions; on exit, also after an exception, it is as it was.

    Args:
        model: The live model.
        x: See :func:`~sparse_debug_widgets.saliency.probe.inputs.read_inputs`.
        target: Class index, one per example, or ``"prediction"`` (None).
        output: Which part of a tuple (number) or mapping (key) holds the logits.
        embedding: Name of the embedding layer, for token numbers.
        chunk_size: Rows in one forward pass; None: by the size of an input.
        seed: Of everything random.
        progress: Callback, bool or None.
        normalize: How pictures were normalised, to show them as they are; see
            :func:`~sparse_debug_widgets.core.pixels.normalization`.

    Yields:
        The probe.
    """
    if chunk_size is not None:
        check_int(chunk_size, "chunk_size", WHAT)
    check_int(seed, "seed", WHAT, low=0)
    known_box(normalize)  # refused before the work
    with torch.inference_mode(mode=False), torch.enable_grad(), model_untouched(model, frozen=True) as bare:
        _seed_globally(seed)
        inputs = read_inputs(bare, x, embedding)
        settings: dict[str, Any] = {
            "chunk_size": chunk_size,
            "progress": progress,
            "normalize": normalize,
        }
        yield Probe(bare, inputs, target, output=output, seed=seed, **settings)


def opened(
    options: dict[str, Any], target: Target | None, chunk_size: int | None, seed: int, progress: object
) -> dict[str, Any]:
    """The arguments that a public function passes on to :func:`probing`.

    Args:
        options: Its further keyword arguments; ``output``, ``embedding`` and ``normalize`` are taken out,
            parameters of a method are left.
        target: As in :func:`probing`, and so are the others.
        chunk_size: Rows in one forward pass.
        seed: Of everything random.
        progress: Callback, bool or None.
    """
    taken = {name: options.pop(name) for name in ("output", "embedding", "normalize") if name in options}
    return taken | {"target": target, "chunk_size": chunk_size, "seed": seed, "progress": progress}


def _seed_globally(seed: int) -> None:
    """For models that draw random numbers even in evaluation mode; restored with the rest of the model.

    Not torch.manual_seed: it would leave a seed behind for a CUDA that is not initialised yet. In a job
    nothing is seeded: a cell may be drawing from the global generators meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)


def default_chunk_size(points: Tensor) -> int:
    """Rows per forward pass where the user does not say.

    >>> default_chunk_size(torch.zeros(1, 3, 224, 224)), default_chunk_size(torch.zeros(1, 1, 28, 28))
    (6, 256)
    """
    budget = _CHUNK_ELEMENTS.get(points.device.type, _CHUNK_ELEMENTS["cpu"])
    return max(1, min(_MAX_CHUNK, budget // max(1, points[0].numel())))


def accumulation_dtype(points: Tensor) -> torch.dtype:
    """float64 for float64 models, else float32: sums are not kept in half precision."""
    return torch.float64 if points.dtype == torch.float64 else torch.float32


def finite(values: Tensor) -> Tensor:
    """The values, checked.

    Raises:
        InputError: NaN or infinite gradients.
    """
    if not all_finite(values):
        got = f"NaN or infinite gradients in {values.dtype}"
        advice = "In half precision, try model.float(); a square root or a norm at 0 has no gradient."
        reject("model", WHAT, "have finite input gradients", got, advice)
    return values


def noise(probe: Probe, copy: int) -> Tensor:
    """Standard normal noise (...) of the shape of one example, the same for each example of a batch.

    Drawn on the CPU for each copy from a stream of its own: a map depends neither on its place in the batch
    nor on the chunk size nor on the device.
    """
    shape, dtype = probe.points.shape[1:], accumulation_dtype(probe.points)
    drawn = torch.randn(shape, generator=torch_generator(probe.seed, "noise", copy), dtype=dtype)
    return drawn.to(probe.points.device, probe.points.dtype)
