"""One file, one line: an entry that a stranger adds to a registry is seen wherever the built-in ones are."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.params import Range
from sparse_debug_widgets.perturb import METHODS as ATTACKS
from sparse_debug_widgets.perturb import L2Ball, perturb
from sparse_debug_widgets.perturb.methods import Method as Attack
from sparse_debug_widgets.perturb.norms import NORMS, Norm
from sparse_debug_widgets.perturb.pgd import pgd
from sparse_debug_widgets.saliency import EXCITATION_RULES, METHODS, Method, Rule, excitation, lambda1_sweep
from sparse_debug_widgets.saliency.context_aware import first_order
from sparse_debug_widgets.saliency.gradient import Found
from tests.widgets.front import request
from tests.widgets.saliency import ended, small, small_cnn

X = torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(3))


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of a test end with it."""
    for registry in (METHODS, EXCITATION_RULES, ATTACKS, NORMS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


# -- saliency ------------------------------------------------------------------------------------------------


def fake_map(
    probe: Any, *, strength: Annotated[float, Range(0, 9)] = 2.0, copies: Annotated[int, Range(1, 8)] = 4
) -> Found:
    """A map of somebody else's.

    Args:
        probe: The live model and its inputs.
        strength: How strong it is.
        copies: Noisy copies.
    """
    noise = torch.randn(1, generator=torch.Generator().manual_seed(probe.seed)).to(probe.points)
    return Found(strength * probe.gradient("logit") + noise + 0 * copies, {})


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
    assert head["about"]["fake_caso"] == "A map of somebody else's."
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
