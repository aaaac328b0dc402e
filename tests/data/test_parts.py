"""The bugs: a class is a combination of parts, and the truth says where each part is."""

import pickle

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.data.models import PartsNet
from sparse_debug_widgets.data.parts import (
    CLASS_NAMES,
    COMBINATIONS,
    P_MISSING,
    PART_NAMES,
    SLOTS,
    VARIANTS,
    PartsDataset,
)
from sparse_debug_widgets.data.train_demos import main


@pytest.fixture(scope="module")
def bugs() -> PartsDataset:
    return PartsDataset("test", 120)


def test_no_part_tells_a_class_and_every_variant_is_in_several() -> None:
    shared = (COMBINATIONS[:, None] == COMBINATIONS[None]).sum(2)
    nine = shared[:9, :9][~np.eye(9, dtype=bool)]
    assert (nine == 1).all()
    twin = np.flatnonzero(shared[9, :9] == 3)
    assert len(twin) == 1
    assert COMBINATIONS[twin[0], SLOTS.index("wing")] != COMBINATIONS[9, SLOTS.index("wing")]
    for column in range(len(SLOTS)):
        assert (np.bincount(COMBINATIONS[:, column]) >= 3).all()
    assert len(set(CLASS_NAMES)) == len(COMBINATIONS) == 10


def test_pictures_are_the_same_whatever_the_order_and_after_pickling(bugs: PartsDataset) -> None:
    image, label = bugs[7]
    assert image.shape == (3, 64, 64)
    assert image.dtype == torch.float32
    assert 0 <= float(image.min()) < float(image.max()) <= 1
    assert label == bugs.labels[7]
    again = pickle.loads(pickle.dumps(PartsDataset("test", 120)))  # noqa: S301 - our own bytes
    assert torch.equal(again[119][0], bugs[119][0])
    assert torch.equal(again[7][0], image)
    assert not torch.equal(PartsDataset("test", 120, seed=1)[7][0], image)
    assert not torch.equal(PartsDataset("train", 120)[7][0], image)


def test_a_part_is_where_its_mask_says(bugs: PartsDataset) -> None:
    # Painted once more without one part, a picture differs inside that part's mask and nearly nowhere else.
    for i in range(12):
        for column, slot in enumerate(SLOTS):
            if bugs.variants[i, column] < 0:
                continue
            without = PartsDataset("test", 120)
            without.variants[i, column] = -1
            changed = (without[i][0] != bugs[i][0]).any(0).numpy()
            mask = bugs.truth(i).part_masks[slot]
            assert (changed[mask]).mean() > 0.95
            # Soft edges reach a little beyond, and thin tips are too faint for a mask.
            beyond = changed & ~binary_dilation(mask, iterations=2)
            assert beyond.sum() <= 0.35 * mask.sum()


def test_three_in_ten_lack_one_part_and_say_so() -> None:
    many = PartsDataset("train", 2000)
    lacking = (many.variants < 0).sum(1)
    assert lacking.max() == 1
    assert abs(lacking.mean() - P_MISSING) < 0.04
    i = int(np.flatnonzero(lacking)[0])
    missing = SLOTS[int(np.flatnonzero(many.variants[i] < 0)[0])]
    assert missing not in many.truth(i).part_masks
    assert {part.name for part in many.parts(i)} == set(PART_NAMES) - {missing}
    present = many.variants >= 0
    assert (many.variants[present] == COMBINATIONS[many.labels][present]).all()


def test_masks_are_disjoint_and_points_lie_in_the_picture() -> None:
    demo = load_demo("parts")
    rows = np.arange(40)
    masks, points = demo.truth.masks(rows), demo.truth.points(rows)
    assert masks.shape == (40, len(PART_NAMES), 64, 64)
    assert masks.sum(1).max() == 1
    np.testing.assert_array_equal(masks.any((2, 3)), np.isfinite(points).all(2))
    inside = points[np.isfinite(points)]
    assert (inside >= 0).all()
    assert (inside <= 64).all()
    example = demo.truth.example(3)
    assert example.label == demo.test.labels[3]
    assert not example.tagged
    np.testing.assert_array_equal(example.object_mask, masks[3].any(0))


def test_the_model_knows_the_bugs_as_its_card_says() -> None:
    demo = load_demo("parts")
    rows = range(200)
    with torch.no_grad():
        answers = demo.model(torch.stack([demo.test[i][0] for i in rows])).argmax(1).numpy()
    accuracy = (answers == demo.test.labels[:200]).mean()
    assert abs(accuracy - demo.numbers["accuracy_test"]) < 0.08
    assert demo.numbers["accuracy_test_whole"] > demo.numbers["accuracy_test_lacking"]
    assert "painted by" in demo.card
    features = demo.model.features(torch.stack([demo.test[i][0] for i in range(8)]))
    assert (features >= 0).all()


def test_the_script_trains_and_writes_both_files(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        "sparse_debug_widgets.data.train_parts.PartsDataset", lambda split: PartsDataset(split, 60)
    )
    assert main(["parts", "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "parts.safetensors").is_file()
    assert "1 epochs" in (tmp_path / "parts.md").read_text(encoding="utf-8")


def test_every_variant_is_another_shape() -> None:
    shapes = {part.figures for variants in VARIANTS.values() for part in variants}
    assert len(shapes) == 12
    assert all(part.name == slot for slot, variants in VARIANTS.items() for part in variants)


def test_bad_arguments_and_rows(bugs: PartsDataset) -> None:
    with pytest.raises(InputError, match="Did you mean 'test'"):
        PartsDataset("tset")
    with pytest.raises(InputError, match="at least 1"):
        PartsDataset("test", 0)
    with pytest.raises(IndexError, match="must be below 120"):
        bugs[120]
    with pytest.raises(InputError, match="split"):
        load_demo("parts").truth.example(0, "clean_test")
    assert PartsNet(3).fc.out_features == 3
