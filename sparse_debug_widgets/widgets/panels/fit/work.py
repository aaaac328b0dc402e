"""The fits of one source: run as jobs, kept with their settings, shared by all panels of that source."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.fingerprint import array_fingerprint, combine
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.progress import ProgressCallback
from sparse_debug_widgets.sparse import DeepFeatures, RegularizationPath, elastic_net_path
from sparse_debug_widgets.sparse.path.checkpoint import solved_in
from sparse_debug_widgets.widgets.kit.code import Cell
from sparse_debug_widgets.widgets.kit.jobs import plain_hint
from sparse_debug_widgets.widgets.kit.run_list import RunList
from sparse_debug_widgets.widgets.panels.fit.settings import FIT_ONLY
from sparse_debug_widgets.widgets.panels.fit.source import FitSource

if TYPE_CHECKING:
    from torch import nn

_KEPT_FOLDERS = 40
_KEPT_BYTES = 8 << 30


def default_folder() -> Path:
    """Return the folder of checkpoints, unless the panel is told another; ``SDW_CHECKPOINTS`` moves it."""
    base = os.environ.get("SDW_CHECKPOINTS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(base) if base else cache / "sparse-debug-widgets" / "fits"


class PathRun:
    """One fit: its settings, its job, and what came of it.

    Attributes:
        number: Counts the fits of this source.
        values: Settings.
        code: The calls that reproduce it.
        pinned: Whether a person wants it kept, to compare others with it.
        notes: Warnings that the fit gave.
        folder: Its checkpoint, once it is known.
    """

    def __init__(self, number: int, values: Mapping[str, Any], code: Cell) -> None:
        self.number = number
        self.values = dict(values)
        self.code = code
        self.pinned = False
        self.notes: list[str] = []
        self.folder: Path | None = None
        self.job: Job[RegularizationPath]

    def hint(self, error: BaseException) -> str:
        """Say what to do about its error: what was solved is kept, if something was and there is a place."""
        hint = plain_hint(error)
        solved = len(self.job.pieces)
        if not solved or self.folder is None:
            return hint
        what = "The lambda solved so far is" if solved == 1 else f"The {solved} lambdas solved so far are"
        return f"{hint} {what} kept: the same settings go on from there."

    @property
    def path(self) -> RegularizationPath | None:
        """The path, also the part that a cancelled fit has found; None while there is none."""
        if self.job.state == "done":
            return self.job.result(0)
        return self.job.partial


class Fits(RunList[PathRun]):
    """All fits of one source.

    Args:
        source: Where the features come from.
        root: Folder of checkpoints; None keeps none.
    """

    def __init__(self, source: FitSource, root: Path | None) -> None:
        super().__init__()
        self.source = source
        self.root = root

    def start(self, values: Mapping[str, Any], code: Cell) -> PathRun:
        """Run a fit beside the notebook; settings that were interrupted go on where they stopped."""
        model = self.source.copied()
        run = PathRun(self.next_number(), values, code)
        run.job = jobs.submit(
            _fit, self.source, model, run, self.root, name=f"path fit {run.number}", noun="fit"
        )
        self.add(run)
        return run

    def kept(self, values: Mapping[str, Any]) -> int:
        """Count the strengths that a checkpoint holds for these settings; 0 while that is not known."""
        features = self.source.features
        if self.root is None or features is None:
            return 0
        split = self.source.split(values)
        return solved_in(self.root / key_of(features, values, split))


def key_of(features: DeepFeatures, values: Mapping[str, Any], split: str) -> str:
    """Name of the checkpoint folder of a fit; the checkpoint itself makes sure that it belongs."""
    settings = json.dumps({name: values[name] for name in FIT_ONLY}, sort_keys=True)
    base = combine(array_fingerprint(features.mean, features.scale), features.provenance.fingerprint)
    return hashlib.sha256(combine(base, split, settings).encode()).hexdigest()[:24]


def _fit(
    source: FitSource, model: nn.Module | None, run: PathRun, root: Path | None, *, progress: ProgressCallback
) -> RegularizationPath:
    """The job: features first, then the path with its checkpoint."""
    values = run.values
    with collected_notices() as run.notes:
        features = source.take(values, model, progress)
        if root is not None:
            whole = source.features or features
            run.folder = root / key_of(whole, values, source.split(values))
            _make_room(root, run.folder)
        return elastic_net_path(
            features,
            **{name: values[name] for name in FIT_ONLY},
            device=None if values["device"] == "cpu" else values["device"],
            checkpoint=run.folder,
            progress=progress,
        )


_room = threading.Lock()


def _make_room(root: Path, wanted: Path) -> None:
    """Remove the checkpoints that have not been touched for longest."""
    with _room, suppress(OSError):
        folders = [path for path in root.iterdir() if path.is_dir() and path != wanted]
        folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for place, folder in enumerate(folders):
            total += sum(file.stat().st_size for file in folder.iterdir())
            if place >= _KEPT_FOLDERS or total > _KEPT_BYTES:
                shutil.rmtree(folder, ignore_errors=True)


_KEPT_SOURCES = 8
# Bounded rather than weak: a closed panel's fits are found again, and identities cannot be used twice.
_known: dict[tuple[Any, ...], Fits] = {}


def fits_of(source: FitSource, root: Path | None) -> Fits:
    """The fits of a source; a panel that is made again finds those of the panel before, also running ones."""
    if source.given is not None:
        splits = array_fingerprint(source.given.splits)
        key: tuple[Any, ...] = (source.given.provenance.fingerprint, splits, root)
    else:
        key = (id(source.model), id(source.data), root)
    found = _known.pop(key, None) or Fits(source, root)
    _known[key] = found
    if source.refreshable and not found.source.refreshable:
        found.source.model, found.source.data = source.model, source.data
    idle = [k for k, fits in _known.items() if fits.running is None and k != key]
    for old in idle[: max(0, len(_known) - _KEPT_SOURCES)]:
        del _known[old]
    return found
