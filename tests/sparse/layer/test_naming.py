"""What features are called: kept with the path, in its tables, layers and files."""

import numpy as np
import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse import RegularizationPath, elastic_net_path
from sparse_debug_widgets.sparse.layer.naming import LONGEST_NAME, renamed


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 6))
    return elastic_net_path(X, np.argmax(X[:, :3], axis=1), n_lambdas=5)


def test_names_are_in_tables_layers_and_files(fitted, tmp_path):
    fitted.rename({0: "  stripes ", "feature 2": "مرحبا 🦓 <b>"})
    assert fitted.feature_names[:3] == ("stripes", "feature 1", "مرحبا 🦓 <b>")
    layer = fitted.decision_layer(4)
    assert "stripes" in set(layer.to_frame()["feature"])
    assert (layer.silence("stripes").weight[:, 0] == 0).all()
    read = RegularizationPath.load(fitted.save(tmp_path / "path"))
    assert read.feature_names == fitted.feature_names
    # Empty: its number again.
    fitted.rename({"stripes": "", 2: ""})
    assert fitted.feature_names == tuple(f"feature {j}" for j in range(6))


def test_names_can_be_exchanged():
    assert renamed(("a", "b", "c"), {"a": "b", "b": "a"}) == ("b", "a", "c")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"a": "b"}, "'b' is already the name of feature 1: choose another name"),
        ({0: "x" * (LONGEST_NAME + 1)}, "one line of at most"),
        ({0: "two\nlines"}, "one line"),
        ({0: 3}, "must be text"),
        ({9: "x"}, "a known name or an index"),
        ([("a", "b")], "be a mapping"),
    ],
)
def test_what_is_no_name_is_refused_and_changes_nothing(fitted, changes, said):
    before = fitted.feature_names
    with pytest.raises(InputError, match=said):
        renamed(("a", "b"), changes)
    with pytest.raises(InputError):
        fitted.rename({0: "feature 1"})
    assert fitted.feature_names == before
