"""Write glmnet's objectives for scikit-learn's digits and breast-cancer data (about a minute).

Needs R with glmnet (Debian: r-cran-glmnet). Run as ``python -m tests.reference.make_glmnet_numbers``.
The objective of glmnet's coefficients is recomputed in float64 by the naive twin.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

from tests.reference.elastic_net import objective, smooth_part

HERE = Path(__file__).parent
LOADERS = {"digits": load_digits, "breast_cancer": load_breast_cancer}
ALPHA = 0.99


def standardised(name):
    """Features that vary, as the package sees them (float32 values, float64 standardisation), and labels."""
    X, y = LOADERS[name](return_X_y=True)
    X = X[:, X.std(0) > 0].astype(np.float32)
    wide = X.astype(np.float64)
    return X, (wide - wide.mean(0)) / wide.std(0), y


def main():
    for name in LOADERS:
        _, Z, y = standardised(name)
        classes = int(y.max()) + 1
        null = np.log(np.bincount(y) / len(y))
        gradient = smooth_part(Z, y, np.zeros((classes, Z.shape[1])), null, "multinomial", None)[1]
        lambdas = np.abs(gradient).max() / ALPHA * np.geomspace(1, 1e-3, 100)
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder) / file) for file in ("X.csv", "y.txt", "lambdas.txt", "out.txt")]
            np.savetxt(paths[0], Z, delimiter=",", fmt="%.17g")
            np.savetxt(paths[1], y, fmt="%d")
            np.savetxt(paths[2], lambdas, fmt="%.17g")
            command = [shutil.which("Rscript") or "Rscript", str(HERE / "glmnet_path.R"), *paths]
            subprocess.run(command, check=True)
            fitted = np.loadtxt(paths[3]).reshape(classes, Z.shape[1] + 1, len(lambdas))
        values = [
            objective(Z, y, fitted[:, 1:, k], fitted[:, 0, k], lambdas[k], ALPHA) for k in range(len(lambdas))
        ]
        table = np.column_stack([lambdas, values])
        np.savetxt(HERE / f"glmnet_{name}.csv", table, delimiter=",", fmt="%.17g", header="lambda,objective")


if __name__ == "__main__":
    main()
