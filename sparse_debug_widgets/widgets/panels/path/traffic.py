"""Types of what the Path panel sends: its traits, and its answer to each action."""

from typing import TypedDict

from sparse_debug_widgets.widgets.kit.traffic import Begun, Copied, Held, JobState, Nothing
from sparse_debug_widgets.widgets.shared.traffic import (
    FeatureFacts,
    PathAbout,
    PathBoundAnswers,
    PathBoundTraits,
)


class CardsAble(TypedDict):
    """Can the card of a feature be asked for?"""

    able: bool


class PathPanelAbout(PathAbout):
    """A path without its curves, in the Path panel."""

    cards: CardsAble


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


class PathAnswers(PathBoundAnswers):
    """The answers of the Path panel."""

    card: FeatureFacts
    score: Begun
    trials: Trials
    save: SavedFile
    copy: Copied


TRAFFIC = (PathTraits, PathAnswers)
