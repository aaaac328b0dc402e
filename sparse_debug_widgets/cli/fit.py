"""`fit`: a file of features in, a file with the regularisation path out."""

import argparse
import zipfile
from pathlib import Path

import numpy as np

from sparse_debug_widgets.cli.console import out, progress_bar
from sparse_debug_widgets.core.checks import InputError
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
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = {"values", "labels"} - set(arrays.files)
            if missing:
                raise InputError(
                    f"{path} is not compatible with fit: it must hold the arrays 'values' and 'labels'; "
                    f"got {sorted(arrays.files)}."
                )
            return DeepFeatures.from_arrays(arrays["values"], arrays["labels"])
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{path} is not compatible with fit: it must be an .npz archive; got {error}."
        ) from error


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
