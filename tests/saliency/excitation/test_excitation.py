"""Excitation backprop: the textbook rule, mass, units of all kinds, awkward models, bad input."""

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.saliency import EXCITATION_RULES, Call, Excitation, Rule, attribute, excitation
from tests.contracts.untouched import disturb, untouched
from tests.reference.excitation import averages, convolution, forward, mass_at_input, windows
from tests.saliency.models import Curvy, InPlace, TextModel, images, small_cnn

torch.set_num_threads(1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def vgg_like():
    """Convolutions, rectifiers of all kinds, both poolings, two dense layers."""
    torch.manual_seed(0)
    return (
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 5, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(5, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(24, 10),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(10, 3),
        )
        .double()
        .eval()
    )


def conv_layer(conv, shape, norm=None):
    weight, bias = conv.weight.detach().numpy(), np.zeros(conv.out_channels)
    if conv.bias is not None:
        bias = conv.bias.detach().numpy()
    if norm is not None:
        scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()
        shift = norm.bias.detach().numpy() - norm.running_mean.numpy() * scale
        weight, bias = weight * scale[:, None, None, None], bias * scale + shift
    matrix, bias, shape = convolution(weight, bias, shape, stride=conv.stride[0], padding=conv.padding[0])
    return ("linear", matrix, bias), shape


def dense_layer(layer):
    return "linear", layer.weight.detach().numpy(), layer.bias.detach().numpy()


def vgg_reference(model):
    layers, shape = [], (2, 8, 8)
    for module in model:
        if isinstance(module, nn.Conv2d):
            layer, shape = conv_layer(module, shape)
            layers.append(layer)
        elif isinstance(module, nn.ReLU):
            layers.append(("relu",))
        elif isinstance(module, nn.MaxPool2d):
            groups, shape = windows(shape, 2)
            layers.append(("max", groups))
        elif isinstance(module, nn.AvgPool2d):
            groups, after = windows(shape, 2)
            matrix = averages(groups, int(np.prod(shape)))
            layers.append(("linear", matrix, np.zeros(len(matrix))))
            shape = after
        elif isinstance(module, nn.Linear):
            layers.append(dense_layer(module))
    return layers


class Residual(nn.Module):
    """Two blocks, one with a convolution in its shortcut; negative scales, in-place sums, a reused ReLU."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.stem, self.norm = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.a1, self.n1 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.a2, self.n2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.b1, self.m1 = nn.Conv2d(4, 6, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(6)
        self.b2, self.m2 = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.short, self.m3 = nn.Conv2d(4, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6)
        self.relu, self.last = nn.ReLU(inplace=True), nn.Linear(6, 3)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.data.normal_()
                module.bias.data.normal_(0, 0.2)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.relu(self.norm(self.stem(x)))
        out = self.n2(self.a2(self.relu(self.n1(self.a1(x)))))
        out += x
        x = self.relu(out)
        out = self.m2(self.b2(functional.relu(self.m1(self.b1(x)))))
        x = functional.relu_(out + self.m3(self.short(x)))
        return self.last(x.mean((2, 3)))


def residual_reference(model):
    m, relu = model, ("relu",)
    stem, shape = conv_layer(m.stem, (2, 8, 8), m.norm)
    a1, shape = conv_layer(m.a1, shape, m.n1)
    a2, shape = conv_layer(m.a2, shape, m.n2)
    short, _ = conv_layer(m.short, shape, m.m3)
    b1, shape = conv_layer(m.b1, shape, m.m1)
    b2, shape = conv_layer(m.b2, shape, m.m2)
    groups, _ = windows(shape, shape[1])
    mean = averages(groups, int(np.prod(shape)))
    blocks = [("residual", [a1, relu, a2], []), relu, ("residual", [b1, relu, b2], [short]), relu]
    return [stem, relu, *blocks, ("linear", mean, np.zeros(len(mean))), dense_layer(m.last)]


NETS = {"vgg": (vgg_like, vgg_reference), "residual": (Residual, residual_reference)}


@pytest.mark.parametrize("signed", [False, True], ids=["pixels in [0, 1]", "signed pixels"])
@pytest.mark.parametrize("contrastive", [False, True])
@pytest.mark.parametrize("net", NETS)
def test_equal_to_the_textbook(net, contrastive, signed):
    build, refer = NETS[net]
    model = build().double().eval()
    x = torch.rand(2, 2, 8, 8, generator=generator(), dtype=torch.float64) - 0.5 * signed
    layers = refer(model)
    found = excitation(model, x, units=[0, 1, 2], contrastive=contrastive)
    for image, values, activations in zip(x.numpy(), found.values, found.activations, strict=True):
        _, logits = forward(layers, image.ravel())
        assert np.abs(logits - activations).max() < 1e-10
        for unit, value in enumerate(values):
            expected = mass_at_input(layers, image.ravel(), np.eye(3)[unit], contrastive=contrastive)
            assert np.abs(value.ravel() - expected).max() < 1e-10
            assert np.abs(expected).max() > 1e-3


def test_single_precision_is_close_to_the_textbook():
    for build, refer in NETS.values():
        model = build().double().eval()
        layers = refer(model)
        x = torch.rand(1, 2, 8, 8, generator=generator()) - 0.3
        found = excitation(model.float(), x, units=[1]).values
        expected = mass_at_input(layers, x.double().numpy().ravel(), np.eye(3)[1])
        assert np.abs(found.ravel() - expected).max() < 1e-6


def test_between_two_layers():
    model, x = vgg_like(), torch.rand(1, 2, 8, 8, generator=generator(), dtype=torch.float64)
    layers = vgg_reference(model)
    inputs, _ = forward(layers, x.numpy().ravel())
    found = excitation(model, x, units=[4, 7], layer="9", to="4")
    assert found.values.shape == (1, 2, 5, 4, 4)
    for unit, value in zip((4, 7), found.values[0], strict=True):
        expected = mass_at_input(layers[5:9], inputs[5], np.eye(10)[unit])
        assert np.abs(value.ravel() - expected).max() < 1e-10
    # The same units, as the input of what follows them, and through an attached head that hands them on.
    same = excitation(model, x, units=[4, 7], layer="10", inputs=True, to="4")
    assert np.array_equal(same.values, found.values)
    head = nn.Linear(10, 2, bias=False).double()
    head.weight.data = torch.eye(10, dtype=torch.float64)[[4, 7]]
    with untouched(head):
        attached = excitation(model, x, units=[0, 1], layer="10", to="4", head=head)
    alive = found.activations[0] > 0
    assert np.allclose(attached.values[0][alive], found.values[0][alive], atol=1e-12)


def test_the_mass_is_conserved_without_biases():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5))
    found = excitation(model, torch.rand(4, 3, 12, 12, generator=generator()), units=range(5))
    assert np.abs(found.mass - 1).max() < 1e-5
    assert found.values.min() >= 0


def test_channels_positions_and_combinations():
    model, x = vgg_like(), torch.rand(2, 2, 8, 8, generator=generator(), dtype=torch.float64)
    active = model[:7](x.clone()).detach()
    channel = excitation(model, x, units=[2], layer="6")
    positions = [(2, i, j) for i in range(4) for j in range(4)]
    parts = excitation(model, x, units=positions, layer="6")
    shares = active[:, 2].flatten(1) / active[:, 2].flatten(1).sum(1, keepdim=True)
    expected = (parts.values * shares.numpy()[:, :, None, None, None]).sum(1)
    assert np.allclose(channel.values[:, 0], expected, atol=1e-12)
    assert np.allclose(channel.activations[:, 0], active[:, 2].mean((1, 2)))
    # A combination is a linear layer on top: the last one of the network.
    last = model[-1].weight.detach()
    for contrastive in (False, True):
        read = excitation(model, x, weights=last, layer="10", contrastive=contrastive)
        units = excitation(model, x, units=range(3), contrastive=contrastive)
        assert np.allclose(read.values, units.values, atol=1e-12)
        assert np.allclose(read.activations + model[-1].bias.detach().numpy(), units.activations)


def test_contrastive_maps_of_opposite_units_are_opposite():
    model, x = vgg_like(), torch.rand(1, 2, 8, 8, generator=generator(), dtype=torch.float64)
    model[-1].weight.data[1] = -model[-1].weight.data[0]
    values = excitation(model, x, units=[0, 1], contrastive=True).values[0]
    assert np.allclose(values[0], -values[1], atol=1e-12)
    assert np.abs(values[0]).max() > 1e-3
    assert abs(values[0].sum()) < 1e-9
    found = excitation(model, x, units=[0], contrastive=True)
    assert 0 < found.mass.item() < 1
    assert found.maps.min() >= 0


def test_dead_units_send_nothing():
    model, x = vgg_like(), torch.rand(2, 2, 8, 8, generator=generator(), dtype=torch.float64)
    model[9].bias.data[3] = -100
    model[5].bias.data[1] = -100
    for contrastive in (False, True):
        for units, layer in (([3], "10"), ([1], "6"), ([(1, 0, 0)], "6")):
            found = excitation(model, x, units=units, layer=layer, contrastive=contrastive)
            assert found.values.max() == found.values.min() == 0
            assert (found.mass == 0).all()
            assert (found.activations == 0).all()
    blank = excitation(model, torch.zeros_like(x), units=[0])
    assert (blank.values == 0).all()


def test_a_normalisation_that_turns_a_channel_is_part_of_the_layer_before():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(2, 4, 3).double(), nn.BatchNorm2d(4).double().eval()
    norm.weight.data = torch.tensor([1.0, -1.0, 2.0, -0.5], dtype=torch.float64)
    folded = nn.Conv2d(2, 4, 3).double()
    scale = norm.weight.data / (1 + norm.eps) ** 0.5
    folded.weight.data, folded.bias.data = (
        conv.weight.data * scale[:, None, None, None],
        conv.bias.data * scale,
    )
    x = torch.rand(1, 2, 6, 6, generator=generator(), dtype=torch.float64)
    end = [nn.ReLU(), nn.Flatten(), nn.Linear(64, 3).double()]
    for pixels in (x, x - 0.5):
        apart = excitation(nn.Sequential(conv, norm, *end), pixels, units=range(3), contrastive=True).values
        whole = excitation(nn.Sequential(folded, *end), pixels, units=range(3), contrastive=True).values
        assert np.allclose(apart, whole, atol=1e-12)


class Plumbing(nn.Module):
    """Concatenation, chunks, a reused rectifier, constants, sums of three, in-place statements, functions."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.up, self.relu = nn.ConvTranspose2d(8, 6, 2, stride=2), nn.ReLU6(inplace=True)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        x = self.relu(self.first(x * 2))
        left, right = x.chunk(2, 1)
        other = self.relu(self.second(left))
        right = right * 1.0
        right.add_(other)
        x = functional.max_pool2d(torch.cat([right, other + left], 1), 2)
        x = functional.leaky_relu(self.up(functional.dropout(x, 0.5, False)), 0.1)
        x.relu_()
        return self.last(functional.adaptive_avg_pool2d(x, 1).flatten(1) / 3)


def test_functions_in_place_statements_branches():
    model, x = Plumbing(), images(2)
    disturb(model)
    before = x.clone()
    with untouched(model):
        found = excitation(model, x, units=range(3))
    assert torch.equal(x, before)
    assert np.isfinite(found.values).all()
    assert found.values.min() >= 0
    assert ((found.mass > 0.3) & (found.mass < 1 + 1e-5)).all()
    # The forward pass under the rules is the ordinary one.
    model.eval()
    assert np.allclose(found.activations, model(x).detach().numpy(), atol=1e-6)
    for odd in (InPlace(), small_cnn()):
        odd.eval()
        expected = odd(x.clone()).detach().numpy()
        assert np.allclose(excitation(odd, x, units=range(3)).activations, expected[:, :3], atol=1e-6)


@pytest.mark.parametrize("build", [Plumbing, Residual, small_cnn])
def test_several_units_of_one_graph_are_each_alone(build):
    model, channels = build().eval(), 2 if build is Residual else 3
    x = torch.rand(2, channels, 8, 8, generator=generator()) if build is Residual else images(2)
    together = excitation(model, x, units=[2, 0, 1, 0], contrastive=True).values
    for k, unit in enumerate([2, 0, 1, 0]):
        alone = excitation(model, x, units=unit, contrastive=True).values[:, 0]
        assert np.abs(together[:, k] - alone).max() < 1e-6


def test_units_of_a_layer_whatever_the_model_returns():
    maps = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    assert excitation(maps, images(2), units=[0], layer="2").values.shape == (2, 1, 3, 10, 10)
    with pytest.raises(InputError, match="return logits"):
        excitation(maps, images(2))


@pytest.mark.parametrize("build", [Plumbing, Residual, small_cnn])
def test_graphs_are_freed_at_once(build, monkeypatch):
    model, x = build().eval(), images(1)[:, : 2 if build is Residual else 3]
    made, original = [], Call.__init__

    def noted(self, *args, **kwargs):
        original(self, *args, **kwargs)
        made.append(weakref.ref(self))

    monkeypatch.setattr(Call, "__init__", noted)
    gc.collect()
    gc.disable()
    try:
        excitation(model, x, units=[0, 1], contrastive=True)
        assert len(made) > 5
        assert [ref().function.__name__ for ref in made if ref() is not None] == []
    finally:
        gc.enable()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("build", [Plumbing, small_cnn])
def test_a_gpu_agrees_with_the_cpu(build):
    model, x = build().eval(), images(2)
    here = excitation(model, x, units=range(3), contrastive=True).values
    there = excitation(model.cuda(), x, units=range(3), contrastive=True).values
    assert np.abs(here - there).max() < 1e-4 * np.abs(here).max()


def test_tokens_are_explained_by_their_embeddings():
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.words, self.last = nn.Embedding(20, 8), nn.Linear(8, 3)

        def forward(self, input_ids, attention_mask):
            x = self.words(input_ids).relu() * attention_mask[:, :, None]
            return self.last(x.sum(1) / attention_mask.sum(1, keepdim=True))

    ids = torch.randint(0, 20, (2, 5), generator=generator())
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    found = excitation(Bag(), {"input_ids": ids, "attention_mask": mask}, units=[0, 1])
    assert found.maps.shape == (2, 2, 5)
    assert (found.maps[0, :, 3:] == 0).all()
    assert np.allclose(found.mass, 1, atol=1e-5)
    found.plot()


def test_one_image_of_a_batch_and_chunks():
    model, x = small_cnn(), images(3)
    whole = excitation(model, x, units=[0, 2], contrastive=True)
    assert (
        np.abs(excitation(model, x, units=[0, 2], contrastive=True, chunk_size=2).values - whole.values).max()
        < 1e-6
    )
    alone = excitation(model, x[1:2], units=[0, 2], contrastive=True).values[0]
    assert np.abs(alone - whole.values[1]).max() < 1e-6
    by_method = attribute(model, x, "excitation_backprop", target=2, contrastive=True)
    assert np.allclose(by_method.values, whole.values[:, 1], atol=1e-7)
    assert np.allclose(by_method.details["mass"], whole.mass[:, 1])


def test_shortcuts_can_be_ignored():
    model = Residual().eval()
    x = torch.rand(1, 2, 8, 8, generator=generator())
    kept, ignored = (excitation(model, x, units=[0], skip=skip).values for skip in ("split", "ignore"))
    assert np.isfinite(ignored).all()
    assert not np.allclose(kept, ignored)
    branch = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU())

    class Block(nn.Module):
        def forward(self, x):
            return x + branch(x)

    branch[0].weight.data = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    found = excitation(Block(), torch.tensor([[1.0, 2.0, 3.0]]), units=[0], skip="ignore")
    assert found.values.tolist() == [[[0.0, 1.0, 0.0]]]


def test_a_rule_of_ones_own(monkeypatch):
    model, x = Curvy(), images(2)
    with (
        untouched(model),
        pytest.raises(InputError, match=r"Tensor.mul in the model \(Curvy\).*EXCITATION_RULES.add"),
    ):
        excitation(model, x)

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(8, 8)

        def forward(self, x):
            return x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]

    torch.manual_seed(0)
    gated = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), Gated(), nn.Flatten(), nn.Linear(512, 3))
    with pytest.raises(InputError, match=r"layer '2' \(Gated\).*Rule\(\(Gated,\), pull\)"):
        excitation(gated, x)
    monkeypatch.setattr(EXCITATION_RULES, "_entries", dict(EXCITATION_RULES._entries))
    EXCITATION_RULES.add("gate", Rule((Gated,), lambda _, mass: (mass,)))
    with untouched(gated):
        found = excitation(gated, x, units=[0])
    assert np.abs(found.mass - 1).max() < 1e-5
    assert np.allclose(found.activations[:, 0], gated(x)[:, 0].detach(), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "1", "units": None}, "units is not compatible with layer '1': it must be given"),
        ({"layer": "nine", "units": [0]}, "has no layer 'nine'"),
        ({"to": "nine"}, "has no layer 'nine'"),
        ({"layer": "1", "to": "4", "units": [0]}, "is the order of the two layers right"),
        ({"units": [5]}, r"a number below 4; got 5"),
        ({"units": [-1]}, "units is not compatible"),
        ({"units": []}, "got none"),
        ({"units": "all"}, "units is not compatible"),
        ({"units": [(0, 1)]}, r"got \(0, 1\)"),
        ({"units": [(0, 99, 0)], "layer": "2"}, "got \\(0, 99, 0\\)"),
        ({"units": [0], "weights": np.ones((1, 4))}, "leave one of them out"),
        ({"weights": np.ones(4)}, "weights is not compatible"),
        ({"weights": np.zeros((2, 4))}, "only zeros in combination 0"),
        ({"weights": np.full((1, 4), np.nan)}, "finite entries"),
        ({"weights": np.ones((1, 3))}, "have the shape"),
        ({"inputs": True}, "come with the name of a layer"),
        ({"skip": "drop"}, "be one of 'split', 'ignore'"),
        ({"head": "encoder", "units": [0]}, "head is not compatible"),
        ({"colour": 1}, "Excitation backprop has no option 'colour'"),
        ({"layer": "2", "to": "2", "units": [0], "contrastive": True}, "no such layer on the way down"),
    ],
)
def test_bad_input(options, words):
    model = disturb(small_cnn())
    with untouched(model), pytest.raises(InputError, match=words):
        excitation(model, images(2), **options)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient * ctx.saved_tensors[0]


ROUTES = [
    lambda x: x.chunk(2, 1)[1],
    lambda x: torch.split(x, [2, 4], 1)[0],
    lambda x: torch.stack([x, x], 1).flatten(1, 2),
    lambda x: x.permute(0, 2, 3, 1).contiguous().movedim(-1, 1),
    lambda x: functional.pad(x, (1, 1, 1, 1)),
    lambda x: functional.pad(x, (1, 1, 1, 1), mode="reflect"),
    lambda x: functional.pad(x, (1, 1, 1, 1), mode="circular"),
    lambda x: functional.pad(x, (1, 1, 1, 1), mode="replicate"),
    lambda x: functional.pixel_shuffle(torch.cat([x, x[:, :2]], 1), 2),
    lambda x: x.max(dim=3).values[..., None],
    lambda x: x.topk(2, 1)[0],
    lambda x: torch.where(x > 0.1, x, torch.zeros_like(x)),
    lambda x: x.masked_fill(x < 0.1, 0.0),
    lambda x: x[:, [0, 2]][..., ::2],
    lambda x: x.roll(1, 2).flip(3).expand(-1, -1, -1, -1),
    lambda x: functional.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    lambda x: functional.adaptive_max_pool2d(x, 2),
    lambda x: x.to(torch.float64).to(torch.float32),
    lambda x: torch.maximum(x, x.roll(1, 1)),
    lambda x: x.unfold(2, 2, 2).flatten(3),
    lambda x: x.mT.mT,
    lambda x: x.mean((2, 3), keepdim=True) + x,
    lambda x: x + 2 * x.amax(1, keepdim=True),
    lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"),
    lambda x: functional.avg_pool2d(x, 2) + x.mean((2, 3), keepdim=True),
]


@pytest.mark.parametrize("route", ROUTES)
def test_mass_finds_its_way(route):
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(3, 6, 1, bias=False), nn.ReLU())

    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = first

        def forward(self, x):
            return route(self.first(x)).sum((2, 3))

    found = excitation(Routed(), images(2))
    alive = found.activations > 0
    assert alive.any()
    assert np.allclose(found.mass[alive], 1, atol=1e-5)
    assert (found.mass[~alive] == 0).all()


def test_code_below_the_rules_is_not_followed_silently():
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))

    class Custom(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.model, self.function = model, function

        def forward(self, x):
            return self.model[1](self.function(self.model[0](x)))

    with pytest.raises(InputError, match=r"Square.*custom or scripted code"):
        excitation(Custom(Square.apply), torch.rand(2, 4))
    upsampled = nn.Sequential(nn.Upsample(scale_factor=2, mode="bicubic"), nn.Flatten(), nn.Linear(1200, 2))
    with pytest.raises(InputError, match="bicubic"):
        excitation(upsampled, images(1))


def test_layers_after_the_softmax_and_attention_are_named():
    after = nn.Sequential(small_cnn(), nn.Softmax(1))
    with pytest.raises(InputError, match=r"softmax in layer '1' \(Softmax\).*before the softmax"):
        excitation(after, images(1))
    assert excitation(after, images(1), layer="0", units=[0]).values.shape == (1, 1, 3, 10, 10)
    ids = torch.randint(0, 20, (2, 5), generator=generator())
    with pytest.raises(InputError, match=r"layer 'attention' \(MultiheadAttention\)"):
        excitation(TextModel(), ids)
    twice = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    again = nn.Sequential(*twice, *twice)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = twice

        def forward(self, x):
            return self.block(self.block(x))

    with pytest.raises(InputError, match="runs more than once in a forward pass"):
        excitation(Twice(), torch.rand(1, 4), units=[0], layer="block.0")
    assert np.allclose(
        excitation(Twice(), torch.ones(1, 4), units=[0]).values,
        excitation(again, torch.ones(1, 4), units=[0]).values,
    )


def test_the_result(tmp_path):
    found = excitation(small_cnn(), images(2), units=[0, 1], layer="5", to="1")
    loaded = Excitation.load(found.save(tmp_path / "e.sdw"))
    assert np.array_equal(loaded.values, found.values)
    assert loaded.units == ("0", "1")
    frame = found.to_frame()
    assert len(frame) == 4
    assert np.allclose(frame.mass, found.mass.ravel())
    assert len(found.plot(example=1).data) == 4
    with pytest.raises(InputError, match="example"):
        found.plot(example=2)
    vectors = excitation(nn.Linear(4, 3), torch.rand(2, 4), units=[0, 1])
    assert vectors.maps.shape == (2, 2, 4)
    vectors.plot()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    scale=st.floats(1e-6, 1e6),
    signed=st.booleans(),
    contrastive=st.booleans(),
    sparse=st.booleans(),
)
def test_never_nan_and_never_more_than_was_sent(seed, scale, signed, contrastive, sparse):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=seed % 2 == 0), nn.BatchNorm2d(3), nn.SiLU() if seed % 3 else nn.ReLU()
    )
    model.extend([nn.Conv2d(3, 4, 1), nn.ELU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)]).eval()
    model[1].weight.data.normal_()
    model[0].weight.data.mul_(scale)
    x = torch.rand(2, 2, 6, 6) - 0.5 * signed
    if sparse:
        x = x * (torch.rand_like(x) < 0.1)
    rounded = excitation(model, x, units=[0, 2], contrastive=contrastive)
    exact = excitation(model.double(), x.double(), units=[0, 2], contrastive=contrastive)
    for found, slack in ((rounded, 2e-3), (exact, 1e-9)):  # a sum of parts that nearly cancel is rounded
        assert np.isfinite(found.values).all()
        assert found.mass.max() <= 1 + slack
        assert np.abs(found.values).sum(axis=(2, 3, 4)).max() <= (2 if contrastive else 1) + slack
        if not contrastive:
            assert found.values.min() >= 0
