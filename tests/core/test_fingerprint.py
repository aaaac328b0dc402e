"""fingerprint: equal for what computes the same, different for whatever could matter."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sparse_debug_widgets.core import fingerprint
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.fingerprint import array_fingerprint, data_fingerprint, model_fingerprint
from tests.contracts.untouched import disturb, untouched


def net(activation=nn.ReLU):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), activation(), nn.Linear(4, 2))


def test_equal_models_have_equal_fingerprints():
    model = net()
    same = disturb(copy.deepcopy(model))  # other flags, gradients, hooks
    with untouched(same):
        assert model_fingerprint(model) == model_fingerprint(same)
    assert model_fingerprint(torch.compile(model, backend="eager")) == model_fingerprint(model)


def changes():
    def one_bit(model):
        with torch.no_grad():
            model[0].weight.view(torch.int32)[0, 0] ^= 1

    def buffer(model):
        model[1].running_mean[0] = 1e-30

    def hidden_buffer(model):
        model.register_buffer("hidden", torch.zeros(1), persistent=False)

    def dtype(model):
        model.half()

    def epsilon(model):
        model[1].eps = 1e-3

    def swap(model):
        model[0], model[3] = nn.Linear(4, 4), model[3]

    return [one_bit, buffer, hidden_buffer, dtype, epsilon, swap]


@pytest.mark.parametrize("change", changes(), ids=lambda change: change.__name__)
def test_any_change_is_seen(change):
    model = net()
    before = model_fingerprint(model)
    change(model)
    assert model_fingerprint(model) != before


def test_another_activation_is_another_model():
    assert model_fingerprint(net()) != model_fingerprint(net(nn.GELU))


def test_addresses_do_not_count():
    class Odd(nn.Module):
        def __repr__(self):
            return f"<Odd at {id(self):#x}>"

    assert model_fingerprint(Odd()) == model_fingerprint(Odd())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.int8])
def test_every_dtype_and_layout(dtype):
    model = nn.Module()
    model.register_buffer("b", torch.ones(2, 3).to(dtype).t())
    model.register_buffer("s", torch.tensor(1).to(dtype))
    model.register_buffer("e", torch.empty(0, 3, dtype=dtype))
    model.register_buffer("sparse", torch.eye(3).to_sparse())
    assert len(model_fingerprint(model)) == 64


@pytest.mark.parametrize("make", [lambda: nn.LazyLinear(3), lambda: nn.Linear(3, 3, device="meta")])
def test_models_without_data_are_refused(make):
    with pytest.raises(InputError, match=r"parameter '\w+' holds no data yet"):
        model_fingerprint(make())


def test_array_fingerprint(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.random((70_000, 50))  # two chunks
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert array_fingerprint(array) == array_fingerprint(mapped) == array_fingerprint(array[:, ::-1][:, ::-1])
    changed = array.copy()
    changed[-1, -1] += 1e-9
    different = [array, changed, array.astype(np.float32), array.T, array[:-1], array.reshape(-1)]
    assert len({array_fingerprint(a) for a in different}) == len(different)
    assert array_fingerprint(np.array(1.0)) != array_fingerprint(np.array(2.0))
    assert array_fingerprint(np.empty((0, 3))) != array_fingerprint(np.empty((0, 4)))
    assert array_fingerprint(array[:1], array[1:2]) != array_fingerprint(array[:2])


def test_data_fingerprint_does_not_depend_on_how_the_data_are_read():
    x, y = torch.rand(11, 3), torch.arange(11)
    whole = data_fingerprint((x, y))
    for data in (TensorDataset(x, y), DataLoader(TensorDataset(x, y), batch_size=3, shuffle=True)):
        assert data_fingerprint(data, batch_size=4) == whole
    different = [x, (x, y + 1), (x[:10], y[:10]), (x.double(), y), (x.flip(0), y), (x.reshape(11, 3, 1), y)]
    assert len({whole, *(data_fingerprint(data) for data in different)}) == 7


def test_batches_of_other_lengths_are_other_data():
    long, short = fingerprint.DataHasher(), fingerprint.DataHasher()
    long.update(torch.zeros(2, 3), None)
    short.update(torch.zeros(3, 2), None)
    assert long.hexdigest() != short.hexdigest()


def test_mappings_are_hashed_by_name():
    digests = set()
    for names in (("a", "b"), ("b", "a")):
        hasher = fingerprint.DataHasher()
        hasher.update(dict(zip(names, (torch.zeros(2), torch.ones(2)), strict=True)), None)
        digests.add(hasher.hexdigest())
    assert len(digests) == 2
