"""Types of what the Fit panel sends: its traits, and its answer to each action."""

from typing import Any, NotRequired, TypedDict

from sparse_debug_widgets.widgets.kit.traffic import (
    Begun,
    Copied,
    FamilyWords,
    FieldSpec,
    Held,
    JobPanelTraits,
    Nothing,
    PanelAnswers,
)


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


TRAFFIC = (FitTraits, FitAnswers)
