"""Options of the functions that make panels, typed so that editors complete them.

The panels themselves check what is given; a contract test compares these names and words with theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from torch import nn

    from sparse_debug_widgets.sparse import DeepFeatures
    from sparse_debug_widgets.widgets.kit.base import Panel

Fallback = Literal["auto", "full", "none"]
Sequential = Literal["inferno", "viridis", "cividis", "grey"]
Diverging = Literal["blue-orange", "purple-green"]


class PanelOptions(TypedDict, total=False):
    """Options of every panel."""

    title: str
    fallback: Fallback


class DebugOptions(PanelOptions, total=False):
    """Options of :func:`debug`."""

    groups: Any
    tokenizer: Any
    normalize: Any
    class_names: Iterable[object] | None
    layer: str | None
    max_length: int | None
    batch_size: int
    seed: int
    search: bool
    auto: bool


class FitOptions(PanelOptions, total=False):
    """Options of :func:`fit_panel`: its fields, and what takes the features of a live model."""

    model: nn.Module
    checkpoints: str | os.PathLike[str] | bool
    device: str
    family: str
    alpha: float
    n_lambdas: int
    eps: float
    solver: str
    tol: float | Literal["auto"]
    validation: float
    seed: int
    layer: str
    class_names: Sequence[str]
    classes: Sequence[int]
    batch_size: int
    test: Any
    tokenizer: Any
    max_length: int
    pooling: Any


class FeaturesOptions(PanelOptions, total=False):
    """Options of :func:`features_panel`."""

    data: Any
    test: Any
    features: DeepFeatures
    tokenizer: Any
    follow: Panel
    k: int
    explained: int
    n_samples: int
    n_steps: int
    seed: int
    cache: str | os.PathLike[str]
    class_index: int | str
    index: int
    normalize: Any


class PerturbOptions(PanelOptions, total=False):
    """Options of :func:`perturb_panel`: its fields, options of the methods among them."""

    compare: nn.Module
    class_names: Sequence[str]
    box: Any
    normalize: Any
    titles: Sequence[str]
    target: int | str
    direction: Literal["towards", "away"]
    norm: str
    eps: float
    q: float
    steps: int
    method: str
    box_mode: str
    seed: int
    step_constant: float
    max_support: int | None
    step_size: float | None
    random_start: bool
    warmup: float


class SaliencyOptions(PanelOptions, total=False):
    """Options of :func:`saliency_panel`: what is chosen to begin with, and the display."""

    compare: nn.Module
    names: Sequence[str]
    example: int
    class_names: Sequence[str]
    words: Any
    tokenizer: Any
    normalize: Any
    chunk_size: int
    output: int | str
    embedding: str
    methods: Sequence[str]
    values: Mapping[str, Mapping[str, Any]]
    classes: Sequence[int]
    sweep: str
    seed: int
    auto: bool
    percentile: float
    blend: float
    signed: bool
    sequential: Sequential
    diverging: Diverging
    smooth: bool
    together: bool
    size: int
    beside: Literal["classes", "methods"]


class XFeaturesOptions(PanelOptions, total=False):
    """Options of :func:`x_features_panel`: its fields, what is shown to begin with, and the display."""

    test: Any
    class_names: Sequence[str]
    normalize: Any
    tokenizer: Any
    class_index: int | str
    method: str
    n: int | Literal["auto"]
    layer: str | None
    gallery: int
    contrastive: bool
    seed: int
    shown: Sequence[int]
    selected: Sequence[int]
    hidden: Sequence[int]
    order: Mapping[str, Any]
    percentile: float
    blend: float
    sequential: Sequential
    diverging: Diverging
    scale: Literal["map", "feature", "picture"]
    under: Literal["grey", "colour"]
    fade: bool
    beside: bool
    smooth: bool
    several: bool
    numbers: Literal["logit", "share"]
    size: int
