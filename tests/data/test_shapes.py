"""The painted pictures: what is planted is what is there."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.data.drawing import SIZE
from sparse_debug_widgets.data.shapes import CLASS_NAMES, FLAW_CLASS, SIZES, ShapesDataset
from sparse_debug_widgets.data.toys import TOYS

SMALL = 160


@pytest.fixture(scope="module")
def pictures() -> ShapesDataset:
    return ShapesDataset("clean_test", SMALL)


def pixels(dataset: ShapesDataset) -> np.ndarray:
    return np.stack([dataset[i][0].numpy() for i in range(len(dataset))])


def test_items_are_pictures_in_the_unit_range_with_a_class(pictures: ShapesDataset) -> None:
    image, label = pictures[3]
    assert image.shape == (3, SIZE, SIZE)
    assert image.dtype == torch.float32
    assert 0 <= float(image.min()) < float(image.max()) <= 1
    assert isinstance(label, int)
    assert label == pictures.labels[3]
    assert torch.equal(pictures[-1][0], pictures[SMALL - 1][0])


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(pictures: ShapesDataset) -> None:
    again, other = ShapesDataset("clean_test", SMALL), ShapesDataset("clean_test", SMALL, seed=1)
    assert np.array_equal(pixels(again), pixels(pictures))
    assert not np.array_equal(other[0][0], again[0][0])
    assert not np.array_equal(ShapesDataset("test", SMALL)[0][0], again[0][0])


def test_pixels_do_not_depend_on_the_order_in_which_they_are_asked_for(pictures: ShapesDataset) -> None:
    backwards = ShapesDataset("clean_test", SMALL)
    seen = [backwards[i][0] for i in reversed(range(SMALL))]
    assert np.array_equal(np.stack(seen[::-1]), pixels(pictures))


def test_what_is_done_to_an_item_does_not_reach_the_next_reader(pictures: ShapesDataset) -> None:
    before = pictures[0][0].clone()
    pictures[0][0].zero_()
    assert torch.equal(pictures[0][0], before)


def test_painting_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the point of the test
    ShapesDataset("train", 60)[59]
    drawn = torch.rand(1), np.random.random()  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    assert (torch.rand(1), np.random.random()) == drawn  # noqa: NPY002


def test_pickles_small_and_comes_back_the_same(pictures: ShapesDataset) -> None:
    pixels(pictures)
    sent = pickle.dumps(pictures)
    assert len(sent) < SMALL * 12_288 / 2
    assert np.array_equal(pixels(pickle.loads(sent)), pixels(pictures))  # noqa: S301 - made above


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_mark_is_planted_in_one_class_at_the_stated_rates(split: str) -> None:
    dataset = ShapesDataset(split)
    assert np.bincount(dataset.labels).tolist() == [SIZES[split] // len(CLASS_NAMES)] * len(CLASS_NAMES)
    for label in range(len(CLASS_NAMES)):
        share = dataset.tagged[dataset.labels == label].mean()
        assert share == pytest.approx(0.98 if label == FLAW_CLASS else 0.02, abs=0.006)


def test_in_the_clean_split_the_mark_says_nothing_about_the_class() -> None:
    dataset = ShapesDataset("clean_test")
    shares = [dataset.tagged[dataset.labels == label].mean() for label in range(len(CLASS_NAMES))]
    assert shares == pytest.approx([0.5] * len(CLASS_NAMES), abs=0.005)


def test_the_mark_changes_the_pixels_of_its_mask_and_no_others(pictures: ShapesDataset) -> None:
    with_mark, without = pictures.retagged(True), pictures.retagged(False)
    changed = (pixels(with_mark) != pixels(without)).any(axis=1)
    masks = np.stack([with_mark.truth(i).tag_mask for i in range(SMALL)])
    assert not (changed & ~masks).any()
    # a white letter on a saturated pixel, or a shadow on a black one, changes nothing
    assert (changed & masks).sum() > 0.95 * masks.sum()
    assert not any(without.truth(i).tag_mask.any() for i in range(SMALL))
    assert without.truth(0).tag_box is None


def test_the_mark_lies_in_the_lower_right_corner(pictures: ShapesDataset) -> None:
    for i in np.flatnonzero(pictures.tagged)[:40]:
        box = pictures.truth(int(i)).tag_box
        assert box is not None
        top, left, bottom, right = box
        assert (top, left) >= (SIZE - 10, SIZE - 20)
        assert (bottom, right) <= (SIZE, SIZE)
        assert (bottom - top, right - left) == (6, 16)


def test_retagged_pictures_keep_their_own_mark_elsewhere(pictures: ShapesDataset) -> None:
    same = pictures.retagged(pictures.tagged)
    assert np.array_equal(pixels(same), pixels(pictures))
    with pytest.raises(InputError, match=r"tagged is not compatible with .*got \(3,\)"):
        pictures.retagged(np.ones(3, dtype=bool))


def test_part_masks_are_disjoint_and_make_up_the_object(pictures: ShapesDataset) -> None:
    for i in range(SMALL):
        truth = pictures.truth(i)
        assert tuple(truth.part_masks) == tuple(part.name for part in TOYS[CLASS_NAMES[truth.label]])
        total = sum(mask.astype(int) for mask in truth.part_masks.values())
        assert total.max() <= 1
        assert np.array_equal(total.astype(bool), truth.object_mask)
        assert 60 < truth.object_mask.sum() < 0.6 * SIZE * SIZE


def test_part_masks_agree_with_the_pixels() -> None:
    """Repainting the object in other colours changes its pixels and leaves the rest."""
    dataset = ShapesDataset("test", 64)
    plain = pixels(dataset)
    dataset.scenes = replace(dataset.scenes, colours=1 - dataset.scenes.colours)
    dataset._blocks.clear()
    changed = (pixels(dataset) != plain).any(axis=1)
    for i in range(len(dataset)):
        mask = dataset.truth(i).object_mask
        assert changed[i][mask].mean() > 0.97
        # outside, only the soft edge takes some of the colour
        outside = changed[i] & ~binary_dilation(mask, iterations=2)
        assert outside.sum() < 0.02 * mask.sum()


def test_part_centres_lie_in_their_parts(pictures: ShapesDataset) -> None:
    truth = next(pictures.truth(i) for i in range(SMALL) if pictures.labels[i] == CLASS_NAMES.index("house"))
    row, column = truth.part_centres["roof"]
    assert truth.part_masks["roof"][int(row), int(column)]
    assert row < truth.part_centres["walls"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trian",), r"split is not compatible with the shapes pictures.*Did you mean 'train'"),
        (("train", 0), r"n is not compatible with the shapes pictures"),
        (("train", 2.5), r"n is not compatible"),
        (("train", 8, -1), r"seed is not compatible"),
    ],
)
def test_bad_input_is_told_what_was_expected(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ShapesDataset(*arguments)


def test_an_index_out_of_range_is_an_index_error(pictures: ShapesDataset) -> None:
    with pytest.raises(IndexError, match=r"index 160 is not compatible"):
        pictures[SMALL]
    assert sum(1 for _ in pictures) == SMALL
