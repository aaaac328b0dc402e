"""Types of what the x-feature panel sends: its traits, and its answer to each action."""

from typing import Any, TypedDict

from sparse_debug_widgets.widgets.kit.traffic import (
    Begun,
    Copied,
    FieldSpec,
    Held,
    JobPanelTraits,
    Nothing,
    PanelAnswers,
)


class XFeaturesHead(TypedDict):
    """The fields of the x-feature panel."""

    live: bool
    kernel: bool
    classes: list[str]
    fields: list[FieldSpec]


class XRun(TypedDict):
    """Something that was computed."""

    number: int
    about: str


class XDisplay(TypedDict):
    """The display of x-features."""

    blend: float
    percentile: float
    sequential: str
    diverging: str
    scale: str
    under: str
    fade: bool
    beside: bool
    smooth: bool
    several: bool
    numbers: str
    size: int


class XOrder(TypedDict):
    """The order of pictures and columns."""

    by: str
    down: bool
    columns: str


class XFeaturesAbout(TypedDict):
    """x-features without their maps."""

    k: int
    of: int
    n: int
    classIndex: int
    className: str
    labels: list[str]
    predictions: list[str]
    wrong: list[bool]
    layer: str
    method: str
    weights: list[float]
    bias: float
    fidelity: dict[str, float | None]
    shape: list[int]
    picture: list[int]
    units: list[float]
    levels: int
    signed: bool
    mapped: bool
    why: str
    texts: list[str]
    contrastive: bool
    seconds: float
    notes: list[str]


class XFeaturesTraits(JobPanelTraits):
    """The traits of the x-feature panel."""

    head: XFeaturesHead
    typed: dict[str, Any]
    runs: list[XRun]
    shown_run: int
    sheet: Held[XFeaturesAbout]
    names: list[str]
    shown: list[int]
    own: dict[str, list[int]]
    selected: list[int]
    hidden: list[int]
    order: XOrder
    display: XDisplay


class XFeaturesAnswers(PanelAnswers):
    """The answers of the x-feature panel."""

    begin: Begun
    copy: Copied
    show_run: Nothing


TRAFFIC = (XFeaturesTraits, XFeaturesAnswers)
