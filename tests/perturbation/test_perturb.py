"""The front of the room: models of all kinds are left alone, bad input is refused, results can be kept."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled, Progress
from sparse_debug_widgets.core.registry import UnknownNameError
from sparse_debug_widgets.perturbation import METHODS, Perturbation, PerturbationWarning, StepPiece, perturb
from tests.contracts.untouched import disturb, untouched
from tests.perturbation.models import SHAPE, Wrapped, linear, network, others, pictures


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("norm", ["l1q", "l2"])
def test_the_model_is_left_as_it_was(method: str, norm: str) -> None:
    model = disturb(network())
    with untouched(model):
        perturb(model, pictures(), eps=2.0, norm=norm, method=method, steps=3)


class Failing(nn.Module):
    """Raises at its third call."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 3:
            raise RuntimeError("out of memory")
        logits: Tensor = self.net(inputs)
        return logits


def test_the_model_is_left_as_it_was_after_an_error() -> None:
    model = disturb(Failing())
    with untouched(model), pytest.raises(RuntimeError, match="out of memory"):
        perturb(model, pictures(), eps=2.0, steps=5)


def test_it_works_whatever_mode_the_caller_is_in() -> None:
    x = pictures()
    expected = perturb(network(), x, eps=2.0, steps=3).delta
    with torch.no_grad():
        np.testing.assert_array_equal(perturb(network(), x, eps=2.0, steps=3).delta, expected)
    model = network()
    with torch.inference_mode():
        np.testing.assert_array_equal(perturb(model, pictures(), eps=2.0, steps=3).delta, expected)
    frozen = network().requires_grad_(False)
    np.testing.assert_array_equal(perturb(frozen, x, eps=2.0, steps=3).delta, expected)
    np.testing.assert_array_equal(perturb(network(), x.numpy(), eps=2.0, steps=3).delta, expected)
    leaf = x.clone().requires_grad_(True)
    np.testing.assert_array_equal(perturb(network(), leaf, eps=2.0, steps=3).delta, expected)
    assert leaf.grad is None


@pytest.mark.parametrize("form", ["tuple", "list", "dict", "object"])
def test_logits_are_found_in_what_models_return(form: str) -> None:
    expected = perturb(network(), pictures(), eps=2.0, steps=3)
    found = perturb(Wrapped(form), pictures(), eps=2.0, steps=3)
    np.testing.assert_allclose(found.delta, expected.delta, atol=1e-12)


class InPlace(nn.Module):
    """Changes its own input, as careless preprocessing does."""

    def __init__(self) -> None:
        super().__init__()
        self.net = linear()

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.net(inputs.sub_(0.5).mul_(2))
        return logits


def test_a_first_layer_that_works_in_place_does_no_harm() -> None:
    x = pictures()
    copy = x.clone()
    perturb(InPlace(), x, eps=1.0, steps=3)
    assert torch.equal(x, copy)


def test_the_inputs_get_the_dtype_of_the_model() -> None:
    model = network(dtype=torch.float32)
    run = perturb(model, pictures(), eps=1.0, steps=2)
    assert run.delta.dtype == run.inputs.dtype == np.float32
    half = perturb(linear().to(torch.bfloat16), pictures(), eps=1.0, steps=2)
    assert half.delta.dtype == np.float32


class Constant(nn.Module):
    """Does not look at its input, or only through dead units."""

    def __init__(self, dead: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(4.0))
        self.dead = dead

    def forward(self, inputs: Tensor) -> Tensor:
        logits = self.weight.expand(len(inputs), 4)
        return logits + torch.relu(inputs.flatten(1).sum(1, keepdim=True) - 1e9) if self.dead else logits


@pytest.mark.parametrize("dead", [True, False])
@pytest.mark.parametrize("norm", ["l1q", "l1", "l2", "linf"])
def test_a_zero_gradient_is_a_warning_and_not_nan(dead: bool, norm: str) -> None:
    with pytest.warns(
        PerturbationWarning, match="gradient is exactly zero at the inputs of examples 0, 1, 2"
    ):
        run = perturb(Constant(dead), pictures(), norm=norm, eps=0.3, q=0.1, steps=3)
    assert not run.delta.any()
    assert np.isfinite(run.losses).all()
    assert np.nanmax(run.gaps) == 0


def test_what_probably_was_not_meant_is_a_warning() -> None:
    model, x = network(), pictures()
    predicted = perturb(model, x, eps=1.0, steps=1).prediction_before
    with pytest.warns(PerturbationWarning, match="predicts already for examples 0, 1, 2"):
        perturb(model, x, target=predicted, eps=1.0, steps=1)
    with pytest.warns(PerturbationWarning, match=r"a step puts 1.33 on each pixel .* raise q"):
        run = perturb(model, x, eps=4.0, q=0.02, steps=1)
    np.testing.assert_allclose(run.vertex_height, 4 / 3)
    assert run.saturates.all()


BAD = {
    "eps zero": ({"eps": 0.0}, r"eps is not compatible with a perturbation: .* finite number above 0"),
    "eps negative": ({"eps": -1.0}, "eps is not compatible"),
    "eps NaN": ({"eps": float("nan")}, "eps is not compatible"),
    "eps of another length": ({"eps": [1.0, 2.0]}, "one for each of the 3 examples"),
    "eps no number": ({"eps": "1"}, "eps is not compatible"),
    "q zero": ({"q": 0.0}, r"q is not compatible with a perturbation: .* finite number in \(0, 1\]"),
    "q above one": ({"q": 1.5}, "q is not compatible"),
    "target outside": ({"target": 4}, "target is not compatible with the model: .* class index of at most 3"),
    "target negative": ({"target": -1}, "target is not compatible"),
    "target a float": ({"target": 1.0}, "target is not compatible"),
    "target a word": ({"target": "label"}, "target is not compatible.*'prediction'"),
    "targets of another length": ({"target": [0, 1]}, "target is not compatible"),
    "steps zero": ({"steps": 0}, "steps is not compatible"),
    "norm unknown": ({"norm": "l3"}, "norm is not compatible"),
    "method unknown": ({"method": "frank_wolf"}, "Did you mean 'frank_wolfe'"),
    "option unknown": ({"step_const": 2.0}, "Did you mean 'step_constant'"),
    "option of another method": ({"random_start": True}, "Method 'frank_wolfe' has no option 'random_start'"),
    "step constant": ({"step_constant": 0.5}, "step_constant is not compatible"),
    "box mode unknown": ({"box_mode": "clip"}, "box_mode is not compatible"),
    "spending without l1q": ({"box_mode": "spend", "norm": "l2"}, "box_mode='spend' is not compatible"),
    "box upside down": ({"box": (1.0, 0.0)}, "lower end below its upper end"),
    "box no pair": ({"box": 1.0}, "box is not compatible"),
    "box of another shape": ({"box": (torch.zeros(5), 1.0)}, "broadcast against inputs"),
    "inputs outside": ({"box": (0.2, 1.0)}, r"pixel range \(0.2, 1\).*from 0 to 1.*normalize=.*box="),
    "batch size": ({"batch_size": 0}, "batch_size is not compatible"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused_and_the_model_stays(arguments, message: str) -> None:
    model = disturb(network())
    with untouched(model), pytest.raises((InputError, UnknownNameError), match=message):
        perturb(model, pictures(), **{"eps": 1.0, "steps": 2, **arguments})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros((0, *SHAPE)), "at least one example"),
        (torch.zeros((2, *SHAPE), dtype=torch.uint8), "Divide integer pixels by 255"),
        (torch.full((2, *SHAPE), torch.nan), "finite entries only"),
        (torch.zeros(5), "batch by x"),
        ([[0.0]], "must be a tensor or an array"),
    ],
    ids=["empty", "integers", "NaN", "one dimension", "list"],
)
def test_bad_inputs_are_refused(inputs, message: str) -> None:
    model = disturb(network())
    with untouched(model), pytest.raises(InputError, match=message):
        perturb(model, inputs, eps=1.0)


class Odd(nn.Module):
    """Returns something that is no logits."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, inputs: Tensor) -> object:
        return self.output


@pytest.mark.parametrize(
    "output",
    [
        None,
        torch.zeros(3, 4, 2),
        torch.zeros(3, 0),
        torch.zeros(2, 4),
        torch.full((3, 4), torch.nan),
        "logits",
        (),
    ],
    ids=["None", "3-D", "no class", "other rows", "NaN", "text", "empty tuple"],
)
def test_a_model_without_logits_is_refused(output: object) -> None:
    with pytest.raises(
        InputError, match=r"the model('s output)? is not compatible with a (classifier|perturbation)"
    ):
        perturb(Odd(output), pictures(), eps=1.0)


@pytest.mark.parametrize("method", list(METHODS))
def test_cancelling_keeps_the_best_so_far(method: str) -> None:
    model, x = network(), pictures()
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 4:
            raise Cancelled

    target = others(model, x)
    with untouched(model):
        run = perturb(
            model, x, target=target, eps=5.0, q=0.1, steps=10, method=method, progress=stop, batch_size=2
        )
    assert run.cancelled
    assert run.steps_done.tolist() == [3, 3, 0]
    assert np.isnan(run.losses[:2, 4:]).all()
    assert np.isnan(run.losses[2]).all()
    assert run.prediction_before[2] == run.target[2] == -1
    assert not run.delta[2].any()
    whole = perturb(model, x[:2], target=target[:2], eps=5.0, q=0.1, steps=10, method=method)
    np.testing.assert_allclose(run.losses[:2, :4], whole.losses[:, :4])
    np.testing.assert_allclose(run.loss_after[:2], whole.losses[:, :4].min(1))
    assert run.to_frame().shape[0] == 3


def test_progress_tells_every_step_of_every_chunk() -> None:
    model, x, seen = network(), pictures(), []
    run = perturb(model, x, eps=5.0, q=0.1, steps=4, batch_size=2, progress=seen.append)
    assert [progress.done for progress in seen] == list(range(1, 11))
    assert {progress.total for progress in seen} == {10}
    pieces: list[StepPiece] = [progress.piece for progress in seen]
    assert [(piece.first, piece.step) for piece in pieces] == [(f, s) for f in (0, 2) for s in range(5)]
    np.testing.assert_allclose(pieces[3].losses, run.losses[:2, 3])
    np.testing.assert_allclose(pieces[9].confidences, run.confidences[2:, 4])
    np.testing.assert_array_equal(pieces[9].supports, run.supports[2:, 4])


@pytest.mark.parametrize("keep_iterates", [True, False])
@pytest.mark.parametrize(
    "box", [(0.0, 1.0), None, (torch.zeros(3, 1, 1), 1.0)], ids=["numbers", "none", "channels"]
)
def test_a_result_can_be_kept_and_shown(tmp_path, keep_iterates: bool, box) -> None:
    run = perturb(network(), pictures(), eps=2.0, q=0.1, steps=3, keep_iterates=keep_iterates, box=box)
    loaded = Perturbation.load(run.save(tmp_path / "run.sdw"))
    assert loaded.to_frame().equals(run.to_frame())
    assert loaded.trace().equals(run.trace())
    np.testing.assert_array_equal(loaded.delta, run.delta)
    assert (loaded.iterates is None) == (not keep_iterates)
    assert loaded.provenance == run.provenance
    assert "perturb:frank_wolfe" in repr(run)
    frame = run.to_frame()
    assert (frame["support"] == (run.delta != 0).reshape(3, -1).sum(1)).all()
    assert (frame["l1"] <= 2.0 * (1 + 1e-6)).all()
    assert run.trace().shape == (12, 4)
    assert len(run.plot().data) == 9
    flat = nn.Sequential(nn.Linear(6, 3)).double()
    lines = perturb(flat, torch.rand(2, 6, dtype=torch.float64), eps=0.5, q=0.5, steps=3).plot()
    assert len(lines.data) == 2


def test_no_gradient_of_a_parameter_is_computed(monkeypatch) -> None:
    model = network()
    asked = []
    original = torch.autograd.grad

    def watched(*args, **kwargs):
        asked.append([parameter.requires_grad for parameter in model.parameters()])
        return original(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", watched)
    perturb(model, pictures(), eps=1.0, steps=2)
    assert len(asked) == 2
    assert not any(flag for flags in asked for flag in flags)


def test_k_steps_cost_k_passes_and_one_forward() -> None:
    model = network()
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    perturb(model, pictures(), eps=1.0, steps=7)
    handle.remove()
    assert calls == [True] * 7 + [False]


class Cliff(nn.Module):
    """Overflows when its input grows."""

    def forward(self, inputs: Tensor) -> Tensor:
        total = inputs.flatten(1).sum(1, keepdim=True)
        return torch.cat([total, torch.where(total > 1.0, torch.nan, -total)], 1)


def test_nan_on_the_way_is_a_warning() -> None:
    with pytest.warns(PerturbationWarning, match="became NaN on the way: the best iterate before that"):
        run = perturb(Cliff(), torch.zeros(1, 4), eps=2.0, q=1.0, steps=3, box=None)
    assert run.best_step[0] == 0
    assert not run.delta.any()
