"""What can be downloaded from each panel: a picture, a drawing where there are lines, a table, a page."""

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.widgets.kit import assets
from tests.widgets.fakes import fake_xfeatures

LINES = {"debug", "path", "fit", "perturb"}
QUIET = "=the quiet one"
NAMES = ("ring", "bar / <b>", "../dot")


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 12), nn.Tanh(), nn.Linear(12, 3)
    ).eval()


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(2)), torch.arange(60) % 3


def made(name: str, folder: Path):
    """A panel of each kind with something to show, and the job that it has to wait for."""
    model, data = network(), pictures()
    if name == "xfeatures":
        return sdw.panel(fake_xfeatures(), selected=(2, 5), fallback="none")
    if name == "saliency":
        return sdw.saliency_panel(model, data, class_names=NAMES, fallback="none")
    if name == "debug":
        panel = sdw.debug(model, data, class_names=NAMES, fallback="none")
        panel.run(60)
    elif name == "perturb":
        panel = sdw.perturb_panel(
            model, data, class_names=NAMES, eps=2.0, steps=4, target="1", fallback="none"
        )
        panel.start().result(60)
    if name in {"debug", "perturb"}:
        return panel
    features = sdw.extract_features(model, data, class_names=NAMES)
    if name == "fit":
        panel = sdw.fit_panel(features, checkpoints=folder, n_lambdas=5, eps=0.1, fallback="none")
        panel.start().result(60)
        return panel
    path = sdw.elastic_net_path(features, n_lambdas=5, eps=0.1)
    if name == "features":
        panel = sdw.features_panel(
            path, model, data=data, features=features, n_samples=40, n_steps=2, fallback="none"
        )
        panel.interpret()
        return panel
    panel = sdw.panel(path, model, data=data, index=4, fallback="none")
    strongest = int(abs(path.class_path(0)[4]).argmax())
    path.rename({strongest: QUIET})
    panel.sync_names()
    panel.silenced = [[strongest, -1], [(strongest + 1) % 12, 0]]
    return panel


@pytest.mark.parametrize("name", assets.panel_names())
def test_every_panel_gives_files_that_hold_what_is_shown(name, show, tmp_path):
    panel = made(name, tmp_path)
    page = show(panel)
    if "job" in panel.trait_names():
        page.until(lambda: panel.job.get("ended", True))
    page.page.wait_for_timeout(400)
    page.frames()
    kinds = ["PNG", *(["SVG"] if name in LINES else []), "CSV", "HTML"]
    group = page.root.get_by_role("group", name="Download")
    assert group.get_by_role("button").all_inner_texts() == kinds
    files = {}
    for kind in kinds:
        with page.page.expect_download() as coming:
            group.get_by_role("button", name=f"{kind}:").click()
        said = coming.value.suggested_filename
        assert said.endswith(f".{kind.lower()}")
        assert ".." not in said
        assert len(said) > len("panel.html")
        files[kind] = tmp_path / said
        coming.value.save_as(files[kind])
    picture = np.asarray(Image.open(files["PNG"]).convert("L"), float)
    assert picture.shape[0] > 100
    assert picture.shape[1] > 400
    assert picture.std() > 5, "an empty picture"
    lines = list(csv.reader(io.StringIO(files["CSV"].read_text("utf-8-sig"))))
    assert len(lines) > 2
    assert {len(line) for line in lines[:3]} == {len(lines[0])}
    assert f"{name}Panel" in files["HTML"].read_text("utf-8")
    if name in LINES:
        drawing = ElementTree.parse(files["SVG"]).getroot()  # noqa: S314 (our own file)
        texts = " ".join(element.text or "" for element in drawing.iter() if element.tag.endswith("text"))
        assert len(texts) > 40
        if name == "path":
            assert "Silenced: " in texts
            assert QUIET in texts
            rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
            assert [row["feature"] for row in rows if row["silenced"] == "1"][:1] == [f"'{QUIET}"]
    panel.close()
