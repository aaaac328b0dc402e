"""A small stand-in with the public fields of a regularisation path, of any size, without a fit."""

from dataclasses import dataclass, field

import numpy as np


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

    def class_path(self, c: int) -> np.ndarray:
        return self.weights[:, c, :]

    def select(self, *, tolerance: float) -> int:
        if not self.held_out:
            raise ValueError("no validation examples")
        validation = self.accuracies[:, 1]
        return int(np.argmax(validation >= validation.max() - tolerance))

    def decision_layer(self, i: int) -> object:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"FakePath({self.K} lambdas, {self.C} classes, {self.p} features)"
