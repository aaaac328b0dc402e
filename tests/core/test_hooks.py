"""hooks: a model that is used is as it was afterwards; captured layers are what they were when they ran."""

import copy
import random
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from sparse_debug_widgets.core import hooks
from sparse_debug_widgets.core.checks import InputError
from tests.contracts.untouched import disturb, untouched


class Reused(nn.Module):
    """One ReLU module that runs twice, in place, directly after the layers that are captured."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 3)
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.norm(self.relu(self.second(self.relu(self.first(x))))))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return disturb(Reused())


@pytest.fixture
def x():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("mode", ["eval", "train", "keep"])
def test_untouched_after_a_training_step_inside(model, x, mode):
    with untouched(model), hooks.model_untouched(model, mode=mode) as bare:
        for parameter in bare.parameters():
            parameter.requires_grad_(True)
        bare(x).sum().backward()
        bare.norm(torch.randn(9, 3))
        bare.norm.register_buffer("running_mean", torch.ones(3))
        torch.backends.cudnn.deterministic = not torch.backends.cudnn.deterministic
        random.random()
        np.random.rand()  # noqa: NPY002 - careless code of others is what is imitated


@pytest.mark.parametrize("moment", ["inside", "forward"])
def test_untouched_after_an_exception(model, x, moment):
    if moment == "forward":
        model.second.register_forward_hook(lambda *_: 1 / 0)

    def fail():
        with hooks.model_untouched(model, mode="train") as bare, hooks.captured(bare, ["first", "second"]):
            bare(x)
            raise ZeroDivisionError

    with untouched(model), pytest.raises(ZeroDivisionError):
        fail()


def test_modes_set_the_flags_of_every_submodule(model):
    with hooks.model_untouched(model) as bare:
        assert not any(module.training for module in bare.modules())
        with hooks.model_untouched(bare, mode="train"):
            assert all(module.training for module in bare.modules())
        assert not any(module.training for module in bare.modules())
    before = [module.training for module in model.modules()]
    with hooks.model_untouched(model, mode="keep"):
        assert [module.training for module in model.modules()] == before
    with (
        pytest.raises(InputError, match="be one of 'eval', 'train', 'keep'"),
        hooks.model_untouched(model, mode="x"),
    ):
        pass


def test_user_gradients_do_not_leak_in_and_ours_do_not_leak_out(model, x):
    with hooks.model_untouched(model) as bare:
        assert all(parameter.grad is None for parameter in bare.parameters())


def test_autocast_is_off_inside_and_on_again_outside(model, x):
    with torch.autocast("cpu", torch.bfloat16):
        with hooks.model_untouched(model) as bare:
            assert bare(x).dtype == torch.float32
        assert torch.is_autocast_enabled("cpu")


def test_unchanged_buffers_are_not_written_to(model, x):
    versions = [buffer._version for buffer in model.buffers()]
    with hooks.model_untouched(model) as bare:
        bare(x)
    assert [buffer._version for buffer in model.buffers()] == versions


def test_broken_statistics_stay_broken(model):
    model.norm.running_mean.fill_(float("nan"))
    version = model.norm.running_mean._version
    with hooks.model_untouched(model):
        pass
    assert model.norm.running_mean._version == version
    with hooks.model_untouched(model):
        model.norm.running_mean.fill_(0.0)
    assert model.norm.running_mean.isnan().all()


def test_captured_outputs_survive_in_place_layers(model, x):
    with hooks.model_untouched(model) as bare, torch.no_grad():
        with hooks.captured(bare, ["first", "second"]) as seen:
            bare(x)
        expected = nn.functional.linear(x, bare.first.weight, bare.first.bias)
        assert torch.equal(seen["first"], expected)
        assert (seen["first"] < 0).any()
        with hooks.captured(bare, ["second"], inputs=True) as inputs:
            bare(x)
        assert torch.equal(inputs["second"], expected.clamp(min=0))


@pytest.mark.parametrize("inputs", [False, True])
def test_gradients_with_respect_to_captured_layers(model, x, inputs):
    with (
        hooks.model_untouched(model) as bare,
        hooks.captured(bare, ["second"], inputs=inputs, detach=False) as seen,
    ):
        out = bare(x.requires_grad_())
        (grad,) = torch.autograd.grad(out.sum(), seen["second"])
        factor = bare.norm.weight / (bare.norm.running_var + bare.norm.eps).sqrt()
        z = seen["second"] if not inputs else bare.second(seen["second"])
        expected = (z > 0) * factor
        if inputs:
            expected = expected @ bare.second.weight
        torch.testing.assert_close(grad, expected)


def test_all_calls_of_a_reused_module(model, x):
    with hooks.model_untouched(model) as bare, hooks.captured(bare, ["relu"]) as seen:
        bare(x)
        assert [tuple(call.shape) for call in seen.calls("relu")] == [(6, 5), (6, 3)]
        with pytest.raises(InputError, match="Layer 'relu' runs 2 times in a forward pass"):
            seen["relu"]
        seen.clear()
        assert seen.calls("relu") == ()
        assert list(seen) == ["relu"]


def test_keyword_inputs_are_captured():
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return self.fc(input=x)

    model = Keyword()
    for detach in (True, False):
        with hooks.captured(model, ["fc"], inputs=True, detach=detach) as seen:
            model(torch.ones(1, 2))
        assert torch.equal(seen["fc"], torch.ones(1, 2))


def test_calls_from_other_threads_are_not_recorded(model, x):
    with hooks.model_untouched(model) as bare, hooks.captured(bare, ["first"]) as seen:
        thread = threading.Thread(target=bare, args=(x,))
        thread.start()
        thread.join()
        assert seen.calls("first") == ()
        bare(x)
        assert len(seen.calls("first")) == 1


def test_unknown_layers_suggest_the_nearest(model):
    with pytest.raises(InputError, match="Did you mean 'second'"), hooks.captured(model, ["first", "secnod"]):
        pass
    assert not model.first._forward_hooks


def test_layers_without_a_tensor_are_refused():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    model = nn.Sequential(Pair())
    with (
        hooks.captured(model, ["0"]),
        pytest.raises(InputError, match="has a tuple as its output, and a tensor is needed"),
    ):
        model(torch.ones(1))
    assert not model[0]._forward_hooks


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (nn.Linear, "a class, not an instance"),
        ({"weight": torch.ones(1)}, "Load the state dict into a model"),
        (lambda x: x, "must be an instance of torch.nn.Module; got function"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_model_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        hooks.unwrap(wrong)


def test_wrappers_are_looked_through(model, x):
    compiled = torch.compile(model, backend="eager")
    assert hooks.unwrap(compiled) is model
    assert hooks.unwrap(nn.DataParallel(compiled)) is model
    with untouched(model), hooks.model_untouched(compiled) as bare, hooks.captured(bare, ["first"]) as seen:
        bare(x)
        assert seen["first"].shape == (6, 5)


def test_compiled_parts_do_not_hide_their_layers(x):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    model.compile(backend="eager")
    model(x)  # compiled once without hooks
    with hooks.model_untouched(model) as bare, hooks.captured(bare, ["0"]) as seen:
        bare(x)
        assert torch.equal(seen["0"], nn.functional.linear(x, model[0].weight, model[0].bias))


def test_call_model_with_keywords():
    class Keyword(nn.Module):
        def forward(self, ids, mask):
            return ids * mask

    assert hooks.call_model(Keyword(), {"mask": torch.tensor([2]), "ids": torch.tensor([3])}) == 6
    assert hooks.call_model(nn.Identity(), torch.tensor([3])) == 3


def test_errors_of_a_model_say_what_it_was_given():
    with pytest.raises(RuntimeError) as caught:
        hooks.call_model(nn.Conv2d(1, 2, 3), torch.zeros(5, 3, 9, 9, dtype=torch.uint8))
    (note,) = caught.value.__notes__
    assert "(5, 3, 9, 9), uint8, on cpu (divide integer pixels by 255 first)" in note
    with pytest.raises(TypeError) as caught:
        hooks.call_model(nn.Identity(), {"ids": torch.zeros(2, 4), "mask": torch.zeros(2)})
    assert "ids: a batch of shape (2, 4), float32, on cpu, mask: a batch" in caught.value.__notes__[0]


@pytest.mark.parametrize("frozen", [False, True])
def test_parameters_ask_for_no_gradient_inside_where_that_is_wanted(model, x, frozen):
    with untouched(model), hooks.model_untouched(model, frozen=frozen) as bare:
        asked = [parameter.requires_grad for parameter in bare.parameters()]
        assert any(asked) is not frozen
        assert bare(x.requires_grad_()).requires_grad


class Buffers(nn.Module):
    """Buffers of every kind: scalars, broken numbers, shared, expanded, sparse, large, without data."""

    def __init__(self) -> None:
        super().__init__()
        kinds = {
            "count": torch.tensor(3),
            "flags": torch.tensor([True, False]),
            "narrow": torch.ones(2, 3, dtype=torch.float16),
            "broken": torch.tensor([float("nan"), 1.0]),
            "wide": torch.ones(1, 4).expand(3, 4),
            "turned": torch.arange(6.0).reshape(2, 3).T,
            "large": torch.zeros(1 << 17),
            "sparse": torch.eye(3).to_sparse(),
            "nothing": torch.empty(0),
            "meta": torch.empty(2, device="meta"),
            "complex": torch.ones(2, dtype=torch.complex64),
        }
        for name, value in kinds.items():
            self.register_buffer(name, value)
        self.inner = nn.BatchNorm1d(2)
        self.register_buffer("shared", self.inner.running_mean)


@pytest.mark.parametrize(
    "name", ["count", "flags", "narrow", "broken", "turned", "large", "complex", "sparse", "shared"]
)
def test_buffers_of_every_kind_are_put_back_and_no_other_is_written_to(name):
    model = Buffers()
    before = {key: (b, b.clone(), b._version) for key, b in model.named_buffers(remove_duplicate=False)}
    with hooks.model_untouched(model):
        getattr(model, name).zero_()
        setattr(model, "nothing" if name == "count" else "count", torch.tensor(7))
    for key, (buffer, kept, version) in before.items():
        now = dict(model.named_buffers(remove_duplicate=False))[key]
        assert now is buffer
        if not buffer.is_meta:
            torch.testing.assert_close(now, kept, rtol=0, atol=0, equal_nan=True)
        if key != name and buffer is not getattr(model, name):
            # One that lies in the same piece as the changed one is looked at, but not written to.
            assert buffer._version == version


def spectral() -> nn.Module:
    torch.manual_seed(0)
    head = parametrizations.spectral_norm(nn.Linear(8, 3))
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), head).train()


def test_a_weight_that_is_computed_is_read_as_in_evaluation_mode() -> None:
    model = spectral()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = copy.deepcopy(model).eval()[2].weight
    torch.testing.assert_close(hooks.weight_of(model[2]), expected)
    assert model[2].training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_parameters_made_in_inference_mode_are_refused_and_stay_as_they_are() -> None:
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(InputError, match="deepcopy"), hooks.model_untouched(model, frozen=True):
        pass
    with hooks.model_untouched(model):
        for parameter in model.parameters():
            parameter.requires_grad_(False)
    assert all(parameter.requires_grad for parameter in model.parameters())
    with hooks.model_untouched(copy.deepcopy(model), frozen=True) as bare:
        x = torch.ones(1, 6, requires_grad=True)
        assert torch.autograd.grad(bare(x).sum(), x)[0].shape == x.shape


@pytest.mark.parametrize("make", ["script", "trace", "export", "module of export"])
def test_programs_that_were_made_of_a_model_are_refused_in_a_sentence(make, x):
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval()
    if make in {"script", "trace"}:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch calls both deprecated
            program = torch.jit.script(net) if make == "script" else torch.jit.trace(net, x)
        words = "a TorchScript module"
    else:
        exported = torch.export.export(net, (x,))
        program, words = exported if make == "export" else exported.module(), "a program of torch.export"
    with pytest.raises(InputError, match=f"This model is {words}: .* Pass the nn.Module"):
        hooks.unwrap(program)
    with pytest.raises(InputError, match="made from"), hooks.model_untouched(program):
        pass
    # A graph that runs its layers is a model as any other.
    assert hooks.unwrap(torch.fx.symbolic_trace(net)) is not None


@pytest.mark.parametrize(
    ("made", "shape", "says"),
    [
        (
            nn.Conv2d(3, 4, 3),
            (2, 1, 8, 8),
            r"takes inputs of 3 channels, and these have 1.*repeat\(1, 3, 1, 1\)",
        ),
        (nn.Conv2d(1, 4, 3), (2, 3, 8, 8), "takes inputs of 1 channel, and these have 3.*become grey"),
        (nn.Conv2d(3, 4, 3), (2, 5, 8, 8), "takes inputs of 3 channels, and these have 5.*trained on"),
        (nn.Conv1d(2, 4, 3), (2, 6, 40), "takes inputs of 2 channels, and these have 6"),
        (nn.Linear(7, 3), (2, 9), "takes inputs of 7 numbers, and these have 9 each.*columns"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 3)),
            (2, 1, 9, 9),
            "of 64 numbers, and these have 81 each",
        ),
    ],
)
def test_other_channels_or_columns_are_said(made, shape, says):
    with pytest.raises(InputError, match=says):
        hooks.call_model(made, torch.zeros(shape))


def test_a_fault_inside_the_model_is_not_blamed_on_the_inputs():
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(6, 2))
    with pytest.raises(RuntimeError, match="mat1"):
        hooks.call_model(model, torch.zeros(2, 4))
