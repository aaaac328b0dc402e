"""Panels give their memory back: when they are closed, and when the cell that showed them is run again."""

import gc
import weakref

import ipywidgets
import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from ipywidgets.widgets.widget import _instances

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.widgets import saliency_panel
from sparse_debug_widgets.widgets.kit import showings
from sparse_debug_widgets.widgets.kit.base import Panel
from tests.widgets.front import eventually, request
from tests.widgets.panels.saliency.small import ended, images, small_cnn

QUICK = {"methods": ("gradient",), "fallback": "none"}


@pytest.fixture
def shell(monkeypatch):
    shell = InteractiveShell()
    monkeypatch.setattr(showings, "_shell", lambda: shell)
    shell.display_pub.publish = lambda *_, **__: None
    shell.displayhook.write_format_data = lambda *_: None
    shell.displayhook.write_output_prompt = lambda: None
    shell.displayhook.finish_displayhook = lambda: None
    shell.user_ns |= {"sdw": sdw, "model": small_cnn(), "X": images(3), "QUICK": QUICK, "wait": ended}
    showings.listen(shell)
    yield shell
    showings._shown.clear()


@pytest.fixture
def born(monkeypatch):
    """Weak references to all panels that are made."""
    made = []
    real = Panel.__init__

    def noted(self, **options):
        real(self, **options)
        made.append(weakref.ref(self))

    monkeypatch.setattr(Panel, "__init__", noted)
    return made


def alive(born):
    gc.collect()
    return [panel() for panel in born if panel() is not None]


def run(shell, code, cell):
    result = shell.run_cell(code, store_history=True, cell_id=cell)
    result.raise_error()


CELL = "wait(sdw.saliency_panel(model, X, **QUICK))"


def test_twenty_runs_of_a_cell_leave_one_panel_and_its_maps(shell, born):
    before = len(jobs.queue.jobs), len(_instances)
    for _ in range(20):
        run(shell, CELL, "a")
    assert len(born) == 20
    assert len(alive(born)) == 1
    eventually(lambda: len(jobs.queue.jobs) <= before[0] + 1)
    # Its layout and itself.
    assert len(_instances) <= before[1] + 2


def test_panels_of_other_cells_and_of_the_users_names_stay(shell, born):
    run(shell, f"kept = {CELL}", "a")
    run(shell, "kept", "b")
    run(shell, CELL, "c")
    kept, other = alive(born)
    for cell, code in (("d", "1"), ("b", "2"), ("a", "X")):
        run(shell, code, cell)
    assert alive(born) == [kept, other]
    assert not kept.closed
    assert request(kept, "choose", row=1)[0]["ok"]
    ended(kept)
    run(shell, "kept", "b")
    assert kept.model_id in _instances
    run(shell, "del kept", "b")
    del kept
    assert alive(born) == [other]
    run(shell, "3", "c")
    del other
    assert alive(born) == []


def test_a_panel_that_is_shown_twice_stays_until_both_outputs_are_gone(shell, born):
    run(shell, f"kept = {CELL}; kept", "a")
    run(shell, "kept", "b")
    run(shell, "del kept", "a")
    (panel,) = alive(born)
    assert panel.model_id in _instances
    del panel
    run(shell, "1", "b")
    assert alive(born) == []


BOXED = f"ipywidgets.HBox([ipywidgets.VBox([ipywidgets.HTML('a'), {CELL}]), {CELL}])"


def count_boxes():
    return sum(isinstance(widget, ipywidgets.Box) for widget in _instances.values())


def test_panels_inside_boxes_go_with_the_boxes_when_the_cell_is_run_again(shell, born):
    shell.user_ns |= {"ipywidgets": ipywidgets, "show": lambda box: shell.display_formatter.format(box)[0]}
    run(shell, "ipywidgets.HBox([ipywidgets.Text()])", "other")
    before = len(jobs.queue.jobs), len(_instances)
    for _ in range(5):
        run(shell, BOXED, "a")
    run(shell, f"shown = bool(show({BOXED}))", "b")
    run(shell, f"shown = bool(show({BOXED}))", "b")
    assert len(born) == 14
    assert len(alive(born)) == 4
    eventually(lambda: len(jobs.queue.jobs) <= before[0] + 4)
    assert count_boxes() == 5
    for cell in ("a", "b", "other"):
        run(shell, "1", cell)
    assert alive(born) == []
    assert count_boxes() == 1  # that of somebody else


def test_a_box_that_a_name_holds_stays_with_its_panel_and_hears(shell, born):
    shell.user_ns["ipywidgets"] = ipywidgets
    run(shell, f"kept = ipywidgets.HBox([{CELL}])\nkept", "a")
    run(shell, "1", "a")
    (panel,) = alive(born)
    assert panel.model_id not in _instances
    run(shell, "kept", "b")
    kept = shell.user_ns["kept"]
    assert panel.model_id in _instances
    assert kept.model_id in _instances
    kept.comm.handle_msg({"content": {"data": {"method": "update", "state": {"box_style": "info"}}}})
    assert kept.box_style == "info"
    run(shell, "panel = kept.children[0]; del kept; panel", "c")
    del kept
    run(shell, "2", "b")
    assert alive(born) == [panel]
    assert panel.model_id in _instances
    run(shell, "del panel", "c")
    del panel
    assert alive(born) == []


def test_a_closed_box_is_its_text(shell):
    box = ipywidgets.HBox([ended(saliency_panel(small_cnn(), images(3), **QUICK))])
    showings.listen(shell)
    box.close()
    assert shell.display_formatter.format(box)[0].keys() == {"text/plain"}


def test_a_host_without_cells_loses_nothing(shell, born):
    for _ in range(2):
        run(shell, CELL, None)
    assert len(alive(born)) == 2


def test_a_closed_panel_gives_back_pictures_and_maps_and_says_that_it_is_closed():
    shown = ended(saliency_panel(small_cnn(), images(3), **QUICK))
    found = shown.attributions["model", "gradient"]
    maps, pictures = weakref.ref(shown._source), weakref.ref(shown._job)
    model, layout = shown.model_id, shown.layout
    shown.close()
    assert shown.closed
    # The thread that brings news of jobs lets go of the last one a moment later.
    eventually(lambda: gc.collect() is not None and (maps(), pictures()) == (None, None))
    assert model not in _instances
    assert layout.comm is None
    assert found.values.any()  # what was taken before is the user's
    for name in ("maps", "gallery", "head"):
        assert getattr(shown, name) == {}
    with pytest.raises(AttributeError, match=r"closed: .* Run its cell again"):
        _ = shown.attributions
    shown.close()


def test_a_run_of_a_closed_panel_is_cancelled():
    model = small_cnn()
    go = torch.nn.Identity()
    model.append(go)
    shown = saliency_panel(model, images(3), methods=("integrated_gradients",), fallback="none", auto=False)
    job = shown.compute()
    shown.close()
    assert job.wait(60)
    eventually(lambda: job not in jobs.queue.jobs)


def test_runs_replace_each_other_in_the_queue():
    shown = ended(saliency_panel(small_cnn(), images(3), **QUICK))
    before = len(jobs.queue.jobs)
    for row in (1, 2, 0):
        assert request(shown, "choose", row=row)[0]["ok"]
        shown.compute().result(60)
    eventually(lambda: len(jobs.queue.jobs) == before)


def test_a_linked_panel_does_not_keep_the_other_alive(born):
    rng = np.random.default_rng(0)
    features = sdw.DeepFeatures.from_arrays(rng.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 3)
    path = sdw.elastic_net_path(features, n_lambdas=4, eps=0.1)
    first = sdw.panel(path, fallback="none")
    second = sdw.features_panel(path, follow=first, fallback="none")
    second.class_index = 2
    assert first.class_index == 2
    first.idx = 3
    assert second.idx == 3
    showings.let_die(second)
    del second
    assert alive(born) == [first]
    first.idx = 1
