"""`fit`: a file of features in, a file with the regularisation path out."""

import argparse
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.cli import INTERRUPTED
from sparse_debug_widgets.cli.console import out, watch
from sparse_debug_widgets.core.checks import reject
from sparse_debug_widgets.core.jobs import submit
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path

Inputs = tuple[DeepFeatures] | tuple[npt.NDArray[Any], npt.NDArray[Any]]


def read_inputs(path: Path) -> Inputs:
    """Read a saved DeepFeatures, or an .npz file with the arrays `values` (n, p) and `labels` (n,).

    Raises:
        InputError: no such arrays, or arrays of Python objects.
        StorageError: a damaged file, or one of another kind.
        OSError: the file cannot be read.
    """
    if path.suffix != ".npz":
        return (DeepFeatures.load(path),)
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
    return values, labels


def join_processes(device: str | None) -> tuple[int, int]:
    """Join the processes that torchrun has started.

    Returns:
        Number of this process and how many there are; 0 and 1 without torchrun.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "MASTER_ADDR" not in os.environ:
        return 0, 1
    import torch
    import torch.distributed as dist

    on_gpu = device is not None and device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    return dist.get_rank(), size


def leave_processes() -> None:
    """End the threads that talk with the other processes: one that still runs at the exit aborts it."""
    import torch.distributed as dist

    dist.destroy_process_group()


def run(arguments: argparse.Namespace) -> int:
    """Fit and save; Ctrl-C keeps the part of the path that is done.

    Under torchrun each process reads the file of its own number, and the first writes the path of all rows.

    Returns:
        0, or 130 if the fit was stopped.

    Raises:
        Cancelled: it was stopped before its first lambda was solved.
    """
    rank, size = join_processes(arguments.device)
    try:
        return _fit_and_save(arguments, rank, size)
    finally:
        if size > 1:
            leave_processes()


def _fit_and_save(arguments: argparse.Namespace, rank: int, size: int) -> int:
    inputs = read_inputs(Path(str(arguments.features).replace("{rank}", str(rank))))
    if len(inputs) == 2 and size == 1:
        inputs = (DeepFeatures.from_arrays(*inputs),)
    job = submit(
        elastic_net_path,
        *inputs,
        name="fitting the path",
        family=arguments.family,
        alpha=arguments.alpha,
        n_lambdas=arguments.n_lambdas,
        eps=arguments.eps,
        solver=arguments.solver,
        tol=arguments.tol,
        seed=arguments.seed,
        device=arguments.device,
        memory_budget=arguments.memory_budget,
        process_group=size > 1,
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
    if rank > 0:
        return INTERRUPTED if stopped else 0
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
