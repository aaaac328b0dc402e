"""Files survive a round trip, and everything else is a clear error."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparse_debug_widgets.core import storage
from sparse_debug_widgets.core.result import Provenance, Result
from sparse_debug_widgets.core.storage import StorageError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Toy(Result):
    kind: ClassVar[str] = "toy"
    schema: ClassVar[int] = 2
    values: np.ndarray
    extra: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame({"value": self.values})

    def plot(self) -> go.Figure:
        return go.Figure()


class OtherToy(Toy):
    kind: ClassVar[str] = "other_toy"


def toy(**changes):
    fields = {
        "provenance": Provenance(method="toy:test", params={"a": 1}, seed=3, fingerprint="ff"),
        "values": np.arange(6.0).reshape(2, 3),
        "names": ("plain", '<b>"x"</b>\n', "\u202eright"),
    }
    return Toy(**(fields | changes))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    ),
    st.lists(st.text(max_size=20), max_size=3),
)
def test_round_trip_is_bitwise(tmp_path: Path, values, names):
    path = toy(values=values, names=tuple(names)).save(tmp_path / "toy.sdw")
    loaded = Toy.load(path)
    assert loaded.values.dtype == values.dtype
    assert loaded.values.tobytes() == values.tobytes()
    assert loaded.values.shape == values.shape
    assert loaded.names == tuple(names)
    assert loaded.extra is None
    assert loaded.provenance == toy().provenance


def test_arrays_are_read_only_and_the_callers_array_is_not_touched():
    mine = np.zeros(3)
    result = toy(values=mine)
    with pytest.raises(ValueError, match="read-only"):
        result.values[0] = 1
    mine[0] = 5  # still the caller's to write
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.values = mine


def test_repr_names_method_and_shapes():
    assert repr(toy()) == "Toy(method='toy:test', values=2x3 float64)"


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_truncated_file(tmp_path, keep):
    path = toy().save(tmp_path / "toy.sdw")
    data = path.read_bytes()
    length = int(len(data) * keep) if isinstance(keep, float) else keep
    path.write_bytes(data[:length])
    with pytest.raises(StorageError, match="holds no toy that can be read"):
        Toy.load(path)


def test_every_flipped_byte_is_noticed(tmp_path):
    path = toy().save(tmp_path / "toy.sdw")
    data = path.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        try:
            loaded = Toy.load(path)
        except StorageError:
            continue
        # The only bytes that may differ unnoticed are those that carry no content (padding, unused names).
        assert loaded.values.tobytes() == toy().values.tobytes()
        assert loaded.names == toy().names
        assert loaded.provenance == toy().provenance


def test_other_kind_newer_schema_and_foreign_files(tmp_path):
    path = toy().save(tmp_path / "toy.sdw")
    with pytest.raises(StorageError, match="it is a file of kind 'toy'"):
        OtherToy.load(path)
    storage.write(path, kind="toy", schema=3, head={}, arrays={})
    with pytest.raises(StorageError, match="schema 3, and this version reads up to 2"):
        Toy.load(path)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(StorageError, match="of another program"):
        Toy.load(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Toy.load(tmp_path / "missing.sdw")


def test_fields_that_do_not_fit_the_class(tmp_path):
    storage.write(tmp_path / "x", kind="toy", schema=2, head={"fields": {"bogus": 1}}, arrays={})
    with pytest.raises(StorageError, match=r"are not those of schema 2 .bogus, values"):
        Toy.load(tmp_path / "x")


def test_objects_and_unjsonable_heads_are_refused(tmp_path):
    with pytest.raises(StorageError, match="must be boolean, integer or float"):
        storage.write(tmp_path / "x", kind="t", schema=1, head={}, arrays={"a": np.array([object()])})
    with pytest.raises(StorageError, match="must be JSON-able"):
        storage.write(tmp_path / "x", kind="t", schema=1, head={"a": object()}, arrays={})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0, 3), (2, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_shape_comes_back_as_it_was(tmp_path, shape, order):
    array = np.full(shape, 7, dtype=np.int64, order=order)
    storage.write(tmp_path / "t.sdw", kind="t", schema=1, head={}, arrays={"a": array})
    _, arrays = storage.read(tmp_path / "t.sdw", kind="t", schema=1)
    assert arrays["a"].shape == shape
    np.testing.assert_array_equal(arrays["a"], array)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = toy().save(tmp_path / "toy.sdw")
    before = path.read_bytes()

    def interrupted_write():
        with storage.atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        interrupted_write()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_killed_in_the_middle_of_writing(tmp_path):
    """Whatever moment the process dies at, the file is the old one or the new one."""
    script = textwrap.dedent(
        """
        import sys, numpy as np
        from sparse_debug_widgets.core import storage
        print("ready", flush=True)
        for i in range(10**6):
            storage.write(sys.argv[1], kind="t", schema=1, head={"i": i}, arrays={"a": np.full(200_000, i)})
        """
    )
    target = tmp_path / "t.sdw"
    for delay in (0.01, 0.05, 0.13):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        while not target.exists():
            os.sched_yield()
        signal_after(process, delay)
        head, arrays = storage.read(target, kind="t", schema=1)
        assert (arrays["a"] == head["i"]).all()


def signal_after(process, delay):
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    process.stdout.close()


def test_the_head_is_readable_without_this_package(tmp_path):
    from safetensors import safe_open

    path = toy().save(tmp_path / "toy.sdw")
    with safe_open(str(path), framework="numpy") as file:
        head = json.loads(file.metadata()["sparse_debug_widgets"])
    assert head["kind"] == "toy"
    assert head["head"]["provenance"]["params"] == {"a": 1}


def test_a_stored_file_may_be_read_by_whom_any_new_file_may(tmp_path):
    """Those of safetensors are the owner's only: a report in a shared folder came without its path."""
    plain, stored = tmp_path / "plain", tmp_path / "stored.safetensors"
    before = os.umask(0o027)
    try:
        plain.touch()
        storage.write(stored, kind="toy", schema=1, head={}, arrays={"x": np.arange(3)})
    finally:
        os.umask(before)
    assert stored.stat().st_mode == plain.stat().st_mode
