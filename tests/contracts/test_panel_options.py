"""Editors complete the options of every panel: the typed names and words are those that the panels take."""

from __future__ import annotations

import inspect
import typing
from typing import Any, Literal, get_args, get_origin

import pytest
from torch import nn

from sparse_debug_widgets.perturbation.methods import METHODS
from sparse_debug_widgets.sparse import DeepFeatures
from sparse_debug_widgets.widgets import catalog
from sparse_debug_widgets.widgets.kit import options
from sparse_debug_widgets.widgets.kit.base import FALLBACKS, Panel
from sparse_debug_widgets.widgets.panels.debug import panel as debug
from sparse_debug_widgets.widgets.panels.features import panel as features
from sparse_debug_widgets.widgets.panels.fit import panel as fit
from sparse_debug_widgets.widgets.panels.fit import settings as fit_settings
from sparse_debug_widgets.widgets.panels.perturb import panel as perturb
from sparse_debug_widgets.widgets.panels.perturb import settings as perturb_settings
from sparse_debug_widgets.widgets.panels.saliency import panel as saliency
from sparse_debug_widgets.widgets.panels.saliency import settings as saliency_choice
from sparse_debug_widgets.widgets.panels.xfeatures import choice as xfeatures_choice
from sparse_debug_widgets.widgets.panels.xfeatures import panel as xfeatures
from sparse_debug_widgets.widgets.panels.xfeatures import settings as xfeatures_settings
from sparse_debug_widgets.widgets.shared import colours

NAMES = vars(options) | {"nn": nn, "DeepFeatures": DeepFeatures, "Panel": Panel}
HANDED_ON = {"self", "source", "path", "data", "options"}


def arguments(panel: type[Panel]) -> set[str]:
    return set(inspect.signature(panel).parameters) - HANDED_ON


FACTORIES: dict[str, tuple[Any, type[Panel], set[str], tuple[Any, ...]]] = {
    "debug": (options.DebugOptions, debug.DebugPanel, set(), ()),
    "fit_panel": (
        options.FitOptions,
        fit.FitPanel,
        {p.name for p in fit_settings.PARAMETERS} | set(fit._EXTRACT_OPTIONS),
        fit_settings.PARAMETERS,
    ),
    "features_panel": (options.FeaturesOptions, features.FeaturesPanel, {"data"}, ()),
    "perturb_panel": (
        options.PerturbOptions,
        perturb.PerturbPanel,
        {p.name for p in perturb_settings.PARAMETERS}
        | {p.name for method in METHODS for p in perturb_settings.options_of(method)}
        | {"target"},
        perturb_settings.PARAMETERS,
    ),
    "saliency_panel": (
        options.SaliencyOptions,
        saliency.SaliencyPanel,
        {p.name for p in saliency_choice.DISPLAY}
        | {*saliency_choice._START, *saliency_choice.ASKED}
        | {"title", "class_names", "words", "tokenizer", "normalize"},
        saliency_choice.DISPLAY,
    ),
    "x_features_panel": (
        options.XFeaturesOptions,
        xfeatures.XFeaturesPanel,
        {p.name for p in xfeatures_choice.DISPLAY} | {*xfeatures_settings.names(), *xfeatures_choice._SHOWN},
        (*xfeatures_choice.DISPLAY, *xfeatures_settings.PARAMETERS),
    ),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_the_typed_options_are_those_that_the_panel_takes(name: str) -> None:
    typed, panel, more, fields = FACTORIES[name]
    hints = typing.get_type_hints(typed, localns=NAMES)
    taken = arguments(panel) | more
    # What a factory names itself is no option of it.
    own = set(inspect.signature(getattr(catalog, name)).parameters) - {"options"}
    assert set(hints) == taken - own
    given = inspect.signature(getattr(catalog, name)).parameters["options"].annotation
    assert given == f"Unpack[{typed.__name__}]"
    for parameter in fields:
        words = [word for part in (hints[parameter.name], *get_args(hints[parameter.name]))
                 if get_origin(part) is Literal for word in get_args(part)]  # fmt: skip
        if words:
            assert words == list(parameter.choices), parameter.name
        assert {"int": int, "float": float, "bool": bool, "str": str}.get(parameter.kind) in {
            None, hints[parameter.name], *get_args(hints[parameter.name]),
        }, parameter.name  # fmt: skip


def test_words_are_written_once_for_all_panels() -> None:
    assert get_args(options.Fallback) == FALLBACKS
    assert get_args(options.Sequential) == colours.SEQUENTIAL
    assert get_args(options.Diverging) == colours.DIVERGING
