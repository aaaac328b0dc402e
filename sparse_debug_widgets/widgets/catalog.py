"""The catalogue of panels by what they show; resolved by name, so that nothing loads early."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Unpack, cast

from sparse_debug_widgets.core.checks import refuse

if TYPE_CHECKING:
    from torch import nn

    from sparse_debug_widgets.widgets.kit.base import Panel
    from sparse_debug_widgets.widgets.kit.options import (
        DebugOptions,
        FeaturesOptions,
        FitOptions,
        PerturbOptions,
        SaliencyOptions,
        XFeaturesOptions,
    )
    from sparse_debug_widgets.widgets.kit.protocols import Debugging

_PACKAGE = __package__.rpartition(".")[0]


class _Panels(Mapping[type, "type[Panel]"]):
    """Result class -> panel class; importing either waits until it is looked at.

    Args:
        entries: ``"room.Result"`` -> ``"module.Panel"``, a folder of ``widgets.panels``.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._entries: dict[str, str | type[Panel]] = dict(entries)
        self._types: dict[str, type] = {}

    def add(self, result_type: type, panel_type: type[Panel]) -> None:
        """Show results of a class of your own in a panel of your own.

        Raises:
            InputError: Another panel shows them already.
        """
        name = _name_of(result_type)
        if name in self._entries:
            refuse(f"A panel shows a {result_type.__name__} already: there is one panel for each result.")
        self._entries[name], self._types[name] = panel_type, result_type

    def names(self) -> list[str]:
        """Names of the classes that have a panel."""
        return [name.rpartition(".")[2] for name in self._entries]

    def __getitem__(self, result_type: type) -> type[Panel]:
        for base in result_type.__mro__:
            entry = self._entries.get(_name_of(base))
            if isinstance(entry, str):
                module, _, name = entry.partition(".")
                found = import_module(f"{_PACKAGE}.widgets.panels.{module}.panel")
                return cast("type[Panel]", getattr(found, name))
            if entry is not None:
                return entry
        raise KeyError(result_type)

    def __iter__(self) -> Iterator[type]:
        for entry in self._entries:
            room, _, name = entry.partition(".")
            yield self._types.get(entry) or getattr(import_module(f"{_PACKAGE}.{room}"), name)

    def __len__(self) -> int:
        return len(self._entries)


def _name_of(result_type: type) -> str:
    """Room and name of a class of this package; module and name of another one."""
    inside = result_type.__module__.removeprefix(f"{_PACKAGE}.")
    ours = inside != result_type.__module__
    return f"{inside.partition('.')[0] if ours else inside}.{result_type.__name__}"


PANELS = _Panels(
    {
        "interpret.XFeatures": "xfeatures.XFeaturesPanel",
        "perturbation.ConceptProbe": "perturb.PerturbPanel",
        "perturbation.ErrorCounterfactuals": "perturb.PerturbPanel",
        "perturbation.Perturbation": "perturb.PerturbPanel",
        "saliency.Attribution": "saliency.SaliencyPanel",
        "saliency.Lambda1Sweep": "saliency.SaliencyPanel",
        "sparse.DeepFeatures": "fit.FitPanel",
        "sparse.RegularizationPath": "path.PathPanel",
    }
)


def panel(result: Any, model: Any = None, *, data: Any = None, **options: Any) -> Panel:  # noqa: ANN401
    """Show a result as its panel, bound to the live model if one is given.

    Args:
        result: A result that has a panel, for example a :class:`RegularizationPath`.
        model: The live model that the result was computed from; without it the panel only shows.
        data: What the panel measures accuracy on: a dataset, a loader, ``(inputs, labels)``, or the
            :class:`DeepFeatures` of the model.
        **options: Passed on to the panel class, see there.

    Returns:
        The panel: an ipywidget that displays itself, with ``to_html(path)`` for a file anybody can open.

    Raises:
        InputError: No panel shows results of this type.
    """
    if type(result) not in PANELS:
        names = ", ".join(PANELS.names())
        refuse(
            f"No panel shows a {type(result).__name__}. There is one for each of these results: {names}. "
            "Fit a path with elastic_net_path(...) and pass that."
        )
    panel_type: Any = PANELS[type(result)]
    return cast("Panel", panel_type(result, model, data=data, **options))


def debug(
    model: nn.Module,
    data: Any,  # noqa: ANN401 (whatever core.batching takes)
    test: Any = None,  # noqa: ANN401 (likewise)
    **options: Unpack[DebugOptions],
) -> Debugging:
    """Find out why a live model is wrong: a panel from its errors to a measured repair.

    The work begins at once, beside the notebook and on a copy of the model. In a script,
    ``sdw.debug(model, data).run()`` waits for the report.

    Args:
        model: The live classifier; one that predicts numbers gets what exists for it.
        data: Data that the sparse layer is fitted to: a dataset, a loader or ``(inputs, labels)``.
        test: Data that are looked at; without them a tenth of ``data`` is held out.
        **options: ``groups`` (a label for each example), ``tokenizer``, ``normalize``, ``class_names``; and
            those of :class:`~sparse_debug_widgets.widgets.panels.debug.panel.DebugPanel`.

    Returns:
        The panel: an ipywidget that displays itself, with ``run()``, ``silence([feature])`` and
        ``to_html(path)``.

    Raises:
        InputError: A model, data or settings that do not fit.
    """
    panel_type: Any = import_module(f"{_PACKAGE}.widgets.panels.debug.panel").DebugPanel
    return cast("Debugging", panel_type(model, data, test=test, **options))


def fit_panel(
    model_or_features: Any,  # noqa: ANN401 (an nn.Module or DeepFeatures)
    data: Any = None,  # noqa: ANN401 (whatever core.batching takes)
    **options: Unpack[FitOptions],
) -> Panel:
    """Fit paths of a decision layer from a panel: choose, start, watch, cancel, resume, compare.

    Fits run beside the notebook. They survive the panel (a new one finds them), and what was solved survives
    the kernel: the same settings go on where they stopped.

    Args:
        model_or_features: A live classifier, whose features are taken when the first fit starts, or
            :class:`DeepFeatures`.
        data: Data of the model: a dataset, a loader or ``(inputs, labels)``.
        **options: Values that the fields begin with (``alpha=0.9, n_lambdas=50``), and ``checkpoints``; see
            :class:`~sparse_debug_widgets.widgets.panels.fit.panel.FitPanel`.

    Returns:
        The panel: an ipywidget that displays itself.

    Raises:
        InputError: A model without data, or a value that a field does not take.
    """
    panel_type: Any = import_module(f"{_PACKAGE}.widgets.panels.fit.panel").FitPanel
    return cast("Panel", panel_type(model_or_features, data=data, **options))


def features_panel(
    path: Any,  # noqa: ANN401 (a RegularizationPath)
    model: Any = None,  # noqa: ANN401 (an nn.Module)
    **options: Unpack[FeaturesOptions],
) -> Panel:
    """See what the features of a decision layer stand for: one row each, name them, silence them.

    Prototypes, LIME, word clouds and visualisations are found beside the notebook, on a copy of the model,
    what is on the screen first.

    Args:
        path: The path whose features they are.
        model: The live model that it was computed from.
        **options: ``data`` (what the features were taken from), ``features`` (the :class:`DeepFeatures`, to
            save a pass over the data), ``follow=path_panel`` links it with a Path panel; and those of
            :class:`~sparse_debug_widgets.widgets.panels.features.panel.FeaturesPanel`.

    Returns:
        The panel: an ipywidget that displays itself.

    Raises:
        InputError: Data, features, model or a panel to follow that do not belong to the path.
    """
    panel_type: Any = import_module(f"{_PACKAGE}.widgets.panels.features.panel").FeaturesPanel
    return cast("Panel", panel_type(path, model, **options))


def perturb_panel(
    model: Any,  # noqa: ANN401 (an nn.Module)
    data: Any = None,  # noqa: ANN401 (whatever Examples takes)
    **options: Unpack[PerturbOptions],
) -> Panel:
    """Ask a live model why it said this, and what would have changed its mind.

    Runs go on beside the notebook, on copies of the model: the model itself is never touched, also while a
    cell trains it.

    Args:
        model: A live classifier.
        data: Pictures to choose from, misclassified first: a dataset, a loader, ``(X, y)``, tensors, one
            picture (channels, height, width).
        **options: ``compare=robust_model`` shows a second model beside the first; values that the fields
            begin with (``target="label", eps=3.0``); and those of
            :class:`~sparse_debug_widgets.widgets.panels.perturb.panel.PerturbPanel`.

    Returns:
        The panel: an ipywidget that displays itself.

    Raises:
        InputError: Data that hold no pictures, or a value that a field does not take.
    """
    panel_type: Any = import_module(f"{_PACKAGE}.widgets.panels.perturb.panel").PerturbPanel
    return cast("Panel", panel_type(model, data=data, **options))


def saliency_panel(
    model: Any,  # noqa: ANN401 (an nn.Module)
    data: Any = None,  # noqa: ANN401 (whatever Examples takes)
    **options: Unpack[SaliencyOptions],
) -> Panel:
    """Look at what a live model looks at: choose an example, classes and methods; scrub over lambda_1.

    Maps are computed beside the notebook, on copies of the models as they are when a run starts.

    Args:
        model: A live classifier.
        data: Examples to choose from, misclassified first: a dataset, a loader, ``(X, y)``, tensors, one
            picture; token numbers, or a mapping of keyword arguments of the model, for text.
        **options: ``compare=robust_model`` shows a second model beside the first; what is chosen to begin
            with (``methods=("gradient", "caso")``, ``classes=(3, 5)``, ``sweep="caso"``); ``words`` for text;
            and those of :class:`~sparse_debug_widgets.widgets.panels.saliency.panel.SaliencyPanel`.

    Returns:
        The panel: an ipywidget that displays itself.

    Raises:
        InputError: No data, or an option that is none.
    """
    panel_type: Any = import_module(f"{_PACKAGE}.widgets.panels.saliency.panel").SaliencyPanel
    return cast("Panel", panel_type(model, data=data, **options))


def x_features_panel(
    model: Any,  # noqa: ANN401 (an nn.Module)
    data: Any = None,  # noqa: ANN401 (whatever core.batching takes)
    **options: Unpack[XFeaturesOptions],
) -> Panel:
    """Ask a live model which concepts one of its classes is made of; toggle, compare and name them.

    An explanation network is trained beside the notebook, on a copy of the model.

    Args:
        model: A live classifier of pictures.
        data: Its data, with examples of the class: a dataset, a loader or ``(X, y)``.
        **options: Values that the fields begin with (``class_index=3, n=5, method="srae"``), and those of
            :class:`~sparse_debug_widgets.widgets.panels.xfeatures.panel.XFeaturesPanel`.

    Returns:
        The panel: an ipywidget that displays itself.

    Raises:
        InputError: No data, or a value that a field does not take.
    """
    panel_type: Any = import_module(f"{_PACKAGE}.widgets.panels.xfeatures.panel").XFeaturesPanel
    return cast("Panel", panel_type(model, data=data, **options))
