"""The commands as a user calls them: a mistake is one line that says what to do."""

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparse_debug_widgets.cli import fit
from sparse_debug_widgets.cli.console import progress_bar, show
from sparse_debug_widgets.cli.parser import main
from sparse_debug_widgets.core.page import Table
from sparse_debug_widgets.core.progress import Cancelled, Progress
from sparse_debug_widgets.sparse import DeepFeatures, RegularizationPath, elastic_net_path

ROOT = Path(__file__).parents[2]


def problem(n: int = 90, p: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    values = rng.normal(size=(n, p)).astype(np.float32)
    values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
    return values, labels


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"sparse_debug_widgets {version('sparse-debug-widgets')}\n"


def test_version_and_help_load_no_torch() -> None:
    script = (
        "import sys; from sparse_debug_widgets.cli.parser import build_parser; build_parser().format_help(); "
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{script}sys.exit('torch' in sys.modules)"], check=False, timeout=60
    )
    assert done.returncode == 0


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["dmeo"])
    assert end.value.code == 2
    assert "demo" in capsys.readouterr().err


def test_fit_reads_arrays_and_writes_a_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values, labels = problem()
    np.savez(tmp_path / "features.npz", values=values, labels=labels)
    arguments = ["--n-lambdas", "5", "--eps", "0.1", "--alpha", "0.9"]
    assert main(["fit", str(tmp_path / "features.npz"), str(tmp_path / "path.safetensors"), *arguments]) == 0
    path = RegularizationPath.load(tmp_path / "path.safetensors")
    assert path.lambdas.shape == (5,)
    assert path.alpha == 0.9
    assert "5 lambdas, 5 of them certified" in capsys.readouterr().out


def test_fit_reads_saved_features(tmp_path: Path) -> None:
    DeepFeatures.from_arrays(*problem()).save(tmp_path / "features.safetensors")
    target = tmp_path / "path.safetensors"
    assert (
        main(["fit", str(tmp_path / "features.safetensors"), str(target), "--n-lambdas", "3", "--eps", "0.2"])
        == 0
    )
    assert RegularizationPath.load(target).lambdas.shape == (3,)


def command_line(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "sparse_debug_widgets", *map(str, arguments)]


def test_a_stopped_fit_keeps_its_part_and_goes_on_to_the_same_path(tmp_path: Path) -> None:
    values, labels = problem(n=600, p=60)
    np.savez(tmp_path / "features.npz", values=values, labels=labels)
    target, folder = tmp_path / "path.safetensors", tmp_path / "checkpoint"
    settings = ["--solver", "saga", "--tol", "1e-5", "--n-lambdas", "40"]
    command = command_line("fit", tmp_path / "features.npz", target, "--checkpoint", folder, *settings)
    solved = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and n_files(folder) <= solved + 4:
            time.sleep(0.01)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        part = RegularizationPath.load(target)
        assert solved < part.n_lambdas < 40
        assert f"Stopped after {part.n_lambdas} lambdas" in printed
        assert "the same command goes on from there" in printed
        solved = part.n_lambdas
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    resumed = RegularizationPath.load(target)
    straight = elastic_net_path(values, labels, solver="saga", tol=1e-5, n_lambdas=40)
    assert resumed.n_lambdas == straight.n_lambdas == 40
    np.testing.assert_array_equal(resumed.weight_data, straight.weight_data)
    np.testing.assert_array_equal(resumed.weight_indices, straight.weight_indices)
    np.testing.assert_array_equal(resumed.intercepts, straight.intercepts)


def n_files(folder: Path) -> int:
    return len(list(folder.glob("*"))) if folder.is_dir() else 0


def test_a_checkpoint_of_other_settings_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values, labels = problem()
    np.savez(tmp_path / "features.npz", values=values, labels=labels)
    fit = ["fit", str(tmp_path / "features.npz"), str(tmp_path / "path.safetensors"), "--n-lambdas", "3"]
    checkpoint = ["--eps", "0.2", "--checkpoint", str(tmp_path / "checkpoint")]
    assert main([*fit, *checkpoint]) == 0
    capsys.readouterr()
    assert main([*fit, *checkpoint, "--alpha", "0.5"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("sparse_debug_widgets: Checkpoint 'checkpoint' is of another fit")
    assert "alpha" in error


BROKEN = {
    "missing.npz": (None, "No such file"),
    "not-a-zip.npz": (b"hello", "must be an .npz archive"),
    "features.safetensors": (b"hello", "holds no deep features that can be read"),
    "table.csv": (b"a,b\n1,2\n", "must have a column of labels called 'label'"),
    "words.csv": (b"a,label\nx,1\ny,0\n", "must have numbers in every column but 'label'"),
    "labels.csv": (b"label\n1\n0\n", "got no other column"),
    "empty.csv": (b"", "must be a table"),
    "values.npy": (b"", "numpy.savez"),
    "short.npz": ("short", "a header of 'values.npy' that promises 48,000 bytes where there are 480"),
    "bomb.npz": ("bomb", "that promises 8,000,000,000,000 bytes"),
    "cut.npz": ("cut", "must be an .npz archive"),
}


def archive(file: Path, how: str) -> None:
    """An archive whose header lies about its array, or whose end is missing."""
    values, labels = problem(10)
    if how == "cut":
        np.savez(file, values=values, labels=labels)
        file.write_bytes(file.read_bytes()[:-40])
        return
    shape = (1000, 6) if how == "short" else (10**6, 10**6)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("values.npy", head.getvalue() + values.astype(np.float64).tobytes())
        labelled = io.BytesIO()
        np.save(labelled, labels)
        target.writestr("labels.npy", labelled.getvalue())


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_clear_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = BROKEN[name]
    if isinstance(content, str):
        archive(tmp_path / name, content)
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["fit", str(tmp_path / name), str(tmp_path / "path.safetensors")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("sparse_debug_widgets: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "path.safetensors").exists()


def test_more_than_memory_holds_is_not_unpacked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "x.npz", values=np.zeros((1000, 50)), labels=np.arange(1000) % 2)
    monkeypatch.setattr(fit, "physical_memory", lambda: 500_000)
    monkeypatch.setattr(np, "load", None)
    assert main(["fit", str(tmp_path / "x.npz"), str(tmp_path / "path")]) == 1
    assert "half of this machine's memory" in capsys.readouterr().err


def test_a_table_is_read(tmp_path: Path) -> None:
    values, labels = problem()
    table = pd.DataFrame(values, columns=[f"f{j}" for j in range(values.shape[1])])
    table.insert(2, "label", [("cat", "dog", "eel")[k] for k in labels])
    table.to_csv(tmp_path / "x.csv", index=False)
    settings = ["--n-lambdas", "3", "--eps", "0.2"]
    assert main(["fit", str(tmp_path / "x.csv"), str(tmp_path / "path"), *settings]) == 0
    assert RegularizationPath.load(tmp_path / "path").class_names == ("cat", "dog", "eel")


TARGETS = {
    "a folder": ("", "is a folder: name the file in it"),
    "the input": ("x.npz", "is the file that is read"),
    "in a file": ("x.npz/path", "is a file. Name another place"),
    "nowhere": ("/proc/path", "cannot be written"),
}


@pytest.mark.parametrize("where", TARGETS)
def test_where_the_path_goes_is_checked_before_the_work(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values, labels = problem()
    np.savez(tmp_path / "x.npz", values=values, labels=labels)
    before = (tmp_path / "x.npz").read_bytes()
    monkeypatch.setattr(fit, "submit", None)  # no work is begun
    target, message = TARGETS[where]
    assert main(["fit", str(tmp_path / "x.npz"), str(tmp_path / target)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert (tmp_path / "x.npz").read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [tmp_path / "x.npz"]


def test_a_folder_is_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(tmp_path), str(tmp_path / "path")]) == 1
    assert "is a folder: name the file in it" in capsys.readouterr().err


def test_the_report_needs_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("taken")
    assert main(["demo", "--headless", "--out", str(tmp_path / "out")]) == 1
    assert "is a file. Name another place" in capsys.readouterr().err


def test_an_archive_without_the_two_arrays_says_what_it_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "x.npz", X=np.zeros(3))
    assert main(["fit", str(tmp_path / "x.npz"), str(tmp_path / "path.safetensors")]) == 1
    assert "must hold the arrays 'values' and 'labels'; got ['X']" in capsys.readouterr().err


def test_pickled_arrays_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values, labels = problem()
    np.savez(tmp_path / "x.npz", values=values, labels=labels.astype(object))
    assert main(["fit", str(tmp_path / "x.npz"), str(tmp_path / "path.safetensors")]) == 1
    assert "x.npz" in capsys.readouterr().err


def test_a_mistyped_demo_name_suggests_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--headless", "--name", "shaeps", "--out", str(tmp_path / "out")]) == 1
    assert "shapes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def bootstrap(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", str(ROOT / ".ci" / "bootstrap.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


def test_bootstrap_without_a_task_says_what_to_do() -> None:
    done = bootstrap(PATH="")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "python3 .ci/bootstrap.py ci" in done.stderr


def test_bootstrap_fails_with_one_line_where_no_browser_can_be_had() -> None:
    done = bootstrap("ci", PATH="")
    assert done.returncode == 1
    assert done.stderr == (
        "bootstrap: the browser tests need Chromium: install it with 'apt-get install chromium' as root, "
        "then run this again\n"
    )


def test_bootstrap_does_not_swallow_a_mistyped_browser() -> None:
    done = bootstrap("ci", PATH="", SDW_BROWSER="/no/such/browser")
    assert done.returncode == 1
    assert "SDW_BROWSER names no program: '/no/such/browser'" in done.stderr


def test_names_in_tables_are_text_and_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show(Table("[red]title[/red]", ("a",), (("[/nonsense] :smile:",),), note="[bold]"))
    printed = capsys.readouterr().out
    assert "[red]title[/red]" in printed
    assert "[/nonsense] :smile:" in printed
    assert "[bold]" in printed


def test_the_progress_bar_turns_ctrl_c_into_a_request(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with progress_bar("working") as report:
        report(Progress(1, 2, "note [/nonsense]"))
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Cancelled):
            report(Progress(2, 2))
    assert signal.getsignal(signal.SIGINT) is before
    assert "working" in capsys.readouterr().err


def test_fit_under_torchrun_writes_the_path_of_all_rows(tmp_path: Path) -> None:
    values, labels = problem()
    order = np.argsort(labels, kind="stable")
    values, labels = values[order], labels[order]
    half = len(values) // 2
    for rank, rows in enumerate((slice(0, half), slice(half, None))):
        np.savez(tmp_path / f"{rank}.npz", values=values[rows], labels=labels[rows])
    settings = ["--n-lambdas", "4", "--eps", "0.1", "--tol", "1e-7"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = ["-m", "sparse_debug_widgets", "fit", str(tmp_path / "{rank}.npz"), str(tmp_path / "path")]
    steady = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launch, *command, *settings],
        env=os.environ | steady,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    path = RegularizationPath.load(tmp_path / "path")
    whole = elastic_net_path(values, labels, n_lambdas=4, eps=0.1, tol=1e-7)
    np.testing.assert_allclose(path.objectives, whole.objectives, rtol=1e-8)
    assert path.provenance.params["processes"] == 2
    assert done.stdout.count("4 lambdas, 4 of them certified") == 1
