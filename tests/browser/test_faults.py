"""What goes wrong in mid-fit, in real kernels: nothing is lost beyond the lambda in progress."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.sparse.path.checkpoint import solved_in
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from tests.browser.kernel import RealKernel

SETUP = """
import json, os, threading, time, warnings
import numpy as np, torch
torch.set_num_threads(1)
import sparse_debug_widgets as sdw
from sparse_debug_widgets.core import jobs
rng = np.random.default_rng(0)
labels = np.arange(600) % 4
centres = rng.normal(size=(4, 40)) * (rng.random((4, 40)) < 0.2)
values = (centres[labels] + rng.normal(size=(600, 40))).clip(0).astype(np.float32)
features = sdw.DeepFeatures.from_arrays(values, labels)
def show(folder, **options):
    settings = {"n_lambdas": 60, "eps": 0.02, "tol": 1e-4, "solver": "saga", **options}
    return sdw.fit_panel(features, checkpoints=folder, **settings)
def workers():
    return sum(t.name.startswith("sdw-job") for t in threading.enumerate())
"""
START = """
panel = show({folder!r})
job = panel.start()
def note(job):
    with open({report!r}, "w") as file:
        file.write(str(len(job.pieces)))
job.subscribe(note)
"""


def pieces_reported(report: Path) -> int:
    text = report.read_text() if report.exists() else ""
    return int(text or 0)


def checkpoint_in(folder: Path) -> Path:
    (found,) = (path for path in folder.iterdir() if path.is_dir())
    return found


def assert_whole(folder: Path) -> int:
    """Every file can be read, checksum and all; how many lambdas there are."""
    for file in folder.glob("lambda-*.safetensors"):
        storage.read(file, kind="path_checkpoint_lambda", schema=1)
    if (folder / "state.safetensors").exists():
        storage.read(folder / "state.safetensors", kind="path_checkpoint_state", schema=1)
    return solved_in(folder)


def kill_again_and_again(tmp: Path, times: int, seed: int = 0) -> tuple[int, int]:
    """Kill the kernel at random moments of one fit, each time resumed.

    Returns:
        Kills that hit a running fit, and lambdas that were reported and then lost.
    """
    rng, folder, report = np.random.default_rng(seed), tmp / "fits", tmp / "reported"
    hits = lost = 0
    with RealKernel(SETUP) as kernel:
        kernel.run(f"show({str(tmp / 'whole')!r}).start().result().save({str(tmp / 'whole.sdw')!r})")
        for _ in range(times):
            report.unlink(missing_ok=True)
            kernel.run(START.format(folder=str(folder), report=str(report)))
            time.sleep(float(rng.uniform(0.02, 0.5)))
            reported = pieces_reported(report)
            kernel.kill()
            held = assert_whole(checkpoint_in(folder)) if folder.exists() else 0
            if held < 60:
                hits += 1
                lost += max(0, reported - held)
            else:
                shutil.rmtree(folder)
            kernel.start()
        kernel.run(f"show({str(folder)!r}).start().result().save({str(tmp / 'end.sdw')!r})")
    whole, end = (RegularizationPath.load(tmp / name) for name in ("whole.sdw", "end.sdw"))
    for name in ("weight_data", "weight_indices", "intercepts", "duality_gaps", "accuracies"):
        np.testing.assert_array_equal(getattr(end, name), getattr(whole, name))
    assert not list(checkpoint_in(folder).glob(".*"))
    return hits, lost


def test_a_killed_kernel_loses_nothing_that_was_reported(tmp_path: Path) -> None:
    hits, lost = kill_again_and_again(tmp_path, 3)
    assert hits > 0
    assert lost == 0


def ran(*command: str) -> bool:
    """Whether a command of the system succeeded; mounting is not allowed everywhere."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def kernel() -> Iterator[RealKernel]:
    with RealKernel(SETUP) as running:
        yield running


def test_the_stop_button_stops_the_cell_and_not_the_fit(kernel: RealKernel, tmp_path: Path) -> None:
    kernel.run(START.format(folder=str(tmp_path), report=str(tmp_path / "report")))
    waiting = kernel.send("job.result()")
    time.sleep(0.2)
    kernel.interrupt()
    assert "KeyboardInterrupt" in kernel.wait(waiting, failing=True)
    state = kernel.run("print(job.state, workers(), job.result(120).n_lambdas, workers())").split()
    assert state[0] in {"running", "done"}
    assert state[2] == "60"
    assert kernel.run("time.sleep(0.3); print(workers())") == "0"


def test_cancelled_twice_is_cancelled_once_and_leaves_no_thread(kernel: RealKernel, tmp_path: Path) -> None:
    kernel.run(START.format(folder=str(tmp_path), report=str(tmp_path / "report")))
    said = kernel.run(
        "while len(job.pieces) < 3: time.sleep(0.01)\n"
        "first, second = job.cancel(), job.cancel()\n"
        "job.wait(30)\n"
        "time.sleep(0.3)\n"
        "counts = [job.partial.n_lambdas, len(job.pieces), workers()]\n"
        "print(json.dumps([first, second, job.cancel(), job.state, *counts]))"
    )
    first, second, third, state, kept, pieces, left = json.loads(said)
    assert (first, second, third, state, left) == (True, True, False, "cancelled", 0)
    assert kept >= pieces >= 3
    assert assert_whole(next(p for p in tmp_path.iterdir() if p.is_dir())) == kept


def test_an_error_in_the_worker_keeps_what_was_solved_and_says_what_happened(
    kernel: RealKernel, tmp_path: Path
) -> None:
    kernel.run(
        "from sparse_debug_widgets.sparse.path.records import Recorder\n"
        "plain = Recorder.add\n"
        "def broken(self, *rest):\n"
        "    if self.count == 5: raise RuntimeError('the worker broke')\n"
        "    return plain(self, *rest)\n"
        "Recorder.add = broken"
    )
    kernel.run(START.format(folder=str(tmp_path), report=str(tmp_path / "report")))
    said = kernel.run(
        "job.wait(60); until = time.monotonic() + 20\n"
        "while ('failure' not in panel.job or workers()) and time.monotonic() < until: time.sleep(0.05)\n"
        "Recorder.add = plain\n"
        "print(json.dumps([job.state, panel.job['failure'], workers()]))"
    )
    state, failure, left = json.loads(said)
    assert (state, left) == ("failed", 0)
    assert "the worker broke" in failure["message"]
    assert "go on from there" in failure["hint"]
    assert assert_whole(next(p for p in tmp_path.iterdir() if p.is_dir())) == 5
    assert kernel.run("print(panel.start().result(120).n_lambdas)") == "60"


def test_a_full_disk_is_said_and_the_fit_ends_whole(kernel: RealKernel, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mounted = os.geteuid() == 0 and ran("mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(full))
    limit = "" if mounted else "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, -1))\n"
    try:
        said = kernel.run(
            f"{limit}panel = show({str(full)!r})\njob = panel.start()\n"
            "path = job.result(120); time.sleep(0.3)\n"
            "print(json.dumps([path.n_lambdas, panel.job['notes']]))"
        )
        n_lambdas, notes = json.loads(said)
        held = assert_whole(checkpoint_in(full))
        assert not list(checkpoint_in(full).glob(".*"))
    finally:
        if mounted:
            ran("umount", str(full))
        else:
            kernel.run("resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))")
    assert n_lambdas == 60
    assert 0 < held < 60
    (note,) = notes
    assert f"keeps the first {held} strengths" in note
    assert "Free some space" in note
