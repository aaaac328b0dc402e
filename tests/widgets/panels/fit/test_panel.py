"""The Fit panel's kernel side: fields, fits as jobs, what is kept and found again, code that reproduces."""

import numpy as np
import pytest
import torch

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path, extract_features
from sparse_debug_widgets.widgets import PANELS, fit_panel, panel
from sparse_debug_widgets.widgets.panels.fit import settings as fit_settings
from sparse_debug_widgets.widgets.panels.fit.growth import Growth
from sparse_debug_widgets.widgets.panels.fit.panel import FitPanel
from sparse_debug_widgets.widgets.panels.path.panel import PathPanel
from tests.widgets.front import eventually, request, say

SETTINGS = {"n_lambdas": 8, "eps": 0.1, "solver": "saga", "fallback": "none"}
_seeds = iter(range(1000))


@pytest.fixture
def features():
    # Of their own in every test: panels of equal features share their fits.
    rng = np.random.default_rng([7, next(_seeds)])
    labels = np.arange(200) % 4
    values = rng.normal(size=(200, 16)).astype(np.float32)
    values[:, :4] += 2 * np.eye(4, dtype=np.float32)[labels]
    return DeepFeatures.from_arrays(values, labels, class_names=["<i>a</i>", "b", "c", "d"])


def made(features, tmp_path, **options):
    return fit_panel(features, checkpoints=tmp_path, **{**SETTINGS, **options})


def finished(shown, state="done"):
    eventually(lambda: shown.job.get("state") == state and shown.runs[-1]["state"] == state)


def test_features_as_the_last_expression_of_a_cell_are_a_fit_panel(features):
    assert PANELS[DeepFeatures] is FitPanel
    assert isinstance(panel(features, fallback="none"), FitPanel)


def test_a_fit_grows_and_ends_with_the_path_of_the_plain_call(features, tmp_path):
    shown = made(features, tmp_path)
    reply, _ = request(shown, "begin", values=shown.typed)
    assert reply["ok"]
    path = jobs.queue.get(reply["value"]["job"]).result(60)
    finished(shown)
    expected = elastic_net_path(features, n_lambdas=8, eps=0.1, solver="saga")
    np.testing.assert_array_equal(path.weight_data, expected.weight_data)
    grown = shown.grown
    assert grown["value"]["total"] == 8
    assert grown["arrays"]["lambdas"]["shape"] == [8]
    curves = np.frombuffer(grown["arrays"]["curves"]["data"], "<f4").reshape(-1, 8)
    names = [features.feature_names.index(name) for name in grown["value"]["names"]]
    np.testing.assert_allclose(curves, path.class_path(0).T[names], rtol=1e-6)
    assert shown.runs[0]["certified"] == 8
    assert shown.path is path


def test_a_cell_may_show_the_panel_while_news_come_in(features, tmp_path, monkeypatch):
    shown = made(features, tmp_path)
    exports, content = [], Growth.content

    def in_the_middle(self, names):
        exports.append(shown.export(small=True))  # as if the cell ran just now
        return content(self, names)

    monkeypatch.setattr(Growth, "content", in_the_middle)
    request(shown, "begin", values=shown.typed)
    finished(shown)
    assert exports[0].state["grown"] == {}
    assert shown.export(small=True).arrays["grown"][0] == shown.grown["value"]


def test_another_class_is_drawn_from_what_is_known(features, tmp_path):
    shown = made(features, tmp_path)
    shown.start().result(60)
    finished(shown)
    shown.class_index = 2
    assert shown.grown["value"]["classIndex"] == 2
    assert shown.grown["value"]["classes"][0] == "<i>a</i>"


def test_a_panel_made_again_finds_the_running_fit_and_the_history(features, tmp_path):
    shown = made(features, tmp_path, n_lambdas=300, eps=1e-3, tol=1e-6)
    job = shown.start()
    eventually(lambda: job.status.done > 2)
    shown.close()
    del shown
    again, third = made(features, tmp_path), made(features, tmp_path)
    assert again.job["id"] == third.job["id"] == job.id
    assert again.job["state"] == "running"
    before = again.job["done"]
    eventually(lambda: again.job["done"] > before and third.job["done"] > before)
    with pytest.raises(InputError, match="Fit 1 is still at work: wait for it, or cancel it"):
        again.start()
    third.cancel()
    job.wait(30)
    finished(again, "cancelled")
    finished(third, "cancelled")
    assert 0 < again.runs[0]["solved"] < 300


def test_cancelled_and_resumed_equals_never_cancelled(features, tmp_path):
    shown = made(features, tmp_path, n_lambdas=60, eps=1e-3)
    job = shown.start()
    eventually(lambda: len(job.pieces) > 5)
    say(shown, {"sdw": "cancel", "id": "x", "job": job.id})
    job.wait(30)
    finished(shown, "cancelled")
    reply, _ = request(shown, "check", values=shown.typed)
    assert reply["value"]["kept"] >= len(job.pieces) > 5
    again = shown.start()
    path = again.result(60)
    expected = elastic_net_path(features, n_lambdas=60, eps=1e-3, solver="saga")
    np.testing.assert_array_equal(path.weight_data, expected.weight_data)
    np.testing.assert_array_equal(path.duality_gaps, expected.duality_gaps)


def test_wrong_fields_are_named_one_by_one(features, tmp_path):
    shown = made(features, tmp_path)
    wrong = {"alpha": 2, "n_lambdas": 0, "tol": 0.0, "family": "binomial", "solver": "nope", "device": "gpu"}
    reply, _ = request(shown, "check", values={**shown.typed, **wrong})
    assert set(reply["value"]["wrong"]) == set(wrong)
    assert "more than two classes" in reply["value"]["wrong"]["family"]
    reply, _ = request(shown, "begin", values={**shown.typed, **wrong})
    assert not reply["ok"]
    reply, _ = request(shown, "begin", values={"alfa": 1})
    assert "alfa" in reply["error"]["message"]
    with pytest.raises(InputError, match="alpha"):
        made(features, tmp_path, alpha=3)


def test_the_estimate_counts_the_memory_and_grows_with_the_work(features, tmp_path):
    shown = made(features, tmp_path)
    small = request(shown, "check", values=shown.typed)[0]["value"]["needs"]
    more = request(shown, "check", values={**shown.typed, "n_lambdas": 800})[0]["value"]["needs"]
    assert 0 < small["low"] < small["high"] < more["high"]
    assert small["memory"] >= 180 * 16 * 8


def test_the_code_reproduces_the_fit(features, tmp_path):
    shown = made(features, tmp_path)
    values = {**shown.typed, "alpha": 0.8, "validation": 0.3, "seed": 5}
    path = shown.start(**values).result(60)
    code = request(shown, "copy", values=values, run=shown.runs[-1]["run"])[0]["value"]["code"]
    space = {"features": features}
    exec(code.rpartition("\n")[0], space)  # noqa: S102 - our own code, without the line that shows it
    np.testing.assert_array_equal(space["path"].weight_data, path.weight_data)
    assert "alpha=0.8" in code
    assert "resplit(validation=0.3, seed=5)" in code


def test_history_pin_drop_and_hand_over(features, tmp_path):
    shown = made(features, tmp_path)
    for alpha in (0.9, 0.5):
        shown.start(alpha=alpha).result(60)
        eventually(lambda: shown.runs[-1].get("solved") == 8)
    first, second = (run["run"] for run in shown.runs)
    assert request(shown, "pin", run=first, on=True)[0]["ok"]
    assert [run["pinned"] for run in shown.runs] == [True, False]
    assert request(shown, "show_path", run=second)[0]["ok"]
    assert isinstance(shown.shown, PathPanel)
    assert shown.get_state()["shown"] == f"anywidget:{shown.shown.model_id}"
    request(shown, "drop", run=second)
    assert [run["run"] for run in shown.runs] == [first]
    assert not request(shown, "show_path", run=second)[0]["ok"]


def test_an_error_in_the_worker_is_shown_with_its_traceback(features, tmp_path, monkeypatch):
    from sparse_debug_widgets.widgets.panels.fit import work as fits

    def broken(*_, **__):
        raise ZeroDivisionError("one lambda too many")

    monkeypatch.setattr(fits, "elastic_net_path", broken)
    shown = made(features, tmp_path)
    shown.start().wait(30)
    finished(shown, "failed")
    assert "one lambda too many" in shown.job["failure"]["message"]
    assert "ZeroDivisionError" in shown.job["failure"]["traceback"]
    monkeypatch.undo()
    assert shown.start().result(60).n_lambdas == 8


def test_a_live_model_gives_its_features_to_the_first_fit_and_anew_after_a_change(tmp_path):
    rng = np.random.default_rng([8, next(_seeds)])
    labels = np.arange(150) % 3
    values = rng.normal(size=(150, 5)).astype(np.float32)
    values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3))
    data = torch.utils.data.TensorDataset(torch.from_numpy(values), torch.from_numpy(labels))
    shown = fit_panel(model, data, checkpoints=tmp_path, **SETTINGS)
    assert shown.head["size"] is None
    first = shown.start(validation=0.2, seed=3).result(60)
    eventually(lambda: shown.head["size"] is not None)
    expected = elastic_net_path(
        extract_features(model, data, validation=0.2, seed=3), n_lambdas=8, eps=0.1, solver="saga", seed=3
    )
    np.testing.assert_array_equal(first.weight_data, expected.weight_data)
    assert model.training
    with torch.no_grad():
        model[0].weight.mul_(1.5)
    assert shown.check_stale()
    finished(shown)
    reply, _ = request(shown, "refresh")
    assert reply["ok"], reply
    second = jobs.queue.get(reply["value"]["job"]).result(60)
    assert not np.array_equal(first.weight_data, second.weight_data)
    eventually(lambda: shown.stale == {})


def test_a_model_without_data_is_refused():
    with pytest.raises(InputError, match="fit_panel\\(model, data\\)"):
        fit_panel(torch.nn.Linear(2, 2))


def test_every_field_comes_from_the_signature_with_its_help():
    names = [parameter.name for parameter in fit_settings.PARAMETERS]
    assert set(fit_settings.FIT_ONLY) <= set(names)
    assert all(parameter.help for parameter in fit_settings.PARAMETERS)


# -- what cannot be fitted is said at once, and what is said is so -------------------------------------------


class Counting(torch.nn.Sequential):
    """Notes whether it was asked anything."""

    calls = 0

    def forward(self, x):
        Counting.calls += 1
        return super().forward(x)


class Closed(torch.utils.data.Dataset):
    """Examples whose labels do not lie open, sorted by class."""

    def __len__(self):
        return 80

    def __getitem__(self, i):
        if i >= 80:
            raise IndexError(i)
        return torch.randn(6, generator=torch.Generator().manual_seed(i)), i // 10


@pytest.mark.parametrize("form", ["pair", "dataset", "loader", "closed"])
def test_a_family_that_the_labels_rule_out_is_refused_before_the_model_reads_the_data(form):
    data = Closed()
    if form != "closed":
        data = torch.stack([x for x, _ in data]), torch.arange(80) // 10
    if form in ("dataset", "loader"):
        data = torch.utils.data.TensorDataset(*data)
    if form == "loader":
        data = torch.utils.data.DataLoader(data, batch_size=8)
    Counting.calls = 0
    model = Counting(torch.nn.Linear(6, 8))
    shown = fit_panel(model, data, checkpoints=False, **SETTINGS)
    if form == "closed":
        job = shown.start(family="binomial")
        assert job.wait(60)
        finished(shown, "failed")
        failure = shown.job["failure"]
        assert "more than two classes" in failure["message"]
        assert failure["hint"] == "The message says what was expected. The model is as it was."
    else:
        with pytest.raises(InputError, match="more than two classes: choose multinomial or gaussian"):
            shown.start(family="binomial")
        family = next(field for field in shown.head["fields"] if field["name"] == "family")
        assert family["barred"] == ["binomial"]
    assert Counting.calls == 0


@pytest.mark.parametrize(
    ("solved", "kept"), [(0, ""), (1, "The lambda solved so far is"), (3, "The 3 lambdas")]
)
@pytest.mark.parametrize("folder", [True, False])
def test_a_failed_fit_says_what_is_kept_only_where_something_is(
    features, tmp_path, monkeypatch, solved, kept, folder
):
    from sparse_debug_widgets.core.progress import Progress
    from sparse_debug_widgets.widgets.panels.fit import work as fits

    def fails(*_, progress, **__):
        for k in range(solved):
            progress(Progress(k, 8, piece=k))
        raise ValueError("no")

    monkeypatch.setattr(fits, "elastic_net_path", fails)
    monkeypatch.setattr(Growth, "update", lambda *_: False)
    shown = fit_panel(features, checkpoints=tmp_path if folder else False, **SETTINGS)
    shown.start()
    finished(shown, "failed")
    hint = shown.job["failure"]["hint"]
    assert hint.startswith("The model is as it was.")
    assert (kept in hint) is (folder or not kept)
    assert ("go on from there" in hint) is (folder and solved > 0)


def test_jobs_say_what_kind_of_work_they_are(features, tmp_path):
    shown = made(features, tmp_path)
    job = shown.start()
    assert job.status.noun == "fit"
    job.result(60)


def named_model():
    model = Counting(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    model.config = type("Config", (), {"id2label": {0: "ant", 1: "bee", 2: "cat"}})()
    return model


X, NUMBERS = torch.randn(30, 6, generator=torch.Generator().manual_seed(3)), torch.arange(30) % 3
WORDS = ["ant", "bee", "cat"] * 10


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        ((X, NUMBERS % 2), {"classes": ["ant", "cta"]}, "'cta'.*Did you mean.*'cat'"),
        ((X, NUMBERS % 2), {"classes": [0, 3], "layer": "2"}, "at most 2; got 3"),
        ((X, NUMBERS % 2), {"classes": "ant"}, "classes is not compatible"),
        ((X, WORDS), {"class_names": ["ant", "bee", "dog"]}, "'cat', which is none of them"),
        ((X, ["ant", "bee", "cow"] * 10), {}, "'cow', which is none of them"),
        ((X, WORDS), {"test": (X, ["ant", "bee", "cow"] * 10)}, "'cow', which is none of them"),
        ((X, NUMBERS), {"class_names": ["a", "b", "a"]}, "'a' twice"),
        ((X, NUMBERS), {"class_names": 3}, "be a list of names"),
        ((X, NUMBERS), {"layer": "4"}, "has no layer '4'"),
        ((X, NUMBERS), {"pooling": "middle"}, "pooling"),
    ],
)
def test_names_that_nothing_has_are_refused_before_there_is_a_panel(data, options, said):
    Counting.calls = 0
    with pytest.raises(InputError, match=f"(?s){said}"):
        fit_panel(named_model(), data, checkpoints=False, **options, **SETTINGS)
    assert Counting.calls == 0


def test_names_of_features_that_are_there_are_not_asked_for(features):
    with pytest.raises(InputError, match="pass classes= to sdw"):
        fit_panel(features, classes=["b", "c"], checkpoints=False)
    fit_panel(features, test=None, checkpoints=False).close()


def test_outputs_that_a_model_does_not_have_are_refused_before_it_reads_the_data():
    """Also where labels do not lie open, so that nothing else can be looked at beforehand."""
    Counting.calls = 0
    with pytest.raises(InputError, match="'cta'"):
        extract_features(named_model(), Closed(), classes=["ant", "cta"])
    assert Counting.calls == 0
