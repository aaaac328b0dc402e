"""One file, one line: an entry that a stranger adds to a registry is seen wherever the built-in ones are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import sparse_debug_widgets as sdw
from sparse_debug_widgets.cli.parser import main
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.params import Range
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.data.catalog import DEMOS, DemoEntry
from sparse_debug_widgets.data.demo import Demo
from sparse_debug_widgets.interpret import EXPLANATION_METHODS, ExplanationWarning, fit_explanation
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe, Terms
from sparse_debug_widgets.interpret.xfeatures.srae.layer import LayerActivations, Tap
from sparse_debug_widgets.interpret.xfeatures.srae.methods import ExplanationMethod
from sparse_debug_widgets.perturbation import METHODS as ATTACKS
from sparse_debug_widgets.perturbation import L2Ball, perturb
from sparse_debug_widgets.perturbation.methods import Method as Attack
from sparse_debug_widgets.perturbation.norms import NORMS, Norm
from sparse_debug_widgets.perturbation.pgd import pgd
from sparse_debug_widgets.saliency import EXCITATION_RULES, METHODS, Method, Rule, excitation, lambda1_sweep
from sparse_debug_widgets.saliency.methods.context_aware import first_order
from sparse_debug_widgets.saliency.methods.gradient import FoundMaps
from sparse_debug_widgets.widgets.catalog import PANELS
from sparse_debug_widgets.widgets.display import _as_panel, _panel_or_text
from sparse_debug_widgets.widgets.kit.base import Export, Panel
from sparse_debug_widgets.widgets.panels.saliency import settings as saliency_choice
from sparse_debug_widgets.widgets.panels.xfeatures import choice as xfeatures_choice
from tests.widgets.front import request
from tests.widgets.panels.saliency.small import ended, small, small_cnn

X = torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(3))


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of a test end with it."""
    for registry in (METHODS, EXCITATION_RULES, ATTACKS, NORMS, DEMOS, PANELS, EXPLANATION_METHODS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.setattr(PANELS, "_types", dict(PANELS._types))


# -- saliency ------------------------------------------------------------------------------------------------


def fake_map(
    probe: Any, *, strength: Annotated[float, Range(0, 9)] = 2.0, copies: Annotated[int, Range(1, 8)] = 4
) -> FoundMaps:
    """A map of somebody else's.

    Args:
        probe: The live model and its inputs.
        strength: How strong it is.
        copies: Noisy copies.
    """
    noise = torch.randn(1, generator=torch.Generator().manual_seed(probe.seed)).to(probe.points)
    return FoundMaps(strength * probe.gradient("logit") + noise + 0 * copies, {})


def fake_problem(probe: Any, copies: Any, c1: float, tol: float) -> Any:
    assert copies is not None, "a random method gets noisy copies in a sweep"
    return first_order(copies.n * probe.gradient("loss"), c1)


def fake_method() -> Method:
    return METHODS.add(
        "fake_caso",
        Method(fake_map, lambda chosen: 3.0 * chosen["copies"], random=True, problem=fake_problem),
    )


def test_a_saliency_method_is_seen_in_the_panel_the_checks_and_the_code(notebook: Any) -> None:
    fake_method()
    panel = ended(small(methods=("fake_caso",), values={"fake_caso": {"strength": 5.0}}, seed=3))
    head = panel.head
    assert "fake_caso" in head["methods"]
    assert "fake_caso" in head["sweeps"]
    assert head["about"]["fake_caso"] == {"says": "A map of somebody else's.", "formula": ""}
    assert [entry["name"] for entry in head["fields"]["fake_caso"]] == ["strength", "copies"]
    assert head["fields"]["fake_caso"][0]["help"] == "How strong it is."
    found = panel.attributions["model", "fake_caso"]
    np.testing.assert_allclose(
        found.values, sdw.attribute(small_cnn(), panel.x, "fake_caso", strength=5.0, seed=3).values
    )
    reply, _ = request(panel, "copy", typed={})
    call = "sdw.attribute(model, x, 'fake_caso', strength=5.0, seed=3)"
    assert call in reply["value"]["code"]
    with pytest.raises(InputError, match=r"strength.*\[0, 9\]"):
        small(methods=("fake_caso",), values={"fake_caso": {"strength": 10.0}})


def test_a_saliency_method_says_its_cost_and_its_randomness_itself(notebook: Any) -> None:
    entry = fake_method()
    assert entry.cost({}) == 12.0
    assert entry.cost({"copies": 2}) == 6.0
    METHODS.add("smooth_fake_caso", Method(METHODS["gradient"].run))
    panel = ended(small(methods=("smooth_fake_caso",), seed=3))
    reply, _ = request(panel, "copy", typed={})
    assert "seed" not in reply["value"]["code"], "its name says nothing: the entry is not random"
    assert "smooth_fake_caso" not in panel.head["sweeps"]
    with pytest.raises(InputError, match=r"a sweep over lambda_1.*'fake_caso'"):
        lambda1_sweep(small_cnn(), X, "smooth_fake_caso")


def test_a_sweep_goes_over_whatever_method_has_a_problem() -> None:
    fake_method()
    swept = lambda1_sweep(small_cnn(), X, "fake_caso", n_lambdas=4, n_samples=3)
    plain = lambda1_sweep(small_cnn(), X, "cafo", n_lambdas=4)
    np.testing.assert_allclose(swept.units, 3 * plain.units, rtol=1e-5)


# -- perturbations -------------------------------------------------------------------------------------------


def fake_search(
    objective: Any,
    ball: Any,
    *,
    steps: int,
    keep_iterates: bool,
    seed: int,
    progress: Any,
    patience: Annotated[int, Range(1, 50)] = 5,
) -> Any:
    """A search of somebody else's.

    Args:
        objective: Loss and gradient.
        ball: Where to stay.
        steps: K.
        keep_iterates: Keep them all.
        seed: Of what is random.
        progress: Called after each step.
        patience: How long it waits.
    """
    del seed, patience
    return pgd(objective, ball, steps=steps, keep_iterates=keep_iterates, progress=progress)


def test_a_perturbation_method_and_a_norm_are_seen_in_the_panel_the_checks_and_the_code(
    notebook: Any,
) -> None:
    ATTACKS.add("fake_search", Attack(fake_search, random=True))
    NORMS.add("fake2", Norm(2, lambda ask: L2Ball(ask.radius, ask.room), words="At most {eps}, {each} each."))
    panel = sdw.perturb_panel(
        small_cnn(), X, method="fake_search", norm="fake2", patience=7, seed=4, steps=3, fallback="none"
    )
    fields = {field["name"]: field for field in panel.head["fields"]}
    assert "fake_search" in fields["method"]["choices"]
    assert "fake2" in fields["norm"]["choices"]
    assert [(f["name"], f["help"]) for f in panel.head["options"]["fake_search"]] == [
        ("patience", "How long it waits.")
    ]
    assert panel.head["norms"]["fake2"] == {
        "sparse": False,
        "words": "At most {eps}, {each} each.",
        "power": 0.5,
    }
    assert panel.typed["eps"] == panel.head["radii"]["fake2"] == panel.head["radii"]["l2"]
    found = panel.start().result()[0]
    expected = perturb(
        small_cnn(), X[:1], method="fake_search", norm="fake2", eps=panel.typed["eps"], steps=3
    )
    assert found.provenance.method == "perturb:fake_search"
    assert found.eps == expected.eps
    assert panel.runs[-1]["more"] == ["fake_search", "patience 7"]
    reply, _ = request(panel, "copy")
    assert "method='fake_search'" in reply["value"]["code"]
    assert "patience=7" in reply["value"]["code"]
    assert "seed=4" in reply["value"]["code"]
    with pytest.raises(InputError, match=r"patience.*at least 1 and at most 50"):
        sdw.perturb_panel(small_cnn(), X, method="fake_search", patience=99, fallback="none")
    with pytest.raises(InputError, match=r"Method 'fake_search' has no option 'patient'"):
        perturb(small_cnn(), X, method="fake_search", eps=1.0, patient=3)
    panel.close()


# -- excitation rules ----------------------------------------------------------------------------------------


class Lower(nn.Module):
    """A layer that picks: everything below the diagonal."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tril(x)


def test_a_route_of_ones_own_needs_its_rule_only() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Lower(), nn.Flatten(), nn.Linear(256, 3)).eval()
    with pytest.raises(InputError, match=r"tril.*must have a rule"):
        excitation(model, X, units=[0])
    EXCITATION_RULES.add("lower triangle", Rule((torch.tril, torch.Tensor.tril), None))
    found = excitation(model, X, units=[0], to="1")
    outside = ~torch.tril(torch.ones(8, 8)).bool().numpy()
    assert (found.values[..., outside] == 0).all()
    np.testing.assert_allclose(found.mass, 1, atol=1e-5)


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -1.0, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.diag(self.weight) * 2


def test_a_rule_with_weights_of_its_own_may_be_where_contrastive_maps_start() -> None:
    def pull(call: Any, mass: Tensor) -> tuple[Tensor]:
        weight, x = call.function.weight, call.inputs[0]
        up = mass * ((weight * x) > 0)
        return (up - mass * ((-weight * x) > 0) if call.contrast else up,)

    model, x = Doubled(), torch.tensor([[1.0, 1.0, -1.0]])
    EXCITATION_RULES.add("doubled", Rule((Doubled,), pull, signed=True))
    found = excitation(model, x, units=[0, 1, 2], contrastive=True)
    np.testing.assert_array_equal(found.values[0], np.diag([1.0, -1.0, -1.0]))


def test_a_view_of_what_was_written_into_is_a_route() -> None:
    class Written(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            base = x.clone()
            first, second = base[:, :2], base[:, 2:]
            second.mul_(2.0)
            return torch.cat([first, second], 1).flatten(1)

    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    model = nn.Sequential(Written(), nn.Linear(4, 1, bias=False)).eval()
    nn.init.ones_(model[1].weight)
    found = excitation(model, x, layer="1", units=[0])
    np.testing.assert_allclose(found.values[0, 0], np.array([1, 2, 6, 8]) / 17, atol=1e-6)


# -- x-features ----------------------------------------------------------------------------------------------


def test_a_way_to_find_x_features_is_seen_in_the_panel_the_fit_and_the_code(notebook: Any) -> None:
    EXPLANATION_METHODS.add("plain", ExplanationMethod(Terms(faithful=20.0, beta=1.0, eta=0.0)))
    model, data = small_cnn(), (torch.rand(80, 3, 10, 10), torch.arange(80) % 4)
    panel = sdw.x_features_panel(model, data, method="plain", n=2, class_index=1, fallback="none")
    (field,) = [entry for entry in panel.head["fields"] if entry["name"] == "method"]
    assert "plain" in field["choices"]
    reply, _ = request(panel, "copy", typed={})
    assert "method='plain'" in reply["value"]["code"]
    panel.close()
    values = np.random.default_rng(0).random((120, 6)).astype(np.float32)
    scores = np.stack([values[:, 0] + values[:, 1], values[:, 2]], 1)
    rows = LayerActivations(Tap("fc", inputs=True, head="fc"), values, scores, np.arange(120) % 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExplanationWarning)  # a training of one epoch
        found = fit_explanation(rows, 0, method="plain", n=2, recipe=Recipe(epochs=1, pretraining=1))
    assert found.method == "plain"
    assert len(found.weights) == 2
    with pytest.raises(InputError, match=r"method.*'plain'"):
        fit_explanation(rows, 0, method="plane")


# -- panels --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FakeResult(Result):
    """What somebody else computes.

    Attributes:
        values: (n,) numbers.
    """

    kind: ClassVar[str] = "fake_result"
    arrays: ClassVar[Mapping[str, str]] = {"values": "n float"}
    values: np.ndarray

    def to_frame(self) -> Any:
        raise NotImplementedError

    def plot(self) -> Any:
        raise NotImplementedError


class FakeFinerResult(FakeResult):
    kind: ClassVar[str] = "fake_finer_result"


class FakePanel(Panel):
    """Shows it in the page of an x-feature panel, which is there already."""

    name = "xfeatures"

    def __init__(self, result: FakeResult, model: Any = None, *, data: Any = None, **options: Any) -> None:
        self.given = (result, model, data, options)
        super().__init__(title="Fake", plain=f"FakePanel({result!r})", fallback="none")

    def export(self, *, small: bool = False) -> Export:
        return Export({}, {}, [])


def test_a_panel_shows_the_results_it_was_registered_for_wherever_results_are_shown() -> None:
    result = FakeResult(provenance=Provenance(method="fake", seed=0, seconds=0.0), values=np.ones(3))
    with pytest.raises(InputError, match=r"No panel shows a FakeResult\..*RegularizationPath"):
        sdw.panel(result)
    PANELS.add(FakeResult, FakePanel)
    assert PANELS[FakeResult] is FakePanel
    assert FakeResult in list(PANELS)
    model = small_cnn()
    shown = sdw.panel(result, model, data=3, colour="red")
    assert isinstance(shown, FakePanel)
    assert shown.given == (result, model, 3, {"colour": "red"})
    # What IPython and marimo show without being asked.
    assert "application/vnd.jupyter.widget-view+json" in _as_panel(result)[0]
    assert isinstance(_panel_or_text(result), FakePanel)
    assert PANELS[FakeFinerResult] is FakePanel, "a class that is one of these too"
    with pytest.raises(InputError, match="FakeResult already"):
        PANELS.add(FakeResult, FakePanel)
    with pytest.raises(InputError, match=r"No panel shows a int\..*FakeResult"):
        sdw.panel(3)


# -- demos ---------------------------------------------------------------------------------------------------


def fake_demo() -> Demo:
    torch.manual_seed(0)
    pictures = torch.rand(90, 1, 4, 4)
    labels = torch.arange(90) % 3
    pictures[torch.arange(90), 0, labels] += 1
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)).eval()
    data = [(x, int(y)) for x, y in zip(pictures, labels, strict=True)]
    return Demo(
        name="fake",
        description="Stripes.",
        model=model,
        train=Listed(data[:60]),
        test=Listed(data[60:]),
        clean_test=None,
        class_names=("top", "middle", "bottom"),
        truth=None,
        card="",
        numbers={},
    )


class Listed(Dataset[tuple[Tensor, int]]):
    def __init__(self, items: list[tuple[Tensor, int]]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.items[index]


def test_a_demo_is_listed_loaded_and_run_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DEMOS.add("fake", DemoEntry(fake_demo, "Stripes, and nothing planted."))
    assert "fake" in sdw.list_demos()
    assert "Stripes, and nothing planted." in repr(sdw.list_demos())
    assert sdw.load_demo("fake").class_names == ("top", "middle", "bottom")
    assert main(["demo", "--headless", "--name", "fake", "--out", str(tmp_path)]) == 0
    assert "top" in capsys.readouterr().out
    assert (tmp_path / "fake-report.html").exists()
    assert sdw.RegularizationPath.load(tmp_path / "fake-path.safetensors").class_names[0] == "top"


# -- how maps are shown --------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [saliency_choice, xfeatures_choice])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"percentile": 0}, "percentile.*in .0, 100."),
        ({"percentile": "99"}, "percentile"),
        ({"blend": 1.2}, "blend"),
        ({"sequential": "infrared"}, "sequential.*'inferno'"),
        ({"diverging": "inferno"}, "diverging.*'blue-orange'"),
        ({"smooth": "yes"}, "smooth"),
        ({"size": 0}, "size"),
        ({"colour": 3}, "colour"),
    ],
)
def test_how_maps_are_shown_is_checked_where_it_is_said(choice: Any, value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        choice.shown_as(value)
    defaults = choice.shown_as({})
    assert choice.shown_as(defaults) == defaults


def test_a_panel_refuses_a_display_that_its_page_cannot_paint() -> None:
    with pytest.raises(InputError, match="Did you mean 'inferno'"):
        small(sequential="infernal")
    panel = small(signed=True, percentile=95)
    with pytest.raises(InputError, match="percentile"):
        panel.display = {**panel.display, "percentile": 200}
    assert panel.display["percentile"] == 95.0
