"""``lime_images``: LIME on the standardised activation of many features at once (the paper's B.2).

One design matrix and one set of forward passes serves all features of a picture: what is asked for later
costs nothing where a cache is given.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import check_int, refuse, reject
from sparse_debug_widgets.core.fingerprint import array_fingerprint, combine, model_fingerprint
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.pixels import Normalization, box_from, box_params, known_box, unit_pixels
from sparse_debug_widgets.core.progress import Progress, reporter
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.interpret.deep.examples import as_pictures
from sparse_debug_widgets.interpret.deep.live import LiveFeatures, chunk_rows, live_features
from sparse_debug_widgets.interpret.deep.units import FeatureUnits, units_of
from sparse_debug_widgets.interpret.lime.answers import (
    LimeAnswer,
    common_fields,
    read_answer,
    row_numbers,
    write_answer,
)
from sparse_debug_widgets.interpret.lime.image_explanations import ImageExplanations
from sparse_debug_widgets.interpret.lime.segments import Segments, hidden, segment
from sparse_debug_widgets.interpret.lime.surrogate import fit_surrogates, stability
from sparse_debug_widgets.interpret.prototypes.prototypes import Prototypes

Array = npt.NDArray[Any]
_WHAT, _KIND = "LIME on pictures", "lime_image"


class FewSamplesWarning(UserWarning):
    """LIME has fewer samples than parts: its own R^2 says little then."""


def lime_images(  # noqa: PLR0913 - the one entry point, keyword-only
    model: nn.Module,
    images: object,
    source: object,
    *,
    features: object = None,
    rows: object = None,
    segments: object = "auto",
    n_segments: int | None = None,
    n_samples: int = 1000,
    hide: str | float = "mean",
    repeats: int = 1,
    chunk_size: int | None = None,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    normalize: object = None,
    progress: object = None,
) -> ImageExplanations:
    """Find the parts of pictures that raise or lower deep features, by local linear surrogates.

    The regression is the ``lime`` package's own: samples hide a random half of the parts, are weighted by
    their distance from the whole picture, and a ridge regression explains the feature by the parts shown.
    The model is left untouched.

    Args:
        model: The live model.
        images: (B, channels, H, W) or (channels, H, W), any channel count; a data set of pictures.
        source: ``DeepFeatures`` or a path of this model: its layer, mean and scale.
        features: Names or numbers; None for those of the source that vary, or that the path's layer uses.
        rows: (B,) numbers to remember the pictures by.
        segments: See :func:`~sparse_debug_widgets.interpret.lime.segments.segment`; one for all or (B, H, W).
        n_segments: How many parts are wanted, about.
        n_samples: Pictures that the model is asked about, per picture.
        hide: What hidden parts show: ``"mean"``, each part's mean colour, or a number.
        repeats: Runs with other seeds; with two or more the stability of the weights is reported. The
            weights themselves are those of the first.
        chunk_size: Pictures in one forward pass; None: by their size.
        seed: Of the samples.
        cache: Folder that keeps the answers, of all features, for the same model, picture and settings.
        normalize: How the pictures were normalised, if they were, so that they are shown as they are:
            (mean, std), a transform or torchvision weights
            (:func:`~sparse_debug_widgets.core.pixels.normalization`). Data sets that carry their
            transforms need not say it.
        progress: Callback, bool or None; called at least once per forward pass.

    Returns:
        Weights, R^2 and stability of every feature on every picture.

    Raises:
        InputError: Pictures, model, features or parameters that do not fit.
        Cancelled: The progress callback asked for it; a cache keeps the pictures that are done.

    References:
        Ribeiro, Singh, Guestrin, "Why Should I Trust You?", KDD 2016; Wong, Santurkar, Madry, "Leveraging
        Sparse Linear Layers for Debuggable Deep Networks", ICML 2021, section B.2;
        ``docs/methods/interpretation.md``.
    """
    started = time.perf_counter()
    check_int(n_samples, "n_samples", _WHAT, low=2)
    check_int(repeats, "repeats", _WHAT)
    pictures, units = as_pictures(images), units_of(source)
    columns, box = units.indices(features), known_box(normalize, images)
    labels = row_numbers(rows, len(pictures), _WHAT)
    parts = _divide(unit_pixels(pictures, box), segments, n_segments)
    most = max(int(part.max()) + 1 for part in parts)
    if n_samples < most:
        message = f"{n_samples} samples for up to {most} superpixels: R^2 with samples left out decides."
        notice(message, FewSamplesWarning)
    run = _Run(n_samples, hide, repeats, seed, None if cache is None else Path(cache), reporter(progress))
    with (
        live_features(model, torch.from_numpy(pictures), units.layer, n_features=units.p) as live,
        torch.no_grad(),
    ):
        fingerprint = model_fingerprint(live.model)
        run.begin(fingerprint, live, chunk_rows(chunk_size, torch.from_numpy(pictures)), len(pictures))
        answers = [run.explain(picture, part) for picture, part in zip(pictures, parts, strict=True)]
    provenance = Provenance(
        method="lime_images",
        params={"n_samples": n_samples, "hide": hide, "repeats": repeats, "layer": live.layer}
        | {"segments": segments if isinstance(segments, str) else "given", "n_segments": n_segments}
        | {"box": box_params(box)},
        seed=seed,
        seconds=time.perf_counter() - started,
        fingerprint=combine(fingerprint, units.fingerprint, array_fingerprint(pictures)),
    )
    return _assemble(answers, pictures, parts, labels, columns, units, provenance)


def lime_prototypes(
    model: nn.Module,
    prototypes: Prototypes,
    source: object,
    *,
    k: int = 1,
    **options: Any,  # noqa: ANN401
) -> ImageExplanations:
    """LIME on the k most and k least activating pictures of each feature (the paper's procedure, k = 1).

    Args:
        model: The live model.
        prototypes: Prototypes with their pictures, that is, found with ``data``.
        source: ``DeepFeatures`` or a path of this model.
        k: Pictures at each end of each feature.
        **options: As for :func:`lime_images`; ``features`` are by default those of the prototypes.

    Returns:
        Every feature on every one of these pictures; ``rows`` says which is which.

    Raises:
        InputError: No pictures were kept, or nothing varies.

    References:
        ``docs/methods/interpretation.md``.
    """
    if prototypes.pictures is None:
        refuse("The prototypes were kept without pictures. Pass the data set to find_prototypes.")
    wanted = options.pop("features", None)
    columns = prototypes.features if wanted is None else units_of(source).indices(wanted)
    places = [prototypes.place(int(j)) for j in columns]
    k = check_int(k, "k", _WHAT)
    both = np.concatenate([prototypes.top[places, :k].ravel(), prototypes.bottom[places, :k].ravel()])
    # In order of need: the best example of each feature first.
    rows = np.array(list(dict.fromkeys(int(row) for row in both if row >= 0)), np.int64)
    if not len(rows):
        refuse("None of these features varies over the examples, so that there is nothing to explain.")
    chosen = prototypes.pictures[np.searchsorted(prototypes.shown_rows, rows)]
    box = box_from(prototypes.provenance.params)
    if box is not None and options.get("normalize") is None:
        options["normalize"] = Normalization.of_box(box)
    return lime_images(model, chosen, source, features=columns, rows=rows, **options)


def sample_design(n_samples: int, n_segments: int, seed: int, repeat: int = 0) -> npt.NDArray[np.uint8]:
    """Draw the parts that each sample shows: (n, d) of fair coin tosses, the whole picture first."""
    design = generator(seed, "lime", repeat).integers(0, 2, (n_samples, n_segments), dtype=np.uint8)
    design[0] = 1
    return design


def masked_features(
    live: LiveFeatures,
    picture: Array,
    blank: Array,
    parts: Segments,
    design: Array,
    rows: int,
    tick: Any,  # noqa: ANN401
) -> npt.NDArray[np.float64]:
    """Deep features (n, p) of a picture with parts hidden.

    Args:
        live: The model.
        picture: (channels, H, W).
        blank: (channels, H, W) what hidden parts show.
        parts: (H, W).
        design: (n, d) of 0 and 1.
        rows: In one forward pass.
        tick: Called with the number of samples after each pass.
    """
    n, d = design.shape
    # Few parts: the same sample is drawn many times and needs to be asked once.
    few = 2.0**d < 4 * n
    asked, where = np.unique(design, axis=0, return_inverse=True) if few else (design, None)
    shown, other = (
        torch.from_numpy(one)[None].to(live.device, live.dtype).clone(memory_format=torch.channels_last)
        for one in (picture, blank)
    )
    place = torch.from_numpy(parts.astype(np.int64).ravel()).to(live.device)
    found: list[Tensor] = []
    for start in range(0, len(asked), rows):
        keep = torch.from_numpy(asked[start : start + rows]).to(live.device, live.dtype)
        weight = keep.index_select(1, place).view(len(keep), 1, *parts.shape)
        # Exact at 0 and 1, and twice as fast as a choice.
        found.append(live(torch.lerp(other, shown, weight), owned=True).double().cpu())
        tick(len(keep) * n / len(asked))
    answers = torch.cat(found).numpy()
    return np.asarray(answers if where is None else answers[np.reshape(where, -1)])


def _divide(pictures: Array, segments: object, n_segments: int | None) -> list[Segments]:
    given: Any = None if isinstance(segments, str) or callable(segments) else segments
    if given is not None and np.ndim(given) == 3:
        each = list(np.asarray(given))
        if len(each) != len(pictures):
            reject("segments", _WHAT, f"be given for {len(pictures)} pictures", f"{len(each)}")
        return [segment(picture, one) for picture, one in zip(pictures, each, strict=True)]
    return [segment(picture, segments, n_segments) for picture in pictures]


class _Run:
    """The work on several pictures with the same settings."""

    def __init__(
        self,
        n_samples: int,
        hide: str | float,
        repeats: int,
        seed: int,
        cache: Path | None,
        report: Any,  # noqa: ANN401
    ) -> None:
        self.n_samples, self.hide, self.repeats, self.seed = n_samples, hide, repeats, seed
        self.cache, self.report = cache, report
        self.done, self.total, self.note = 0.0, 0.0, ""

    def begin(self, fingerprint: str, live: LiveFeatures, chunk: int, n_pictures: int) -> None:
        """Take the model that is asked."""
        self.fingerprint, self.live, self.chunk = fingerprint, live, chunk
        self.total = float(n_pictures * self.n_samples * self.repeats)
        self.tick(0)

    def tick(self, samples: float) -> None:
        """Count samples that were asked; the callback may cancel."""
        self.done += samples
        self.report(Progress(self.done, self.total, "LIME"))

    def explain(self, picture: Array, parts: Segments) -> LimeAnswer:
        """One picture, from the cache if it is there."""
        blank = hidden(picture, parts, self.hide)
        path = None if self.cache is None else self.cache / f"{self._key(picture, blank, parts)}.lime"
        d = int(parts.max()) + 1
        known = None if path is None else read_answer(path, _KIND, self.live.n_features, d)
        if known is not None:
            self.tick(self.n_samples * self.repeats)
            return known
        fits, raw = [], None
        for repeat in range(self.repeats):
            design = sample_design(self.n_samples, d, self.seed, repeat)
            values = masked_features(self.live, picture, blank, parts, design, self.chunk, self.tick)
            raw = values[0] if raw is None else raw
            fits.append(fit_surrogates(design, values))
        first = fits[0]
        agreed = stability(np.stack([fit.weights for fit in fits]))
        answer = LimeAnswer(
            first.weights, first.intercepts, first.r2, first.r2_left_out, agreed, np.asarray(raw)
        )
        if path is not None:
            write_answer(path, _KIND, answer)
        return answer

    def _key(self, picture: Array, blank: Array, parts: Segments) -> str:
        settings = f"{self.live.layer} {self.n_samples} {self.repeats} {self.seed}"
        return combine(self.fingerprint, settings, array_fingerprint(picture, blank, parts))


def _assemble(
    answers: list[LimeAnswer],
    pictures: Array,
    parts: list[Segments],
    labels: Array,
    columns: Array,
    units: FeatureUnits,
    provenance: Provenance,
) -> ImageExplanations:
    """Standardised units: the regression is linear in the activation, so weights are divided by the scale."""
    counts = np.array([int(part.max()) + 1 for part in parts])
    weights = np.zeros((len(answers), len(columns), int(counts.max())))
    for b, answer in enumerate(answers):
        weights[b, :, : counts[b]] = answer.weights[columns] / units.scale[columns, None]
    common = common_fields(answers, columns, units)
    return ImageExplanations(
        provenance=provenance,
        rows=labels,
        pictures=pictures,
        segments=np.stack(parts),
        n_segments=counts,
        weights=weights,
        predictions=common["intercepts"] + weights.sum(2),
        **common,
    )
