"""Types of what the Perturbation panel sends: its traits, and its answer to each action."""

from typing import Any, NotRequired, TypedDict

from sparse_debug_widgets.widgets.kit.traffic import (
    Begun,
    Copied,
    FieldSpec,
    Held,
    JobPanelTraits,
    Nothing,
    PanelAnswers,
)
from sparse_debug_widgets.widgets.shared.traffic import GalleryPage, GalleryRow


class NamedClass(TypedDict):
    """A class and its name."""

    index: int
    name: str


class NormWords(TypedDict):
    """A norm in words."""

    sparse: bool
    words: str
    power: float


class PerturbHead(TypedDict):
    """The fields of the Perturbation panel and what it perturbs."""

    fields: list[FieldSpec]
    options: dict[str, list[FieldSpec]]
    conceptFields: list[FieldSpec]
    classes: list[str]
    models: list[str]
    shape: list[int]
    dims: int
    range: float
    radii: dict[str, float]
    norms: dict[str, NormWords]
    spending: list[str]
    live: bool
    picks: bool
    saved: bool


class StripFacts(TypedDict):
    """One film: what is written beside it."""

    title: str
    shape: tuple[int, int, int]
    scale: float
    shrinks: list[float]
    averaged: int
    norm: str
    eps: float
    support: int
    dims: int
    steps: NotRequired[list[int]]
    stepNames: NotRequired[list[str]]
    first: NotRequired[int]
    total: NotRequired[int]
    classes: NotRequired[list[NamedClass]]
    target: NotRequired[int]
    label: NotRequired[int]
    predictions: NotRequired[list[int]]
    predictionNames: NotRequired[list[NamedClass]]
    height: NotRequired[float | None]
    saturates: NotRequired[bool]
    ascent: NotRequired[bool]
    best: NotRequired[int]
    success: NotRequired[bool]
    cancelled: NotRequired[bool]
    effort: NotRequired[float | None]
    seed: NotRequired[int]
    before: NotRequired[float]
    after: NotRequired[float]


class FilmFacts(TypedDict):
    """The films of one run."""

    run: int
    kind: str
    strips: list[StripFacts]


class RunOutcome(TypedDict):
    """The effect of a run on one model."""

    title: str
    after: float
    before: NotRequired[float]
    support: NotRequired[int]
    success: NotRequired[bool]
    target: NotRequired[int]


class PerturbSummary(TypedDict):
    """One line of the runs of the Perturbation panel."""

    run: int
    kind: str
    state: str
    values: dict[str, Any]
    about: str
    row: int
    pinned: bool
    seconds: float
    outcomes: list[RunOutcome]
    sparse: NotRequired[bool]
    more: NotRequired[list[str]]


class PerturbTraits(JobPanelTraits):
    """The traits of the Perturbation panel."""

    head: PerturbHead
    gallery: Held[GalleryPage]
    typed: dict[str, Any]
    concept: dict[str, Any]
    picked: GalleryRow | Nothing
    tab: str
    position: int
    runs: list[PerturbSummary]
    film: Held[FilmFacts]


class Wrong(TypedDict):
    """The faults of settings, by name."""

    wrong: dict[str, str]


class PerturbAnswers(PanelAnswers):
    """The answers of the Perturbation panel."""

    check: Wrong
    begin: Begun
    begin_drawing: Begun
    turn: Nothing
    look_at_more: Nothing
    pick: FilmFacts | Nothing
    copy: Copied
    film_of: FilmFacts
    show_run: Nothing
    pin: Nothing
    drop: Nothing


TRAFFIC = (PerturbTraits, PerturbAnswers)
