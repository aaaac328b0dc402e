"""The feature cache: what is kept is used again only while it is what would be computed anew."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.sparse import (
    StaleCacheWarning,
    extract_features,
)
from sparse_debug_widgets.sparse.features.deep_features import DeadFeaturesWarning
from tests.contracts.untouched import disturb, untouched
from tests.sparse.models import expected, image_data, net

X, Y = image_data()

pytestmark = pytest.mark.filterwarnings(f"ignore::{DeadFeaturesWarning.__module__}.DeadFeaturesWarning")


@pytest.fixture
def model():
    return disturb(net())


# ---------------------------------------------------------------- cache


def run(model, cache, data=(X, Y), **options):
    """Extract with a cache: forward passes (without the one that finds the layer), and the features."""
    passes = []
    handle = model.fc.register_forward_hook(lambda *_: passes.append(1))
    try:
        with untouched(model):
            features = extract_features(model, data, cache=cache, **{"batch_size": 4, **options})
    finally:
        handle.remove()
    return len(passes) - 1, features


def test_an_unchanged_cache_saves_every_forward_pass(model, tmp_path):
    first, features = run(model, tmp_path / "cache")
    again, cached = run(model, tmp_path / "cache")
    assert (first, again) == (6, 0)
    np.testing.assert_array_equal(cached.values, features.values)
    assert cached.provenance.fingerprint == features.provenance.fingerprint
    assert cached.provenance.params["reused_rows"] == 24
    # Labels are no part of the cache: they are read anew.
    _, relabelled = run(model, tmp_path / "cache", (X, Y.flip(0)))
    assert (relabelled.labels == Y.flip(0).numpy()).all()


def change_weight(model):
    with torch.no_grad():
        model.conv.weight[0, 0, 0, 0] += 1e-4


def change_statistics(model):
    model.norm.running_var.mul_(1.5)


@pytest.mark.parametrize("change", [change_weight, change_statistics])
def test_another_model_is_never_served_from_the_cache(model, change, tmp_path):
    run(model, tmp_path)
    change(model)
    with pytest.warns(StaleCacheWarning, match="it is not reused, because the model has changed since"):
        passes, features = run(model, tmp_path)
    assert passes == 6
    np.testing.assert_allclose(features.values, expected(model), atol=1e-6)
    assert run(model, tmp_path)[0] == 0
    assert len(list(tmp_path.iterdir())) == 3


def test_another_layer_is_never_served_from_the_cache(tmp_path):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.fc = nn.Linear(64, 64), nn.Linear(64, 3)

        def forward(self, x):
            return self.fc(self.a(x.flatten(1)).relu())

    torch.manual_seed(0)
    model = Two()
    run(model, tmp_path, layer="fc")
    with (
        pytest.warns(StaleCacheWarning, match="made at another layer"),
        pytest.raises(InputError, match="labels"),
    ):
        extract_features(model, (X, Y + 64), layer="a", cache=tmp_path, batch_size=4)
    with pytest.warns(StaleCacheWarning, match="made at another layer"):
        assert run(model, tmp_path, layer="fc")[0] == 6


@pytest.mark.parametrize("row", [0, 9, 23])
def test_changed_data_are_noticed_from_the_first_changed_block_on(model, row, tmp_path):
    _, old = run(model, tmp_path, memory_budget=0)
    before = np.array(old.values)
    changed = X.clone()
    changed[row, 0, 0, 0] += 1e-3
    kept = row // 4 * 4
    words = f"only its first {kept} rows are reused" if kept else "it is not reused"
    with pytest.warns(StaleCacheWarning, match=f"{words}, because the data have changed in row {kept}"):
        passes, features = run(model, tmp_path, (changed, Y), memory_budget=0)
    assert passes == 6 - kept // 4
    assert features.provenance.params["reused_rows"] == kept
    np.testing.assert_allclose(features.values, expected(model, changed), atol=1e-6)
    # What was mapped before the change still holds what it held.
    np.testing.assert_array_equal(old.values, before)
    assert run(model, tmp_path, (changed, Y))[0] == 0


def test_shorter_longer_and_rebatched_data(model, tmp_path):
    run(model, tmp_path)
    with pytest.warns(StaleCacheWarning, match="the data have become shorter"):
        passes, features = run(model, tmp_path, (X[:20], Y[:20]))
    assert (passes, features.n) == (0, 20)
    passes, features = run(model, tmp_path)  # grows without a warning
    assert (passes, features.n) == (1, 24)
    np.testing.assert_allclose(features.values, expected(model), atol=1e-6)
    with pytest.warns(StaleCacheWarning, match="its blocks have 4 rows and batches now have 8"):
        assert run(model, tmp_path, batch_size=8)[0] == 3


def test_test_data_join_the_cache(model, tmp_path):
    run(model, tmp_path)
    passes, features = run(model, tmp_path, test=(X[:8] + 1, Y[:8]))
    assert passes == 2
    np.testing.assert_allclose(features.values[24:], expected(model, X[:8] + 1), atol=1e-6)


@pytest.mark.parametrize("rows", [4, 12, 20])
def test_an_interrupted_extraction_goes_on_where_it_stopped(model, rows, tmp_path):
    def cancel(progress):
        if progress.done >= rows:
            raise Cancelled

    with untouched(model), pytest.raises(Cancelled):
        extract_features(model, (X, Y), batch_size=4, cache=tmp_path, progress=cancel)
    passes, features = run(model, tmp_path)
    assert passes == 6 - rows // 4
    np.testing.assert_allclose(features.values, expected(model), atol=1e-6)


SLOWLY = """
import sys
from sparse_debug_widgets.sparse import extract_features
from tests.contracts.untouched import disturb
from tests.sparse.models import image_data, net

def say(progress):
    print(int(progress.done), flush=True)
    sys.stdin.readline()

extract_features(disturb(net()), image_data(), batch_size=4, cache=sys.argv[1], progress=say)
"""


def test_a_killed_extraction_loses_nothing_it_has_reported(model, tmp_path):
    undisturbed = run(model, tmp_path / "other")[1]
    for moment in (4, 20):  # the second life begins with what the first one left
        command = [sys.executable, "-c", SLOWLY, str(tmp_path / "cache")]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
        ) as process:
            while int(process.stdout.readline()) < moment:
                process.stdin.write("\n")
                process.stdin.flush()
            process.kill()
    passes, features = run(model, tmp_path / "cache")
    assert passes == 1
    assert features.provenance.params["reused_rows"] == 20
    assert features.values.tobytes() == undisturbed.values.tobytes()


def only(folder: Path, what: str) -> Path:
    (path,) = folder.glob(f"{what}*")
    return path


def flip_a_byte(folder):
    path = only(folder, "features-")
    raw = bytearray(path.read_bytes())
    raw[9 * 5 * 4 + 1] ^= 1
    path.write_bytes(raw)


def cut_the_features(folder):
    path = only(folder, "features-")
    path.write_bytes(path.read_bytes()[: 9 * 5 * 4])


@pytest.mark.parametrize("damage", [flip_a_byte, cut_the_features])
def test_damaged_blocks_are_made_again(model, damage, tmp_path):
    run(model, tmp_path)
    damage(tmp_path)
    with pytest.warns(
        StaleCacheWarning, match="only its first 8 rows .* the block that begins with row 8 is damaged"
    ):
        passes, features = run(model, tmp_path)
    assert passes == 4
    np.testing.assert_allclose(features.values, expected(model), atol=1e-6)


@pytest.mark.parametrize("tail", ['{"rows": 4, "da', "null\n", '{"rows": -4, "data": "", "features": ""}\n'])
def test_a_torn_journal_line_is_as_if_it_were_not_there(model, tail, tmp_path):
    run(model, tmp_path)
    journal = only(tmp_path, "journal-")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:3]) + tail)
    passes, features = run(model, tmp_path)
    assert passes == 3
    np.testing.assert_allclose(features.values, expected(model), atol=1e-6)
    assert run(model, tmp_path)[0] == 0


@pytest.mark.parametrize("head", ["", "[]", '{"token": "../../etc/passwd1", "identity": {}}', '{"token": 3}'])
def test_an_unreadable_head_is_said_and_nothing_is_reused(model, head, tmp_path):
    run(model, tmp_path)
    (tmp_path / "head.json").write_text(head)
    with pytest.warns(StaleCacheWarning, match="its head cannot be read"):
        assert run(model, tmp_path)[0] == 6
    assert run(model, tmp_path)[0] == 0


def test_another_layout_is_not_reused(model, tmp_path):
    run(model, tmp_path)
    head = tmp_path / "head.json"
    head.write_text(head.read_text().replace('"schema": 1', '"schema": 0'))
    with pytest.warns(StaleCacheWarning, match="it has another layout"):
        assert run(model, tmp_path)[0] == 6


def test_a_cache_that_is_a_file(model, tmp_path):
    (tmp_path / "file").write_text("mine")
    with (
        untouched(model),
        pytest.raises(InputError, match="is a file, and a cache is a folder"),
    ):
        extract_features(model, (X, Y), cache=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_other_files_in_the_folder_stay(model, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run(model, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
