"""Types of what crosses the wire: the traits of each panel, and its answer to each action.

``tests/front_end/declarations.py`` writes them as TypeScript for the checker of the panels' JavaScript, and
every test of a panel compares what is really sent with them. A key that is not always there is
``NotRequired``; what is empty before something has been found is "or ``Nothing``".
"""

from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

V = TypeVar("V")

JobWord = Literal["queued", "running", "done", "failed", "cancelled"]
Silenced = tuple[int, int]  # feature and class; class -1: every class
Place = tuple[int, int, int]  # where a picture lies in a sheet of them: left, top, side
CloudWord = tuple[str, float, int, float | None, float | None]  # word, weight, sentences, interval


class ArrayHead(TypedDict):
    """An array without its numbers: see ``wire.py``."""

    dtype: str
    shape: list[int]
    data: NotRequired[bytes]
    buffer: NotRequired[int]


class Held(TypedDict, Generic[V], total=False):
    """A trait with arrays."""

    value: V
    arrays: dict[str, ArrayHead]


class Nothing(TypedDict):
    """An answer that says no more than that it was done."""


class Begun(TypedDict):
    """The number of the job that was begun."""

    job: int


class Copied(TypedDict):
    """Code that does the same."""

    code: str


class PageText(TypedDict):
    """The panel as a page of its own."""

    html: str


class Failure(TypedDict):
    """An error as a panel shows it."""

    type: str
    message: str
    hint: str
    traceback: str


class JobState(TypedDict):
    """A job as a panel shows it."""

    id: int
    name: str
    noun: str
    state: JobWord
    ended: bool
    cancelling: bool
    done: float
    total: float
    note: str
    seconds: float
    rate: float | None
    seconds_left: float | None
    error: str
    failure: NotRequired[Failure]
    run: NotRequired[int]
    notes: NotRequired[list[str]]


class Stale(TypedDict):
    """The changes since a result was computed, and why it cannot be computed again here."""

    reasons: list[str]
    whyNot: str


class Told(TypedDict):
    """An explanation of a term."""

    says: str
    formula: str


class FieldSpec(TypedDict):
    """A parameter of a function as the page makes a field of it."""

    name: str
    label: str
    kind: str
    help: str
    expects: str
    value: Any
    optional: bool
    low: NotRequired[float | None]
    high: NotRequired[float | None]
    openLow: NotRequired[bool]
    openHigh: NotRequired[bool]
    choices: NotRequired[list[str]]
    words: NotRequired[list[str]]
    told: NotRequired[dict[str, Told]]
    barred: NotRequired[list[str]]


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


class PanelTraits(TypedDict):
    """The traits of every panel."""

    panel_id: str
    stale: Stale | Nothing
    renewal: JobState | Nothing


class PanelAnswers(TypedDict):
    """The answers of every panel."""

    refresh: Begun
    page: PageText


class JobPanelTraits(PanelTraits):
    """The traits of every panel that runs a job."""

    job: JobState | Nothing


# -- panels of a path -----------------------------------------------------------------------------------


class FamilyWords(TypedDict):
    """The words for rows and scores of a family."""

    score: str
    percent: bool
    one: str
    many: str
    shared: bool
    raises: str
    lowers: str
    weightUnit: str
    ruleName: str
    near: str


class CardsAble(TypedDict):
    """Can the card of a feature be asked for?"""

    able: bool


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


class PathPanelAbout(PathAbout):
    """A path without its curves, in the Path panel."""

    cards: CardsAble


class FeaturesAbout(PathAbout):
    """A path without its curves, in the Features panel."""

    kind: str
    k: int
    examples: bool
    kernel: bool


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


class Scored(TypedDict):
    """The scores of the layers of all lambdas on the panel's data."""

    name: str
    n: int
    own: float | None


class Trial(TypedDict):
    """One feature silenced on its own."""

    feature: int
    weight: float
    score: float
    change: float
    mended: int
    broken: int


class Trials(TypedDict):
    """Features, each silenced on its own."""

    trials: list[Trial]
    on: str
    n: int


class SavedFile(TypedDict):
    """A file that was written."""

    file: str


class PathTraits(PathBoundTraits):
    """The traits of the Path panel."""

    head: Held[PathPanelAbout]
    pinned: int
    scored: Held[Scored]
    scoring: JobState | Nothing
    card_news: int


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


class PathAnswers(PathBoundAnswers):
    """The answers of the Path panel."""

    card: FeatureFacts
    score: Begun
    trials: Trials
    save: SavedFile
    copy: Copied


class Ready(TypedDict):
    """The part of the features that is known."""

    n: int
    complete: bool
    base: int
    words: int
    parts: dict[str, int]
    troubles: dict[str, str]
    notes: list[str]
    only: NotRequired[list[int]]
    examples: NotRequired[list[int]]


class FeaturesTyped(TypedDict):
    """The choices of the Features panel: what it shows and looks for."""

    layers: str
    shown: int
    least: bool
    lime: bool
    picture: bool


class FeaturesTraits(PathBoundTraits):
    """The traits of the Features panel."""

    head: Held[FeaturesAbout]
    job: JobState | Nothing
    typed: FeaturesTyped
    ready: Ready | Nothing


class Wanted(TypedDict):
    """The job that looks for what is wanted, None where all is known."""

    job: int | None


class ExampleFacts(TypedDict):
    """One example of the panel's data."""

    row: int
    label: int
    labelName: str
    kind: str
    tiles: NotRequired[list[Place]]
    text: NotRequired[str]


class LayerAnswer(TypedDict):
    """The answer of a layer to an example: its first classes, and the scores of all."""

    top: list[tuple[int, str, float]]
    scores: list[float]


class Predictions(TypedDict):
    """The answers of the layers to an example."""

    own: LayerAnswer
    sparse: LayerAnswer
    silenced: LayerAnswer | None


class FeaturesAnswers(PathBoundAnswers):
    """The answers of the Features panel."""

    need: Wanted
    halt: Nothing
    feature: FeatureFacts
    example: ExampleFacts
    predict: Predictions
    copy: Copied


# -- the Fit panel --------------------------------------------------------------------------------------


class Device(TypedDict):
    """A place where a fit can run."""

    title: str
    free: int | None


class FitSize(TypedDict):
    """The size of a fit's data."""

    n: int
    p: int
    outputs: int


class FitHead(TypedDict):
    """The fields of the Fit panel and what it fits."""

    fields: list[FieldSpec]
    devices: dict[str, Device]
    layer: str
    model: str
    size: FitSize | None
    barred: dict[str, str]
    folder: str
    split: float | None


class GrownAbout(FamilyWords):
    """A path as far as it is solved."""

    total: int
    tol: float
    eps: float
    classIndex: int
    classes: list[str]
    names: list[str]
    run: int


class RuleMark(TypedDict):
    """The layer that the rule of a family chooses."""

    name: str
    score: float
    features: float


class RunSummary(TypedDict):
    """One line of the history of fits."""

    run: int
    state: str
    values: dict[str, Any]
    pinned: bool
    percent: bool
    seconds: float
    solved: int
    asked: NotRequired[int]
    certified: NotRequired[int]
    worst: NotRequired[float]
    best: NotRequired[float]
    rule: NotRequired[RuleMark]
    split: NotRequired[int]
    means: NotRequired[list[float]]
    scores: NotRequired[list[float]]


class FitTraits(JobPanelTraits):
    """The traits of the Fit panel."""

    head: FitHead
    typed: dict[str, Any]
    grown: Held[GrownAbout]
    runs: list[RunSummary]
    class_index: int
    shown: str | None


class FitNeeds(TypedDict):
    """Memory and time that a fit needs, by estimate."""

    memory: float
    low: float
    high: float
    title: str
    free: int | None


class FitChecked(TypedDict):
    """The faults of settings; where there is none, what they need."""

    wrong: dict[str, str]
    kept: NotRequired[int]
    needs: NotRequired[FitNeeds | None]


class FitAnswers(PanelAnswers):
    """The answers of the Fit panel."""

    check: FitChecked
    begin: Begun
    copy: Copied
    pin: Nothing
    drop: Nothing
    show_path: Nothing


# -- the Perturbation panel -----------------------------------------------------------------------------


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


# -- the Saliency panel ---------------------------------------------------------------------------------


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


# -- the x-feature panel --------------------------------------------------------------------------------


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


# Traits and answers by the name of the panel.
TRAFFIC: dict[str, tuple[type, type]] = {
    "path": (PathTraits, PathAnswers),
    "features": (FeaturesTraits, FeaturesAnswers),
    "fit": (FitTraits, FitAnswers),
    "perturb": (PerturbTraits, PerturbAnswers),
    "saliency": (SaliencyTraits, SaliencyAnswers),
    "xfeatures": (XFeaturesTraits, XFeaturesAnswers),
}
