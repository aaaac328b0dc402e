"""Files of arrays with a JSON head: safetensors, written atomically, checked when read.

Never pickle: a file that came by e-mail must not be able to run code. A file carries its kind, the
schema number of that kind, and a SHA-256 over head and arrays, so that a truncated, foreign or tampered
file is a clear error instead of a wrong picture.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sparse_debug_widgets.core.checks import InputError, shorten

Arrays = Mapping[str, npt.NDArray[Any]]
_HEAD_KEY = "sparse_debug_widgets"
_ALLOWED_KINDS = "biuf"


class Stored(NamedTuple):
    """The content of a file.

    Attributes:
        schema: Version of the layout it was written in.
        head: JSON-able mapping.
        arrays: Arrays by name.
    """

    schema: int
    head: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


class StorageError(InputError):
    """A file that cannot be read as what it was asked for."""


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and move it there when the block ends without an error.

    Readers see the old file or the new one, never half of one, also when the process is killed.

    Args:
        path: The file to write.
        durable: Wait until the disk has it, so that it also survives a loss of power; waiting takes from a
            few milliseconds to half a second.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.touch()
        allowed = temporary.stat().st_mode & 0o777
        yield temporary
        temporary.chmod(allowed)  # safetensors writes for the owner only, and files are made to be shared
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def check_target(path: str | os.PathLike[str], what: str, *sources: str | os.PathLike[str]) -> Path:
    """Find out whether a file can be written, before the work whose result it is to hold.

    Args:
        path: The file to write; folders that are missing are made then.
        what: What it will hold, for the message.
        *sources: Files that are read, and must not be overwritten.

    Raises:
        StorageError: A folder, one of the sources, or a place where nothing can be written.
    """
    target = Path(path)
    shown = shorten(repr(str(target)))
    if target.is_dir():
        raise StorageError(f"{shown} is a folder: name the file in it that {what} goes to.")
    if any(target.exists() and Path(source).exists() and target.samefile(source) for source in sources):
        raise StorageError(f"{shown} is the file that is read: {what} would replace it. Name another file.")
    place = next(folder for folder in target.absolute().parents if folder.exists())
    if not place.is_dir():
        raise StorageError(f"{shown} cannot be written: {str(place)!r} is a file. Name another place.")
    try:
        trial = place / f".{secrets.token_hex(8)}.tmp"
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise StorageError(f"{shown} cannot be written: {error.strerror}. Name another place.") from error
    return target


def digest(head: Mapping[str, Any], arrays: Arrays) -> str:
    """SHA-256 over a JSON head and named arrays: names, dtypes, shapes and bytes."""
    sha = hashlib.sha256(_canonical(head).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        sha.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        sha.update(array.reshape(-1).view(np.uint8).data)
    return sha.hexdigest()


def _canonical(head: Mapping[str, Any]) -> str:
    return json.dumps(head, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=True)


def write(
    path: str | os.PathLike[str],
    *,
    kind: str,
    schema: int,
    head: Mapping[str, Any],
    arrays: Arrays,
    durable: bool = True,
) -> Path:
    """Write arrays and a JSON head to one file, atomically.

    Args:
        path: Where to; missing folders are made.
        kind: What the file holds, for example ``"regularization_path"``.
        schema: Version of that kind's layout.
        head: JSON-able mapping.
        arrays: Boolean, integer or float arrays by name.
        durable: See :func:`atomic_path`. What is written often and checked when read can do without.

    Returns:
        The path written.

    Raises:
        StorageError: An array of a dtype that cannot be stored (object, string), or a head that is not
            JSON-able.
        OSError: The disk is full, or the folder cannot be written to.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in _ALLOWED_KINDS:
            msg = (
                f"array {name!r} is not compatible with a {kind} file: it must be boolean, integer or float; "
                f"got dtype {array.dtype}."
            )
            raise StorageError(msg)
    body = dict(head)
    try:
        envelope = {"kind": kind, "schema": schema, "head": body, "sha256": digest(body, arrays)}
        text = _canonical(envelope)
    except TypeError as error:
        msg = (
            f"{kind.replace('_', ' ').capitalize()} cannot be saved: the settings must be JSON-able; {error}."
        )
        raise StorageError(msg) from error
    with atomic_path(path, durable=durable) as temporary:
        # Not ascontiguousarray, which turns a single number () into a row (1,).
        tensors = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        try:
            save_file(tensors, temporary, metadata={_HEAD_KEY: text})
        except SafetensorError as error:
            raise _as_os_error(error, Path(path)) from error
    return Path(path)


def _as_os_error(error: SafetensorError, path: Path) -> Exception:
    """A full disk, said by safetensors in its own words, as what Python says of one."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1])), str(path)) if found else error


def read(
    path: str | os.PathLike[str], *, kind: str, schema: int
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Head and arrays of a file that :func:`write` wrote; see :func:`read_stored`."""
    return read_stored(path, kind=kind, schema=schema)[1:]


def read_stored(path: str | os.PathLike[str], *, kind: str, schema: int) -> Stored:
    """Read a file that :func:`write` wrote.

    Args:
        path: The file.
        kind: The kind that is wanted.
        schema: The newest schema that the caller understands.

    Returns:
        The head and the arrays, with the schema they were written in.

    Raises:
        FileNotFoundError: There is no such file.
        StorageError: Not such a file, another kind, a newer schema, truncated or tampered with.
    """
    source = Path(path)
    if not source.is_file():
        msg = f"{shorten(str(source))!r} does not exist: {kind.replace('_', ' ')} cannot be read from it."
        raise FileNotFoundError(msg)
    try:
        with safe_open(str(source), framework="numpy") as file:
            text = (file.metadata() or {}).get(_HEAD_KEY)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, TypeError, KeyError) as error:
        raise _unreadable(source, kind, f"a file that cannot be parsed ({shorten(str(error))})") from error
    if text is None:
        raise _unreadable(source, kind, "a safetensors file of another program")
    envelope = _parse(text, source, kind)
    if envelope["kind"] != kind:
        raise _unreadable(source, kind, f"a file of kind {shorten(repr(envelope['kind']))}")
    if envelope["schema"] > schema:
        got = f"of schema {envelope['schema']}, and this version reads up to {schema}: update the package"
        raise _unreadable(source, kind, got)
    head: dict[str, Any] = envelope["head"]
    if digest(head, arrays) != envelope["sha256"]:
        raise _unreadable(source, kind, "a file whose checksum does not match: it was changed or damaged")
    return Stored(envelope["schema"], head, arrays)


def _parse(text: str, source: Path, kind: str) -> dict[str, Any]:
    try:
        envelope = json.loads(text)
    except json.JSONDecodeError as error:
        raise _unreadable(source, kind, "a file with a damaged head") from error
    expected = {"kind": str, "schema": int, "head": dict, "sha256": str}
    if not isinstance(envelope, dict) or any(
        not isinstance(envelope.get(key), type_) for key, type_ in expected.items()
    ):
        raise _unreadable(source, kind, "a file with an incomplete head")
    return envelope


def _unreadable(source: Path, kind: str, got: str) -> StorageError:
    return StorageError(
        f"{shorten(str(source))!r} holds no {kind.replace('_', ' ')} that can be read: it is {got}. "
        "Save the result again, or compute it anew."
    )
