"""Sets in which the cause of errors is planted, with features and a path of them."""

import numpy as np

import sparse_debug_widgets as sdw


def marked(seed, n=1200, n_classes=4, p=24, family="multinomial"):
    """Classes with three features each, and a mark that nearly all of class 0 and hardly any others have."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    mark = np.where(labels == 0, rng.random(n) < 0.97, rng.random(n) < 0.04)
    x = rng.normal(size=(n, p)) + 3.0
    for c in range(n_classes):
        x[labels == c, 1 + 3 * c : 4 + 3 * c] += 0.7
    x[:, 0] += 5.0 * mark
    dense = rng.normal(size=(n_classes, p)) * 0.3
    splits = np.repeat([0, 1, 2], [n // 2, n // 6, n - n // 2 - n // 6])
    features = sdw.DeepFeatures.from_arrays(
        x, labels, splits=splits, dense_weight=dense, dense_bias=np.zeros(n_classes)
    )
    return features, sdw.elastic_net_path(features, n_lambdas=30, family=family), mark


def layers_of(weights, bias, n=90, seed=0):
    """Features and a path of them whose network has a given layer."""
    rng = np.random.default_rng(seed)
    n_classes, p = np.shape(weights)
    labels = np.arange(n) % n_classes
    x = rng.normal(size=(n, p)) + 6.0 * (labels[:, None] == np.arange(p))
    splits = np.repeat([0, 1, 2], n // 3)
    features = sdw.DeepFeatures.from_arrays(x, labels, splits=splits, dense_weight=weights, dense_bias=bias)
    return features, sdw.elastic_net_path(features, n_lambdas=20)


def overlapping(seed, n=6000, n_classes=20, p=60):
    """Classes of six features each; each shares 0 to 4 of them with the class before it."""
    rng = np.random.default_rng(seed)
    owned = np.zeros((n_classes, p))
    before = rng.choice(p, 6, replace=False)
    owned[0, before] = 1
    for c in range(1, n_classes):
        kept = rng.choice(before, c % 5, replace=False)
        # New ones are those that the fewest have.
        had = owned.sum(0) + rng.random(p) / 2
        had[before] = np.inf
        before = np.concatenate([kept, np.argsort(had)[: 6 - len(kept)]])
        owned[c, before] = 1
    labels = rng.integers(0, n_classes, n)
    x = 1.2 * owned[labels] + rng.normal(size=(n, p))
    splits = np.repeat([0, 1, 2], [n // 2, n // 6, n - n // 2 - n // 6])
    features = sdw.DeepFeatures.from_arrays(x, labels, splits=splits)
    return features, sdw.elastic_net_path(features, n_lambdas=40, max_features=7), owned
