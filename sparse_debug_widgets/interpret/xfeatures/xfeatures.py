"""``x_features``: a few concepts that explain one class, with a heat map of each on a gallery of pictures."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from torch import nn

from sparse_debug_widgets.core.checks import check_int, refuse, reject
from sparse_debug_widgets.core.fingerprint import combine, model_fingerprint
from sparse_debug_widgets.core.forms import as_data, numbering
from sparse_debug_widgets.core.hooks import unwrap
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.pixels import box_params, known_box
from sparse_debug_widgets.core.progress import Phases, reporter
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.seeding import generator
from sparse_debug_widgets.interpret.deep.examples import PICTURES, SENTENCES, Examples, class_names_for
from sparse_debug_widgets.interpret.xfeatures.figure import contribution_figure, xfeature_figure
from sparse_debug_widgets.interpret.xfeatures.maps import HeatMaps, heat_maps, rehearse
from sparse_debug_widgets.interpret.xfeatures.srae.layer import LayerActivations, read_layer
from sparse_debug_widgets.interpret.xfeatures.srae.result import ClassExplanation
from sparse_debug_widgets.interpret.xfeatures.srae.rows import is_positive
from sparse_debug_widgets.interpret.xfeatures.srae.srae import ExplanationWarning, fit_explanation
from sparse_debug_widgets.sparse.features.origin import named
from sparse_debug_widgets.sparse.features.reading import tokenized
from sparse_debug_widgets.sparse.layer.naming import position, renamed

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Array = npt.NDArray[Any]
_WHAT = "x-features"
_GALLERY = 60
_READ, _TRAIN, _DRAW = "activations", "explanation network", "heat maps"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class XFeatures(Result):
    """The x-features of one class (thesis, chapter 3): what they are worth and where they look.

    The model's score of the class is mimicked by ``sum_i v_i E_i + bias``; ``v_i E_i`` is what x-feature i
    contributes on a picture. k pictures, n x-features.

    Attributes:
        images: (k, channels, H, W) float32, the gallery; (k, ...) where examples are series or rows of
            numbers, (k, 0) where they are sentences.
        labels: (k,) int64, true class of each picture; -1 where the data have none.
        predictions: (k,) int64, the class with the model's largest score.
        class_index: The class that is explained.
        class_names: C names.
        layer: The layer that the explanation network reads; the decision layer stands for what enters it.
        method: "srae", "nn", "sae", "cae" or "lasso".
        activations: (k, n) float32, E_i of each picture.
        weights: (n,) float64, v_i of eq. 3.6.
        bias: Of the linear read-out.
        scores: (k,) float64, the model's own score (logit) of the class.
        reconstructed: (k,) float64, ``sum_i v_i E_i + bias``.
        maps: (k, n, h, w) float32, excitation backprop from each x-feature; >= 0 unless contrastive. All 0
            where the x-feature is not active on the picture. (k, n, 0, 0) where there are no maps.
        baseline: (k, h, w) float32, excitation backprop from the class score itself (the 1-heatmap).
        mass: (k, n) float32, share of the excitation that arrived in the map; NaN without maps.
        names: n names of concepts.
        fidelity: "F_reg" (mean absolute error in logits), "F_cls" (share of the decisions that stay when the
            class's logit is replaced) and "R2", each with "_train" and "_test".
        texts: k sentences, where the examples are such.
        no_maps: Why there are no heat maps; empty where there are.
    """

    kind: ClassVar[str] = "x_features"
    arrays: ClassVar[Mapping[str, str]] = {
        "images": "k ...x float",
        "labels": "k class",
        "predictions": "k class",
        "class_names": "C names",
        "activations": "k n float",
        "weights": "n float finite",
        "scores": "k float",
        "reconstructed": "k float",
        "maps": "k n h w float",
        "baseline": "k h w float",
        "mass": "k n float",
        "names": "n names",
    }

    images: Array
    labels: Array
    predictions: Array
    class_index: int
    class_names: tuple[str, ...]
    layer: str
    method: str
    activations: Array
    weights: Array
    bias: float
    scores: Array
    reconstructed: Array
    maps: Array
    baseline: Array
    mass: Array
    names: tuple[str, ...]
    fidelity: Mapping[str, float]
    texts: tuple[str, ...] = ()
    no_maps: str = ""

    def __post_init__(self) -> None:
        """Freeze the arrays, and see that their shapes go together."""
        super().__post_init__()
        k, n = len(self.images), len(self.weights)
        wanted: dict[str, tuple[int, ...]] = {
            "labels": (k,),
            "predictions": (k,),
            "activations": (k, n),
            "scores": (k,),
            "reconstructed": (k,),
            "maps": (k, n, *self.maps.shape[2:]),
            "baseline": (k, *self.maps.shape[2:]),
            "mass": (k, n),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                reject(name, _WHAT, f"have shape {shape}", f"shape {getattr(self, name).shape}")
        if not self.has_maps and not self.no_maps:
            object.__setattr__(self, "no_maps", "they were not computed")
        pictured = self.images.ndim == 4 or not self.has_maps
        if not pictured or self.maps.ndim != 4 or len(self.names) != n or len(self.texts) not in {0, k}:
            must = f"have pictures (k, channels, H, W), maps (k, n, h, w) and {n} names"
            got = f"pictures {self.images.shape}, maps {self.maps.shape} and {len(self.names)} names"
            reject("a result", _WHAT, must, got)

    @property
    def n(self) -> int:
        """Number of x-features."""
        return len(self.weights)

    @property
    def has_maps(self) -> bool:
        """True if there are heat maps; :attr:`no_maps` says why not."""
        return self.maps.ndim == 4 and 0 not in self.maps.shape[2:]

    @property
    def contributions(self) -> npt.NDArray[np.float64]:
        """(k, n) what each x-feature adds to the score of each picture, v_i E_i, in logits."""
        return np.asarray(self.activations * self.weights, np.float64)

    def renamed(self, index: int, name: str) -> Self:
        """The same result with another name for one concept; names are kept by ``save``.

        Args:
            index: Number of the x-feature, from 0.
            name: What a person calls it.

        Raises:
            InputError: No such x-feature; a name that is empty, longer than 200 characters, or another's.
        """
        place = check_int(index, "index", f"{self.n} x-features", low=0, high=self.n - 1)
        text = " ".join(str(name).split())
        if not text:
            refuse("The name of a concept must not be empty.")
        return dataclasses.replace(self, names=renamed(self.names, {place: text}))

    def faults(self) -> Iterator[str]:
        """See the base class."""
        if not 0 <= self.class_index < max(1, len(self.class_names)):
            yield f"class {self.class_index} of {len(self.class_names)}"

    def to_frame(self) -> pd.DataFrame:
        """One row per picture and x-feature: classes, score, activation, contribution, mass."""
        import pandas as pd

        k, n = self.activations.shape
        rows = np.repeat(np.arange(k), n)
        return pd.DataFrame(
            {
                "image": rows,
                "label": self.labels[rows],
                "prediction": self.predictions[rows],
                "score": self.scores[rows],
                "reconstructed": self.reconstructed[rows],
                "x_feature": np.tile(np.arange(n), k),
                "name": np.tile(np.array(self.names, object), k),
                "weight": np.tile(self.weights, k),
                "activation": self.activations.ravel(),
                "contribution": self.contributions.ravel(),
                "mass": self.mass.ravel(),
            }
        )

    def plot(self, image: int = 0) -> go.Figure:
        """One picture, its 1-heatmap, and the map of each x-feature under its contribution, largest first.

        Without heat maps: the contributions as bars.

        Args:
            image: Number of the picture in the gallery.

        Raises:
            InputError: No such picture.
        """
        check_int(image, "image", "this gallery", low=0, high=len(self.images) - 1)
        return xfeature_figure(self, image) if self.has_maps else contribution_figure(self, image)


def x_features(  # noqa: PLR0913 - the one entry point; every argument but three has a default
    model: nn.Module,
    data: object,
    class_index: int | str,
    *,
    test: object = None,
    layer: str | None = None,
    n: int | str = 5,
    method: str = "srae",
    gallery: int | Sequence[int] = _GALLERY,
    contrastive: bool = True,
    maps: bool | None = None,
    explanation: ClassExplanation | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    batch_size: int = 256,
    checkpoint: str | os.PathLike[str] | None = None,
    normalize: object = None,
    tokenizer: object = None,
    progress: object = None,
    **options: Any,  # noqa: ANN401 - handed on to fit_explanation
) -> XFeatures:
    """Explain one class by a few concepts: fit an explanation network, and show where its units look.

    The model is left exactly as it was. It may answer scores, or probabilities after a final linear layer.

    Args:
        model: The live model.
        data: Dataset, DataLoader or (X, y) to learn from, best of pictures; without labels the model's
            decisions say which examples are of the class.
        class_index: The class, by number or name.
        test: Held-out data for the fidelity and the gallery; None holds out a fifth of ``data`` and takes
            the gallery from all of it.
        layer: Name of a layer whose output is explained: vectors (B, p), or maps (B, p, h, w) by the 1 x 1
            convolutional network. None: what enters the decision layer.
        n: Number of x-features, or "auto".
        method: "srae", or a baseline: "nn", "sae", "cae", "lasso".
        gallery: How many pictures of the class are shown, or which rows of the data.
        contrastive: Maps of the contrastive kind (c-MWP), as in the thesis; plain ones of several x-features
            look much alike.
        maps: Whether there are to be heat maps. None: where there can be; where not (examples that are no
            pictures, a model with an operation that excitation backprop has no rule for, such as attention)
            a warning says why, and the result is without. True: refuse then, before anything is trained.
        explanation: One that was fitted before; nothing is trained then.
        class_names: Names of the classes; by default those that the data carry.
        seed: Of everything random.
        batch_size: Pictures at a time.
        checkpoint: A file in which an interrupted training goes on.
        normalize: How the pictures were normalised, if they were, so that they are shown as they are:
            (mean, std), a transform or torchvision weights
            (:func:`~sparse_debug_widgets.core.pixels.normalization`). Data sets that carry their
            transforms need not say it.
        tokenizer: For sentences that do not carry one (:class:`~sparse_debug_widgets.core.text.TextData`).
        progress: Callback, bool or None.
        **options: ``terms``, ``recipe``, ``hidden``, ``n_negatives``, see :func:`fit_explanation`.

    Returns:
        The x-features.

    Raises:
        InputError: A layer that does not exist or comes after the scores, a class with fewer than n
            positives, a constant score, pictures of several sizes; ``maps=True`` where there can be none.
        Cancelled: The progress callback asked for it.

    Warns:
        ExplanationWarning: There will be no heat maps; and see :func:`fit_explanation`.

    References:
        Khorram, "Toward Disentangling the Activations of the Deep Networks", Oregon State University, 2020,
        chapter 3; ``docs/methods/x_features.md``.
    """
    started = time.perf_counter()
    if tokenizer is not None:
        data, test = (None if part is None else tokenized(model, part, tokenizer) for part in (data, test))
    box = known_box(normalize, data if test is None else test)
    phases = Phases(reporter(progress), {_READ: 5.0, _TRAIN: 30.0, _DRAW: 5.0})
    examples = Examples(data if test is None else test)
    parts = [as_data(part) for part in (data, test) if part is not None]
    counted = numbering(unwrap(model), *parts, given=class_names)
    plan = _Plan.of(model, examples, layer, contrastive=contrastive, maps=maps)
    every = [
        read_layer(model, part, layer, batch_size=batch_size, classes=names, progress=phases.phase(_READ))
        for part, names in zip(parts, counted, strict=True)
    ]
    rows, shown = every[0], every[-1]
    names = class_names_for(counted[0], rows.scores.shape[1])
    index = position(class_index, names, "class_index", "this model")
    places = _gallery(shown, index, gallery, seed)
    pictures = examples.pictures(places) if examples.form == PICTURES else examples.arrays(places)
    phases.expect(_DRAW, plan.seconds * len(places))
    if explanation is None:
        held = None if test is None else shown
        options |= {"checkpoint": checkpoint, "progress": phases.phase(_TRAIN)}
        explanation = fit_explanation(rows, index, test_rows=held, method=method, n=n, seed=seed, **options)
    elif (explanation.layer, explanation.class_index) != (rows.tap.layer, index):
        must = f"be of class {index} at layer {rows.tap.layer!r}"
        got = f"one of class {explanation.class_index} at layer {explanation.layer!r}"
        reject("explanation", "these x-features", must, got)
    drawn = HeatMaps.none(len(places), len(explanation.weights))
    if not plan.trouble:
        drawn = heat_maps(model, pictures, explanation, contrastive=contrastive, progress=phases.phase(_DRAW))
    activations, reconstructed = explanation.explain(shown.values[places])
    phases.finish(_WHAT)
    return XFeatures(
        provenance=Provenance(
            method=f"x_features:{explanation.method}",
            params={
                "contrastive": contrastive,
                "fit": dict(explanation.provenance.params),
                "box": box_params(box),
                "rows": places.tolist(),
                "sizes": [len(part.labels) for part in every],
                "sources": [named(part) for part in (data, test) if part is not None],
            },
            seed=seed,
            seconds=time.perf_counter() - started,
            fingerprint=combine(model_fingerprint(model), explanation.provenance.fingerprint),
        ),
        images=pictures,
        labels=shown.labels[places],
        predictions=shown.scores[places].argmax(1),
        class_index=index,
        class_names=names,
        layer=explanation.layer,
        method=explanation.method,
        activations=activations,
        weights=explanation.weights,
        bias=explanation.bias,
        scores=shown.scores[places, index].astype(np.float64),
        reconstructed=reconstructed,
        maps=drawn.units,
        baseline=drawn.score,
        mass=drawn.mass,
        names=tuple(f"H{i + 1}" for i in range(len(explanation.weights))),
        fidelity=explanation.fidelity,
        texts=examples.sentences(places) if examples.are_text else (),
        no_maps=plan.trouble,
    )


@dataclass(frozen=True)
class _Plan:
    """The plan of a run: with heat maps or without, and why.

    Attributes:
        trouble: Why not; empty if there will be.
        seconds: What the maps of one picture take, about.
    """

    trouble: str
    seconds: float = 0.0

    @classmethod
    def of(
        cls,
        model: nn.Module,
        examples: Examples,
        layer: str | None,
        *,
        contrastive: bool,
        maps: bool | None,
    ) -> _Plan:
        """Try the maps on one picture; refuse, or say at once that there will be none.

        Raises:
            InputError: Maps are asked for and cannot be.
        """
        if maps is False:
            return cls("they were not asked for (maps=False)")
        if examples.form != PICTURES:
            trouble = f"they are for pictures, and these examples are {examples.form}"
            found = cls(
                f"{trouble} of shape {np.shape(examples[0])}" if examples.form != SENTENCES else trouble
            )
        else:
            tried = rehearse(
                model, examples.pictures(range(min(4, len(examples)))), layer, contrastive=contrastive
            )
            found = cls(tried.trouble, tried.seconds)
        if found.trouble and maps:
            refuse(
                f"There can be no heat maps: {found.trouble.rstrip('.')}. "
                "Leave out maps=True for the x-features without them."
            )
        if found.trouble:
            notice(f"There will be no heat maps: {found.trouble}", ExplanationWarning)
        return found


def _gallery(
    shown: LayerActivations, class_index: int, wanted: int | Sequence[int], seed: int
) -> npt.NDArray[np.int64]:
    """Rows to show: of the class, drawn at random, those that score highest first; or those asked for."""
    if not isinstance(wanted, int | np.integer):
        rows = np.asarray(wanted)
        right = rows.ndim == 1 and len(rows) and rows.dtype.kind in "iu"
        if not right or rows.min() < 0 or rows.max() >= len(shown.labels):
            must = f"be a number of pictures, or rows in 0 ... {len(shown.labels) - 1}"
            reject("gallery", _WHAT, must, wanted)
        return rows.astype(np.int64)
    count = check_int(wanted, "gallery", _WHAT)
    members = np.flatnonzero(is_positive(shown, class_index))
    if len(members) == 0:
        refuse(f"None of the data is of class {class_index}, so that there is no gallery of it.")
    drawn = generator(seed, "x-features", "gallery").permutation(members)[:count]
    return np.asarray(drawn[np.argsort(-shown.scores[drawn, class_index], kind="stable")])
