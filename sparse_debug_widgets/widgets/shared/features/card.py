"""The card of one feature: its prototypes, and the words that move it; found when somebody looks, not before.

A small piece for panels of a path that show features as numbers. The panel keeps one :class:`FeatureCards`,
answers the request ``card`` with :meth:`FeatureCards.card`, and says :attr:`FeatureCards.news` in a trait so
that the page asks again; ``shared/features/card.js`` is the other side. What was found is shared with the
Features panel of the same path, model and data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import InputError, check_int
from sparse_debug_widgets.core.fingerprint import model_fingerprint
from sparse_debug_widgets.core.job import FINAL_STATES, Job
from sparse_debug_widgets.widgets.kit.calls import Answer
from sparse_debug_widgets.widgets.kit.jobs import follow
from sparse_debug_widgets.widgets.kit.protocols import Path
from sparse_debug_widgets.widgets.shared.features.sheet import feature_answer
from sparse_debug_widgets.widgets.shared.features.source import TEXT, FeatureSource
from sparse_debug_widgets.widgets.shared.features.work import (
    LIME,
    FeatureFindings,
    Plan,
    Wanted,
    fill,
    found_before,
    pending,
    prototypes_now,
)
from sparse_debug_widgets.widgets.shared.live import LiveModel

_PLAN = Plan()
_JOB = "examples of features"


class FeatureCards:
    """The cards of a path's features: what each sees, one card at a time.

    Args:
        path: The path.
        live: Its live model, copied when the first card is asked for; None for none.
        data: Examples behind the features, see :class:`~.features_source.FeatureSource`.
        test: The test data, where ``features`` were taken with some.
        features: Deep features of these data, if they have been taken; else one pass of the model takes them.
        tokenizer: For sentences that do not carry one.
        told: Called when something new was found, on the thread that found it.

    Attributes:
        news: Grows whenever something was found: a card that was asked for before may have more now.
        trouble: Why nothing more can be found; empty if it can.

    Raises:
        InputError: Data or features that do not belong to the path.
    """

    def __init__(
        self,
        path: Path,
        live: LiveModel | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (see FeatureSource)
        test: Any = None,  # noqa: ANN401 (likewise)
        features: Any = None,  # noqa: ANN401 (DeepFeatures)
        tokenizer: Any = None,  # noqa: ANN401 (a callable)
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self.news, self.trouble = 0, ""
        self._source = FeatureSource(path, data, test=test, features=features, tokenizer=tokenizer)
        self._live, self._told = live, told
        self._twin: nn.Module | None = None
        self._model = None if live is None else live.sources[0]
        self._wanted, self._looked = Wanted(), False
        self._job: Job[Any] | None = None
        self._found = self._shelf("")
        self._seen: tuple[Any, ...] = ()

    def about(self) -> dict[str, Any]:
        """Return what the page knows from the beginning: ``kind`` of the examples, if there are any."""
        source = self._source
        there = source.given is not None or (source.data is not None and self._model is not None)
        return {"kind": source.kind, "able": there}

    def card(self, feature: int) -> Answer:
        """One feature: its most activating examples, and words where these are sentences.

        What takes longer than a moment begins beside the notebook, and the card is what there is.

        Args:
            feature: Its number.

        Returns:
            As :func:`~.features_sheet.feature_answer`, with ``waits`` (more will come) and ``trouble``.

        Raises:
            InputError: No such feature.
        """
        source = self._source
        check_int(feature, "feature", "this path", low=0, high=len(source.path.feature_names) - 1)
        self._look()
        # Pictures say enough by themselves; LIME and visualisations are the Features panel's.
        stages = frozenset({LIME}) if source.kind == TEXT else frozenset()
        self._wanted.set([feature], (), stages)
        waits = self._work()
        value, arrays = feature_answer(source, self._found, feature, _PLAN)
        return Answer({**value, "waits": waits, "trouble": self.trouble}, arrays)

    def known(self, features: Iterable[int], room: int) -> dict[int, Answer]:
        """Cards for a page without a kernel: of these features, as many as fit into about so many bytes."""
        self._look()
        cards: dict[int, Answer] = {}
        if self._found.prototypes is None:
            return cards
        for feature in features:
            value, arrays = feature_answer(self._source, self._found, feature, _PLAN)
            room -= sum(getattr(array, "nbytes", 0) for array in arrays.values())
            if room < 0:
                break
            cards[feature] = Answer({**value, "waits": False, "trouble": ""}, arrays)
        return cards

    @property
    def job(self) -> Job[Any] | None:
        """The job that is at work, or was."""
        return self._job

    def close(self) -> None:
        """Stop what is at work."""
        if self._job is not None:
            self._job.cancel()

    # -- inside ----------------------------------------------------------------------------------------

    def _shelf(self, mark: str) -> FeatureFindings:
        """Return what has been found for a model of this fingerprint."""
        source = self._source
        things = (self._model, source.data, source.test, source.given)
        return found_before(source.path, things, (mark, _PLAN))

    def _look(self) -> None:
        """At the first card: copy the model, and see what a Features panel has found before."""
        if self._looked:
            return
        self._looked, mark = True, ""
        source = self._source
        needed = source.given is None or source.kind == TEXT
        if self._live is not None and self._model is not None and needed and source.data is not None:
            try:
                self._twin = self._live.private_copy()
                mark = model_fingerprint(self._twin)
            except InputError as error:
                self.trouble = str(error)
        self._found = self._shelf(mark)
        if source.deep is None:
            source.deep = self._found.deep
        prototypes_now(source, self._found, _PLAN)

    def _work(self) -> bool:
        """Begin what is missing; whether something will come."""
        if self._job is not None and self._job.state not in FINAL_STATES:
            return True
        source, found = self._source, self._found
        readable = source.given is not None or (self._twin is not None and source.data is not None)
        missing = self._twin is not None and bool(pending(source, found, self._wanted, _PLAN))
        failed = self._job is not None and self._job.state == "failed"
        if failed or not readable or (found.complete and not missing):
            return False
        self._job = jobs.submit(
            fill, self._twin, source, found, self._wanted, _PLAN, name=_JOB, noun="explanation"
        )
        follow(self._job, self, FeatureCards._moved)
        return True

    def _moved(self, job: Job[Any]) -> None:
        if job.error is not None:
            self.trouble = str(job.error)
        elif self._found.troubles:
            self.trouble = next(iter(self._found.troubles.values()))
        found = self._found
        seen = (found.base, found.words, found.revisions.total(), self.trouble, job.state in FINAL_STATES)
        if seen != self._seen:
            self._seen = seen
            self.news += 1
            self._told()
