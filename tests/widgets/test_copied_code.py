"""What "Copy as code" gives runs in the notebook it was copied in: every panel, data as people pass them."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import sparse_debug_widgets as sdw
from sparse_debug_widgets.widgets.kit.namespace import called, example_code, runnable
from tests.widgets.front import request

MEAN, STD = (0.5,), (0.25,)
# The networks here are small and untrained; whether what is found is sensible is not the question.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sparse_debug_widgets.perturbation.run.PerturbationWarning"),
    pytest.mark.filterwarnings(
        "ignore::sparse_debug_widgets.interpret.xfeatures.srae.srae.ExplanationWarning"
    ),
]


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 12), nn.Tanh(), nn.Linear(12, 3)
    ).eval()


def pictures(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, 8, 8, generator=generator) * 0.3
    for i, label in enumerate(y.tolist()):
        x[i, 0, 2 * label : 2 * label + 2] += 0.6
    return x, y


def run(code: str, notebook: ModuleType) -> dict[str, Any]:
    """Run a copied cell where the notebook's variables are, and nothing else is."""
    space = {name: value for name, value in vars(notebook).items() if not name.startswith("__")}
    exec(compile(code, "<copied>", "exec"), space)  # noqa: S102 - the package's own text
    return space


def copied(panel: Any, **arguments: Any) -> str:
    """What the button gives."""
    reply, _ = request(panel, "copy", **arguments)
    assert reply["ok"], reply["error"]["message"]
    return str(reply["value"]["code"])


def data_as(form: str, notebook: ModuleType) -> Any:
    """Data in one of the forms that people pass, reachable from the notebook."""
    x, y = pictures()
    if form == "attribute":
        notebook.demo = SimpleNamespace(test=TensorDataset(x, y))  # type: ignore[attr-defined]
        return notebook.demo.test
    if form == "pair":
        notebook.X, notebook.y = x, y  # type: ignore[attr-defined]
        return notebook.X, notebook.y
    if form == "entry":
        notebook.splits = {"train": None, "test": TensorDataset(x, y)}  # type: ignore[attr-defined]
        return notebook.splits["test"]
    if form == "loader":
        notebook.loader = DataLoader(TensorDataset(x, y), batch_size=16)  # type: ignore[attr-defined]
        return notebook.loader
    if form == "array":
        notebook.images = x.numpy()  # type: ignore[attr-defined]
        return notebook.images
    return TensorDataset(x, y)  # made in the call


FORMS = ("attribute", "pair", "entry", "loader", "array")


def test_things_are_called_as_the_notebook_reaches_them(notebook: ModuleType) -> None:
    model, data, other = network(), TensorDataset(*pictures()), object()
    x, y = pictures(6)
    notebook.demo = SimpleNamespace(model=model, test=data)  # type: ignore[attr-defined]
    notebook.X, notebook.labels = x, y  # type: ignore[attr-defined]
    notebook.models = [model[0], nn.ReLU()]  # type: ignore[attr-defined]
    notebook.lightning = nn.ModuleDict({"head": model[5]})  # type: ignore[attr-defined]
    notebook._9 = other  # type: ignore[attr-defined] - as IPython keeps outputs
    assert called(model, "model") == "demo.model"
    assert called(data, "data") == "demo.test"
    assert called((x, y), "data") == "(X, labels)"
    assert called([x], "data") == "[X]"
    assert called(notebook.models[1], "model") == "models[1]"
    assert called(model[5], "model") == "lightning.head"
    assert called(other, "thing") == "thing"
    notebook.data = 3  # type: ignore[attr-defined]
    assert called(other, "data") == "panel_data", "a name that means something else there"


def test_what_is_not_in_the_notebook_becomes_one_clear_line(notebook: ModuleType) -> None:
    notebook.model = network()  # type: ignore[attr-defined]
    code = (
        "import sparse_debug_widgets as sdw\n\nfound = sdw.attribute(model, data[3][0][None])\nprint(found)"
    )
    lines = runnable(code).splitlines()
    assert [line for line in lines if "..." in line] == [
        "data = ...  # fill in: the data that this panel was given"
    ]
    assert lines.index("data = ...  # fill in: the data that this panel was given") < 4
    assert runnable("x = 3\nprint([x for k in range(x)])") == "x = 3\nprint([x for k in range(x)])"


@pytest.mark.parametrize("form", FORMS)
def test_an_example_is_reached_as_a_batch_of_one(form: str, notebook: ModuleType) -> None:
    code = example_code(data_as(form, notebook), 4, (1, 8, 8))
    found = run(f"x = {code}", notebook)["x"]
    np.testing.assert_array_equal(np.asarray(found), pictures()[0][4:5].numpy())


def test_an_item_that_is_no_array_is_left_to_fill_in(notebook: ModuleType) -> None:
    notebook.data = [("not a picture", 1)] * 3  # type: ignore[attr-defined]
    assert example_code(notebook.data, 1, (1, 8, 8)) == "example"


@pytest.mark.parametrize("form", FORMS)
def test_the_perturbation_panels_code_runs(form: str, notebook: ModuleType) -> None:
    notebook.demo = SimpleNamespace(model=network())  # type: ignore[attr-defined]
    model = notebook.demo.model
    data = data_as(form, notebook)
    if form == "attribute":
        notebook.demo.model = model
    panel = sdw.perturb_panel(model, data, eps=2.0, steps=4, target="1", fallback="none")
    panel.choose(5)
    space = run(copied(panel), notebook)
    expected = panel.start().result()[0]
    np.testing.assert_array_equal(space["result"].delta, expected.delta)
    panel.tab = "concept"
    drawn = run(copied(panel), notebook)["drawn"]
    assert drawn.class_index == panel.concept["class_index"]
    panel.close()


def test_the_code_of_perturbations_says_the_normalisation_and_the_second_model(
    notebook: ModuleType,
) -> None:
    x, y = pictures()
    notebook.standard, notebook.robust = network(), network()  # type: ignore[attr-defined]
    notebook.X, notebook.y = (x - 0.5) / 0.25, y  # type: ignore[attr-defined]
    shown = sdw.perturb_panel(
        notebook.standard, (notebook.X, notebook.y), compare=notebook.robust, normalize=(MEAN, STD),
        eps=4.0, steps=3, target="1", fallback="none",
    )  # fmt: skip
    space = run(copied(shown), notebook)
    np.testing.assert_array_equal(space["result"].delta, shown.start().result()[0].delta)
    assert "compared" in space
    shown.close()


@pytest.mark.parametrize("form", FORMS)
def test_the_saliency_panels_code_runs(form: str, notebook: ModuleType) -> None:
    data = data_as(form, notebook)
    notebook.net = network()  # type: ignore[attr-defined]
    shown = sdw.saliency_panel(
        notebook.net,
        data,
        methods=("gradient", "cafo"),
        classes=(1, 2),
        example=3,
        auto=False,
        fallback="none",
    )
    space = run(copied(shown, typed={}), notebook)
    expected = sdw.attribute(notebook.net, pictures()[0][3:4].repeat(2, 1, 1, 1), "cafo", target=[1, 2])
    np.testing.assert_allclose(space["cafo"].values, expected.values, atol=1e-6)
    shown.close()


def test_the_fit_panels_code_runs(notebook: ModuleType) -> None:
    data = data_as("pair", notebook)
    notebook.lab = SimpleNamespace(model=network())  # type: ignore[attr-defined]
    shown = sdw.fit_panel(notebook.lab.model, data, n_lambdas=5, eps=0.1, fallback="none")
    path = run(copied(shown, values=dict(shown.typed)), notebook)["path"]
    assert len(path.lambdas) == 5
    shown.close()


def test_the_path_panels_code_runs(notebook: ModuleType) -> None:
    data = data_as("pair", notebook)
    notebook.lab = SimpleNamespace(model=network())  # type: ignore[attr-defined]
    features = sdw.extract_features(notebook.lab.model, data)
    path = notebook.path = sdw.elastic_net_path(features, n_lambdas=5, eps=0.1)  # type: ignore[attr-defined]
    shown = sdw.panel(path, notebook.lab.model, data=data, index=3, class_index=1)
    path.rename({2: "a 'corner'"})
    shown.sync_names()
    shown.silenced = [[2, -1], [4, 1]]
    space = run(copied(shown), notebook)
    for name in ("weight", "bias"):
        assert torch.equal(getattr(space["layer"], name), getattr(shown.layer, name))
    assert space["path"].feature_names[2] == "a 'corner'"
    assert "layer.install(" not in copied(shown)
    shown.use_layer()
    assert "layer.install(lab.model)" in copied(shown)
    shown.put_back()
    shown.close()


def test_the_features_panels_code_runs(notebook: ModuleType) -> None:
    data = data_as("pair", notebook)
    notebook.lab = SimpleNamespace(model=network())  # type: ignore[attr-defined]
    notebook.features = sdw.extract_features(notebook.lab.model, data)  # type: ignore[attr-defined]
    notebook.results = [sdw.elastic_net_path(notebook.features, n_lambdas=5, eps=0.1)]  # type: ignore[attr-defined]
    shown = sdw.features_panel(
        notebook.results[0], notebook.lab.model, data=data, features=notebook.features,
        n_samples=80, n_steps=2, fallback="none",
    )  # fmt: skip
    code = copied(shown, features=[0, 3])
    space = run(code, notebook)
    assert "results[0]" in code
    assert space["prototypes"].features.tolist() == [0, 3]
    assert space["pictures"].features.tolist() == [0, 3]
    shown.close()


def test_the_x_feature_panels_code_runs(notebook: ModuleType) -> None:
    data = data_as("attribute", notebook)
    notebook.net = network()  # type: ignore[attr-defined]
    shown = sdw.x_features_panel(
        notebook.net, data, class_names=("a", "b", "c"), class_index=1, method="lasso", n=2, fallback="none"
    )
    found = run(copied(shown, typed=dict(shown.typed)), notebook)["found"]
    assert found.class_index == 1
    assert found.n == 2
    shown.close()


def test_a_panel_whose_data_were_made_in_the_call_says_what_to_fill_in(notebook: ModuleType) -> None:
    notebook.net = network()  # type: ignore[attr-defined]
    made = data_as("inline", notebook)
    shown = sdw.saliency_panel(notebook.net, made, methods=("gradient",), auto=False, fallback="none")
    code = copied(shown, typed={})
    assert "data = ...  # fill in: the data that this panel was given" in code
    space = run(code.replace("data = ...", "data = given"), SimpleNamespace(**vars(notebook), given=made))  # type: ignore[arg-type]
    assert space["gradient"].values.shape == (1, 1, 8, 8)
    shown.close()
