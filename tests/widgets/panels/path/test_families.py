"""The Path panel of every family: two classes share a row of weights, regression has outputs and R^2."""

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.sparse import DeepFeatures
from sparse_debug_widgets.widgets.panels.features.predict import predictions
from sparse_debug_widgets.widgets.shared import curves
from sparse_debug_widgets.widgets.shared.live import Silenced
from tests.widgets.front import request

rng = np.random.default_rng(0)
X = rng.normal(size=(160, 6)).astype(np.float32)
LOGIT = 2 * X[:, 0] - X[:, 1]
Y = (LOGIT + 0.3 * rng.normal(size=160) > 0).astype(int)


@pytest.fixture(scope="module")
def features():
    return DeepFeatures.from_arrays(X, Y, class_names=["neg", "pos"], validation=0.25)


@pytest.fixture(scope="module")
def path(features):
    return sdw.elastic_net_path(features, family="binomial", n_lambdas=12, eps=0.02)


@pytest.fixture(scope="module")
def straight():
    both = DeepFeatures.from_arrays(X, LOGIT.astype(float), validation=0.25)
    return sdw.elastic_net_path(both, family="gaussian", n_lambdas=12, eps=0.02)


def shown_weights(panel, index):
    """Weights (K, p) as the page reads them."""
    from sparse_debug_widgets.widgets.kit import wire

    reply, buffers = request(panel, "class_path", index=index)
    arrays = wire.from_message(reply["arrays"], buffers)
    return curves.decode(reply["value"]["unit"], arrays["starts"], arrays["values"], len(panel.path.lambdas))


def test_a_binomial_panel_shows_two_classes_with_opposite_weights(path):
    panel = sdw.panel(path, class_index=1, fallback="none")
    assert panel.head["value"]["classes"] == ["neg", "pos"]
    assert panel.head["arrays"]["counts"]["shape"] == [12, 2]
    for c, name in enumerate(("neg", "pos")):
        np.testing.assert_allclose(shown_weights(panel, c), path.class_path(name), atol=2e-3)
    assert (shown_weights(panel, 0) == -shown_weights(panel, 1)).all()
    assert len(panel.export().replies) == 2


def test_the_live_model_of_a_binomial_panel_is_right_about_both_classes(path, features):
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(6))
        model[0].bias.zero_()
    panel = sdw.panel(path, model, data=(torch.from_numpy(X), torch.from_numpy(Y)), fallback="none")
    panel.idx = 11
    state = panel.use_layer()
    with torch.no_grad():
        assert (model(torch.from_numpy(X)).argmax(1).numpy() == Y).mean() == pytest.approx(state["after"])
    assert state["after"] > 0.9
    panel.put_back()
    # Silencing the one feature that decides for either class silences it in the row they share.
    strongest = int(np.abs(path.weights_at(11)[0]).argmax())
    scores = [
        request(panel, "measure", index=11, silenced=[[strongest, c]])[0]["value"]["silenced"]
        for c in (-1, 0, 1)
    ]
    assert scores[0] == scores[1] == scores[2] < state["after"]


def test_predictions_of_a_binomial_layer_are_of_two_classes(path):
    z = (X[0] - path.mean) / path.scale
    said = predictions(path, z, 11, [Silenced(0, 0)])
    neg, pos = said["sparse"]["scores"]
    assert neg == -pos == pytest.approx(-float(path.decision_layer(11)(torch.from_numpy(X[:1]))))
    shares = {name: share for _, name, share in said["sparse"]["top"]}
    assert shares["pos"] == pytest.approx(1 / (1 + np.exp(-pos)))
    assert said["silenced"]["scores"][1] == pytest.approx(
        pos - path.class_path("pos")[11, 0] * float(z[0]), abs=1e-6
    )


@pytest.mark.browser
def test_a_regression_panel_speaks_of_outputs_and_r_squared(show, straight):
    page = show(sdw.panel(straight, fallback="none"))
    page.rest()
    text = page.root.evaluate("""(root) => [root.innerText, root.getAttribute('aria-label'),
      ...[...root.querySelectorAll('*')].flatMap((e) =>
        ['aria-label', 'title', 'aria-valuetext'].map((name) => e.getAttribute(name)))].join('\\n')""")
    assert "R²" in text
    assert "features per output" in text.lower()
    for wrong in ("class", "accuracy", "5-point", "points"):
        assert wrong not in text.lower().replace("classes of", ""), wrong


@pytest.mark.browser
def test_the_page_of_a_binomial_path_has_a_class_on_each_side(show, path):
    page = show(sdw.panel(path, class_index=0, fallback="none"))
    page.page.evaluate("() => { sdw.model.set('idx', 11); }")
    page.rest()
    strongest = page.data("strongest")
    told = page.root.locator(".sdw-row").first.get_attribute("aria-label")
    page.root.locator(".sdw-picker").select_option("1")
    page.rest()
    assert page.data("strongest") == strongest
    other = page.root.locator(".sdw-row").first.get_attribute("aria-label")
    assert ("−" in told) != ("−" in other)
    assert told.replace("−", "") == other.replace("−", "")


def test_pictures_and_tables_of_a_regression_name_the_score(straight):
    assert straight.plot().layout.yaxis.title.text == "R²"
    assert "output" in straight.plot(0).layout.yaxis.title.text
