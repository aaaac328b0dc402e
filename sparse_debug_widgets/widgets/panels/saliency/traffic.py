"""Types of what the Saliency panel sends: its traits, and its answer to each action."""

from typing import Any, NotRequired, TypedDict

from sparse_debug_widgets.widgets.kit.traffic import (
    Begun,
    Copied,
    Failure,
    FieldSpec,
    Held,
    JobPanelTraits,
    Nothing,
    PanelAnswers,
    Told,
)
from sparse_debug_widgets.widgets.shared.traffic import GalleryPage


class SaliencyHead(TypedDict):
    """The fields of the Saliency panel."""

    methods: list[str]
    about: dict[str, Told]
    sweeps: list[str]
    fields: dict[str, list[FieldSpec]]
    classes: list[str]
    models: list[str]
    types: list[str]
    text: bool
    most: int
    kernel: bool


class ExampleAbout(TypedDict):
    """The example that is looked at: what each model says of it."""

    row: int
    label: int
    top: dict[str, list[tuple[int, float]]]
    failure: Failure | Nothing


class SaliencyTyped(TypedDict):
    """The choices of the Saliency panel: what it computes."""

    methods: list[str]
    values: dict[str, dict[str, Any]]
    classes: list[int]
    sweep: str
    seed: int
    auto: bool


class MapDisplay(TypedDict):
    """The display of maps."""

    percentile: float
    blend: float
    signed: bool
    sequential: str
    diverging: str
    smooth: bool
    together: bool
    size: int
    beside: str


class MapRow(TypedDict):
    """A model and a class that is explained."""

    model: str
    picture: int
    target: int
    targetName: str
    predicted: int
    predictedName: str
    confidence: float | None
    words: NotRequired[list[str]]


class MapCell(TypedDict):
    """One map, or one sweep."""

    row: NotRequired[int]
    method: NotRequired[str]
    model: NotRequired[str]
    error: NotRequired[str]
    array: NotRequired[str]
    units: NotRequired[list[float]]
    levels: NotRequired[int]
    planes: NotRequired[int]
    notes: NotRequired[dict[str, float | None]]
    lambdas: NotRequired[list[float]]
    sparsity: NotRequired[list[float]]
    surrogate: NotRequired[list[float]]
    increase: NotRequired[list[float]]
    chosen: NotRequired[int]


class MapsAbout(TypedDict):
    """Maps side by side, or a sweep."""

    rows: list[MapRow]
    cells: list[MapCell]
    example: int
    warned: dict[str, Any]
    methods: NotRequired[list[str]]
    method: NotRequired[str]
    ratios: NotRequired[list[float]]
    layout: NotRequired[str]
    shape: NotRequired[list[int]]


class SaliencyTraits(JobPanelTraits):
    """The traits of the Saliency panel."""

    head: SaliencyHead
    gallery: Held[GalleryPage]
    example: int
    about: ExampleAbout
    typed: SaliencyTyped
    display: MapDisplay
    maps: Held[MapsAbout]
    swept: Held[MapsAbout]
    index: int


class SaliencyAnswers(PanelAnswers):
    """The answers of the Saliency panel."""

    begin: Begun
    choose: Nothing
    turn: Nothing
    look: Nothing
    copy: Copied


TRAFFIC = (SaliencyTraits, SaliencyAnswers)
