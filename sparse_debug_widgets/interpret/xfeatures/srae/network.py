"""The explanation network: from a layer's activations to n x-features, back again, and on to one score."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

_TINY = 1e-12
_LEAK = 0.1


class ExplanationNetwork(nn.Module):
    """Encoder, decoder and linear read-out of a sparse reconstruction autoencoder (thesis, Fig. 3.2).

    Every layer is linear, or a 1 x 1 convolution where the activations are maps, and is followed by a ReLU;
    so the x-features are never negative. Activations enter divided by ``scale`` (no centring: what is 0
    stays 0, which excitation backprop relies on), and the score leaves in logits.

    Args:
        widths: (p, ..., n) of the encoder; the decoder mirrors them.
        convolutional: Activations are maps (B, p, h, w); an x-feature's value is its mean over the positions.
        rectified: Whether the encoder has ReLUs (a mere selection of features has none).
        signed: Whether activations may be negative: then the decoder's last layer has no ReLU.
        mirrored: Whether there is a decoder.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        *,
        convolutional: bool = False,
        rectified: bool = True,
        signed: bool = False,
        mirrored: bool = True,
    ) -> None:
        super().__init__()
        self.widths = widths
        self.convolutional = convolutional
        self.encoder = _stack(widths, convolutional=convolutional, last=rectified)
        back = widths[::-1] if mirrored else ()
        self.decoder = _stack(back, convolutional=convolutional, last=not signed)
        with torch.device("meta"):  # see _layer
            self.readout = _Linear(widths[-1], 1, dtype=torch.float32)
        self.readout.to_empty(device="cpu")
        self.register_buffer("scale", torch.ones((), dtype=torch.float32))

    scale: Tensor

    @property
    def n(self) -> int:
        """Number of x-features."""
        return self.widths[-1]

    def draw(self, generator: torch.Generator) -> None:
        """Initial weights as PyTorch draws them, from a generator of our own."""
        with torch.no_grad():
            for layer in self.layers():
                fan_in = layer.weight[0].numel()
                for parameter in (layer.weight, layer.bias):
                    if parameter is not None:
                        drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float32)
                        parameter.copy_((2 * drawn - 1) / fan_in**0.5)

    def layers(self) -> Iterator[nn.Linear | nn.Conv2d]:
        """All layers with weights, encoder first, the read-out last."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                yield module

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Each encoder layer with the decoder layer that undoes it, outermost first, ReLUs included."""
        down, up = _blocks(self.encoder), _blocks(self.decoder)
        return list(zip(down, reversed(up), strict=True))

    def pooled(self, encoded: Tensor) -> Tensor:
        """(B, n) values of the x-features, from what the encoder answers."""
        return encoded.mean((2, 3)) if self.convolutional else encoded

    def score(self, values: Tensor) -> Tensor:
        """(B,) the class's score in logits, from the x-features (B, n)."""
        out: Tensor = self.readout(values)[:, 0]
        return out

    def forward(self, activations: Tensor) -> tuple[Tensor, Tensor]:
        """X-features (B, n) and score (B,) of raw activations (B, p) or (B, p, h, w)."""
        values = self.pooled(self.encoder(activations / self.scale))
        return values, self.score(values)

    def head(self) -> nn.Sequential:
        """The encoder as a module of raw activations, to be put on top of the explained layer.

        The scale is folded into the first layer, so that there is nothing but linear layers and ReLUs.
        """
        copy = _stack(self.widths, convolutional=self.convolutional, last=len(self.encoder) % 2 == 0)
        copy.load_state_dict(self.encoder.state_dict())
        with torch.no_grad():
            first_layer(copy).weight.div_(self.scale)
        return copy.requires_grad_(False).eval()


def _stack(widths: tuple[int, ...], *, convolutional: bool, last: bool) -> nn.Sequential:
    """Layers from width to width with a ReLU after each; after the last one only if wanted."""
    modules: list[nn.Module] = []
    for before, after in pairwise(widths):
        modules += [_layer(before, after, convolutional=convolutional), nn.ReLU()]
    return nn.Sequential(*(modules if last else modules[:-1]))


class _Linear(nn.Linear):
    """A linear layer that draws nothing from the global generator; `draw` or a state dict fills it."""

    def reset_parameters(self) -> None:
        return


class _Convolution(nn.Conv2d):
    """The same for a 1 x 1 convolution."""

    def reset_parameters(self) -> None:
        return


def _layer(before: int, after: int, *, convolutional: bool) -> nn.Module:
    if convolutional:
        return _Convolution(before, after, 1, dtype=torch.float32)
    return _Linear(before, after, dtype=torch.float32)


def first_layer(stack: nn.Module) -> nn.Linear | nn.Conv2d:
    """The first layer with weights of a stack."""
    return next(module for module in stack.modules() if isinstance(module, nn.Linear | nn.Conv2d))


def _blocks(stack: nn.Sequential) -> list[nn.Module]:
    """A stack layer by layer, each with its ReLU if it has one."""
    return [stack[start : start + 2] for start in range(0, len(stack), 2)]


def sparse_reconstruction(rebuilt: Tensor, wanted: Tensor, q: float) -> Tensor:
    """``mean_k log(1 + q Q_k)``, Q_k the mean squared error of dimension k over the batch (eq. 3.5).

    Args:
        rebuilt: (B, p) or (B, p, h, w).
        wanted: The same shape.
        q: How soon a dimension counts as lost.
    """
    squared = (rebuilt - wanted).square()
    errors = squared.mean((0, 2, 3)) if squared.ndim == 4 else squared.mean(0)
    return torch.log1p(q * errors).mean()


def plain_reconstruction(rebuilt: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error over examples and dimensions."""
    return (rebuilt - wanted).square().mean()


def pull_away(values: Tensor) -> Tensor:
    """Mean squared cosine between different x-features over the examples (eq. 3.3); 0 for one x-feature.

    An x-feature that is 0 throughout has no direction: its cosines count as 0.

    Args:
        values: (B, n).
    """
    n = values.shape[1]
    if n < 2:
        return values.new_zeros(())
    unit = values / values.square().sum(0).clamp_min(_TINY).sqrt()
    squared = (unit.T @ unit).square()
    return (squared.sum() - squared.diagonal().sum()) / (n * (n - 1))


def faithfulness(scores: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean squared error of the scores (B,), eq. 3.1."""
    return (weights * (scores - wanted).square()).mean()


def awake_relu(values: Tensor) -> Tensor:
    """A ReLU whose gradient is a tenth, not 0, below 0: an x-feature that has gone silent can come back."""
    leak = _LEAK * values.clamp_max(0)
    return torch.relu(values) + leak - leak.detach()


def dropped(values: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Dropout that draws from a generator of its own."""
    if share <= 0:
        return values
    kept = torch.rand(values.shape, generator=generator, dtype=torch.float32) >= share
    return values * kept / (1 - share)
