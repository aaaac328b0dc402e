"""The robust sibling of `shapes`: the same pictures, a network that withstands more."""

import pytest
import torch

from sparse_debug_widgets.cli.train_robust_demos import JOBS
from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.data.shapes import ShapesDataset
from sparse_debug_widgets.perturbation import PGDAttack, robust_accuracy

N = 160


@pytest.fixture(scope="module")
def held_out() -> tuple[torch.Tensor, torch.Tensor]:
    torch.set_num_threads(1)
    data = ShapesDataset("test", n=1000)
    rows = range(0, 1000, 1000 // N)
    return torch.stack([data[i][0] for i in rows]), torch.from_numpy(data.labels[list(rows)])


def test_it_has_the_data_and_the_truth_of_its_sibling() -> None:
    robust, standard = load_demo("shapes-robust"), load_demo("shapes")
    assert robust.class_names == standard.class_names
    assert robust.truth.flaw == standard.truth.flaw
    assert torch.equal(robust.test[7][0], standard.test[7][0])
    assert not torch.equal(robust.model.fc.weight, standard.model.fc.weight)


def test_the_card_holds_on_held_out_pictures(held_out) -> None:
    demo = load_demo("shapes-robust")
    for eps, key in ((0.0, "accuracy_test"), (0.5, "robust_accuracy_l2_0.5")):
        # Two standard errors of that many pictures.
        found = robust_accuracy(demo.model, held_out, eps=eps, attack=PGDAttack(steps=10))
        assert abs(found - demo.numbers[key]) < 0.08
        assert f"{demo.numbers[key]:.3f}" in demo.card
    assert demo.numbers["robust_accuracy_l2_1"] < demo.numbers["robust_accuracy_l2_0.5"]
    assert f"{demo.numbers['accuracy_clean_test']:.3f}" in demo.card


def test_it_withstands_what_breaks_the_standard_network(held_out) -> None:
    attack = PGDAttack(steps=10)
    robust, standard = (
        robust_accuracy(load_demo(name).model, held_out, eps=0.5, attack=attack)
        for name in ("shapes-robust", "shapes")
    )
    assert robust > standard + 0.3


def test_none_of_the_pictures_it_is_trained_on_is_in_the_demo() -> None:
    assert JOBS["shapes-robust"].start == "shapes"
    painted = ShapesDataset("train", n=400, seed=1)
    seen = {painted[i][0].numpy().tobytes() for i in range(400)}
    for split in ("train", "test"):
        shown = ShapesDataset(split)
        assert not any(shown[i][0].numpy().tobytes() in seen for i in range(400))
