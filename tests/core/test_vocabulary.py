"""checks, registry, seeding, progress."""

import io
import random
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparse_debug_widgets.core import checks, progress, seeding
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Progress
from sparse_debug_widgets.core.registry import Registry, UnknownNameError


def numpy_state():
    return np.random.get_state()[1].tobytes()  # noqa: NPY002 - the global generator is what is tested


@pytest.mark.parametrize("bad", ["0.5", None, True, float("nan"), float("inf"), -0.1, 1.1, 1j, [0.5]])
def test_check_real_refuses(bad):
    with pytest.raises(InputError, match=re.escape("alpha is not compatible with the penalty: it must be a")):
        checks.check_real(bad, "alpha", "the penalty", low=0, high=1)


def test_check_real_interval_ends():
    assert checks.check_real(np.float32(1), "x", "y", low=0, high=1) == 1.0
    with pytest.raises(InputError, match=re.escape("in (0, 1]; got 0")):
        checks.check_real(0, "x", "y", low=0, high=1, open_low=True)


@pytest.mark.parametrize("bad", [1.0, "1", True, 0, 11])
def test_check_int_refuses(bad):
    with pytest.raises(InputError, match="whole number of at least 1 and at most 10"):
        checks.check_int(bad, "k", "y", low=1, high=10)


def test_check_finite_says_where():
    array = np.ones((3, 2))
    array[1, 1] = np.nan
    with pytest.raises(InputError, match=re.escape("got nan at index (1, 1) (1 such entries in all)")):
        checks.check_finite(array, "features", "a fit")
    checks.check_finite(np.array([1, 2]), "features", "a fit")


@pytest.mark.parametrize(
    ("name", "known", "whose", "said"),
    [
        ("blent", ["blend", "rows"], "the panel", "The panel has no option 'blent'. Did you mean 'blend'?"),
        ("zzz", ["blend", "rows"], "the panel", "The panel has no option 'zzz'. Known: 'blend', 'rows'."),
        ("of", [], "gradient", "gradient has no option 'of'. It takes none: leave it out."),
    ],
)
def test_a_name_that_nothing_has_is_refused_in_a_plain_sentence(name, known, whose, said):
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        checks.check_known([*known, name], known, whose)
    checks.check_known(known, known, whose)


def test_a_long_name_that_nothing_has_is_cut():
    with pytest.raises(InputError) as caught:
        checks.check_known(["x" * 10_000], ["blend"], "the panel")
    assert len(str(caught.value)) < 200


def test_messages_do_not_flood_the_page():
    with pytest.raises(InputError) as caught:
        checks.check_choice("x" * 10_000, ["a", "b"], "solver", "a path")
    assert len(str(caught.value)) < 10_500
    assert len(checks.shorten("x" * 10_000)) == 120


def test_registry():
    registry: Registry[int] = Registry("demo", {"shapes": 1, "digits": 2})
    assert list(registry) == ["shapes", "digits"]
    assert registry["digits"] == 2
    with pytest.raises(UnknownNameError, match=r"Did you mean 'shapes'\?"):
        registry["shape"]
    with pytest.raises(UnknownNameError, match="Known: 'shapes', 'digits'"):
        registry["zzz"]
    with pytest.raises(InputError, match="already: choose another name"):
        registry.add("shapes", 3)
    assert registry.get("zzz") is None
    assert "shapes" in registry
    assert 3 not in registry


def test_streams_are_reproducible_independent_and_leave_the_global_generators_alone():
    states = random.getstate(), numpy_state(), torch.get_rng_state()
    a = seeding.generator(1, "split").random(4)
    assert (a == seeding.generator(1, "split").random(4)).all()
    assert (a != seeding.generator(1, "epochs").random(4)).all()
    assert (a != seeding.generator(2, "split").random(4)).all()
    b = torch.rand(4, generator=seeding.torch_generator(1, "split"))
    assert torch.equal(b, torch.rand(4, generator=seeding.torch_generator(1, "split")))
    assert random.getstate() == states[0]
    assert numpy_state() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_streams_are_the_same_on_every_machine():
    assert seeding.generator(0, "a", 1).integers(1000, size=3).tolist() == [798, 276, 124]


@pytest.mark.parametrize("bad", [-1, 1.5, "0", None])
def test_bad_seed(bad):
    with pytest.raises(InputError, match="seed is not compatible"):
        seeding.generator(bad)


def test_preserve_rng_also_after_an_error():
    before = torch.get_rng_state(), numpy_state(), random.getstate()

    def draw_and_fail():
        with seeding.preserve_rng():
            torch.rand(3), random.random()
            np.random.rand(3)  # noqa: NPY002 - the global generator is what is tested
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        draw_and_fail()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy_state() == before[1]
    assert random.getstate() == before[2]


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_fraction_is_a_share(done, total):
    assert 0 <= Progress(done, total).fraction <= 1


def test_reporter_forms(monkeypatch):
    seen = []
    progress.reporter(seen.append)(Progress(1, 2))
    assert seen == [Progress(1, 2)]
    progress.reporter(None)(Progress(1, 2))
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    report = progress.reporter(True)
    for done in range(101):
        report(Progress(done, 100, f"lambda {done}"))
    assert "lambda 100: done in " in stream.getvalue().rsplit("\r", 1)[-1]
    assert stream.getvalue().count("\r") < 20  # coalesced
    with pytest.raises(InputError, match="must be a callable, True, False or None; got int"):
        progress.reporter(3)
