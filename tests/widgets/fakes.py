"""Made-up results of any size: a stand-in for a regularisation path, x-features, without a fit."""

from dataclasses import dataclass, field

import numpy as np

from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.interpret.xfeatures.xfeatures import XFeatures


@dataclass
class FakePath:
    """Smooth made-up paths: features enter one after the other and some change their sign."""

    p: int = 64
    K: int = 100
    C: int = 10
    seed: int = 0
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    family: str = "multinomial"
    alpha: float = 0.99
    tol: float = 1e-3
    layer: str = "fc"
    held_out: bool = True
    dense_weight: np.ndarray | None = None
    weights: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        p, K, C = self.p, self.K, self.C
        self.feature_names = self.feature_names or tuple(f"feature {j}" for j in range(p))
        self.class_names = self.class_names or tuple(f"class {c}" for c in range(C))
        self.lambdas = np.geomspace(0.2, 2e-4, K)
        enter = 1 + np.sort(rng.gamma(2.0, K / 4, (C, p)).astype(int), axis=1)
        final = rng.normal(size=(C, p)) * np.exp(-np.linspace(0, 3, p))
        bend = rng.uniform(0.5, 1.3, (C, p))
        t = np.arange(K)[:, None, None]
        self.weights = final * np.clip((t - enter) / K, 0, None) ** bend
        self.weights += 0.3 * final[:, ::-1] * np.clip((t - enter - K / 3) / K, 0, None) ** 2
        order = rng.permutation(p)
        self.weights = self.weights[:, :, order]
        self.n_nonzero = (self.weights != 0).sum(axis=2)
        rise = 1 - np.exp(-np.linspace(0, 6, K))
        scores = np.stack(
            [0.3 + 0.68 * rise, 0.3 + 0.62 * rise - 0.03 * np.linspace(0, 1, K) ** 3, 0.3 + 0.6 * rise],
            axis=1,
        )
        self.accuracies = scores + rng.normal(0, 0.003, scores.shape)
        if not self.held_out:
            self.accuracies[:, 1:] = np.nan
        self.dense_accuracies = np.array([0.99, 0.93, 0.91])
        self.duality_gaps = rng.uniform(1e-4, 9e-4, K)
        self.certified = np.ones(K, dtype=bool)
        self.certified[-3:] = False
        if self.dense_weight is None:
            self.dense_weight = (final * 0.6 + rng.normal(0, 0.05, final.shape))[:, order]

    @property
    def n_classes(self) -> int:
        return self.C

    def weights_at(self, i: int) -> np.ndarray:
        return self.weights[i]

    def class_path(self, c: int) -> np.ndarray:
        return self.weights[:, c, :]

    def proved(self, c: int) -> tuple[np.ndarray, np.ndarray]:
        """Nonzero weights and zeros that ``weight_bounds``, set by a test, proves: no zero is."""
        size = np.abs(self.class_path(c))
        return size > self.weight_bounds[:, None], np.zeros(size.shape, np.bool_)

    def entry_range(self, c: int) -> np.ndarray:
        nonzero, zero = self.proved(c)
        return np.stack([np.where(b.any(0), b.argmax(0), self.K) for b in (~zero, nonzero)])

    def select(self, *, tolerance: float) -> int:
        if not self.held_out:
            raise ValueError("no validation examples")
        validation = self.accuracies[:, 1]
        return int(np.argmax(validation >= validation.max() - tolerance))

    def decision_layer(self, i: int) -> object:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"FakePath({self.K} lambdas, {self.C} classes, {self.p} features)"


def fake_xfeatures(
    k: int = 12, n: int = 5, *, side: int = 28, map_side: int = 0, **fields: object
) -> XFeatures:
    """Rings whose parts are found by one x-feature each: those of even number add, odd ones take away."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    angle = rng.uniform(0, 6.28, (k, 1, 1))
    ring = np.exp(-(((np.hypot(x, y) - 0.6) / 0.12) ** 2))
    striped = ring * (0.6 + 0.4 * np.sin(3 * np.arctan2(y, x) + angle))
    images = np.stack([striped, np.broadcast_to(ring, striped.shape), 0.3 * striped], axis=1)
    m = map_side or side
    v, u = np.mgrid[:m, :m] / (m - 1) * 2 - 1
    centres = angle[:, None] + 6.28 * np.arange(n)[None, :, None, None] / n
    maps = np.exp(-((u - 0.6 * np.cos(centres)) ** 2 + (v - 0.6 * np.sin(centres)) ** 2) / 0.06)
    activations = rng.gamma(2.0, 1.0, (k, n)) * (rng.random((k, n)) > 0.2)
    maps *= activations[:, :, None, None] > 0
    weights = np.where(np.arange(n) % 2 == 0, 1.5, -0.8) / (1 + np.arange(n) / 3)
    labels = np.full(k, 1)
    predictions = np.where(np.arange(k) % 7 == 3, 0, 1)
    reconstructed = activations @ weights + 0.4
    values: dict[str, object] = {
        "provenance": Provenance(method="x_features:srae", seed=0, seconds=12.0),
        "images": images.astype(np.float32),
        "labels": labels,
        "predictions": predictions,
        "class_index": 1,
        "class_names": ("square", "ring"),
        "layer": "fc",
        "method": "srae",
        "activations": activations.astype(np.float32),
        "weights": weights,
        "bias": 0.4,
        "scores": reconstructed + rng.normal(0, 0.2, k),
        "reconstructed": reconstructed,
        "maps": maps.astype(np.float32),
        "baseline": maps.mean(1).astype(np.float32),
        "mass": rng.uniform(0.9, 1.0, (k, n)).astype(np.float32),
        "names": tuple(f"H{i + 1}" for i in range(n)),
        "fidelity": {
            "F_reg_train": 0.14,
            "F_reg_test": 0.17,
            "F_cls_train": 1.0,
            "F_cls_test": 0.992,
            "R2_train": 0.98,
            "R2_test": 0.97,
        },
    }
    return XFeatures(**{**values, **fields})  # type: ignore[arg-type]
