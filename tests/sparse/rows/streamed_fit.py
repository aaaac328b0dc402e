"""What test_streamed.py runs in a process of its own: a fit of mapped features, and what memory it took."""

import json
import resource
import sys
from pathlib import Path

import numpy as np
import torch

from sparse_debug_widgets.sparse import elastic_net_path

N, P, CLASSES = 24_000, 2_048, 10
OPTIONS = {"n_lambdas": 4, "eps": 0.3}


def write(folder):
    """Features of 197 MB and labels, made in chunks."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(12, P)).astype(np.float32)
    labels = []
    with (folder / "X.f32").open("wb") as file:
        for _ in range(0, N, 1000):
            latent = rng.normal(size=(1000, 12)).astype(np.float32)
            labels.append((latent[:, :CLASSES] + 0.5 * rng.gumbel(size=(1000, CLASSES))).argmax(1))
            noise = rng.normal(size=(1000, P)).astype(np.float32)
            file.write(np.maximum(latent @ loadings + noise, 0.0).tobytes())
    np.save(folder / "y.npy", np.concatenate(labels))


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(folder, budget):
    torch.set_num_threads(1)
    small = np.random.default_rng(0).normal(size=(300, 40))
    # What compiled code and matrix libraries take once is not the fit's.
    elastic_net_path(small, (small[:, :2] > 0).sum(1), n_lambdas=5)
    X = np.memmap(folder / "X.f32", np.float32, "r", shape=(N, P))
    before = peak()
    path = elastic_net_path(X, np.load(folder / "y.npy"), memory_budget=budget, **OPTIONS)
    (folder / "peak.json").write_text(json.dumps(peak() - before))
    path.save(folder / "path.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
