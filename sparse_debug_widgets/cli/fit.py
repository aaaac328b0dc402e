"""`fit`: a file of features in, a file with the regularisation path out."""

import argparse
import math
import os
import sys
import zipfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.cli import INTERRUPTED
from sparse_debug_widgets.cli.console import out, watch
from sparse_debug_widgets.core.checks import InputError, refuse, reject, shorten
from sparse_debug_widgets.core.jobs import submit
from sparse_debug_widgets.core.params import Parameter, read_parameters
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.core.storage import check_target
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path

_LABEL_COLUMNS = ("label", "labels", "y", "target", "class")
Inputs = tuple[DeepFeatures] | tuple[npt.NDArray[Any], npt.NDArray[Any]]


SETTINGS = tuple(setting for setting in read_parameters(elastic_net_path) if setting.kind != "other")
"""What can be written in one word; the rest is for Python."""


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting of a path, as its function describes it.

    Args:
        parser: Of the command.
    """
    for setting in SETTINGS:
        flag = f"--{setting.name.replace('_', '-')}"
        default = "none" if setting.default is None else setting.default
        text = f"{setting.summary} (default: {default})".replace("%", "%%")
        if setting.kind == "bool":
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=setting.default, help=text
            )
            continue
        listed = "|".join(setting.choices)
        kind = {"int": "NUMBER", "float": "NUMBER"}.get(setting.kind, "")
        parser.add_argument(
            flag,
            type=partial(_word, setting),
            default=setting.default,
            metavar="|".join(part for part in (listed, kind) if part) or "WORD",
            help=text,
        )
    parser.add_argument(
        "--device", help="where the solver's arrays live, for example cuda (default: the CPU)"
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FOLDER",
        help="keep every solved lambda there, and go on from what is there already",
    )


def _word(setting: Parameter, text: str) -> Any:  # noqa: ANN401 - a number or a word
    """Read the word after an option in the setting's own type; the fit itself checks its range."""
    if setting.kind not in {"int", "float"} or text in setting.choices:
        return text
    try:
        return int(text) if setting.kind == "int" else float(text)
    except ValueError:
        number = "a whole number" if setting.kind == "int" else "a number"
        known = "".join(f"{word!r} or " for word in setting.choices)
        message = f"{text[:60]!r} is not {known}{number}"
        raise argparse.ArgumentTypeError(message) from None


def read_inputs(path: Path) -> Inputs:
    """Read a saved DeepFeatures, an .npz file with the arrays `values` (n, p) and `labels` (n,), or a table.

    Raises:
        InputError: no such arrays or columns, arrays of Python objects, or more than memory holds.
        StorageError: a damaged file, or one of another kind.
        OSError: the file cannot be read.
    """
    if path.is_dir():
        refuse(f"{shorten(str(path))!r} is a folder: name the file in it.")
    if path.suffix == ".npy":
        refuse(
            f"{shorten(str(path))!r} holds one array, and a fit needs values and labels. Save both in one "
            "file: numpy.savez('features.npz', values=X, labels=y)."
        )
    if path.suffix in {".csv", ".tsv"}:
        return _read_table(path)
    if path.suffix != ".npz":
        return (DeepFeatures.load(path),)
    arrays = read_arrays(path, ("values", "labels"))
    return arrays["values"], arrays["labels"]


def _read_table(path: Path) -> Inputs:
    """Features from the columns of a table, labels from the one that is called so."""
    import pandas as pd

    try:
        table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        return reject(shorten(str(path)), "fit", "be a table", shorten(str(error)))
    column = next((name for name in _LABEL_COLUMNS if name in table.columns), None)
    if column is None:
        must = f"have a column of labels called {' or '.join(map(repr, _LABEL_COLUMNS))}"
        reject(shorten(str(path)), "fit", must, f"the columns {shorten(', '.join(map(str, table.columns)))}")
    values = table.drop(columns=column)
    texts = [str(name) for name in values.columns if values[name].dtype.kind not in "biuf"]
    if texts or values.shape[1] == 0:
        got = f"texts in {shorten(', '.join(texts))}" if texts else "no other column"
        reject(shorten(str(path)), "fit", f"have numbers in every column but {column!r}", got)
    return values.to_numpy(np.float64), table[column].to_numpy()


def read_arrays(
    path: Path, wanted: Sequence[str], also: Sequence[str] = (), *, command: str = "fit"
) -> dict[str, npt.NDArray[Any]]:
    """Arrays of an .npz file, each looked at before memory is asked for.

    Args:
        path: The file.
        wanted: Names that must be there.
        also: Names that may be there.
        command: What they are read for, for messages.

    Raises:
        InputError: no such arrays, arrays of Python objects, or more than memory holds.
        OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
            if set(wanted) - set(members):
                several = "arrays" if len(wanted) > 1 else "array"
                must = f"hold the {several} {' and '.join(map(repr, wanted))}"
                reject(shorten(str(path)), command, must, shorten(str(sorted(members))))
            found = [*wanted, *(name for name in also if name in members)]
            for name in found:
                _check_member(path, archive, members[name], command)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in found}
    except zipfile.BadZipFile as error:
        return reject(shorten(str(path)), command, "be an .npz archive", f"a damaged one ({error})")
    except (ValueError, EOFError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        return reject(shorten(str(path)), command, "hold arrays of numbers", shorten(str(error)))


def _check_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, command: str) -> None:
    """Compare what an array's header says with what there is, before memory is asked for."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        heads = np.lib.format
        read = heads.read_array_header_1_0 if version == (1, 0) else heads.read_array_header_2_0
        shape, _, dtype = read(file)
        there = member.file_size - file.tell()
    if dtype.hasobject:
        got = f"Python objects in {member.filename!r}"
        reject(shorten(str(path)), command, "hold arrays of numbers", got)
    size = math.prod(shape) * dtype.itemsize
    if size != there:
        got = f"a header of {member.filename!r} that promises {size:,} bytes where there are {there:,}"
        reject(shorten(str(path)), command, "be whole", got)
    if size > physical_memory() // 2:
        got = f"{size / 1e9:.1f} GB in {member.filename!r}"
        advice = "Save the values as a memory map and call elastic_net_path(..., memory_budget=) from Python."
        reject(shorten(str(path)), command, "fit into half of this machine's memory", got, advice)


def physical_memory() -> int:
    """Bytes of memory that this machine has; where it does not tell, as much as anybody."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


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
    # Every process looks, so that none waits for one that has given up.
    number = os.environ.get("RANK", "0")
    check_target(arguments.path, "the path", str(arguments.features).replace("{rank}", number))
    rank, size = join_processes(arguments.device)
    try:
        return _fit_and_save(arguments, rank, size)
    finally:
        if size > 1:
            leave_processes()


def _fit_and_save(arguments: argparse.Namespace, rank: int, size: int) -> int:
    inputs = read_inputs(Path(str(arguments.features).replace("{rank}", str(rank))))
    if len(inputs) == 2 and size == 1:
        split = {"validation": arguments.validation, "seed": arguments.seed}
        inputs = (DeepFeatures.from_arrays(*inputs, **split),)
    job = submit(
        elastic_net_path,
        *inputs,
        name="fitting the path",
        process_group=size > 1,
        device=arguments.device,
        checkpoint=arguments.checkpoint,
        **{setting.name: getattr(arguments, setting.name) for setting in SETTINGS},
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
