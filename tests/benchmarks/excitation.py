"""Excitation backprop: cost in passes on rectified and on signed networks, for one map and for several.

A pass is one forward and one input backward of the same model on one image, timed next to each job in
processor time of one thread. The table goes between the markers of `docs/benchmarks/excitation.md`.
"""

import os
import sys
import time
import warnings
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.saliency import attribute, excitation
from tests.benchmarks._sections import put
from tests.benchmarks.saliency import in_passes, lite0, photographs, resnet50

N_MAPS = 5


def vgg11() -> nn.Module:
    """VGG-11 with random weights."""
    import torchvision

    torch.manual_seed(0)
    return torchvision.models.vgg11(weights=None).eval()


def swish() -> nn.Module:
    """ResNet-50 with SiLU instead of every ReLU: all inner activations have both signs."""

    def replace(module: nn.Module) -> None:
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.SiLU())
            replace(child)

    model = resnet50()
    replace(model)
    return model


def pixels() -> Tensor:
    """One photograph (1, 3, 224, 224) in [0, 1]."""
    return (photographs(1) * 128 + 127) / 255


def cost_table(*, rounds: int = 5) -> list[str]:
    """Passes for one map and for five maps of one image."""
    several = 2.1 + 1.3 * (N_MAPS - 1)
    rows = [
        f"| model | plain | contrastive | wanted | {N_MAPS} maps | wanted |",
        "|---|---|---|---|---|---|",
    ]
    nets = (
        ("VGG-11 (ReLU)", vgg11, pixels(), 1.8),
        ("ResNet-50 (ReLU)", resnet50, pixels(), 1.8),
        ("EfficientNet-Lite0 (signed)", lite0, photographs(1), 2.2),
        ("ResNet-50 with SiLU (signed)", swish, pixels(), 2.2),
    )
    for name, build, x, wanted in nets:
        model = build()
        jobs = [
            partial(attribute, model, x, "excitation_backprop", target=0),
            partial(attribute, model, x, "excitation_backprop", target=0, contrastive=True),
            partial(excitation, model, x, units=range(N_MAPS), contrastive=True),
        ]
        plain, contrastive, maps = (in_passes(model, x, job, rounds) for job in jobs)
        rows.append(f"| {name} | {plain} | {contrastive} | {wanted} | {maps} | {several:.1f} |")
        sys.stdout.write(f"{rows[-1]}\n")
        sys.stdout.flush()
    return rows


def mass_table() -> list[str]:
    """What arrives at the pixels."""
    rows = ["| model | images | mass that arrives, median (lowest) |", "|---|---|---|"]
    digits = load_demo("digits")
    images = torch.stack([digits.test[k][0] for k in range(100)])
    found = excitation(digits.model, images).mass
    rows.append(f"| digits | 100 | {np.median(found):.3f} ({found.min():.3f}) |")
    for name, build in (("EfficientNet-Lite0", lite0), ("ResNet-50, random weights", resnet50)):
        found = excitation(build(), photographs(4)).mass
        rows.append(f"| {name} | 4 | {np.median(found):.3f} ({found.min():.3f}) |")
    return rows


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    busy = f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, load {os.getloadavg()[0]:.1f} when it began"
    text = ["### Excitation backprop, cost in passes, one image of 224 px, one thread", ""]
    text += [f"In processor time, medians of 5 rounds with their range ({busy}).", "", *cost_table(), ""]
    text += ["### Excitation backprop, mass", "", *mass_table(), ""]
    put("excitation", "\n".join(text))


if __name__ == "__main__":
    main()
