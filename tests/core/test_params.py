"""Signatures as descriptions of parameters."""

import re
from typing import Annotated, Literal

import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.params import Parameter, Range, check_parameters, read_parameters


def method(
    model: object,
    x: object,
    *,
    n: Annotated[int, Range(1, 500)] = 50,
    sigma: Annotated[float, Range(0, 1, open_low=True, log=True)] = 0.15,
    lambda1: Annotated[float, Range(0)] | Literal["auto"] = 0.0,
    share: Annotated[float, Range(0, 1)] | None = None,
    of: Literal["logit", "loss"] = "logit",
    times_input: bool = False,
    layer: str | None = None,
    baseline: object = 0.0,
) -> None:
    """Do it.

    Args:
        model: The model.
        x: The input.
        n: Noisy copies,
            spread over chunks.
        sigma: How noisy: a share.
        lambda1: Strength.

    Returns:
        Nothing.
    """


PARAMETERS = {p.name: p for p in read_parameters(method)}


def test_only_keyword_parameters_are_read_in_order():
    assert list(PARAMETERS) == ["n", "sigma", "lambda1", "share", "of", "times_input", "layer", "baseline"]


def test_kinds_ranges_choices_defaults_and_help():
    assert PARAMETERS["n"] == Parameter(
        "n", "int", 50, Range(1, 500), help="Noisy copies, spread over chunks."
    )
    assert PARAMETERS["sigma"].range == Range(0, 1, open_low=True, log=True)
    assert PARAMETERS["sigma"].help == "How noisy: a share."
    assert PARAMETERS["lambda1"] == Parameter("lambda1", "float", 0.0, Range(0), ("auto",), help="Strength.")
    assert PARAMETERS["share"].optional
    assert PARAMETERS["of"] == Parameter("of", "choice", "logit", None, ("logit", "loss"))
    assert [PARAMETERS[name].kind for name in ("times_input", "layer", "baseline")] == [
        "bool",
        "str",
        "other",
    ]


def test_descriptions_for_tables():
    described = {name: parameter.describe() for name, parameter in PARAMETERS.items()}
    assert described["sigma"] == "float in (0, 1]"
    assert described["lambda1"] == "float in [0, inf) | 'auto'"
    assert described["share"] == "float in [0, 1] | None"
    assert described["of"] == "'logit' | 'loss'"
    assert described["layer"] == "str | None"


def test_defaults_are_filled_in_and_numbers_get_their_type():
    checked = check_parameters(tuple(PARAMETERS.values()), {"n": 7.0, "sigma": 1}, "method")
    assert checked["n"] == 7
    assert isinstance(checked["n"], int)
    assert isinstance(checked["sigma"], float)
    assert checked["of"] == "logit"
    assert checked["layer"] is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"n": 0},
            "n is not compatible with smooth: it must be a whole number of at least 1 and at most 500",
        ),
        ({"n": 2.5}, "whole number of at least 1 and at most 500"),
        ({"n": True}, "whole number"),
        ({"sigma": 0}, "finite number in (0, 1]; got 0"),
        ({"sigma": float("nan")}, "got nan"),
        ({"sigma": "0.1"}, "finite number in (0, 1]"),
        ({"lambda1": -1e-9}, "finite number of at least 0; got"),
        ({"lambda1": "aut"}, "be 'auto' or a number in [0, inf); got 'aut'"),
        ({"of": "probability"}, "be one of 'logit', 'loss'"),
        ({"of": 3}, "be 'logit' | 'loss'; got 3"),
        ({"times_input": 1}, "be bool; got 1"),
        ({"layer": 4}, "be str | None; got 4"),
        ({"n_samples": 4}, "smooth has no parameter 'n_samples'. Known: 'n'"),
        ({"lambda_1": 0}, "Did you mean 'lambda1'?"),
    ],
)
def test_a_wrong_parameter_names_its_range(given, words):
    with pytest.raises(InputError, match=re.escape(words)):
        check_parameters(tuple(PARAMETERS.values()), given, "smooth")


def test_values_of_other_kinds_pass_through():
    marker = object()
    assert check_parameters(tuple(PARAMETERS.values()), {"baseline": marker}, "m")["baseline"] is marker
