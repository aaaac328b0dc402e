"""The settings of a path stand in one signature: request, command line, Fit panel and estimators read it."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sparse_debug_widgets as sdw
from sparse_debug_widgets.cli.fit import SETTINGS
from sparse_debug_widgets.cli.parser import build_parser, main
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.params import read_parameters
from sparse_debug_widgets.sparse import SOLVERS, DeepFeatures, ElasticNetPathClassifier, elastic_net_path
from sparse_debug_widgets.sparse.path.estimate import estimate_fit
from sparse_debug_widgets.sparse.path.path import path_request
from sparse_debug_widgets.sparse.path.request import PathRequest
from sparse_debug_widgets.sparse.solvers.saga import Saga
from sparse_debug_widgets.sparse.solvers.solver import Effort, effort_of
from sparse_debug_widgets.widgets.panels.fit import settings as fit_settings
from tests.widgets.front import request

DATA = {"features", "y", "process_group", "checkpoint", "progress"}
SIGNATURE = inspect.signature(elastic_net_path).parameters


@pytest.fixture(scope="module")
def features() -> DeepFeatures:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    values = rng.normal(size=(120, 5)).astype(np.float32)
    values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
    return DeepFeatures.from_arrays(values, labels, validation=0.25)


def test_a_request_has_every_argument_but_the_data() -> None:
    assert set(PathRequest.names()) == set(SIGNATURE) - DATA
    request = path_request()
    for name in PathRequest.names():
        if name not in {"solver", "device"}:
            assert getattr(request, name) == SIGNATURE[name].default, name
    assert request.solver is SOLVERS[SIGNATURE["solver"].default]
    assert request.device == torch.device("cpu")
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.alpha = 0.5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"alpha": 1.5}, "alpha"),
        ({"n_lambdas": 0}, "n_lambdas"),
        ({"n_lambdas": 2.5}, "n_lambdas"),
        ({"eps": 1.0}, "eps"),
        ({"tol": "tight"}, "tol.*'auto' or a number"),
        ({"seed": "one"}, "seed"),
        ({"standardize": "yes"}, "standardize"),
        ({"validation": 1.0}, "validation"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"stopping": "gap"}, "stopping"),
        ({"group": 1}, "group"),
        ({"group": True}, "knows no group penalties. Pass solver='saga'"),
        ({"max_features": -1}, "max_features"),
        ({"memory_budget": 0}, "memory_budget"),
        ({"storage": "float8"}, "storage.*'float64'"),
        ({"device": "gpu"}, "device"),
        ({"solver": "sagaa"}, "Did you mean 'saga'"),
        ({"solver": 3}, "solver.*'working_set'"),
        ({"lambdas": [0.1, 0.2]}, "strictly decreasing"),
        ({"family": "binomal"}, "Did you mean 'binomial'"),
        ({"alhpa": 0.5}, "Did you mean 'alpha'"),
    ],
)
def test_settings_are_refused_before_the_data_are_looked_at(settings: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        path_request(**settings)
    if set(settings) <= set(SIGNATURE):
        with pytest.raises(InputError, match=words):
            elastic_net_path(object(), object(), **settings)


def test_numpy_scalars_are_the_numbers_that_they_are() -> None:
    request = path_request(
        alpha=np.float32(0.5), n_lambdas=np.int64(7), standardize=np.bool_(False), seed=np.int32(3)
    )
    assert (request.alpha, request.n_lambdas, request.standardize, request.seed) == (0.5, 7, False, 3)


def test_a_path_keeps_what_its_request_says(features: DeepFeatures) -> None:
    request = path_request(n_lambdas=3, tol=1e-4, max_epochs=7777, solver=Saga(batch_size=16))
    path = elastic_net_path(features, n_lambdas=3, tol=1e-4, max_epochs=7777, solver=Saga(batch_size=16))
    assert request.params.items() <= path.provenance.params.items()
    assert request.run.max_epochs == 7777
    with pytest.raises(TypeError, match="not known"):
        _ = path_request().run


class Two:
    """Two processes, the other one with other settings."""

    def __init__(self, other: PathRequest) -> None:
        self.other, self.compared = other, {}

    def same(self, **settings: object) -> None:
        self.compared = settings


def test_processes_agree_on_every_setting_but_what_is_their_own() -> None:
    request = path_request(lambdas=[0.2, 0.1])
    two = Two(request)
    request.agree(two)  # type: ignore[arg-type]
    own = {"sample_weight", "penalty_factors", "start", "device"}
    assert set(two.compared) == set(PathRequest.names()) - own
    assert two.compared["lambdas"] == [0.2, 0.1]
    assert two.compared["solver"] == repr(SOLVERS["working_set"])


def test_the_command_line_has_an_option_for_each_setting(
    features: DeepFeatures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {p.name: p for p in read_parameters(elastic_net_path)}
    assert {s.name for s in SETTINGS} == {name for name, p in known.items() if p.kind != "other"}
    defaults = build_parser("fit").parse_args(["fit", "features", "path"])
    for setting in SETTINGS:
        assert getattr(defaults, setting.name) == SIGNATURE[setting.name].default, setting.name
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    shown = capsys.readouterr().out
    for setting in SETTINGS:
        assert f"--{setting.name.replace('_', '-')}" in shown
    assert "working_set|saga" in shown
    assert "auto|NUMBER" in shown
    source, target = features.save(tmp_path / "features.safetensors"), tmp_path / "path.safetensors"
    words = ["--no-standardize", "--max-epochs", "900", "--storage", "float32", "--n-lambdas", "3"]
    assert main(["fit", str(source), str(target), *words]) == 0
    params = sdw.RegularizationPath.load(target).provenance.params
    assert (params["standardize"], params["max_epochs"], params["storage"]) == (False, 900, "float32")
    assert main(["fit", str(source), str(target), "--solver", "sagaa"]) == 1
    assert "Did you mean 'saga'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["fit", str(source), str(target), "--tol", "tight"])
    assert "'auto' or a number" in capsys.readouterr().err


def test_the_fit_panel_takes_its_fields_from_the_signature(features: DeepFeatures) -> None:
    panel = sdw.fit_panel(features, fallback="none", checkpoints=None)
    known = {p.name: p for p in read_parameters(elastic_net_path)}
    for entry in panel.head["fields"]:
        name = entry["name"]
        if name == "device":
            continue
        parameter = known[name]
        assert (entry["kind"], entry["expects"]) == (parameter.kind, parameter.describe()), name
        if name not in {"family", "validation"}:  # the labels, and the split of the features, say these
            assert entry["value"] == SIGNATURE[name].default, name
        if parameter.range is not None:
            assert (entry["low"], entry["openLow"]) == (parameter.range.low, parameter.range.open_low), name
    panel.close()


def test_a_solver_of_ones_own_is_a_word_everywhere(
    features: DeepFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SOLVERS, "_entries", dict(SOLVERS._entries))
    SOLVERS.add("careful", Saga(batch_size=8))
    assert elastic_net_path(features, solver="careful", n_lambdas=3).certified.all()
    panel = sdw.fit_panel(features, solver="careful", n_lambdas=3, fallback="none", checkpoints=None)
    (field,) = [entry for entry in panel.head["fields"] if entry["name"] == "solver"]
    assert "careful" in field["choices"]
    assert panel.start().result().n_lambdas == 3
    panel.close()
    source, target = features.save(tmp_path / "features.safetensors"), tmp_path / "path.safetensors"
    assert main(["fit", str(source), str(target), "--solver", "careful", "--n-lambdas", "3"]) == 0


@dataclasses.dataclass(frozen=True)
class Thrifty(Saga):
    """A solver that says what it costs."""

    effort = Effort(products=5.0, overhead=0.0, grams=True)


def test_what_a_fit_will_need_is_said_by_its_solver(
    features: DeepFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    size: Any = {"n": 500_000, "p": 100, "n_outputs": 10, "n_lambdas": 5, "tol": 1e-3}
    slow, thrifty = estimate_fit(solver=Saga(), **size), estimate_fit(solver=Thrifty(), **size)
    assert slow.high / thrifty.high > 11
    assert thrifty.memory - slow.memory == 4 * 10 * 100**2
    assert effort_of(object()) == Effort()  # type: ignore[arg-type]
    monkeypatch.setattr(SOLVERS, "_entries", {**SOLVERS._entries, "thrifty": Thrifty()})
    panel = sdw.fit_panel(features, fallback="none", checkpoints=None)
    times = [
        request(panel, "check", values={**panel.typed, "solver": name})[0]["value"]["needs"]["low"]
        for name in ("saga", "thrifty")
    ]
    assert times[1] < times[0]
    panel.close()


def test_estimators_name_and_default_their_settings_as_the_function_does() -> None:
    for name, value in ElasticNetPathClassifier().get_params().items():
        if name in SIGNATURE:
            assert value == SIGNATURE[name].default, name
    assert fit_settings.DEFAULT["tol"] == "auto"
