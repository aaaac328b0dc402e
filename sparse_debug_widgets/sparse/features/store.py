"""The place of extracted features while they are being made: memory, or a folder that survives.

A folder holds one raw float32 file and a journal with one line per minibatch: its number of rows, a hash of
the data that went in and a checksum of the features that came out. A block is used again only if both still
hold, so an interrupted extraction goes on where it stopped and nothing stale is ever reused.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import refuse, shorten
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.storage import atomic_path

_SCHEMA = 1
_ROW_TYPE = np.dtype("<f4")


class StaleCacheWarning(UserWarning):
    """A feature cache is not reused, or only in part; the message says why."""


class FeatureStore(Protocol):
    """Takes blocks of features in order and gives one array back."""

    def reuse(self, rows: int, data_digest: str) -> bool:
        """Step over the next block if it is there already, made from these very data; say whether it was."""

    def append(self, features: npt.NDArray[np.float32], data_digest: str) -> None:
        """Add a block (rows, p)."""

    def finish(self) -> npt.NDArray[np.float32]:
        """All blocks as one array (n, p), or a memory map of it."""

    def close(self, *, failed: bool) -> None:
        """Release what must not outlive the extraction."""


class MemoryStore:
    """One array in memory, allocated once where the number of rows is known."""

    def __init__(self, n: int, p: int) -> None:
        self._values = np.empty((n, p), np.float32)
        self._rows = 0

    def reuse(self, rows: int, data_digest: str) -> bool:
        """Nothing is ever there already."""
        return False

    def append(self, features: npt.NDArray[np.float32], data_digest: str) -> None:
        """Add a block (rows, p); grow where the data promised fewer rows than they gave."""
        end = self._rows + len(features)
        if end > len(self._values):
            # Twice the space each time, so that many small blocks do not copy everything again and again.
            space = np.empty((max(len(features), self._rows), features.shape[1]), np.float32)
            self._values = np.concatenate([self._values[: self._rows], space])
        self._values[self._rows : end] = features
        self._rows = end

    def finish(self) -> npt.NDArray[np.float32]:
        """The rows that were added."""
        return self._values[: self._rows]

    def close(self, *, failed: bool) -> None:
        """Nothing to release."""


class DiskStore:
    """A folder with a journal.

    Args:
        folder: Where the blocks live; made if it is missing.
        identity: What the features depend on beside the data: ``{"model": fingerprint, "layer": name}``.
        p: Number of features.
        memory_budget: An array of at most so many bytes is given back in memory, a larger one memory-mapped.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str], p: int, memory_budget: int) -> None:
        if folder.exists() and not folder.is_dir():
            refuse(f"{shorten(str(folder))!r} is a file, and a cache is a folder: name another one.")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.reused_rows = 0
        self._identity = dict(identity)
        self._row_bytes = p * _ROW_TYPE.itemsize
        self._p = p
        self._budget = memory_budget
        self._journal: list[dict[str, Any]] = []
        self._next = 0
        self._rows = 0
        self._open()

    def _open(self) -> None:
        """Find what is there already and say why if it is of no use."""
        head = self._read_head()
        if head is None:
            return self._begin(None)
        self._token = head["token"]
        reason = self._difference(head)
        if reason:
            return self._begin(reason)
        self._journal = _read_journal(self._path("journal"))
        # Without a torn last line, which the next block would otherwise be appended to.
        self._write_journal()
        return None

    def _read_head(self) -> dict[str, Any] | None:
        path = self.folder / "head.json"
        try:
            head = json.loads(path.read_text(encoding="utf-8"))
            token = head["token"]
            good = isinstance(head["identity"], dict) and len(token) == 16 and token.isalnum()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            good = False
        if not good:
            self._warn("its head cannot be read")
            return None
        return head  # type: ignore[no-any-return]

    def _difference(self, head: Mapping[str, Any]) -> str:
        if head.get("schema") != _SCHEMA or head.get("p") != self._p:
            return "it has another layout"
        for name, what in (
            ("layer", "it was made at another layer"),
            ("model", "the model has changed since"),
        ):
            if head["identity"].get(name) != self._identity.get(name):
                return what
        return ""

    def _warn(self, reason: str, rows: int = 0) -> None:
        kept = f"only its first {rows} rows are reused" if rows else "it is not reused"
        text = f"feature cache {str(self.folder)!r}: {kept}, because {reason}. Extracting again."
        notice(text, StaleCacheWarning)

    def _begin(self, reason: str | None) -> None:
        """Start new files that keep the rows accepted so far.

        Files of their own rather than the old ones cut short: an array that somebody mapped from those
        must not change, let alone lose its pages.
        """
        if reason:
            self._warn(reason, self._rows)
        old = [self._path("features"), self._path("journal")] if hasattr(self, "_token") else []
        kept = self._rows * self._row_bytes
        self._token = secrets.token_hex(8)
        with self._path("features").open("wb") as target:
            if kept:
                with old[0].open("rb") as source:
                    _copy_bytes(source, target, kept)
        self._journal = self._journal[: self._next]
        self._write_journal()
        head = {"schema": _SCHEMA, "p": self._p, "identity": self._identity, "token": self._token}
        with atomic_path(self.folder / "head.json") as path:
            path.write_text(json.dumps(head), encoding="utf-8")
        for path in old:
            # Where a mapped file cannot be removed (Windows), it stays until the folder is deleted.
            with suppress(OSError):
                path.unlink()

    def _write_journal(self) -> None:
        text = "".join(json.dumps(entry) + "\n" for entry in self._journal)
        with atomic_path(self._path("journal")) as path:
            path.write_text(text, encoding="utf-8")

    def _path(self, what: str) -> Path:
        return self.folder / f"{what}-{self._token}.{'f32' if what == 'features' else 'jsonl'}"

    def reuse(self, rows: int, data_digest: str) -> bool:
        """Step over the next block if it is there already, made from these very data; say whether it was."""
        if self._next >= len(self._journal):
            return False
        entry = self._journal[self._next]
        if entry["rows"] != rows:
            reason = f"its blocks have {entry['rows']} rows and batches now have {rows}"
        elif entry["data"] != data_digest:
            reason = f"the data have changed in row {self._rows} or soon after"
        elif self._checksum(rows) != entry["features"]:
            reason = f"the block that begins with row {self._rows} is damaged"
        else:
            self._next += 1
            self._rows += rows
            self.reused_rows = self._rows
            return True
        self._begin(reason)
        return False

    def _checksum(self, rows: int) -> str:
        with self._path("features").open("rb") as file:
            file.seek(self._rows * self._row_bytes)
            return hashlib.sha256(file.read(rows * self._row_bytes)).hexdigest()

    def append(self, features: npt.NDArray[np.float32], data_digest: str) -> None:
        """Add a block: first its bytes, then its line, so that a torn block has no line."""
        raw = np.ascontiguousarray(features, _ROW_TYPE).reshape(-1).view(np.uint8)
        entry = {
            "rows": len(features),
            "data": data_digest,
            "features": hashlib.sha256(raw.data).hexdigest(),
        }
        with self._path("features").open("rb+") as file:
            file.seek(self._rows * self._row_bytes)
            file.write(raw.data)
        with self._path("journal").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        self._journal.append(entry)
        self._next += 1
        self._rows += len(features)

    def finish(self) -> npt.NDArray[np.float32]:
        """All blocks as one array; a memory map where it exceeds the budget."""
        if self._next < len(self._journal):
            # The data have become shorter: what is left over belongs to no row.
            self._begin("the data have become shorter")
        shape = (self._rows, self._p)
        mapped = np.memmap(self._path("features"), _ROW_TYPE, mode="r", shape=shape)
        if self._rows * self._row_bytes <= self._budget:
            return np.array(mapped, np.float32)
        return mapped

    def close(self, *, failed: bool) -> None:
        """Nothing to release: the folder is kept for the next run."""


class TemporaryStore(DiskStore):
    """A folder that is removed when nothing is mapped from it any more."""

    def __init__(self, p: int, memory_budget: int) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="sdw-features-")), {}, p, memory_budget)

    def finish(self) -> npt.NDArray[np.float32]:
        """All blocks as one array; the folder goes with the last view of a memory map."""
        values = super().finish()
        if isinstance(values, np.memmap):
            # The mapping itself, which every view of the array keeps alive.
            weakref.finalize(values._mmap, shutil.rmtree, self.folder, ignore_errors=True)  # type: ignore[attr-defined]
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        return values

    def close(self, *, failed: bool) -> None:
        """Remove the folder if the extraction did not finish."""
        if failed:
            shutil.rmtree(self.folder, ignore_errors=True)


def _copy_bytes(source: Any, target: Any, count: int) -> None:  # noqa: ANN401 - binary files
    while count > 0:
        block = source.read(min(count, 1 << 24))
        if not block:
            return
        target.write(block)
        count -= len(block)


def _read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal up to the first that is torn or odd."""
    entries: list[dict[str, Any]] = []
    with suppress(OSError), path.open(encoding="utf-8") as file:
        for line in file:
            try:
                entry = json.loads(line)
                good = (
                    entry["rows"] > 0
                    and isinstance(entry["data"], str)
                    and isinstance(entry["features"], str)
                )
            except (ValueError, KeyError, TypeError):
                good = False
            if not good:
                break
            entries.append(entry)
    return entries
