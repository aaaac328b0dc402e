"""The x-feature panel: the concepts that explain one class, as heat maps to toggle, compare and name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import traitlets

from sparse_debug_widgets.interpret.xfeatures import XFeatures
from sparse_debug_widgets.widgets import xfeatures_choice, xfeatures_sheet
from sparse_debug_widgets.widgets.base import Export, Panel
from sparse_debug_widgets.widgets.calls import Answer, Call, action
from sparse_debug_widgets.widgets.maps import Sheet

if TYPE_CHECKING:
    from torch import nn

_SMALL_BYTES = 300_000


class XFeaturesPanel(Panel):
    """The x-features of one class on a gallery of its pictures.

    Attributes:
        names: Names of the concepts, as a person typed them; they go into :attr:`result`.
        shown: Maps that lie over all pictures: numbers of x-features, -1 for the 1-heatmap.
        own: Number of a picture, as text -> the maps that lie over that one only.
        selected: Pictures whose maps stand in the table.
        hidden: x-features whose maps are switched off in the table; -1 for the 1-heatmap.
        order: How pictures are sorted: ``by`` "given", "score", "error" or the number of an x-feature as
            text, ``down`` (largest first), and ``columns`` of the table by "number" or "contribution".
        display: How maps are shown.

    Args:
        result: What :func:`x_features` found.
        model: The live model it was computed from.
        title: Title of exported pages.
        fallback: See :class:`Panel`.
        **options: Values of ``display`` (``blend=0.5``), ``shown=(0,)``, ``selected=(3, 5)``.

    Raises:
        InputError: An option that is none, or a number that no picture or x-feature has.
    """

    name = "xfeatures"

    head = traitlets.Dict().tag(sync=True)
    sheet = traitlets.Dict().tag(sync=True)
    names: traitlets.List[Any] = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shown: traitlets.List[Any] = traitlets.List(traitlets.Int()).tag(sync=True)
    own = traitlets.Dict().tag(sync=True)
    selected: traitlets.List[Any] = traitlets.List(traitlets.Int()).tag(sync=True)
    hidden: traitlets.List[Any] = traitlets.List(traitlets.Int()).tag(sync=True)
    order = traitlets.Dict().tag(sync=True)
    display = traitlets.Dict().tag(sync=True)
    typed = traitlets.Dict().tag(sync=True)
    job = traitlets.Dict().tag(sync=True)
    runs: traitlets.List[Any] = traitlets.List().tag(sync=True)
    shown_run = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        result: XFeatures,
        model: nn.Module | None = None,
        *,
        data: Any = None,  # noqa: ANN401 (whatever core.batching takes)
        title: str = "x-features",
        fallback: str = "auto",
        **options: Any,  # noqa: ANN401 (see above)
    ) -> None:
        self._result: XFeatures = result
        state = xfeatures_choice.start(options, len(result.images), result.n)
        super().__init__(title=title, plain=f"XFeaturesPanel({result!r})", fallback=fallback, **state)
        self._show(result)
        self.head = {"kernel": True, "live": False}

    @property
    def result(self) -> XFeatures:
        """What is shown, with the names that concepts have now: ``panel.result.save(path)`` keeps them."""
        return self._result

    def rename(self, index: int, name: str) -> None:
        """Name a concept, as typing does.

        Args:
            index: Number of the x-feature, from 0.
            name: What a person calls it.

        Raises:
            InputError: No such x-feature, or a name that is empty or longer than 200 characters.
        """
        self.names = list(self._result.renamed(index, name).names)

    @traitlets.validate("names")
    def _cleaned(self, proposal: Mapping[str, Any]) -> list[str]:
        return xfeatures_choice.clean_names(proposal["value"], self._result.n)

    @traitlets.observe("names")
    def _renamed(self, _change: object) -> None:
        for index, name in enumerate(self.names):
            if name != self._result.names[index]:
                self._result = self._result.renamed(index, name)

    @action
    def page(self, _call: Call) -> Answer:
        """The standalone page, to download."""
        return Answer({"html": self.html()})

    def _show(self, result: XFeatures) -> None:
        self._result = result
        with self.hold_sync():
            self.sheet = xfeatures_sheet.sheet(result).trait()
            self.names = list(result.names)

    def export(self, *, small: bool = False) -> Export:
        """All pictures and maps, to toggle and to compare; a small page has fewer, in coarser steps."""
        found: Sheet = (
            xfeatures_sheet.fitting(self._result, _SMALL_BYTES)
            if small
            else xfeatures_sheet.sheet(self._result)
        )
        names = ("names", "shown", "own", "selected", "hidden", "order", "display")
        state: dict[str, Any] = {name: getattr(self, name) for name in names}
        state |= {
            "head": {**self.head, "live": False, "kernel": False},
            "job": {},
            "stale": {},
            "renewal": {},
        }
        return Export(state, {"sheet": (found.value, found.arrays)}, [])
