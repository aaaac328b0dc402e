"""PGD, adversarial training and robust accuracy."""

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.perturbation import (
    AdversarialTraining,
    FrankWolfeAttack,
    PGDAttack,
    WorstOf,
    adversarial_training,
    perturb,
    robust_accuracy,
    strongest,
)
from sparse_debug_widgets.perturbation.arguments import check_room
from sparse_debug_widgets.perturbation.norms import make_ball
from sparse_debug_widgets.perturbation.training_state import KIND, SCHEMA
from tests.contracts.untouched import disturb, untouched
from tests.perturbation.models import network, others, pictures


def stripes(n: int = 240, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes: a strong feature in four pixels, a weak one in all the others (useful, but not robust)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    sign = (2.0 * labels - 1)[:, None]
    x = 0.5 + 0.06 * sign + 0.05 * torch.randn((n, 36), generator=generator)
    strong = torch.rand((n, 1), generator=generator) < 0.85
    x[:, :4] = 0.5 + 0.3 * sign * torch.where(strong, 1.0, -1.0)
    return x.clamp(0, 1).reshape(n, 1, 6, 6), labels


def classifier(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))


SETTINGS = {"norm": "l2", "eps": 0.5, "epochs": 4, "batch_size": 40, "learning_rate": 0.02, "seed": 3}


@pytest.mark.parametrize("warmup", [0.0, 0.5])
@pytest.mark.parametrize(("norm", "eps"), [("l2", 0.7), ("linf", 0.05), ("l1", 2.0), ("l1q", 2.0)])
def test_pgd_stays_in_the_ball_and_in_the_box(norm: str, eps: float, warmup: float) -> None:
    model, x = network(), pictures()
    run = perturb(
        model, x, target=others(model, x), method="pgd", norm=norm, eps=eps, q=0.1, steps=12, warmup=warmup,
        keep_iterates=True, random_start=True,
    )  # fmt: skip
    flat = run.iterates.reshape(3, 13, -1)
    order = {"l2": 2, "linf": np.inf, "l1": 1, "l1q": 1}[norm]
    lengths = np.linalg.norm(flat, ord=order, axis=2)
    assert (lengths <= eps * (1 + 1e-6)).all()
    if warmup:
        grown = np.minimum(1, np.arange(1, 13) / (warmup * 12))
        assert (lengths[:, 1:] <= eps * grown * (1 + 1e-6)).all()
    perturbed = x.numpy()[:, None] + run.iterates
    assert perturbed.min() >= 0
    assert perturbed.max() <= 1
    assert lengths[:, 0].min() > 0
    assert (run.loss_after <= run.losses[:, 0]).all()
    assert (run.loss_after < run.losses[:, 0]).any()
    assert np.isnan(run.gaps).all()


def test_a_step_of_pgd_is_steepest_descent() -> None:
    x = 0.5 * torch.ones(1, 3, 6, 6, dtype=torch.float64)
    model = network()
    runs = {
        norm: perturb(model, x, norm=norm, eps=1e-3, method="pgd", steps=1, step_size=0.5, keep_iterates=True)
        for norm in ("l2", "linf")
    }
    model.eval()
    leaf = x.clone().requires_grad_(True)
    nn.functional.cross_entropy(model(leaf), torch.tensor(runs["l2"].target.copy())).backward()
    np.testing.assert_allclose(runs["l2"].iterates[0, 1], -5e-4 * leaf.grad[0] / leaf.grad.norm(), rtol=1e-9)
    np.testing.assert_allclose(runs["linf"].iterates[0, 1], -5e-4 * leaf.grad[0].sign(), rtol=1e-9)


def test_training_against_perturbations_makes_a_model_robust() -> None:
    data, test = stripes(), stripes(200, seed=1)
    accuracies = {}
    for eps in (1e-6, 0.5):
        model = classifier()
        settings = SETTINGS | {"eps": eps, "epochs": 8}
        result = adversarial_training(model, data, **settings, test=test)
        assert result.clean_accuracy == robust_accuracy(model, test, eps=0.0)
        accuracies[eps] = robust_accuracy(model, test, norm="l2", eps=0.5)
    assert accuracies[0.5] > accuracies[1e-6] + 0.15
    assert result.radii[0] < result.radii[-1] == 0.5
    assert result.to_frame().shape == (8, 3)
    assert len(result.plot().data) == 2


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    weights = []
    for seed in (3, 3, 4):
        model = classifier()
        adversarial_training(model, stripes(80), **(SETTINGS | {"seed": seed, "epochs": 2}))
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_resumed_training_is_bitwise_the_uninterrupted_one(tmp_path) -> None:
    straight = classifier()
    adversarial_training(straight, stripes(120), **SETTINGS)

    def stop(progress) -> None:
        if progress.piece is not None and progress.done == 2 * 3:
            raise Cancelled

    first = classifier()
    part = adversarial_training(first, stripes(120), **SETTINGS, checkpoint=tmp_path / "c", progress=stop)
    assert part.cancelled
    assert len(part.radii) == 2
    resumed = classifier(seed=9)
    whole = adversarial_training(resumed, stripes(120), **SETTINGS, checkpoint=tmp_path / "c")
    assert not whole.cancelled
    assert len(whole.radii) == 4
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(InputError, match=r"must be of one with eps=0.4; got eps=0.5"):
        adversarial_training(
            classifier(), stripes(120), **(SETTINGS | {"eps": 0.4}), checkpoint=tmp_path / "c"
        )
    other = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    with pytest.raises(InputError, match="hold the same weights"):
        adversarial_training(other, stripes(120), **SETTINGS, checkpoint=tmp_path / "c")


@pytest.mark.parametrize("former", [False, True], ids=["today", "written by a former version"])
def test_a_training_with_batch_norm_is_resumed(tmp_path, former: bool) -> None:
    """Its count of batches is a single number, which files used to hand back as a row of one."""

    def normalised(seed: int = 0) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Sequential(
                nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
            )

    straight = normalised()
    adversarial_training(straight, stripes(80), **SETTINGS)

    def stop(progress) -> None:
        if progress.piece is not None and progress.done == 2 * 2:
            raise Cancelled

    file = tmp_path / "c"
    adversarial_training(normalised(), stripes(80), **SETTINGS, checkpoint=file, progress=stop)
    if former:
        head, arrays = storage.read(file, kind=KIND, schema=SCHEMA)
        rows = {name: array.reshape(array.shape or (1,)) for name, array in arrays.items()}
        storage.write(file, kind=KIND, schema=SCHEMA, head=head, arrays=rows)
    resumed = normalised(seed=9)
    adversarial_training(resumed, stripes(80), **SETTINGS, checkpoint=file)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_flags_gradients_and_generators_are_given_back_and_weights_after_an_error() -> None:
    model = disturb(classifier())
    flags = [module.training for module in model.modules()]
    gradients = [parameter.grad for parameter in model.parameters()]
    state, numpy_state = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002 - watched only
    adversarial_training(model, stripes(40), **(SETTINGS | {"epochs": 1}))
    assert [module.training for module in model.modules()] == flags
    assert all(a is b for a, b in zip([p.grad for p in model.parameters()], gradients, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert str(np.random.get_state()) == numpy_state  # noqa: NPY002 - watched only

    def fail(progress) -> None:
        if progress.done >= 2:
            raise OSError("disk full")

    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(OSError, match="disk full"):
        adversarial_training(model, stripes(120), **SETTINGS, progress=fail)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert [module.training for module in model.modules()] == flags


@pytest.mark.parametrize(
    "attack", [FrankWolfeAttack(steps=3), PGDAttack(steps=2, starts=2)], ids=["fw", "pgd"]
)
@pytest.mark.parametrize("norm", ["l2", "linf", "l1q"])
def test_any_attack_and_any_norm_trains(attack, norm: str) -> None:
    eps = {"l2": 0.3, "linf": 0.05, "l1q": 1.0}[norm]
    result = adversarial_training(
        classifier(), stripes(40), **(SETTINGS | {"norm": norm, "eps": eps, "epochs": 1}), attack=attack
    )
    assert np.isfinite(result.losses).all()
    assert result.provenance.method == f"adversarial_training:{attack.name}"


def saturated() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A linear classifier whose weightiest pixels are at the end of their range that a step leads to."""
    generator = torch.Generator().manual_seed(5)
    slope = torch.rand(300, generator=generator) + 0.05
    model = nn.Sequential(nn.Flatten(), nn.Linear(300, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([-slope / 2, slope / 2]))
        model[1].bias.zero_()
    x = torch.rand((60, 300), generator=generator)
    # Ascent lowers the margin of class 1: these are black already.
    x[:, slope.argsort()[-30:]] = 0.0
    margin = (x * slope).sum(1)
    with torch.no_grad():
        model[1].bias[1] = 4.0 - margin.mean()
    return model, x.reshape(60, 1, 15, 20), torch.ones(60, dtype=torch.long)


@pytest.mark.parametrize(
    ("norm", "eps"), [("l1", 5.0), ("l1", 7.0), ("l1q", 8.0), ("l2", 0.6), ("linf", 0.03)]
)
def test_the_default_attack_finds_what_there_is_to_find(norm: str, eps: float) -> None:
    """On a linear model the vertex of the ball is the worst perturbation: the truth is known."""
    model, x, y = saturated()
    room = check_room(x, (0.0, 1.0))
    flat = x.flatten(1)
    ball = make_ball(norm, [eps] * 60, flat, room, [0.03] * 60)
    slope = (model[1].weight[1] - model[1].weight[0]).detach()
    with torch.no_grad():
        wrong = model(flat).argmax(1) != y
        worst = model(flat + ball.lmo(slope.expand(60, -1))).argmax(1) != y
    truth = float((~worst & ~wrong).float().mean())
    assert 0.1 < truth < 0.9
    found = robust_accuracy(model, (x, y), norm=norm, eps=eps, attack=strongest(q=0.03))
    assert found == pytest.approx(truth, abs=1 / 60 + 1e-9)
    # Projected ascent alone comes close too: its steps leave out the pixels that cannot go on.
    alone = robust_accuracy(model, (x, y), norm=norm, eps=eps, attack=PGDAttack(steps=40, q=0.03))
    assert alone <= truth + 0.2


@pytest.mark.parametrize(
    ("norm", "eps", "most"), [("l1", 2.0, 0.2), ("l1q", 2.0, 0.8), ("l2", 0.5, 0.8), ("linf", 0.1, 0.8)]
)
def test_the_default_attack_is_as_strong_as_each_of_its_parts(norm: str, eps: float, most: float) -> None:
    demo = load_demo("digits")
    some = torch.utils.data.Subset(demo.test, range(120))
    parts = (FrankWolfeAttack(steps=40, q=0.01), PGDAttack(steps=40))
    found = robust_accuracy(demo.model, some, norm=norm, eps=eps)
    each = [robust_accuracy(demo.model, some, norm=norm, eps=eps, attack=attack) for attack in parts]
    assert found <= min(each) + 1e-9
    assert found <= most


def test_training_against_the_default_attack_in_l1_makes_a_model_robust() -> None:
    data, test = stripes(), stripes(200, seed=1)
    accuracies = []
    for eps in (1e-6, 4.0):
        model = classifier()
        adversarial_training(model, data, **(SETTINGS | {"norm": "l1", "eps": eps, "epochs": 8}))
        accuracies.append(robust_accuracy(model, test, norm="l1", eps=4.0))
    assert accuracies[1] > accuracies[0] + 0.15


def test_the_worst_of_several_attacks_is_the_one_that_fools_and_then_the_largest_loss() -> None:
    model, x, y = saturated()
    model.eval()

    class Fixed:
        name = "fixed"

        def __init__(self, shift: float) -> None:
            self.shift = shift

        def __call__(self, model, inputs, *_rest):
            return inputs + self.shift

    shifts = [0.01, -0.05, 0.02]
    found = WorstOf(attacks=tuple(map(Fixed, shifts)))(model, x, y, "linf", 0.1, torch.Generator())
    torch.testing.assert_close(found, x - 0.05)
    with pytest.raises(InputError, match="be at least one attack"):
        WorstOf(attacks=())


def test_labels_of_binary_cross_entropy_are_class_indices() -> None:
    class OneLogit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))

        def forward(self, x):
            return self.net(x)[:, 0]

    x, y = stripes(80)
    torch.manual_seed(0)
    model = OneLogit()
    settings = SETTINGS | {"eps": 0.05, "epochs": 12, "batch_size": 20}
    result = adversarial_training(model, (x, y.float()[:, None]), **settings, test=(x, y))
    assert result.clean_accuracy > 0.75
    predicted = model.eval()(x) > 0
    assert result.clean_accuracy == pytest.approx(float((predicted == y.bool()).float().mean()))
    for labels in (y + 0.5, y - 1):
        with pytest.raises(InputError, match="have class indices as labels"):
            robust_accuracy(model, (x, labels))


def test_robust_accuracy_falls_with_the_radius_and_leaves_the_model_alone() -> None:
    model = disturb(classifier())
    data = stripes(100)
    with untouched(model):
        curve = [robust_accuracy(model, data, eps=eps) for eps in (0.0, 0.1, 0.4, 3.0)]
    assert curve == sorted(curve, reverse=True)
    assert curve[0] == robust_accuracy(model, data, eps=0.0, batch_size=7)
    assert curve[-1] < 0.2


def test_bad_training_input_is_refused(tmp_path) -> None:
    for bad in (
        {"eps": 0.0},
        {"epochs": 0},
        {"warmup": 2.0},
        {"batch_size": 0},
        {"learning_rate": -1.0},
        {"seed": -1},
    ):
        with pytest.raises(InputError, match=f"{next(iter(bad))} is not compatible"):
            adversarial_training(classifier(), stripes(40), **(SETTINGS | bad))
    with pytest.raises(InputError, match="class indices as labels"):
        adversarial_training(classifier(), stripes(40)[0], **SETTINGS)
    with pytest.raises(InputError, match="frozen model"):
        adversarial_training(classifier().requires_grad_(False), stripes(40), **SETTINGS)


def test_a_result_can_be_kept(tmp_path) -> None:
    result = adversarial_training(classifier(), stripes(40), **(SETTINGS | {"epochs": 1}))
    loaded = AdversarialTraining.load(result.save(tmp_path / "training.sdw"))
    assert loaded.to_frame().equals(result.to_frame())
    assert np.isnan(loaded.robust_accuracy)


@pytest.mark.parametrize("attack", [FrankWolfeAttack, PGDAttack])
def test_an_attack_without_steps_is_refused(attack):
    with pytest.raises(InputError, match=f"steps is not compatible with {attack.__name__}"):
        attack(steps=0)
