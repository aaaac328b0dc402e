"""Parameters of a picture that is optimised: Fourier coefficients, decorrelated pixels, or plain pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparse_debug_widgets.interpret.visualize.colours import Colours


class ImageParameters(ABC):
    """Free numbers of n pictures, and the pictures they stand for.

    Args:
        shape: (channels, H, W).
        colours: Of the data.
        generators: One per picture: a picture depends neither on its company nor on its place.
        spread: Of the numbers at the start.
        device: Where to work.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        colours: Colours,
        generators: Sequence[torch.Generator],
        spread: float = 0.01,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape, self.colours = shape, colours
        drawn = [torch.randn(self._free(), generator=one, dtype=torch.float32) for one in generators]
        self.values: Tensor = (spread * torch.stack(drawn)).to(device)
        self._mix = torch.as_tensor(colours.mix, dtype=torch.float32, device=device)
        middle = np.log(colours.mean / (1 - colours.mean))
        self._middle = torch.as_tensor(middle, dtype=torch.float32, device=device)[:, None, None]
        ends = (torch.as_tensor(end, dtype=torch.float32, device=device) for end in colours[2:])
        self.low, self.high = ends
        self._is_unit = np.ndim(colours.low) == 0 and (colours.low, colours.high) == (0.0, 1.0)

    @abstractmethod
    def _free(self) -> tuple[int, ...]:
        """Shape of one picture's numbers."""

    @abstractmethod
    def pictures(self) -> Tensor:
        """(n, channels, H, W) within the range of the data, part of the numbers' graph."""

    @abstractmethod
    def numbers_of(self, pictures: Tensor) -> Tensor:
        """The numbers that stand for given pictures (n, channels, H, W)."""

    def _plain(self, pictures: Tensor) -> Tensor:
        """The inverse of :meth:`_coloured`; black and white lie at infinity and are kept short of it."""
        share = (pictures - self.low) / (self.high - self.low)
        mixed = share.clamp(0.02, 0.98).logit() - self._middle
        return _mixed(torch.linalg.pinv(self._mix), mixed)

    def _coloured(self, plain: Tensor) -> Tensor:
        """Uncorrelated channels in the data's colours and range."""
        share = (_mixed(self._mix, plain) + self._middle).sigmoid()
        return share if self._is_unit else self.low + (self.high - self.low) * share


def _mixed(mix: Tensor, plain: Tensor) -> Tensor:
    """Channels (n, channels, H, W) mixed by a matrix; of one channel only its size changes."""
    if mix.shape == (1, 1):
        return plain if float(mix) == 1 else plain * mix
    return torch.matmul(mix, plain.flatten(2)).view(plain.shape)


def _falling(height: int, width: int) -> npt.NDArray[np.float64]:
    """One over the frequency (H, W // 2 + 1), as in natural pictures; the mean as the slowest wave."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    return np.asarray(0.25 / np.maximum(frequency, 1 / max(height, width)))


def _pink(noise: Tensor) -> Tensor:
    """White noise (n, channels, H, W) made smooth: white noise would vanish when a picture is moved."""
    height, width = noise.shape[2:]
    falling = torch.as_tensor(_falling(height, width), dtype=noise.dtype, device=noise.device)
    smooth: Tensor = torch.fft.irfft2(torch.fft.rfft2(noise) * falling, s=(height, width))
    return smooth.contiguous()


class Fourier(ImageParameters):
    """Coefficients of the real Fourier transform, low frequencies weighted up by one over the frequency."""

    def __init__(  # the base class's arguments
        self,
        shape: tuple[int, int, int],
        colours: Colours,
        *args: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(shape, colours, *args)
        _, height, width = shape
        scale = np.sqrt(height * width) * _falling(height, width)
        self._scale = torch.as_tensor(scale, dtype=torch.float32, device=self.values.device)

    def _free(self) -> tuple[int, ...]:
        channels, height, width = self.shape
        return (channels, height, width // 2 + 1, 2)

    def pictures(self) -> Tensor:
        """See the base class."""
        spectrum = torch.view_as_complex(self.values) * self._scale
        return self._coloured(torch.fft.irfft2(spectrum, s=self.shape[1:]))

    def numbers_of(self, pictures: Tensor) -> Tensor:
        """See the base class."""
        return torch.view_as_real(torch.fft.rfft2(self._plain(pictures)) / self._scale)


class Pixels(ImageParameters):
    """Decorrelated pixels."""

    def _free(self) -> tuple[int, ...]:
        return self.shape

    def pictures(self) -> Tensor:
        """See the base class."""
        return self._coloured(self.values)

    def numbers_of(self, pictures: Tensor) -> Tensor:
        """See the base class."""
        return self._plain(pictures)


class PlainPixels(ImageParameters):
    """The pixels themselves, from the data's mean colour: what robust models are shown with."""

    def __init__(  # the base class's arguments
        self,
        shape: tuple[int, int, int],
        colours: Colours,
        *args: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(shape, colours, *args)
        mean = torch.as_tensor(colours.mean, dtype=torch.float32, device=self.values.device)[:, None, None]
        share = mean + 0.1 * _pink(self.values)
        self.values = (self.low + (self.high - self.low) * share).contiguous()
        self.clamp()

    def _free(self) -> tuple[int, ...]:
        return self.shape

    def pictures(self) -> Tensor:
        """See the base class."""
        return self.values

    def numbers_of(self, pictures: Tensor) -> Tensor:
        """See the base class."""
        return pictures

    def clamp(self) -> None:
        """Back into the range of the data."""
        with torch.no_grad():
            self.values.clamp_(self.low, self.high)


PARAMETERS: dict[str, type[ImageParameters]] = {"fourier": Fourier, "pixel": Pixels, "plain": PlainPixels}
