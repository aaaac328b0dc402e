"""`fit`: a file of features in, a file with the regularisation path out."""

import argparse
import zipfile
from pathlib import Path

import numpy as np

from sparse_debug_widgets.cli.console import out, progress_bar
from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path


def read_features(path: Path) -> DeepFeatures:
    """Read a saved DeepFeatures, or an .npz file with the arrays `values` (n, p) and `labels` (n,).

    Raises:
        InputError: no such arrays, or arrays of Python objects.
        StorageError: a damaged file, or one of another kind.
        OSError: the file cannot be read.
    """
    if path.suffix != ".npz":
        return DeepFeatures.load(path)
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            reject(str(path), "fit", "be an .npz archive", "something else")
    with np.load(path, allow_pickle=False) as arrays:
        missing = {"values", "labels"} - set(arrays.files)
        if missing:
            reject(str(path), "fit", "hold the arrays 'values' and 'labels'", str(sorted(arrays.files)))
        try:
            values, labels = arrays["values"], arrays["labels"]
        except ValueError as error:
            reject(str(path), "fit", "hold arrays of numbers", str(error))
    return DeepFeatures.from_arrays(values, labels)


def run(arguments: argparse.Namespace) -> int:
    """Fit and save; Ctrl-C keeps the part of the path that is done."""
    features = read_features(arguments.features)
    with progress_bar("fitting the path") as progress:
        path = elastic_net_path(
            features,
            family=arguments.family,
            alpha=arguments.alpha,
            n_lambdas=arguments.n_lambdas,
            eps=arguments.eps,
            tol=arguments.tol,
            seed=arguments.seed,
            progress=progress,
        )
    path.save(arguments.path)
    out.print(
        f"{len(path.lambdas)} lambdas, {int(path.certified.sum())} of them certified, in {arguments.path}"
    )
    return 0
