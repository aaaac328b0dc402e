"""Small models of every awkward kind."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


def small_cnn(classes=4, channels=3, *, gain=20.0, seed=0):
    """Piecewise linear, with batch norm statistics that are not trivial, and confident enough to curve."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Linear(8 * 3 * 3, classes),
    )
    model[1].running_mean.uniform_(-0.3, 0.3)
    model[1].running_var.uniform_(0.5, 2)
    model[-1].weight.data *= gain
    return model.eval()


def images(n=2, channels=3, seed=1, dtype=torch.float32):
    return torch.rand(n, channels, 10, 10, generator=torch.Generator().manual_seed(seed)).to(dtype)


class InPlace(nn.Module):
    """In-place operations, also on the input; a ReLU module that is used three times; functional ReLU."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        x -= 0.5
        x = self.relu(self.first(x))
        x = functional.relu(self.second(x), inplace=True)
        x = self.relu(x + 0.1)
        return self.last(x.mean((2, 3)))


class Curvy(nn.Module):
    """Squeeze and excitation with GELU: neither the gate's product nor the functions are linear."""

    def __init__(self, classes=4):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.gate, self.last = nn.Conv2d(3, 5, 3), nn.Linear(5, 5), nn.Linear(5, classes)
        self.last.weight.data *= 20

    def forward(self, x):
        x = functional.gelu(self.conv(x))
        gate = torch.sigmoid(self.gate(x.mean((2, 3))))
        return self.last((x * gate[:, :, None, None]).mean((2, 3)))


class TextModel(nn.Module):
    """Token numbers in, an object with ``logits`` out; attention with a mask, as Hugging Face has it."""

    class Output:
        def __init__(self, logits):
            self.loss, self.logits = None, logits

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.positions = nn.Embedding(20, 8), nn.Embedding(12, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask=None):
        x = self.words(input_ids) + self.positions(torch.arange(input_ids.shape[1]))
        padding = None if attention_mask is None else attention_mask == 0
        x = self.attention(x, x, x, key_padding_mask=padding, need_weights=False)[0] + x
        return self.Output(self.last(x.tanh().mean(1)))


class Wrapped(nn.Module):
    """A model with something done to its output."""

    def __init__(self, model, after):
        super().__init__()
        self.model, self.after = model, after

    def forward(self, x):
        return self.after(self.model(x))


class Checkpointed(nn.Module):
    """Keeps no activations of its block: the backward pass runs it again, outside of where it ran first."""

    def __init__(self, model, *, memory_saving=True):
        super().__init__()
        self.body, self.head, self.memory_saving = model[:-2], model[-2:], memory_saving

    def forward(self, x):
        if self.memory_saving:
            return self.head(checkpoint(self.body, x, use_reentrant=False))
        return self.head(self.body(x))
