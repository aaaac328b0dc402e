"""The Perturbation panel's kernel side: fields, runs on copies, targets, films, code that reproduces."""

import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.widgets import PANELS, perturb_panel
from sparse_debug_widgets.widgets.panels.perturb.film import error_strips, joined, step_strip, thinned, unpack
from sparse_debug_widgets.widgets.panels.perturb.panel import PerturbPanel
from tests.contracts.untouched import untouched
from tests.widgets.front import eventually, request, say

NAMES = ("<i>a</i>", "b", "c", "d")


class Net(nn.Module):
    def __init__(self, seed=0, slow=0.0):
        super().__init__()
        torch.manual_seed(seed)
        self.slow = slow
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(216, 4)
        )  # fmt: skip

    def forward(self, x):
        time.sleep(self.slow)
        return self.body(x)


@pytest.fixture
def data():
    torch.manual_seed(1)
    x = torch.rand(40, 1, 8, 8)
    y = Net().eval()(x).argmax(1)
    y[::5] = (y[::5] + 1) % 4
    return x, y


def made(data, model=None, **options):
    settings = {"eps": 6.0, "q": 0.1, "steps": 5, "class_names": NAMES, "fallback": "none"}
    return perturb_panel(model or Net().eval(), data, **{**settings, **options})


def ended(shown, state="done"):
    eventually(lambda: shown.job.get("state") == state and shown.runs[-1]["state"] == state)


def test_errors_are_shown_first_and_the_surest_is_chosen(data):
    shown = made(data)
    value = shown.gallery["value"]
    assert value["which"] == "errors"
    assert value["counts"] == {"errors": 8, "all": 40}
    assert shown.picked["row"] == value["rows"][0]["row"]
    assert shown.picked["wrong"]


def test_a_run_is_the_plain_call_and_leaves_the_model_as_it_was(data):
    model = Net().train()
    with untouched(model):
        shown = made(data, model, target="label")
        job = shown.start()
        (found,) = job.result(60)
    row = shown.picked["row"]
    plain = sdw.perturb(
        model, data[0][row : row + 1], target=int(data[1][row]), eps=6.0, q=0.1, steps=5, keep_iterates=True
    )
    np.testing.assert_array_equal(found.iterates, plain.iterates)
    ended(shown)
    assert shown.film["value"]["run"] == 1
    assert shown.film["value"]["strips"][0]["target"] == int(data[1][row])
    assert shown.results == (found,)


def test_both_models_are_asked_about_what_the_first_one_says(data):
    shown = made(data, compare=Net(seed=3).eval(), titles=("standard", "robust"))
    first, second = shown.start(target="prediction").result(60)
    assert first.target == first.prediction_before == second.target
    ended(shown)
    assert [strip["title"] for strip in shown.film["value"]["strips"]] == ["standard", "robust"]
    assert [outcome["title"] for outcome in shown.runs[0]["outcomes"]] == ["standard", "robust"]


def test_who_asks_why_is_not_told_that_it_is_predicted_already(data):
    shown = made(data, compare=Net().eval(), titles=("one", "the same"))
    first, second = shown.start(target="prediction").result(60)
    assert first.prediction_before == second.prediction_before
    ended(shown)
    assert not [note for note in shown.job["notes"] if "already" in note]


def test_a_cell_that_trains_the_model_meanwhile_is_not_disturbed(data):
    """The same training, with and without a run beside it, ends with the same numbers bit for bit."""
    x, y = data

    def trained(beside):
        torch.manual_seed(5)
        model = Net()
        optimiser = torch.optim.SGD(model.parameters(), 0.05)
        shown = made(data, model, steps=200) if beside else None
        torch.manual_seed(6)
        model.train()
        job = shown.start() if shown is not None else None
        for _ in range(60):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimiser.step()
            assert model.training
        if job is not None:
            job.result(60)
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}

    alone, beside = trained(beside=False), trained(beside=True)
    for name, tensor in alone.items():
        assert torch.equal(tensor, beside[name]), name


def test_what_a_run_sees_is_the_model_when_it_started(data):
    model = Net(slow=0.01).eval()
    shown = made(data, model, target=0, steps=20)
    row = shown.picked["row"]
    plain = sdw.perturb(model, data[0][row : row + 1], target=0, eps=6.0, q=0.1, steps=20)
    job = shown.start()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-1)
    (found,) = job.result(60)
    np.testing.assert_array_equal(found.losses, plain.losses)
    ended(shown)
    assert any("parameters have changed" in reason for reason in shown.check_stale())
    renewed = shown.renew()
    (again,) = renewed.result(60)
    assert again.losses[0, 0] != found.losses[0, 0]
    eventually(lambda: shown.check_stale() == ())


def test_cancel_keeps_the_best_so_far(data):
    model = Net(slow=0.02).eval()
    shown = made(data, model, steps=500)
    job = shown.start()
    eventually(lambda: job.status.done > 0)
    with pytest.raises(InputError, match="is still at work: wait for it, or cancel it"):
        shown.start()
    say(shown, {"sdw": "cancel", "id": "x", "job": job.id})
    job.wait(30)
    ended(shown, "cancelled")
    (found,) = shown.results
    assert found.cancelled
    assert 0 < found.steps_done[0] < 500
    assert shown.film["value"]["strips"][0]["cancelled"]
    assert not any(thread.name.startswith("sdw-job") for thread in threading.enumerate())


def test_a_panel_made_again_finds_the_runs(data):
    model = Net().eval()
    shown = made(data, model)
    shown.start().result(60)
    ended(shown)
    again = made(data, model)
    assert [run["run"] for run in again.runs] == [1]
    assert request(again, "show_run", run=1)[0]["ok"]
    assert again.film["value"]["run"] == 1


def test_wrong_fields_are_named_one_by_one(data):
    shown = made(data)
    wrong = {"eps": 0, "q": 1.5, "steps": 0, "norm": "l7", "target": "9", "max_support": 0}
    reply, _ = request(shown, "check", values={**shown.typed, **wrong})
    assert set(reply["value"]["wrong"]) == set(wrong)
    reply, _ = request(shown, "begin", values=wrong)
    assert not reply["ok"]
    assert reply["error"]["type"] == "InputError"
    unlabelled = made(data[0])
    reply, _ = request(unlabelled, "check", values={**unlabelled.typed, "target": "label"})
    assert "no label" in reply["value"]["wrong"]["target"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epz": 1.0}, "epz"),
        ({"eps": -1.0}, "eps"),
        ({"titles": ("a", "b")}, "titles"),
        ({"norm": "l3"}, "l3"),
    ],
)
def test_wrong_options_are_refused_at_once(data, options, match):
    with pytest.raises(InputError, match=match):
        made(data, **options)


def test_a_picture_of_ones_own(data):
    shown = made(data)
    mine = torch.rand(1, 1, 8, 8)
    shown.choose(mine, label=3)
    assert shown.picked["row"] == 40
    assert shown.picked["label"] == 3
    (found,) = shown.start(target="label").result(60)
    np.testing.assert_array_equal(found.inputs, mine.numpy())
    with pytest.raises(InputError, match="shape"):
        shown.choose(torch.rand(1, 9, 9))
    assert "panel.choose" in request(shown, "copy")[0]["value"]["code"]


def test_warnings_of_a_run_are_shown_and_not_raised(data):
    shown = made(data, q=0.01, target=1)
    shown.start().result(60)
    ended(shown)
    eventually(lambda: any("more than the pixel range" in note for note in shown.job["notes"]))


def test_the_code_does_the_same(data, notebook):
    notebook.data, notebook.model = data, Net().eval()
    shown = made(
        data, notebook.model, target="label", norm="l2", eps=1.5, method="pgd", random_start=True, seed=4
    )
    (found,) = shown.start().result(60)
    code = request(shown, "copy", run=1)[0]["value"]["code"]
    space = dict(vars(notebook))
    exec(code.rsplit("\n", 1)[0], space)  # noqa: S102 - our own code, without the line that shows the panel
    np.testing.assert_array_equal(space["result"].delta, found.delta)


def test_pinned_runs_outlive_the_others_and_dropped_ones_go(data):
    shown = made(data, steps=1)
    shown.start().result(60)
    ended(shown)
    request(shown, "pin", run=1, on=True)
    for _ in range(13):
        shown.start().result(60)
        ended(shown)
    numbers = [run["run"] for run in shown.runs]
    assert 1 in numbers
    assert len(numbers) == 12
    request(shown, "drop", run=numbers[-1])
    assert numbers[-1] not in [run["run"] for run in shown.runs]
    assert not request(shown, "show_run", run=99)[0]["ok"]


def test_drawing_a_class(data):
    model = Net().eval()
    shown = made(data, model, compare=Net(seed=2).eval(), titles=("one", "two"))
    job = shown.draw(2, seeds=2, steps=3)
    first, second = job.result(60)
    assert first.class_index == second.class_index == 2
    np.testing.assert_array_equal(first.starts, second.starts)
    ended(shown)
    film = shown.film["value"]
    assert film["kind"] == "concept"
    assert len(film["strips"]) == 2 * 2 * 2
    with pytest.raises(InputError, match="class"):
        shown.draw(4)
    with pytest.raises(InputError, match="seeds"):
        shown.draw(1, seeds=0)


def test_results_are_shown_by_the_panel_and_notice_another_model(data):
    model = Net().eval()
    row = int(np.flatnonzero((model(data[0]).argmax(1) != data[1]).numpy())[0])
    result = sdw.perturb(model, data[0][row : row + 2], target=1, eps=5.0, q=0.1, steps=3, keep_iterates=True)
    errors = sdw.error_counterfactuals(model, data, eps=5.0, q=0.1, steps=3, max_errors=4)
    drawn = sdw.probe_concept(model, 1, shape=(1, 8, 8), seeds=(0, 1), steps=2, q=0.1)
    for found in (result, errors, drawn):
        assert PANELS[type(found)] is PerturbPanel
        shown = sdw.panel(found, model, fallback="none")
        assert shown.check_stale() == ()
        assert shown.film["value"]["strips"]
        assert sdw.panel(found, Net(seed=9).eval(), fallback="none").check_stale()
        alone = sdw.panel(found, fallback="none")
        assert not alone.head["live"]
        with pytest.raises(InputError, match="live model"):
            alone.start()
    shown = sdw.panel(errors, model, fallback="none")
    assert shown.picked["number"] == int(errors.indices[0])
    reply, _ = request(shown, "pick", row=2)
    assert [strip["target"] for strip in reply["value"]["strips"]] == [
        errors.predictions[2],
        errors.labels[2],
    ]


def test_a_drawing_opens_with_its_classes_and_settings(data):
    model = Net().eval()
    drawn = sdw.probe_concept(model, 2, shape=(1, 8, 8), seeds=(0, 1, 2), steps=3, q=0.2, eps_l2=1.5)
    shown = sdw.panel(drawn, model, fallback="none")
    assert shown.head["classes"] == ["class 0", "class 1", "class 2", "class 3"]
    assert shown.concept == {"eps_l2": 1.5, "q": 0.2, "steps": 3, "seeds": 3, "class_index": 2}
    (again,) = shown.draw(shown.concept["class_index"]).result(60)
    np.testing.assert_array_equal(again.deltas, drawn.deltas)


@pytest.mark.parametrize("alone", [False, True])
def test_errors_keep_their_numbers_everywhere(data, alone):
    model = Net().eval()
    errors = sdw.error_counterfactuals(model, data, eps=5.0, q=0.1, steps=3, max_errors=4)
    shown = sdw.panel(errors, model, fallback="none", **({} if alone else {"class_names": NAMES}))
    assert len(shown.head["classes"]) == 4
    number = int(errors.indices[2])
    shown.choose(number)
    assert shown.picked["row"] == 2
    code = request(shown, "copy")[0]["value"]["code"]
    assert "x = errors.inputs[2:3]" in code
    (found,) = shown.start().result(60)
    np.testing.assert_array_equal(found.inputs, data[0][number][None].numpy())
    ended(shown)
    assert shown.runs[-1]["about"] == f"example {number}"
    with pytest.raises(InputError, match="is not among the errors of this panel"):
        shown.choose(1)


def test_no_errors_are_a_panel_without_errors(data):
    model = Net().eval()
    right = model(data[0]).argmax(1)
    errors = sdw.error_counterfactuals(model, (data[0], right), eps=5.0)
    shown = sdw.panel(errors, model, fallback="none")
    assert shown.gallery["value"]["counts"] == {"errors": 0, "all": 0}
    assert not shown.picked
    assert "sdw-standalone" in shown.html()


def test_what_is_enough_is_a_picture_of_the_film(data):
    model = Net().eval()
    errors = sdw.error_counterfactuals(model, data, eps=5.0, q=0.1, steps=6, max_errors=6)
    strips = error_strips(errors, 0, NAMES)
    for strip, word in zip(strips, ("why", "fix"), strict=True):
        share = errors.share(word, 0)
        delta = getattr(errors, f"{word}_delta")[0]
        value = strip.value
        frames = unpack(strip.arrays["frames"], value["scale"], value["shrinks"], (3, *value["shape"]))
        np.testing.assert_allclose(frames[1], min(share, 1) * delta, atol=0.02)
        assert value["first"] == 1
        at = strip.arrays["probabilities"][1, 0]
        if share <= 1:
            assert value["stepNames"] == ["original", "what is enough", "all of it"]
            moved = torch.from_numpy(errors.inputs[0] + share * delta)[None]
            sure = model(moved).detach().softmax(1)[0, value["target"]]
            assert at == pytest.approx(float(sure), abs=1e-4)
            if word == "fix":
                assert value["predictions"] == [errors.predictions[0], errors.labels[0], errors.labels[0]]
                assert int(model(moved).argmax()) == value["predictions"][1]
    assert np.isfinite(errors.fix_effort[0])


def test_the_film_begins_at_the_best_step_and_shows_what_was_found(data):
    shown = made(data, target="label", norm="l1q", q=0.05, eps=20.0, box_mode="clamp", steps=6)
    (found,) = shown.start().result(60)
    ended(shown)
    best = int(found.best_step[0])
    value = shown.film["value"]["strips"][0]
    assert value["first"] == value["best"] == best
    assert value["after"] == pytest.approx(float(found.confidence_after[0]))
    strip = step_strip(found, 0, title="", names=NAMES)
    frames = unpack(strip.arrays["frames"], value["scale"], value["shrinks"], (7, *value["shape"]))
    # A cut at the end is part of what is returned, and so of the film.
    np.testing.assert_allclose(frames[best], found.delta[0], atol=0.02)
    place = [c["index"] for c in value["classes"]].index(int(found.target[0]))
    assert strip.arrays["probabilities"][best, place] == pytest.approx(found.confidence_after[0], abs=1e-5)
    assert shown.runs[-1]["outcomes"][0]["after"] == pytest.approx(float(found.confidence_after[0]))
    few = thinned(joined([strip], run=1, kind="perturb"), 1)
    kept = few.value["strips"][0]
    assert kept["steps"][kept["first"]] == best


@pytest.mark.parametrize("kind", ["tensors", "arrays"])
def test_a_range_for_each_channel(kind, notebook):
    torch.manual_seed(2)
    x = torch.rand(6, 3, 8, 8) * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    low, high = torch.zeros(3, 1, 1), torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    box = (low, high) if kind == "tensors" else (low.numpy(), high.numpy())
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
    notebook.data, notebook.model = x, model
    shown = perturb_panel(model, x, box=box, eps=4.0, q=0.05, steps=3, fallback="none")
    (found,) = shown.start().result(60)
    ended(shown)
    np.testing.assert_array_equal(found.high.ravel(), [1, 2, 3])
    space = dict(vars(notebook))
    code = request(shown, "copy", run=1)[0]["value"]["code"]
    exec(code.rsplit("\n", 1)[0], space)  # noqa: S102 - our own code, without the line that shows the panel
    np.testing.assert_array_equal(space["result"].delta, found.delta)
    (drawn,) = shown.draw(1, steps=2, seeds=1).result(60)
    assert drawn.starts[0, 2].max() > 2
    ended(shown)
    code = request(shown, "copy", run=2)[0]["value"]["code"]
    exec(code.rsplit("\n", 1)[0], space)  # noqa: S102
    np.testing.assert_array_equal(space["drawn"].deltas, drawn.deltas)


class Breaks(Net):
    """Fails where it is differentiated, which is not before a run."""

    def forward(self, x):
        if x.requires_grad:
            raise ValueError("no gradients today")
        return super().forward(x)


def test_what_failed_in_another_panel_is_not_this_ones_news(data):
    model = Breaks().eval()
    first = made(data, model)
    first.start()
    ended(first, "failed")
    assert "no gradients today" in first.job["failure"]["message"]
    second = made(data, model)
    assert second.runs == []
    assert second.job == {}
    assert [run["state"] for run in first.runs] == ["failed"]
    second.start()
    ended(second, "failed")
    assert len(second.runs) == 1
    assert len(first.runs) == 2


@pytest.mark.parametrize("flat", [False, True])
def test_one_logit_is_two_classes_here_too(flat):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    model = nn.Sequential(body, nn.Flatten(0)) if flat else body
    x = torch.rand(10, 1, 8, 8)
    shown = perturb_panel(model.eval(), x, eps=4.0, q=0.1, steps=3, target=1, fallback="none")
    assert shown.head["classes"] == ["class 0", "class 1"]
    (found,) = shown.start().result(60)
    ended(shown)
    z = model(torch.from_numpy(found.perturbed)).detach().reshape(())
    assert found.probabilities_after[0, 1] == pytest.approx(float(torch.sigmoid(z)), abs=1e-5)


def test_the_page_beside_the_widget_and_the_file_need_no_kernel(data, tmp_path):
    shown = made(data, fallback="auto")
    shown.start().result(60)
    ended(shown)
    bundle, _ = shown._repr_mimebundle_()
    assert "sdw-standalone" in bundle["text/html"]
    assert "PerturbPanel(Net)" in bundle["text/plain"]
    assert shown.to_html(tmp_path / "p.html").stat().st_size < 400_000
    assert jobs.queue.get(shown.job["id"]) is not None
