"""Types of what crosses the wire, as far as every kind of panel sends it.

The ``traffic.py`` of each panel has its own, and names in ``TRAFFIC`` its traits and its answers to actions;
``shared/traffic.py`` has those of paths and galleries. ``tests/front_end/declarations.py`` writes them all as
TypeScript for the checker of the panels' JavaScript, and every test of a panel compares what is really sent
with them. A key that is not always there is ``NotRequired``; what is empty before something has been found is
"or ``Nothing``".
"""

from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

V = TypeVar("V")

JobWord = Literal["queued", "running", "done", "failed", "cancelled"]


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
