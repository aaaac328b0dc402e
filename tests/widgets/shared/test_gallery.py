"""Examples behind a panel: every form of data, bounded reading, errors first, compact thumbnails."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.widgets.shared.gallery import Examples, as_picture


class Brightest(nn.Module):
    """Class = the brightest of the pixels; draws dropout while it trains."""

    def __init__(self, n=4):
        super().__init__()
        self.n = n
        self.drop = nn.Dropout(0.9)

    def forward(self, x):
        return self.drop(x.flatten(1)[:, : self.n] * 10)


def pictures(n=10, shape=(1, 4, 4)):
    x = torch.zeros(n, *shape)
    x.flatten(1)[torch.arange(n), torch.arange(n) % 4] = torch.linspace(0.2, 1, n)
    labels = torch.arange(n) % 4
    labels[[2, 7]] = 0
    return x, labels


@pytest.mark.parametrize("form", ["pair", "dataset", "loader", "list", "arrays"])
def test_misclassified_come_first_whatever_the_form_of_the_data(form):
    x, y = pictures()
    data = {
        "pair": (x, y),
        "dataset": TensorDataset(x, y),
        "loader": DataLoader(TensorDataset(x, y), batch_size=3, shuffle=True),
        "list": [(picture, int(label)) for picture, label in zip(x, y, strict=True)],
        "arrays": (x.numpy(), y.numpy()),
    }[form]
    model = Brightest().train()
    examples = Examples(data, batch_size=4)
    state = torch.get_rng_state()
    assert examples.look(model, seconds=60) == 10
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert list(examples.errors()) == [7, 2]  # the surer mistake first
    assert list(examples.order("all")) == [7, 2, 0, 1, 3, 4, 5, 6, 8, 9]
    value, arrays = examples.page("all", 0, 3)
    assert [row["row"] for row in value["rows"]] == [7, 2, 0]
    assert [row["wrong"] for row in value["rows"]] == [True, True, False]
    assert value["counts"] == {"errors": 2, "all": 10}
    assert arrays["thumbs"].shape == (3, 4, 4, 1)
    assert arrays["thumbs"].dtype == np.uint8
    torch.testing.assert_close(examples.input(7), x[7:8])


def test_reading_stops_at_the_limit_and_after_the_time():
    x, y = pictures(40)
    examples = Examples((x, y), limit=12, batch_size=5)
    assert len(examples) == 5
    assert examples.look(Brightest(), seconds=0) == 4  # a first small batch
    assert examples.look(Brightest(), seconds=60) == 12
    assert examples.complete
    assert examples.total == 40
    with pytest.raises(InputError, match="at most 11"):
        examples.input(12)


def test_single_pictures_and_batches_without_labels():
    assert Examples(torch.rand(3, 8, 8)).shape == (3, 8, 8)
    assert Examples(np.random.default_rng(0).random((5, 2, 8, 8))).shape == (2, 8, 8)
    assert Examples([torch.rand(1, 6, 6), torch.rand(1, 6, 6)]).shape == (1, 6, 6)
    alone = Examples(torch.rand(3, 8, 8))
    alone.look(Brightest())
    assert alone.caption(0)["label"] == -1
    assert not len(alone.errors())
    value, _ = alone.page("errors")
    assert value["rows"] == []
    assert not value["labelled"]


def test_no_data_is_an_empty_gallery():
    empty = Examples(None)
    assert empty.page()[0]["rows"] == []
    with pytest.raises(InputError, match="There are no examples yet"):
        empty.input(0)


SHAPES = {
    (1, 5, 7): (1, 5, 7),
    (3, 5, 7): (3, 5, 7),
    (6, 5, 7): (1, 5, 7),
    (9,): (1, 1, 9),
    (2, 9): (1, 2, 9),
    (2, 3, 4, 4): (1, 4, 4),
}


@pytest.mark.parametrize(("shape", "drawn"), SHAPES.items())
def test_any_number_of_channels_can_be_drawn(shape, drawn):
    assert as_picture(torch.rand(shape)).shape == drawn


def test_large_pictures_become_small_thumbnails_in_the_range_of_the_box():
    x = torch.full((2, 3, 200, 100), 4.0)
    x[:, :, :, 50:] = -4.0
    thumbs = Examples(x, box=(-4.0, 4.0)).thumbnails([0], 56)
    assert thumbs.shape == (1, 56, 28, 3)
    assert set(np.unique(thumbs)) == {0, 255}


def test_labels_are_bounded_text():
    x, y = pictures()
    examples = Examples((x, y), class_names=["<b>" * 1000, "b", "c", "d"])
    assert len(examples.caption(0)["labelName"]) < 300


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [
        (5, (), "a label is 5: labels must be from 0 to 3"),
        (3, ("a", "b"), "has 4 classes, and class_names has 2 names"),
    ],
)
def test_labels_and_names_that_are_not_the_models_are_refused(labels, names, words):
    x, _ = pictures()
    examples = Examples((x[:3], torch.full((3,), labels)), class_names=names)
    with pytest.raises(InputError, match=words):
        examples.look(Brightest())


def test_one_output_has_two_classes():
    x, _ = pictures()
    examples = Examples((x[:4], torch.tensor([0, 1, 1, 0])), class_names=("no", "yes"))
    assert examples.look(Brightest(1)) == 4
