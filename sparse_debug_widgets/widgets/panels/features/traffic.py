"""Types of what the Features panel sends: its traits, and its answer to each action."""

from typing import NotRequired, TypedDict

from sparse_debug_widgets.widgets.kit.traffic import Copied, Held, JobState, Nothing
from sparse_debug_widgets.widgets.shared.traffic import (
    FeatureFacts,
    PathAbout,
    PathBoundAnswers,
    PathBoundTraits,
    Place,
)


class FeaturesAbout(PathAbout):
    """A path without its curves, in the Features panel."""

    kind: str
    k: int
    examples: bool
    kernel: bool


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


TRAFFIC = (FeaturesTraits, FeaturesAnswers)
