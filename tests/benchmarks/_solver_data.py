"""Feature matrices for the solver's benchmark: synthetic deep features, and the one judge of all solvers."""

import numpy as np


def deep_features(n, p, n_classes, seed=0):
    """Rectified, correlated, heavy-tailed features of a noisy classification problem, standardised."""
    rng = np.random.default_rng(seed)
    latent = 48
    labels = rng.permutation(np.arange(n) % n_classes)
    means = rng.normal(size=(n_classes, latent))
    scale = (1.0 + np.arange(latent)) ** -0.4
    factors = (0.9 * means[labels] + 1.3 * rng.normal(size=(n, latent))) * scale
    contrast = np.exp(0.35 * rng.normal(size=(n, 1)))
    loadings = rng.normal(size=(latent, p)) * (rng.random((latent, p)) < 0.35)
    loadings /= np.linalg.norm(loadings, axis=0) + 1e-9
    bias = -0.4 - 0.6 * rng.random(p)
    X = np.empty((n, p), np.float32)
    for low in range(0, n, 4096):
        part = slice(low, low + 4096)
        signal = (factors[part] @ loadings) * contrast[part] + bias
        X[part] = np.maximum(signal + 0.45 * rng.normal(size=signal.shape), 0.0) ** 1.25
    flipped = rng.random(n) < 0.06
    labels = np.where(flipped, rng.integers(0, n_classes, n), labels)
    spread = X.std(0, dtype=np.float64)
    return ((X - X.mean(0, dtype=np.float64)) / np.where(spread > 0, spread, 1.0)).astype(np.float32), labels


def digit_features():
    """225 features of a small network on scikit-learn's digits: the size of a first drag."""
    import torch
    from sklearn.datasets import load_digits

    data = load_digits()
    torch.manual_seed(0)
    X, y = torch.as_tensor(data.data[:1400] / 16.0, dtype=torch.float32), torch.as_tensor(data.target[:1400])
    network = torch.nn.Sequential(torch.nn.Linear(64, 225), torch.nn.ReLU())
    head = torch.nn.Linear(225, 10)
    optimiser = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=2e-3)
    for _ in range(300):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(network(X)), y).backward()
        optimiser.step()
    with torch.no_grad():
        features = network(X).double().numpy()
    features = features[:, features.std(0) > 0]
    return ((features - features.mean(0)) / features.std(0)).astype(np.float32), y.numpy()


def image_features():
    """1,280 features of EfficientNet-Lite0 on crops of scikit-image's photographs; which photograph it is."""
    import skimage.data
    import torch

    from sparse_debug_widgets.data import load_demo

    model = load_demo("efficientnet-lite0").model
    pictures = [skimage.data.astronaut, skimage.data.coffee, skimage.data.cat, skimage.data.rocket]
    pictures += [skimage.data.immunohistochemistry, skimage.data.hubble_deep_field, skimage.data.retina]
    rng, crops, labels = np.random.default_rng(0), [], []
    for label, picture in enumerate(pictures):
        image = picture()[..., :3].astype(np.float32)
        for _ in range(150):
            side = int(rng.integers(72, 200))
            top, left = (int(rng.integers(0, size - side)) for size in image.shape[:2])
            crop = torch.from_numpy(image[top : top + side, left : left + side]).permute(2, 0, 1)[None]
            noisy = crop / 255.0 + 0.05 * torch.from_numpy(rng.normal(size=crop.shape).astype(np.float32))
            crops.append(torch.nn.functional.interpolate(noisy.clamp(0, 1), (96, 96), mode="bilinear"))
            labels.append(label)
    return _features(model, torch.cat(crops), torch.tensor(labels))


def _features(model, inputs, labels):
    from sparse_debug_widgets.sparse import extract_features

    return _standardized(extract_features(model, (inputs, labels), validation=0.0))


def _standardized(found):
    X = np.asarray(found.values)[:, found.alive].astype(np.float64)
    X = (X - found.mean[found.alive]) / found.scale[found.alive]
    return X.astype(np.float32), np.array(found.labels)


def sentence_features():
    """384 features of MiniLM on film reviews, of the demo `minilm-movies`; like or not."""
    from sparse_debug_widgets.data import load_demo
    from sparse_debug_widgets.sparse import extract_features

    demo = load_demo("minilm-movies")
    return _standardized(extract_features(demo.model, demo.train, validation=0.0))
