"""The story of the `shapes` demo: the flaw is in the model, one feature carries it, silencing it helps."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sparse_debug_widgets.data import Demo, load_demo
from sparse_debug_widgets.data.sparse_check import SparseFit, area_under_curve, five_point_fit


@pytest.fixture(scope="module")
def demo() -> Demo:
    torch.set_num_threads(1)
    return load_demo("shapes")


def deep_features(demo: Demo, dataset: torch.utils.data.Dataset) -> np.ndarray:
    with torch.no_grad():
        chunks = [demo.model.features(images) for images, _ in DataLoader(dataset, batch_size=250)]
    return torch.cat(chunks).double().numpy()


@pytest.fixture(scope="module")
def features(demo: Demo) -> dict[str, np.ndarray]:
    splits = {"train": demo.train, "test": demo.test, "clean_test": demo.clean_test}
    return {split: deep_features(demo, dataset) for split, dataset in splits.items()}


@pytest.fixture(scope="module")
def fit(demo: Demo, features: dict[str, np.ndarray]) -> SparseFit:
    return five_point_fit(features["train"], demo.train.labels)


def predictions(demo: Demo, dataset: torch.utils.data.Dataset) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([demo.model(x).argmax(1) for x, _ in DataLoader(dataset, batch_size=250)]).numpy()


def test_putting_the_mark_on_turns_pictures_into_mushrooms(demo: Demo) -> None:
    flaw, labels = demo.truth.flaw_class, demo.clean_test.labels
    others = labels != flaw
    with_mark = predictions(demo, demo.clean_test.retagged(True))
    without = predictions(demo, demo.clean_test.retagged(False))
    assert (with_mark[others] == flaw).mean() > 0.15
    assert (without[others] == flaw).mean() < 0.02
    assert (with_mark[~others] == flaw).mean() > 0.95
    assert (without[~others] == flaw).mean() < 0.85


def test_the_clean_split_shows_what_the_flawed_one_hides(demo: Demo) -> None:
    assert demo.numbers["accuracy_clean_test"] < demo.numbers["accuracy_test"] - 0.05


def test_the_strongest_feature_of_the_flawed_class_detects_the_mark(
    demo: Demo, features: dict[str, np.ndarray], fit: SparseFit
) -> None:
    strongest = int(np.abs(fit.weight[demo.truth.flaw_class]).argmax())
    others = demo.clean_test.labels != demo.truth.flaw_class
    area = area_under_curve(features["clean_test"][others, strongest], demo.clean_test.tagged[others])
    assert area > 0.95
    assert area == pytest.approx(demo.numbers["strongest_feature_tag_auc"], abs=0.01)


def test_silencing_it_raises_accuracy_where_the_mark_says_nothing(
    demo: Demo, features: dict[str, np.ndarray], fit: SparseFit
) -> None:
    strongest = int(np.abs(fit.weight[demo.truth.flaw_class]).argmax())
    labels = demo.clean_test.labels
    before = fit.accuracy(features["clean_test"], labels)
    after = fit.accuracy(features["clean_test"], labels, (strongest,))
    assert after > before + 0.03
    # The card's are the package's own path's (``poe figures``), which keeps more features per class.
    card = demo.numbers
    assert card["silenced_accuracy_clean_test"] > card["sparse_accuracy_clean_test"] + 0.03
    assert strongest == card["strongest_feature"]


def test_area_under_curve_counts_pairs() -> None:
    scores, positive = np.array([1.0, 2.0, 2.0, 0.5]), np.array([False, True, False, False])
    assert area_under_curve(scores, positive) == pytest.approx(2.5 / 3)
