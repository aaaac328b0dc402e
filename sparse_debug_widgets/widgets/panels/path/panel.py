"""The Path panel: drag a regularisation path of a decision layer, and put the chosen layer to work."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import check_int, refuse
from sparse_debug_widgets.core.job import FINAL_STATES, Job
from sparse_debug_widgets.core.progress import ProgressCallback
from sparse_debug_widgets.sparse.path.silencing import Trial, trials_frame
from sparse_debug_widgets.widgets.kit import jobs as running
from sparse_debug_widgets.widgets.kit import wire
from sparse_debug_widgets.widgets.kit.base import Export
from sparse_debug_widgets.widgets.kit.calls import Answer, Call, action
from sparse_debug_widgets.widgets.kit.namespace import called
from sparse_debug_widgets.widgets.kit.protocols import Path
from sparse_debug_widgets.widgets.panels.path import code
from sparse_debug_widgets.widgets.shared import curves
from sparse_debug_widgets.widgets.shared.features.card import FeatureCards
from sparse_debug_widgets.widgets.shared.live import edited_layer
from sparse_debug_widgets.widgets.shared.path_bound import PathBound

if TYPE_CHECKING:
    import pandas as pd
    import torch

# A page inside a notebook shows this many curves in all; to_html() has no limit.
_SMALL_CURVES = 5_200
# Numbers in a page beyond which they are rounded to coarser steps.
_FINE_NUMBERS = 150_000
# Bytes of pictures that a page in a file, or inside a notebook, has of what features see.
_CARDS = {False: 2_000_000, True: 100_000}


class PathPanel(PathBound):
    """Coefficient paths, accuracy against sparsity, strongest features, features per class: all draggable.

    Attributes:
        pinned: Index of the pinned lambda, -1 for none.
        scored: What the layers of all lambdas score on the panel's data, once that has been measured.
        scoring: The job that measures it.
        card_news: Grows when more is known of what features see.

    Args:
        path: The path to show.
        model: The live model that the path was computed from; needed for "use this layer".
        data: What accuracy is measured on, before and after. What a feature sees is shown on these data, too,
            where no ``examples`` are given.
        features: The :class:`DeepFeatures` of the examples, if they have been taken: they save a pass.
        examples: The data that ``features`` were taken from, or any others to look for examples in.
        tokenizer: For sentences that do not carry one.
        class_index: The class to begin with, by number or name.
        index: The lambda to begin with; by default the one of the 5-point rule.
        title: Title of exported pages.
        fallback: See :class:`Panel`.

    Raises:
        InputError: An index out of range, or a model whose decision layer does not fit the path.
    """

    name = "path"

    pinned = traitlets.Int(-1).tag(sync=True)
    scored = traitlets.Dict().tag(sync=True)
    scoring = traitlets.Dict().tag(sync=True)
    card_news = traitlets.Int(0).tag(sync=True)
    _job: Job[Any] | None = None
    _cards: FeatureCards | None = None

    def __init__(  # noqa: PLR0913 - what a person may choose, keyword-only
        self,
        path: Path,
        model: torch.nn.Module | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (whatever core.batching takes, or DeepFeatures)
        features: Any = None,  # noqa: ANN401 (DeepFeatures)
        examples: Any = None,  # noqa: ANN401 (as data)
        tokenizer: Any = None,  # noqa: ANN401 (a callable)
        class_index: int | str = 0,
        index: int | None = None,
        title: str = "Regularisation path",
        fallback: str = "auto",
    ) -> None:
        self._behind = {"data": data if examples is None else examples, "features": features}
        self._behind["tokenizer"] = tokenizer
        super().__init__(
            path, model, data=data, class_index=class_index, index=index, title=title, fallback=fallback
        )

    def adopt(self, path: Path) -> None:
        """See :meth:`PathBound.adopt`."""
        with self.hold_sync():
            self.pinned = -1
            if self._job is not None:
                self._job.cancel()
            self._job, self.scored, self.scoring = None, {}, {}
            if self._cards is not None:
                self._cards.close()
            # Deep features that were taken from the model as it was say nothing of this path.
            self._cards, self._behind["features"] = None, None
            super().adopt(path)

    def own_jobs(self) -> Sequence[Job[Any]]:
        """See :meth:`Panel.own_jobs`."""
        cards = self.__dict__.get("_cards")
        mine = (self.__dict__.get("_job"), None if cards is None else cards.job)
        return [*super().own_jobs(), *(job for job in mine if job is not None)]

    # -- what a feature sees ----------------------------------------------------------------------------

    @property
    def _sees(self) -> bool:
        """Are there examples to show of a feature?"""
        data, features = self._behind["data"], self._behind["features"]
        return features is not None or (data is not None and self._live.bound)

    def _feature_cards(self) -> FeatureCards:
        """Return the cards of what features see; nothing is read before somebody looks."""
        if self._cards is None:
            held = weakref.ref(self)

            def told() -> None:
                panel = held()
                if panel is not None and panel._cards is not None:
                    panel.card_news = panel._cards.news

            self._cards = FeatureCards(self._path, self._live, told=told, **self._behind)
        return self._cards

    @action
    def card(self, _call: Call, *, feature: int) -> Answer:
        """Return what one feature sees: its prototypes, and words if these are sentences."""
        return self._feature_cards().card(feature)

    def _head(self) -> dict[str, Any]:
        return super()._head() | {"cards": {"able": self._sees}}

    # -- what a person may also do from Python ---------------------------------------------------------

    def try_each(self, *, everywhere: bool = True) -> pd.DataFrame:
        """Silence each feature of the class on its own, beside those that are silenced, best first.

        Args:
            everywhere: Silence it for all classes; else for this one only.

        Returns:
            One row for each feature in use: what the layer scores without it, on the panel's data.

        Raises:
            InputError: The panel has no data.
        """
        self._check_measurable()
        return trials_frame(self._path, self._tried(self.silenced, everywhere, lambda _: None))  # type: ignore[arg-type]

    def save_repaired(self, path: str | os.PathLike[str]) -> FilePath:
        """Save the model with the layer that is looked at, silenced features left out.

        The model itself stays as it is. Its own class loads the file:
        ``model.load_state_dict(safetensors.torch.load_file(path))``.

        Args:
            path: A new file that ends in ``.safetensors``.

        Raises:
            InputError: The panel has no model, or a file that cannot be written so.
        """
        return self._live.save(self.layer, path)

    def undo(self) -> None:
        """Go back to the set of silenced features before this one."""
        if self.log:
            shorter = self.log[:-1]
            with self.hold_trait_notifications():
                self.log = shorter
                self.silenced = shorter[-1]["silenced"] if shorter else []

    # -- measuring every strength, beside the notebook ---------------------------------------------------

    def score_path(self) -> Job[Any]:
        """Measure the layers of all lambdas on the panel's data, as a job.

        Raises:
            InputError: The panel has no data.
        """
        self._check_measurable()
        if self._job is None or self._job.state in FINAL_STATES:
            job = jobs.submit(self._live.prepared(), name=f"scores on {self._live.data_name}")
            self._job = job
            self.scoring = running.state_of(job)
            running.follow(job, self, PathPanel._scored)
        return self._job

    def _scored(self, job: Job[Any]) -> None:
        """News of that job, on the thread that brings them."""
        if job is not self._job:
            return
        if job.state == "done" and not self.scored:
            known, own, scores = job.result(0)
            self._live.learn(known)
            value = wire.jsonable({"name": known.name, "n": len(known.labels), "own": own})
            arrays = {"scores": np.asarray(scores, np.float32)}
            self.scored = {"value": value, "arrays": wire.in_trait(arrays)}
        self.scoring = running.state_of(job, lambda _: "The model is as it was.")

    def _check_measurable(self) -> None:
        if not self._live.measurable:
            refuse(
                "This panel has no data to measure on. Show it with data: sdw.panel(path, model, data=...)."
            )

    def _tried(self, silenced: Sequence[Any], everywhere: bool, progress: ProgressCallback) -> list[Trial]:
        edits = self._silenced(silenced)
        return self._live.try_each(self.idx, self.class_index, edits, progress, everywhere=everywhere)

    # -- what the front end may request ----------------------------------------------------------------

    @action
    def score(self, _call: Call) -> Answer:
        """Measure every strength on the panel's data."""
        return Answer({"job": self.score_path().id})

    @action
    def trials(
        self, call: Call, *, index: int, row: int, silenced: Sequence[Any] = (), everywhere: bool = True
    ) -> Answer:
        """Each feature of a class silenced on its own, best first."""
        self._check_measurable()
        check_int(row, "class", "this path", low=0, high=len(self._path.class_names) - 1)
        edits = self._silenced(silenced)
        tried = self._live.try_each(
            self._index(index), row, edits, call.progress, everywhere=bool(everywhere)
        )
        return Answer({"trials": [trial._asdict() for trial in tried], **self._live.measured_on()})

    @action
    def save(self, _call: Call, *, file: str, index: int, silenced: Sequence[Any] = ()) -> Answer:
        """Save the model with the layer that is looked at, in the notebook's folder."""
        layer = edited_layer(self._path, self._index(index), self._silenced(silenced))
        written = self._live.save(layer, str(file).strip())
        return Answer({"file": str(written)})

    @action
    def copy(self, _call: Call) -> Answer:
        """The calls that give the layer that is looked at, and this panel."""
        model, measured = self._live.sources
        things = {"path": self._path, "model": model, "data": measured, **self._behind}
        if measured is not None and self._behind["data"] is not measured:
            things |= {"data": measured, "examples": self._behind["data"]}
        names = {name: called(thing, name) for name, thing in things.items() if thing is not None}
        made = code.cell(
            names,
            index=self.idx,
            class_index=self.class_index,
            silenced=self._silenced(self.silenced),
            renamed=self.named_here,
            installed=bool(self.live) and "other" not in self.live,
        )
        return Answer({"code": made.copied()})

    @traitlets.validate("pinned")
    def _on_the_path(self, proposal: Mapping[str, Any]) -> int:
        return int(min(max(int(proposal["value"]), -1), len(self._path.lambdas) - 1))

    def export(self, *, small: bool = False) -> Export:
        """Everything a page needs to answer its own requests.

        Args:
            small: For the page inside a notebook: past a few thousand curves, only the strongest ones.
        """
        path = self._path
        cards = {} if self._cards is None else self._cards.known(self.selection.features, _CARDS[small])
        value = {**self._head(), "model": False, "measurable": False, "saved": True}
        value["cards"] = {"able": bool(cards)}
        keep = len(path.feature_names)
        if small:
            keep = max(24, _SMALL_CURVES // len(path.class_names))
            value["shortened"] = keep if keep < len(path.feature_names) else 0
        rows = range(len(path.class_names)) if not small else _around(self.class_index, len(path.class_names))
        levels = curves.FINE if int(np.sum(path.n_nonzero)) <= _FINE_NUMBERS else curves.COARSE
        replies = [("class_path", {"index": row}, *self._squeezed(row, keep, levels)) for row in rows]
        replies += [("card", {"feature": j}, dict(a.value), dict(a.arrays)) for j, a in cards.items()]
        state = {
            "idx": self.idx,
            "class_index": self.class_index,
            "pinned": self.pinned,
            "silenced": [list(pair) for pair in self.silenced],
            "log": self.log,
            "chosen": self.chosen,
            "scoring": {},
            "card_news": 0,
            "live": {},
            "first": {},
        }
        held: dict[str, tuple[dict[str, Any], Mapping[str, wire.Array]]] = {"head": (value, self._curves())}
        if self.scored:
            arrays = {name: wire.decode(head, head["data"]) for name, head in self.scored["arrays"].items()}
            held["scored"] = (self.scored["value"], arrays)
        else:
            state["scored"] = {}
        return Export(state, held, replies)


def _around(row: int, n_rows: int, reach: int = 25) -> range:
    """The class that is looked at and its neighbours: a page inside a notebook has at most 50 classes."""
    first = max(0, min(row - reach, n_rows - 2 * reach))
    return range(first, min(n_rows, first + 2 * reach))
