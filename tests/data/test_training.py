"""The script that makes the shipped weights."""

from pathlib import Path

import pytest
import torch

from sparse_debug_widgets.data.models import DigitsNet
from sparse_debug_widgets.data.shapes import ShapesDataset
from sparse_debug_widgets.data.train_demos import main, stacked
from sparse_debug_widgets.data.training import mean_squared_correlation, train_shapes_net
from sparse_debug_widgets.data.weights_io import load_weights, save_weights


def test_training_is_deterministic_and_leaves_the_global_generator_alone() -> None:
    torch.set_num_threads(1)
    dataset = ShapesDataset("train", 64)
    images, labels = stacked(dataset, dataset.labels)
    state = torch.get_rng_state()
    lines: list[str] = []
    first, second = (
        train_shapes_net(images, labels, seed=0, epochs=2, log=lines.append).state_dict() for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert len(lines) == 4
    assert "loss" in lines[0]


def test_the_script_writes_weights_and_a_card_that_agree(tmp_path: Path) -> None:
    assert main(["digits", "--out", str(tmp_path), "--epochs", "1"]) == 0
    numbers, card = load_weights(DigitsNet(), "digits", tmp_path)
    assert f"| the model | {numbers['accuracy_train']:.3f} | {numbers['accuracy_test']:.3f} |" in card
    assert numbers["epochs"] == 1
    assert "nan" not in card


def test_an_unknown_name_is_refused_before_anything_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["digit"])
    assert "digits" in capsys.readouterr().err


def test_weights_survive_the_round_trip_as_float32(tmp_path: Path) -> None:
    model = DigitsNet()
    save_weights(model, tmp_path / "m.safetensors", {"a": 0.5})
    (tmp_path / "m.md").write_text("card", encoding="utf-8")
    other = DigitsNet()
    assert load_weights(other, "m", tmp_path) == ({"a": 0.5}, "card")
    for name, tensor in model.state_dict().items():
        read = other.state_dict()[name]
        assert read.dtype == tensor.dtype
        assert torch.allclose(read, tensor, rtol=1e-3, atol=1e-4)


def test_mean_squared_correlation_is_zero_for_orthogonal_and_one_for_equal_features() -> None:
    a, b = torch.tensor([1.0, 1, -1, -1]), torch.tensor([1.0, -1, 1, -1])
    assert float(mean_squared_correlation(torch.stack([a, b], 1))) == pytest.approx(0, abs=1e-6)
    assert float(mean_squared_correlation(torch.stack([a, 2 * a], 1))) == pytest.approx(0.5625, abs=1e-3)
