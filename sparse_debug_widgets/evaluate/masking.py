"""The masking check: is what the maps show enough for the model? (thesis, appendix A, II.3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_choice, check_finite, check_int, check_real, reject
from sparse_debug_widgets.core.fingerprint import array_fingerprint
from sparse_debug_widgets.core.hooks import call_model, model_untouched, placement
from sparse_debug_widgets.core.outputs import logits_of
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.evaluate.inpainting import inpaint
from sparse_debug_widgets.evaluate.metric import probabilities, read_maps

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
Fill = Literal["inpaint", "black", "mean"]
_WHAT = "the masking check"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class KeptPixels(Result):
    """The share of examples that keep the wanted class when the model sees the top pixels only.

    Higher is better; 1 is best. What matters is the distance from pixels that were kept at random.

    Attributes:
        shares: (K,) share of the pixels that is kept.
        accuracy: (K,) share of the images with the wanted class.
        random_accuracy: (K,) the same for pixels at random.
        whole_accuracy: The same for whole images.
        notes: What is degenerate.
    """

    kind: ClassVar[str] = "kept_pixels"
    arrays: ClassVar[Mapping[str, str]] = {
        "shares": "K float finite",
        "accuracy": "K float",
        "random_accuracy": "K float",
    }
    better: ClassVar[str] = "higher"

    shares: Array
    accuracy: Array
    random_accuracy: Array
    whole_accuracy: float
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row per share."""
        import pandas as pd

        return pd.DataFrame(
            {"share": self.shares, "accuracy": self.accuracy, "random_accuracy": self.random_accuracy}
        )

    def plot(self) -> go.Figure:
        """Accuracy against the share that is kept."""
        return figures.lines(
            self.shares,
            {
                "top pixels": self.accuracy,
                "random pixels": self.random_accuracy,
                "whole images": np.full(len(self.shares), self.whole_accuracy),
            },
            title="Masking check (higher is better)",
            x_title="share of the pixels that is kept",
            y_title="wanted class",
        )


def keep_top_pixels(  # noqa: PLR0913 - everything has a default
    model: nn.Module,
    images: object,
    maps: object,
    *,
    target: object = None,
    shares: Sequence[float] = (0.05, 0.1, 0.2, 0.4),
    fill: Fill = "inpaint",
    batch_size: int = 64,
    seed: int = 0,
    progress: object = None,
) -> KeptPixels:
    """Keep the pixels with the largest values of a map, fill in the rest, classify again.

    Args:
        model: The live model; left as it was.
        images: (M, channels, H, W).
        maps: (M, H, W) >= 0, or (M, n, H, W): of several maps of an image each is scaled to a sum of 1, and
            a pixel counts by the largest of them.
        target: (M,) the wanted classes; None: what the model gives the whole image.
        shares: Shares of the pixels to keep, in (0, 1].
        fill: What the rest becomes: ``"inpaint"`` (harmonic), ``"black"`` (0) or the ``"mean"`` colour of the
            whole image.
        batch_size: Images in one forward pass.
        seed: Of pixels kept at random, and of the order of equal values.
        progress: Callback, bool or None.

    Raises:
        InputError: Images, maps or targets that do not fit.
        Cancelled: The progress callback asked for it.

    References:
        Khorram, "Toward Disentangling the Activations of the Deep Networks", Oregon State University, 2020,
        appendix A; ``docs/methods/metrics.md``.
    """
    start = time.perf_counter()
    pictures, weights = _read(images, maps)
    kept = [check_real(s, "shares", _WHAT, low=0, high=1, open_low=True) for s in shares]
    if not kept:
        reject("shares", _WHAT, "hold at least one share", "none")
    check_choice(fill, ("inpaint", "black", "mean"), "fill", _WHAT)
    check_int(batch_size, "batch_size", _WHAT)
    report, done, total = reporter(progress), 0, (2 * len(kept) + 1) * len(pictures)

    def classify(hide: Callable[[int], Array]) -> Array:
        nonlocal done
        found = []
        for first in range(0, len(pictures), batch_size):
            report(Progress(done, total, "masking check"))
            part = range(first, min(first + batch_size, len(pictures)))
            found.append(_predict(bare, np.stack([hide(m) for m in part])))
            done += len(part)
        return np.concatenate(found)

    with model_untouched(model) as bare:
        before = classify(lambda m: pictures[m])
        wanted = before if target is None else _classes(target, len(pictures))
        random = _ranks(np.zeros_like(weights), seed, "random")
        ranks = _ranks(weights, seed, "ties")
        curves = [
            [float((classify(_hider(pictures, order, s, fill)) == wanted).mean()) for s in kept]
            for order in (ranks, random)
        ]
    report(Progress(total, total, "masking check"))
    empty = int((~weights.any(axis=(1, 2))).sum())
    notes = (f"{empty} of {len(weights)} images have an empty map: their pixels are kept at random",)
    return KeptPixels(
        provenance=Provenance(
            method="keep_top_pixels",
            params={"fill": fill, "shares": tuple(kept), "n_images": len(pictures)},
            seed=seed,
            seconds=time.perf_counter() - start,
            fingerprint=array_fingerprint(pictures, weights),
        ),
        shares=np.array(kept),
        accuracy=np.array(curves[0]),
        random_accuracy=np.array(curves[1]),
        whole_accuracy=float((before == wanted).mean()),
        notes=notes if empty else (),
    )


def _hider(pictures: Array, ranks: Array, share: float, fill: str) -> Callable[[int], Array]:
    """Number of an image -> the image with only its best pixels left."""
    n_kept = max(1, round(share * ranks[0].size))

    def hide(m: int) -> Array:
        image, kept = pictures[m], ranks[m] < n_kept
        if fill == "inpaint":
            return inpaint(image, kept).astype(image.dtype)
        rest = image.mean(axis=(1, 2), keepdims=True) if fill == "mean" else 0
        return np.where(kept, image, rest).astype(image.dtype)

    return hide


def _ranks(weights: Array, seed: int, purpose: str) -> Array:
    """(M, H, W) the place of each pixel, largest first; equal values in random order."""
    rng = generator(seed, "masking", purpose)
    flat = weights.reshape(len(weights), -1)
    order = np.lexsort((rng.random(flat.shape), -flat), axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    return np.asarray(ranks.reshape(weights.shape))


def _read(images: object, maps: object) -> tuple[Array, Array]:
    pictures = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if pictures.dtype.kind != "f" or pictures.ndim != 4 or not pictures.size:
        got = f"{pictures.dtype} of shape {pictures.shape}"
        reject("images", _WHAT, "be floating-point images (images, channels, height, width)", got)
    check_finite(pictures, "images", _WHAT)
    weights = probabilities(read_maps(maps, _WHAT)).max(axis=1)
    if weights.shape != (len(pictures), *pictures.shape[2:]):
        must = f"be of {len(pictures)} images of {pictures.shape[2]} x {pictures.shape[3]} pixels"
        reject("maps", "the images", must, f"{len(weights)} of {weights.shape[1]} x {weights.shape[2]}")
    return pictures, weights


def _classes(target: object, n: int) -> Array:
    wanted = np.asarray(target.detach().cpu() if isinstance(target, Tensor) else target)
    if wanted.dtype.kind not in "iu" or wanted.shape not in {(), (n,)}:
        reject("target", _WHAT, f"be a class or one for each of {n} images", f"shape {wanted.shape}")
    return np.broadcast_to(wanted, (n,))


def _predict(model: nn.Module, pictures: Array) -> Array:
    device, dtype = placement(model)
    with torch.no_grad():
        answer = call_model(model, torch.from_numpy(pictures).to(device, dtype))
    logits = logits_of(answer, rows=len(pictures))
    return np.asarray(logits.argmax(1).cpu().numpy())
