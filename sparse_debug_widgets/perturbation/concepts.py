"""Concept probing: let a model draw a class on noise, and see what it takes the class to be.

Section 3.2 of Roberts and Tsiligkaridis 2021: standard normal noise, scaled per image to the pixel range, is
perturbed with a large radius towards a class; sparse (l1-q) perturbations beside dense ones (l2).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import nn

from sparse_debug_widgets.core.checks import check_choice, check_int, check_real, reject
from sparse_debug_widgets.core.fingerprint import model_fingerprint
from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.pixels import UNIT, Box, box_from, box_params, box_span, model_box, unit_pixels
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.perturbation.norms import BOX_MODES, NORMS
from sparse_debug_widgets.perturbation.perturbation import MAGNIFICATION
from sparse_debug_widgets.perturbation.run import perturb

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Floats = npt.NDArray[Any]
PAPER_SHARE = 35 / (224 * math.sqrt(3))
"""The paper's l2 radius 35 on 3 x 224 x 224 pixels, as a share of the square root of the dimensions."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ConceptProbe(Result):
    """The drawings of a model that is asked for a class; N norms, S seeds.

    Attributes:
        starts: (S, ...) noise in the pixel range.
        deltas: (N, S, ...) what was added; ``starts + deltas`` is in the pixel range.
        confidences: (N, S) probability of the class afterwards.
        confidences_before: (S,) on the noise.
        supports: (N, S) entries that are not zero.
        radii: (N,) radius of each ball.
        seeds: (S,) seeds of the noise.
        norms: N names.
        class_index: Class that was asked for.
        cancelled: Whether it was stopped; what was not drawn is zero, with confidence NaN.
    """

    kind: ClassVar[str] = "concept_probe"
    arrays: ClassVar[Mapping[str, str]] = {
        "starts": "S ...x float finite",
        "deltas": "N S ...x float",
        "confidences": "N S float",
        "confidences_before": "S float",
        "supports": "N S index",
        "radii": "N float",
        "seeds": "S int",
        "norms": "N names",
    }

    starts: Floats
    deltas: Floats
    confidences: Floats
    confidences_before: Floats
    supports: npt.NDArray[np.int64]
    radii: Floats
    seeds: npt.NDArray[np.int64]
    norms: tuple[str, ...]
    class_index: int
    cancelled: bool

    def to_frame(self) -> pd.DataFrame:
        """One row for each norm and seed."""
        import pandas as pd

        index = pd.MultiIndex.from_product([self.norms, self.seeds.tolist()], names=["norm", "seed"])
        columns = {
            "radius": np.repeat(self.radii, len(self.seeds)),
            "confidence_before": np.tile(self.confidences_before, len(self.norms)),
            "confidence_after": self.confidences.ravel(),
            "support": self.supports.ravel(),
        }
        return pd.DataFrame(columns, index=index)

    def plot(self) -> go.Figure:
        """For each seed the noise, and for each norm the drawing (five times, grey is zero)."""
        from sparse_debug_widgets.core import figures

        pictures, captions = [], []
        box = box_from(self.provenance.params)
        for s, seed in enumerate(self.seeds):
            pictures.append(unit_pixels(self.starts[s], box))
            captions.append(f"seed {seed}")
            for k, norm in enumerate(self.norms):
                pictures.append(0.5 + MAGNIFICATION / 2 * self.deltas[k, s] / box_span(box))
                captions.append(f"{norm}: {self.confidences[k, s]:.0%}")
        title = f"What the model draws for class {self.class_index}"
        return figures.images(pictures, captions, title=title, n_columns=1 + len(self.norms))


def probe_concept(  # noqa: PLR0913 - the front of the room
    model: nn.Module,
    class_index: int,
    *,
    shape: Sequence[int],
    norms: Sequence[str] = ("l1q", "l2"),
    eps_l2: float | None = None,
    q: float = 0.01,
    steps: int = 30,
    seeds: Sequence[int] = (0, 1, 2, 3),
    box: Box | None = UNIT,
    box_mode: str = "clamp",
    normalize: object = None,
    progress: object = None,
    **options: Any,  # noqa: ANN401 - options of perturb
) -> ConceptProbe:
    """Let a model draw a class on noise, in several balls and from several seeds.

    Robust models draw what a person recognises; standard ones mostly noise. The radius is meant to be spent:
    the pixel range is kept by a cut at the end, as in the paper. A vertex within the range would leave most
    of a large l1-q radius unspent.

    Args:
        model: A classifier of pictures; it is left as it was.
        class_index: What to draw.
        shape: Of one input, without the batch: (channels, height, width).
        norms: Balls.
        eps_l2: Radius of the l2 ball; None: as large for its dimensions as the paper's 35 on 3 x 224 x 224.
            The l1 balls get ``eps_l2 sqrt(d)`` (circumscribed, as in the paper), the l-infinity ball
            ``eps_l2 / sqrt(d)`` (inscribed).
        q: Share of the coordinates that one step may touch; ``"l1q"`` only.
        steps: K.
        seeds: Of the noise.
        box: Pixel range, or None. The noise fills it.
        box_mode: What happens at the range, as in :func:`perturb`.
        normalize: How the model wants its pixels normalised: (mean, std), a transform or torchvision
            weights (:func:`~sparse_debug_widgets.core.pixels.normalization`). Then ``box`` is the range
            of the pixels before that, while radii are in the model's units.
        progress: Callback, bool or None; the drawings of a finished norm are a piece. Cancelling returns the
            norms done so far, marked.
        **options: As in :func:`perturb`.

    Returns:
        The drawings.

    Raises:
        InputError: No such class or norm, a shape that is none, or no seeds.

    References:
        Roberts, Tsiligkaridis, "Controllably Sparse Perturbations of Robust Classifiers", 2021, section 3.2;
        ``docs/methods/perturbations.md``.
    """
    started = time.monotonic()
    for norm in norms:
        check_choice(norm, NORMS, "norm", "probe_concept")
    check_choice(box_mode, BOX_MODES, "box_mode", "probe_concept")
    if not norms or not len(seeds) or not len(shape):
        reject("norms, seeds and shape", "probe_concept", "not be empty", f"{norms}, {seeds}, {shape}")
    size = [check_int(side, "shape", "probe_concept") for side in shape]
    target = check_int(class_index, "class_index", "probe_concept", low=0)
    radius = PAPER_SHARE * math.sqrt(math.prod(size)) if eps_l2 is None else eps_l2
    check_real(radius, "eps_l2", "probe_concept", low=0, open_low=True)
    radii = {norm: NORMS[norm].radius(radius, math.prod(size)) for norm in norms}
    report = reporter(progress)
    ends = model_box(box, normalize)
    starts = np.stack([_within(ends, blank(size, seed)) for seed in seeds])
    shape_all = (len(norms), len(seeds))
    deltas = np.zeros(shape_all + tuple(size), dtype=np.float32)
    confidences, before = np.full(shape_all, np.nan), np.full(len(seeds), np.nan)
    supports = np.zeros(shape_all, dtype=np.int64)
    cancelled = False
    for k, norm in enumerate(norms):

        def inner(step: Progress, done: int = k) -> None:
            report(Progress(done + step.fraction, len(norms), f"{norms[done]}, {step.note}"))

        # Large radii saturate pixels on purpose; and the noise may look like the class already.
        with collected_notices():
            settings: dict[str, Any] = {
                "target": target,
                "norm": norm,
                "eps": radii[norm],
                "q": q,
                "steps": steps,
                "box": ends,
                # Only sparse balls can spend; the others keep the range by a cut.
                "box_mode": "clamp" if BOX_MODES[box_mode].spends and not NORMS[norm].sparse else box_mode,
            }
            settings |= options
            drawn = perturb(model, starts, progress=inner, **settings)
        deltas[k], confidences[k], supports[k] = drawn.delta, drawn.confidence_after, drawn.support
        before = drawn.confidence_before
        if drawn.cancelled:
            cancelled = True
            break
    return ConceptProbe(
        provenance=Provenance(
            method="probe_concept",
            params={
                "eps_l2": float(radius),
                "q": q,
                "steps": steps,
                "box": box_params(ends),
                "box_mode": box_mode,
            },
            seconds=time.monotonic() - started,
            fingerprint=model_fingerprint(model),
        ),
        starts=starts,
        deltas=deltas,
        confidences=confidences,
        confidences_before=before,
        supports=supports,
        radii=np.array([radii[norm] for norm in norms]),
        seeds=np.array(seeds, dtype=np.int64),
        norms=tuple(norms),
        class_index=target,
        cancelled=cancelled,
    )


def blank(shape: Sequence[int], seed: int) -> Floats:
    """A "blank" picture: standard normal noise, scaled to [0, 1] by its own extremes.

    Args:
        shape: Of the picture.
        seed: Of the noise.

    Returns:
        float32 of that shape.
    """
    noise = generator(seed, "blank").standard_normal(tuple(shape))
    scaled: Floats = (noise - noise.min()) / max(float(np.ptp(noise)), 1e-12)
    return scaled.astype(np.float32)


def _within(box: Box | None, noise: Floats) -> Floats:
    """Noise in [0, 1], stretched to a box."""
    if box is None:
        return noise
    low = np.asarray(box[0], np.float64)
    stretched: Floats = np.asarray(low + noise * box_span(box), noise.dtype)
    return stretched.clip(low.astype(noise.dtype), np.asarray(box[1], noise.dtype))
