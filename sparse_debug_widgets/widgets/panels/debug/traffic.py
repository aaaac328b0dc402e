"""Types of what the Debug panel sends: its traits, and its answer to each action."""

from typing import TypedDict

from sparse_debug_widgets.widgets.kit.traffic import Begun, Held, JobPanelTraits, Nothing, PanelAnswers


class DebugHead(TypedDict):
    """The model that is looked at."""

    model: str


class DebugSuspect(TypedDict):
    """A feature under suspicion, and what silencing it does."""

    feature: int
    towards: str
    errors: int
    explained: int
    mended: int
    broken: int
    accuracy: float
    worstClass: str
    worstChange: float
    cause: str


class DebugAbout(TypedDict):
    """The findings of a report; counts per class and group, and the errors, lie beside it as arrays."""

    form: str
    split: str
    stages: list[str]
    sparse: int
    accuracies: list[float | None]
    classes: list[str]
    groups: list[str]
    features: list[str]
    sentences: list[str]
    leftOut: list[str]
    suspects: list[DebugSuspect]
    suggested: list[int]
    errors: int
    texts: list[str]
    causes: list[str]
    causePairs: list[list[str]]


class DebugRepair(TypedDict):
    """A set of features that is silenced, and what that does."""

    silenced: list[int]
    accuracy: float
    mended: int
    broken: int
    classHits: list[int]
    groupHits: list[int]


class DebugTraits(JobPanelTraits):
    """The traits of the Debug panel."""

    head: DebugHead
    found: Held[DebugAbout]
    pair: list[int]
    error: int
    log: list[DebugRepair]
    shown: str | None


class DebugExamples(TypedDict):
    """Sentences of some errors; their pictures come as an array."""

    texts: list[str]


class DebugAnswers(PanelAnswers):
    """The answers of the Debug panel."""

    begin: Begun
    examples: DebugExamples
    repair: Nothing
    take_back: Nothing
    show_path: Nothing


TRAFFIC = (DebugTraits, DebugAnswers)
