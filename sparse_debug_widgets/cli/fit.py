"""`fit`: a file of features in, a file with the regularisation path out."""

import argparse
import zipfile
from pathlib import Path

import numpy as np

from sparse_debug_widgets.cli import INTERRUPTED
from sparse_debug_widgets.cli.console import out, watch
from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.jobs import submit
from sparse_debug_widgets.core.progress import Cancelled
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
    """Fit and save; Ctrl-C keeps the part of the path that is done.

    Returns:
        0, or 130 if the fit was stopped.

    Raises:
        Cancelled: it was stopped before its first lambda was solved.
    """
    features = read_features(arguments.features)
    job = submit(
        elastic_net_path,
        features,
        name="fitting the path",
        family=arguments.family,
        alpha=arguments.alpha,
        n_lambdas=arguments.n_lambdas,
        eps=arguments.eps,
        solver=arguments.solver,
        tol=arguments.tol,
        seed=arguments.seed,
        device=arguments.device,
        checkpoint=arguments.checkpoint,
    )
    watch(job)
    if job.error is not None:
        raise job.error
    stopped = job.state == "cancelled"
    path = job.partial if stopped else job.result()
    if path is None:
        out.print("Stopped before the first lambda was solved; nothing was written.")
        raise Cancelled
    path.save(arguments.path)
    certified = f"{int(path.certified.sum())} of them certified, in {arguments.path}"
    if not stopped:
        out.print(f"{path.n_lambdas} lambdas, {certified}", soft_wrap=True)
        return 0
    advice = (
        "the same command goes on from there"
        if arguments.checkpoint is not None
        else "with --checkpoint FOLDER the same command could go on from there"
    )
    out.print(f"Stopped after {path.n_lambdas} lambdas, {certified}; {advice}.", soft_wrap=True)
    return INTERRUPTED
