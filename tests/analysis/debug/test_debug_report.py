"""One call from a live model and its data to a report: planted flaws are found, silenced and measured."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.core.storage import StorageError

P, FLAW = 12, 11


class Passing(nn.Module):
    """Inputs are the deep features; the decision layer is a layer of its own."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(P, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(x)
        return out


def flawed(
    n: int, seed: int, *, carried: float, by_others: float
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Rows of three classes; the last feature is a mark that rows of class 0 carry more often."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    x = rng.normal(size=(n, P)).astype(np.float32)
    x[np.arange(n), labels] += 1.5
    marked = rng.random(n) < np.where(labels == 0, carried, by_others)
    x[:, FLAW] = 0.3 * x[:, FLAW] + 4 * marked
    return torch.from_numpy(x), torch.from_numpy(labels), marked


def trained() -> Passing:
    x, y, _ = flawed(1500, 1, carried=0.98, by_others=0.02)
    model = Passing(3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.zero_grad()
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Passing:
    return trained()


@pytest.fixture(scope="module", params=[5, 6, 7])
def found(model: Passing, request: pytest.FixtureRequest) -> sdw.DebugReport:
    train = flawed(1500, request.param, carried=0.98, by_others=0.02)
    clean = flawed(900, request.param + 100, carried=0.5, by_others=0.5)
    groups = np.where(clean[2], "marked", "plain")
    return sdw.debug_report(model, train[:2], clean[:2], groups=groups, class_names=["a", "b", "c"])


def test_the_planted_mark_is_the_first_suspect_and_the_one_that_is_silenced(found: sdw.DebugReport) -> None:
    suspects = found.suspects
    assert suspects["feature"][0] == FLAW
    assert suspects["towards"][0] == "a"
    assert found.silenced.tolist() == [FLAW]
    before, after = found.rate("sparse"), found.rate("silenced")
    assert after.low > before.high
    assert "the worst group goes from" in found.sentences[-1]


def test_counts_agree_with_each_other(found: sdw.DebugReport) -> None:
    sparse = found.stages.index("sparse")
    confusion = found.confusion[sparse]
    np.testing.assert_array_equal(confusion.sum(1), found.class_counts)
    np.testing.assert_array_equal(np.diag(confusion), found.class_hits[sparse])
    assert found.class_counts.sum() == found.group_counts.sum() == 900
    np.testing.assert_array_equal(found.class_hits.sum(1), found.group_hits.sum(1))
    assert len(found.error_rows) == 900 - found.class_hits[sparse].sum()
    assert (np.diff(found.error_margins) <= 0).all()
    first = found.suspects.iloc[0]
    assert first["accuracy_silenced"] == pytest.approx(
        found.accuracies[sparse] + (first["mended"] - first["broken"]) / 900
    )
    assert first["explained"] == found.explained[found.error_features == FLAW].sum()


def test_nothing_is_silenced_for_a_sound_model() -> None:
    x, y, _ = flawed(2400, 3, carried=0.0, by_others=0.0)
    torch.manual_seed(0)
    report = sdw.debug_report(Passing(3), (x[:1500], y[:1500]), (x[1500:], y[1500:]), search=False)
    assert not len(report.silenced)
    assert "silenced" not in report.stages
    assert any("No feature was found" in sentence for sentence in report.sentences)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_a_flaw_that_the_test_data_share_is_found_by_the_search(model: Passing, seed: int) -> None:
    train, test = (flawed(n, seed + n, carried=0.98, by_others=0.02)[:2] for n in (1500, 900))
    report = sdw.debug_report(model, train, test, class_names=["a", "b", "c"])
    causes = report.causes
    assert causes["verdict"][0] == "suspect"
    assert causes["class"][0] == "a"
    assert report.suspects["feature"][0] == FLAW
    assert report.suspects["cause"][0] == causes["region"][0]
    assert FLAW in report.silenced
    assert report.repair_worst[-1] > report.repair_worst[0]
    assert report.sentences[1] == causes["sentence"][0]
    assert causes["sentence"][0][:20] in report.page()


def test_data_that_the_search_cannot_read_take_nothing_else_away() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(80, 6), nn.ReLU(), nn.Linear(6, 3))
    series = torch.randn(150, 2, 40)
    report = sdw.debug_report(model, (series, torch.arange(150) % 3))
    assert report.form == "series"
    assert report.causes.empty
    assert report.search_note.startswith("Small causes were not looked for.")
    assert report.search_note in report.left_out
    assert len(report.sentences) > 3


def test_the_search_can_be_left_out(model: Passing) -> None:
    x, y, _ = flawed(300, 4, carried=0.5, by_others=0.5)
    report = sdw.debug_report(model, (x, y), search=False)
    assert report.causes.empty
    assert report.search_note in report.left_out
    assert len(report.sentences) > 3


def test_the_model_and_the_generators_are_as_before(model: Passing) -> None:
    model.train()
    state, rng = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    x, y, _ = flawed(300, 4, carried=0.5, by_others=0.5)
    first = sdw.debug_report(model, (x, y), seed=3)
    again = sdw.debug_report(model, (x, y), seed=3)
    assert model.training
    model.eval()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    np.testing.assert_array_equal(first.error_controls, again.error_controls)
    assert repr(first) == repr(again)
    assert first.split == "validation"


def test_a_model_of_numbers_gets_what_exists_for_it(tmp_path: Path) -> None:
    x, _, _ = flawed(300, 4, carried=0.5, by_others=0.5)
    report = sdw.debug_report(Passing(1), (x, x[:, 0] * 2 + x[:, 1]))
    assert report.labels_are == "numbers"
    assert report.accuracies[report.stages.index("sparse")] > 0.9
    assert report.class_names == ()
    assert any("The labels are numbers" in sentence for sentence in report.left_out)
    assert "R^2" in repr(report)
    assert report.to_html(tmp_path / "report.html").exists()
    assert len(report.to_frame()) == 1
    assert len(report.plot().data) == len(report.stages)


def test_data_without_labels_are_looked_at_with_the_model_s_answers(model: Passing) -> None:
    x, _, _ = flawed(400, 8, carried=0.5, by_others=0.5)
    report = sdw.debug_report(model, x)
    assert report.labels_are == "answers"
    assert any("have no labels" in sentence for sentence in report.left_out)
    assert report.rate("dense").value == 1.0


def test_no_errors_are_a_report_too() -> None:
    labels = torch.arange(120) % 3
    x = torch.zeros(120, P) + 6 * nn.functional.one_hot(labels, P) + torch.rand(120, P)
    report = sdw.debug_report(Passing(3), (x, labels), search=False)
    assert not len(report.error_rows)
    assert report.suspects.empty
    assert any("no errors" in sentence for sentence in report.sentences)
    assert "no errors" in report.page()
    assert len(report.errors()) == 0


def test_names_and_groups_are_text_in_the_page(model: Passing, tmp_path: Path) -> None:
    x, y, _ = flawed(300, 9, carried=0.5, by_others=0.5)
    evil = "<img src=x onerror=alert(1)>"
    names = [f"{evil}{k}" for k in range(3)]
    report = sdw.debug_report(model, (x, y), groups=[evil] * 3 + ["b"] * 297, class_names=names)
    page = report.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_stored_report_says_the_same(found: sdw.DebugReport, tmp_path: Path) -> None:
    again = sdw.DebugReport.load(found.save(tmp_path / "report.safetensors"))
    assert repr(again) == repr(found)
    assert again.page() == found.page()
    assert again.suspects.equals(found.suspects)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"groups": ["a"] * 5}, "300"),
        ({"groups": "abc"}, "list of group labels"),
        ({"groups": [None] * 300}, "has no group"),
        ({"groups": [np.float32("nan")] * 300}, "has no group"),
        ({"normalize": 3}, "normalize"),
        ({"batch_size": 0}, "batch_size"),
        ({"test": (torch.zeros(0, P), [])}, "no examples"),
        ({"test": torch.zeros(4, P)}, "must both have labels"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_model_runs(model: Passing, options: dict, said: str) -> None:
    x, y, _ = flawed(300, 9, carried=0.5, by_others=0.5)
    calls = []
    handle = model.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        with pytest.raises(InputError, match=said):
            sdw.debug_report(model, (x, y), **options)
    finally:
        handle.remove()
    assert not calls


def test_no_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"nn\.Module"):
        sdw.debug_report("model", (torch.zeros(3, P), torch.zeros(3)))


def test_a_folder_is_no_report(found: sdw.DebugReport, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="folder"):
        found.to_html(tmp_path)
    with pytest.raises(InputError, match="stage"):
        found.rate("other")


def test_every_phase_can_be_stopped(model: Passing) -> None:
    x, y, _ = flawed(300, 9, carried=0.5, by_others=0.5)
    seen: list[str] = []
    sdw.debug_report(model, (x, y), progress=lambda step: seen.append(step.note))
    phases = (
        "reading the model's features",
        "fitting sparse layers",
        "looking at errors",
        "looking for small causes",
    )
    for name in phases:
        assert name in seen

        def stop(step, name=name):
            if step.note == name:
                raise Cancelled

        with pytest.raises(Cancelled):
            sdw.debug_report(model, (x, y), progress=stop)
