"""Types of what crosses the wire in some panels: those of a path, those with a gallery."""

from typing import NotRequired, TypedDict

from sparse_debug_widgets.widgets.kit.traffic import FamilyWords, Held, Nothing, PanelAnswers, PanelTraits

Silenced = tuple[int, int]  # feature and class; class -1: every class
Place = tuple[int, int, int]  # where a picture lies in a sheet of them: left, top, side
CloudWord = tuple[str, float, int, float | None, float | None]  # word, weight, sentences, interval


class GalleryRow(TypedDict):
    """An example to choose."""

    row: int
    number: int
    label: int
    prediction: int
    labelName: str
    predictionName: str
    confidence: float | None
    wrong: bool
    note: str


class GalleryPage(TypedDict):
    """A page of examples to choose from."""

    which: str
    first: int
    rows: list[GalleryRow]
    counts: dict[str, int]
    seen: int
    total: int | None
    complete: bool
    labelled: bool
    shape: list[int]


class PathAbout(FamilyWords):
    """A path without its curves."""

    features: list[str]
    classes: list[str]
    alpha: float
    tol: float
    layer: str
    rule: int
    tolerance: float
    model: bool
    measurable: bool
    dataName: str
    dense: bool
    shortened: NotRequired[int]


class CurvesAbout(TypedDict):
    """The curves of one class: what their numbers stand for."""

    index: int
    unit: float
    denseUnit: float
    levels: NotRequired[int]


class LiveState(TypedDict):
    """The layer that is in the live model."""

    index: int
    silenced: list[Silenced]
    before: NotRequired[float | None]
    plain: NotRequired[float | None]
    after: NotRequired[float | None]
    on: NotRequired[str]
    n: NotRequired[int]


class OtherPath(TypedDict):
    """A layer of another path is in the live model."""

    other: bool


class Scores(TypedDict):
    """Scores of a layer: the model's own, without and with what is silenced."""

    own: float | None
    plain: float
    silenced: float


class LogEntry(TypedDict):
    """Something that was tried."""

    silenced: list[Silenced]
    index: int
    class_index: int
    scores: NotRequired[Scores]
    on: NotRequired[str]


class Measured(Scores):
    """Scores, and what they were measured on."""

    on: str
    n: int
    meanCount: float
    name: str


class Renamed(TypedDict):
    """The name that a feature has now."""

    name: str


class PathBoundTraits(PanelTraits):
    """The traits that panels of a path share."""

    idx: int
    class_index: int
    silenced: list[Silenced]
    live: LiveState | OtherPath | Nothing
    log: list[LogEntry]
    chosen: int
    names: dict[str, str]
    first: Held[CurvesAbout]


class PathBoundAnswers(PanelAnswers):
    """The answers that panels of a path share."""

    class_path: CurvesAbout
    use: LiveState
    restore: Nothing
    measure: Measured
    rename: Renamed


class FeatureExample(TypedDict):
    """An example that activates a feature."""

    row: int
    label: int
    labelName: str
    activation: float
    percentile: float
    tile: NotRequired[int]
    lime: NotRequired[int]
    waits: NotRequired[bool]
    r2: NotRequired[float | None]
    poor: NotRequired[bool]
    text: NotRequired[str]
    pieces: NotRequired[list[tuple[str, float | None]]]
    cut: NotRequired[bool]


class MadePicture(TypedDict):
    """A picture that was made to activate a feature."""

    sign: int
    tile: int
    activation: float
    beyond: float | None


class Cloud(TypedDict):
    """The words that move a feature."""

    sentences: int
    positive: list[CloudWord]
    negative: list[CloudWord]


class FeatureFacts(TypedDict):
    """The findings about a feature."""

    feature: int
    kind: str
    revision: int
    n: NotRequired[int]
    complete: NotRequired[bool]
    constant: NotRequired[bool]
    waits: NotRequired[bool]
    trouble: NotRequired[str]
    atMinimum: NotRequired[int]
    top: NotRequired[list[FeatureExample]]
    bottom: NotRequired[list[FeatureExample]]
    tiles: NotRequired[list[Place]]
    visual: NotRequired[list[MadePicture]]
    cloud: NotRequired[Cloud]
