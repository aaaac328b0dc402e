"""Explanation networks: the loss is eq. 3.6, a seed fixes every bit, an interrupted training goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled, Progress
from sparse_debug_widgets.interpret.xfeatures.srae.checkpoint import TrainingCheckpointWarning
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe, Terms
from sparse_debug_widgets.interpret.xfeatures.srae.layer import LayerActivations, Tap, read_layer
from sparse_debug_widgets.interpret.xfeatures.srae.network import (
    ExplanationNetwork,
    awake_relu,
    faithfulness,
    plain_reconstruction,
    pull_away,
    sparse_reconstruction,
)
from sparse_debug_widgets.interpret.xfeatures.srae.result import ClassExplanation
from sparse_debug_widgets.interpret.xfeatures.srae.rows import fidelity
from sparse_debug_widgets.interpret.xfeatures.srae.srae import ExplanationWarning, fit_explanation
from tests.contracts.untouched import untouched

QUICK = Recipe(epochs=12, pretraining=4, batch_size=50, retries=0)


def activations(
    rows: int = 400, p: int = 24, *, maps: int = 0, seed: int = 0, labelled: bool = True
) -> LayerActivations:
    """Three sources that mix into p features; class 0 scores by the sum of the first two sources."""
    rng = np.random.default_rng(seed)
    sources = rng.random((rows, 3)) * (rng.random((rows, 3)) < 0.6)
    mixing = np.random.default_rng(99).random((3, p)) * (np.random.default_rng(98).random((3, p)) < 0.5)
    values = (sources @ mixing).astype(np.float32)
    if maps:
        values = np.repeat(np.repeat(values[:, :, None, None], maps, 2), maps, 3)
    scores = np.stack([4 * sources[:, 0] + 3 * sources[:, 1], np.full(rows, 2.5)], 1).astype(np.float32)
    labels = scores.argmax(1) if labelled else np.full(rows, -1)
    return LayerActivations(Tap("fc", inputs=True, head="fc"), values, scores, labels)


# ---------------------------------------------------------------- the loss


def test_the_terms_are_those_of_the_thesis() -> None:
    rng = np.random.default_rng(0)
    z, back, e = rng.random((20, 6)), rng.random((20, 6)), rng.random((20, 3))
    q_k = [np.mean([(back[i, k] - z[i, k]) ** 2 for i in range(20)]) for k in range(6)]
    expected = np.mean([np.log(1 + 7 * error) for error in q_k])
    found = sparse_reconstruction(torch.tensor(back), torch.tensor(z), 7.0)
    np.testing.assert_allclose(float(found), expected, rtol=1e-12)
    pairs = [
        (e[:, a] @ e[:, b] / np.linalg.norm(e[:, a]) / np.linalg.norm(e[:, b])) ** 2
        for a in range(3)
        for b in range(3)
        if a != b
    ]
    np.testing.assert_allclose(float(pull_away(torch.tensor(e))), sum(pairs) / 6, rtol=1e-12)
    wanted, weights = rng.random(20), rng.random(20)
    found = faithfulness(torch.tensor(z[:, 0]), torch.tensor(wanted), torch.tensor(weights))
    np.testing.assert_allclose(float(found), np.mean(weights * (z[:, 0] - wanted) ** 2), rtol=1e-12)


def test_a_small_q_gives_the_plain_error_and_maps_count_position_by_position() -> None:
    z, back = torch.rand(9, 5, 2, 2).double(), torch.rand(9, 5, 2, 2).double()
    plain = float(plain_reconstruction(back, z))
    assert float(sparse_reconstruction(back, z, 1e-8)) / 1e-8 == pytest.approx(plain, rel=1e-6)
    flat = [one.permute(0, 2, 3, 1).reshape(-1, 5) for one in (back, z)]
    assert float(sparse_reconstruction(*flat, 9.0)) == pytest.approx(
        float(sparse_reconstruction(back, z, 9.0))
    )


def test_one_x_feature_and_dead_ones_are_pulled_nowhere() -> None:
    assert float(pull_away(torch.rand(8, 1))) == 0
    half_dead = torch.rand(8, 3) * torch.tensor([1.0, 0.0, 0.0])
    half_dead.requires_grad_(True)
    value = pull_away(half_dead)
    value.backward()
    assert value.item() == 0
    assert torch.isfinite(half_dead.grad).all()


def test_orthogonal_x_features_cost_nothing_and_equal_ones_cost_one() -> None:
    one = torch.rand(12, 1)
    assert float(pull_away(torch.cat([one, 2 * one], 1))) == pytest.approx(1, rel=1e-5)
    assert float(pull_away(torch.eye(4))) == 0


def test_a_silent_unit_answers_0_and_can_still_learn() -> None:
    values = torch.tensor([-2.0, 3.0], requires_grad=True)
    found = awake_relu(values)
    found.sum().backward()
    assert found.tolist() == [0, 3]
    np.testing.assert_allclose(values.grad, [0.1, 1.0], rtol=1e-6)


# ---------------------------------------------------------------- fitting


@pytest.mark.parametrize("method", ["srae", "nn", "sae", "lasso"])
def test_every_faithful_method_mimics_a_score_that_is_made_of_two_sources(method: str) -> None:
    found = fit_explanation(
        activations(),
        0,
        n=3,
        method=method,
        recipe=Recipe(epochs=30, pretraining=6, batch_size=50, retries=0),
    )
    # Two features of the layer cannot be the two sources.
    assert found.fidelity["R2_test"] > (0.5 if method == "lasso" else 0.9)
    assert found.fidelity["F_cls_test"] > 0.85
    values, scores = found.explain(activations(seed=5).values)
    assert values.shape == (400, 3)
    assert (values >= 0).all()
    np.testing.assert_allclose(scores, values @ found.weights + found.bias, rtol=1e-5, atol=1e-5)


def test_methods_are_the_same_code_with_terms_switched_off() -> None:
    histories = {
        method: fit_explanation(activations(), 0, n=3, method=method, recipe=QUICK).history
        for method in ("srae", "nn", "sae", "cae")
    }
    assert all((history >= 0).all() and len(history) == 12 for history in histories.values())
    assert not histories["nn"][:, 2:].any()
    assert histories["sae"][:, 2].all()
    assert not histories["sae"][:, 3].any()
    np.testing.assert_allclose(histories["cae"][:, 0], 10 * histories["cae"][:, 2], rtol=1e-5)
    whole = histories["srae"]
    np.testing.assert_allclose(whole[:, 0], 50 * whole[:, 1] + 10 * whole[:, 2] + 10 * whole[:, 3], rtol=1e-5)


def test_only_methods_that_reconstruct_say_how_well() -> None:
    rebuilt = {
        m: fit_explanation(activations(), 0, n=3, method=m, recipe=QUICK).rebuilt for m in ("sae", "nn")
    }
    assert np.nanmean(rebuilt["sae"]) > 0.3
    assert np.isnan(rebuilt["nn"]).all()


def test_a_seed_fixes_every_bit_and_the_global_generators_are_left_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again = (fit_explanation(activations(), 0, n=3, recipe=QUICK, seed=7) for _ in range(2))
    other = fit_explanation(activations(), 0, n=3, recipe=QUICK, seed=8)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(first.parameters, again.parameters)
    assert not np.array_equal(first.parameters, other.parameters)


def test_positives_weigh_as_much_as_negatives() -> None:
    source = activations(2000)
    rare = source.labels == 0
    kept = np.concatenate([np.flatnonzero(rare)[:20], np.flatnonzero(~rare)])
    few = LayerActivations(source.tap, source.values[kept], source.scores[kept], source.labels[kept])
    found = fit_explanation(few, 0, n=2, test_rows=source, recipe=Recipe(epochs=30, retries=0))
    mimicked = found.explain(source.values)[1]
    assert np.abs(mimicked - source.scores[:, 0])[rare].mean() < 0.6


def test_another_try_strengthens_reconstruction_and_weakens_the_pull() -> None:
    # One source: there is nothing for a second x-feature to contribute.
    rng = np.random.default_rng(0)
    values = np.repeat(rng.random((200, 1)), 6, 1).astype(np.float32)
    scores = np.concatenate([5 * values[:, :1], np.full((200, 1), 2.5)], 1).astype(np.float32)
    source = LayerActivations(Tap("fc", inputs=True, head="fc"), values, scores, scores.argmax(1))
    recipe = Recipe(epochs=30, pretraining=3, retries=2)
    with pytest.warns(ExplanationWarning) as warned:
        found = fit_explanation(source, 0, n=2, terms=Terms(eta=1e4), recipe=recipe)
    assert len(found.tries) == 3
    np.testing.assert_allclose([one["beta"] for one in found.tries], [10, 12, 14.4])
    np.testing.assert_allclose([one["eta"] for one in found.tries], [1e4, 8e3, 6.4e3])
    assert any("only one x-feature contributes" in str(one.message) for one in warned)


def test_n_can_be_chosen_and_one_is_enough_for_some() -> None:
    found = fit_explanation(activations(), 0, n="auto", method="nn", recipe=QUICK)
    assert 1 <= len(found.weights) <= 8
    single = fit_explanation(activations(), 0, n=1, recipe=QUICK)
    assert single.weights.shape == (1,)
    assert single.fidelity["R2_test"] > 0.5


def test_the_lasso_picks_features_of_the_layer_itself() -> None:
    source = activations()
    found = fit_explanation(source, 0, n=3, method="lasso")
    values, _ = found.explain(source.values)
    columns = {tuple(column) for column in source.values.T}
    assert all(tuple(column) in columns for column in values.T)
    assert np.isnan(found.rebuilt).all()


def test_maps_of_one_pixel_and_vectors_are_the_same_network() -> None:
    flat, tall = activations(), activations(maps=1)
    short = Recipe(epochs=1, pretraining=1, retries=0)
    dense, maps = (fit_explanation(source, 0, n=2, recipe=short) for source in (flat, tall))
    assert maps.convolutional
    np.testing.assert_allclose(maps.parameters, dense.parameters, atol=1e-3)
    larger = fit_explanation(activations(maps=3), 0, n=2, recipe=QUICK)
    assert larger.explain(activations(maps=3).values)[0].shape == (400, 2)
    assert larger.fidelity["R2_test"] > 0.5


@pytest.mark.parametrize("method", ["srae", "lasso"])
def test_the_head_is_the_encoder_on_raw_activations(method: str) -> None:
    source = activations()
    found = fit_explanation(source, 0, n=3, method=method, recipe=QUICK)
    with torch.no_grad():
        on_top = found.network().head()(torch.from_numpy(source.values))
    np.testing.assert_allclose(on_top, found.explain(source.values)[0], rtol=1e-5, atol=1e-6)


def test_saved_and_loaded_it_explains_the_same(tmp_path: Path) -> None:
    source = activations()
    found = fit_explanation(source, 0, n=3, recipe=QUICK)
    again = ClassExplanation.load(found.save(tmp_path / "explanation.safetensors"))
    np.testing.assert_array_equal(again.explain(source.values)[0], found.explain(source.values)[0])
    assert again.fidelity == found.fidelity
    assert again.tries == found.tries
    assert list(again.to_frame().columns) == ["weight", "contribution", "alive"]
    assert len(again.plot().data) == 1


def test_fidelity_by_hand() -> None:
    scores = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 2.5]])
    found = fidelity(scores, 0, np.array([2.5, 0.5, 2.0]))
    assert found["F_reg"] == pytest.approx(2 / 3)
    assert found["F_cls"] == pytest.approx(2 / 3)
    assert found["R2"] == pytest.approx(1 - 1.5 / np.square(scores[:, 0] - 5 / 3).sum())


# ---------------------------------------------------------------- progress, cancel, resume


class Stop:
    """A callback that cancels after so many calls."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.seen: list[Progress] = []

    def __call__(self, progress: Progress) -> None:
        self.seen.append(progress)
        self.left -= 1
        if self.left < 0:
            raise Cancelled


@pytest.mark.parametrize("after", [10, 60, 130])
def test_a_training_that_was_cancelled_goes_on_to_the_same_bits(tmp_path: Path, after: int) -> None:
    recipe = Recipe(epochs=12, pretraining=4, batch_size=50, retries=1)
    straight = fit_explanation(activations(), 0, n=3, recipe=recipe)
    file = tmp_path / "fit.safetensors"
    with pytest.raises(Cancelled):
        fit_explanation(activations(), 0, n=3, recipe=recipe, checkpoint=file, progress=Stop(after))
    resumed = Stop(10**6)
    found = fit_explanation(activations(), 0, n=3, recipe=recipe, checkpoint=file, progress=resumed)
    np.testing.assert_array_equal(found.parameters, straight.parameters)
    np.testing.assert_array_equal(found.history, straight.history)
    steps = 7 * (3 * 4 + 12 * len(straight.tries))
    assert len(resumed.seen) < steps
    assert all(0 <= one.done <= one.total for one in resumed.seen)


def test_a_checkpoint_of_another_training_is_refused_and_a_damaged_one_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "fit.safetensors"
    straight = fit_explanation(activations(), 0, n=3, recipe=QUICK, checkpoint=file)
    with pytest.raises(InputError, match="seed"):
        fit_explanation(activations(), 0, n=3, recipe=QUICK, checkpoint=file, seed=1)
    with pytest.raises(InputError, match="it differs in data"):
        fit_explanation(activations(seed=3), 0, n=3, recipe=QUICK, checkpoint=file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.warns(TrainingCheckpointWarning, match="starts anew"):
        again = fit_explanation(activations(), 0, n=3, recipe=QUICK, checkpoint=file)
    np.testing.assert_array_equal(again.parameters, straight.parameters)
    with pytest.raises(InputError, match="is a folder: name the file"):
        fit_explanation(activations(), 0, n=3, recipe=QUICK, checkpoint=tmp_path)


# ---------------------------------------------------------------- reading a live model


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        self.shared = nn.ReLU()
        self.unused = nn.Linear(3, 3)
        self.wide = nn.Conv1d(4, 4, 1)
        self.fc = nn.Linear(4, 3)
        self.soft = nn.Softmax(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.conv(x)
        maps = self.wide(maps.flatten(2)).unflatten(2, maps.shape[2:])
        return self.soft(self.fc(self.shared(self.shared(maps).mean((2, 3)))))


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(30, 1, 6, 6, generator=generator), torch.arange(30) % 3


def test_activations_and_scores_are_read_before_the_softmax(data: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = Small().train()
    with untouched(model):
        found = read_layer(model, data, batch_size=7)
        maps = read_layer(model, data, "conv")
    assert found.tap == Tap("fc", inputs=True, head="fc")
    assert read_layer(model, data, "fc").tap == found.tap
    with torch.no_grad():
        expected = model.eval().fc(torch.from_numpy(found.values))
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)
    assert maps.values.shape == (30, 4, 4, 4)
    np.testing.assert_array_equal(found.labels, data[1])
    assert (read_layer(model, data[0]).labels == -1).all()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("cnv", "Did you mean 'conv'"),
        ("soft", "come before the class scores"),
        ("", "come before the class scores"),
        ("shared", "runs 2 times in a forward pass"),
        ("unused", "did not run in the forward pass"),
        ("wide", "one vector .* or a stack of maps"),
    ],
)
def test_layers_that_cannot_be_explained(
    layer: str, message: str, data: tuple[torch.Tensor, torch.Tensor]
) -> None:
    model = Small()
    with untouched(model), pytest.raises(InputError, match=message):
        read_layer(model, data, layer)


def test_a_model_without_a_linear_end_is_read_at_its_answer(data: tuple[torch.Tensor, torch.Tensor]) -> None:
    body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 1))
    model = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = read_layer(model, data, "0.1")
    assert found.tap == Tap("0.1", inputs=False, head="")
    with torch.no_grad():
        np.testing.assert_allclose(found.scores, model(data[0]), atol=1e-6)
    with pytest.raises(InputError, match="come before the class scores"):
        read_layer(model, data, "2")
    with pytest.raises(InputError, match="answer scores before the softmax"):
        read_layer(nn.Sequential(model, nn.Softmax(1)), data, "0.0.1")


# ---------------------------------------------------------------- bad input


def changed(**fields: object) -> LayerActivations:
    source = activations()
    kept = {"values": source.values, "scores": source.scores, "labels": source.labels}
    return LayerActivations(tap=source.tap, **(kept | fields))


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (
            {"labels": np.r_[np.zeros(3, int), np.ones(397, int)]},
            {},
            "5 x-features need at least 5 to learn from",
        ),
        ({"scores": np.full((400, 2), 1.5, np.float32)}, {}, "is 1.5 for all examples"),
        ({"values": np.zeros((400, 6), np.float32)}, {}, "gives 0 for every example"),
        ({}, {"class_index": 2}, "class_index"),
        ({}, {"n": 0}, "whole number of at least 1"),
        ({}, {"method": "srea"}, "Did you mean 'srae'"),
        ({}, {"hidden": ()}, "at least one width"),
        ({}, {"seed": -1}, "seed"),
        ({}, {"test_rows": activations(p=7)}, "like those that it learns from"),
        ({}, {"method": "lasso", "n": 40}, "finds no 40 features"),
    ],
)
def test_what_cannot_be_explained_is_said(source: dict, options: dict, message: str) -> None:
    arguments = {"class_index": 0, "recipe": QUICK} | options
    with pytest.raises(InputError, match=message):
        fit_explanation(changed(**source), **arguments)


def test_activations_that_are_not_finite_are_refused() -> None:
    values = activations().values.copy()
    values[3, 2] = np.nan
    with pytest.raises(InputError, match=r"index \(3, 2\)"):
        changed(values=values)


def test_negative_activations_are_explained_with_a_warning() -> None:
    values = activations().values - np.float32(0.2)
    with pytest.warns(ExplanationWarning, match="negative"):
        found = fit_explanation(changed(values=values), 0, n=3, recipe=QUICK)
    assert found.signed
    assert found.fidelity["R2_test"] > 0.5
    assert np.nanmean(found.rebuilt) > 0.2


def test_dead_x_features_are_named() -> None:
    # Nothing but the pull matters: all x-features but one may go silent.
    recipe = Recipe(epochs=2, pretraining=1, learning_rate=0.3, retries=0)
    with pytest.warns(ExplanationWarning, match="never active"):
        found = fit_explanation(activations(), 0, n=4, terms=Terms(faithful=1e-6, beta=0), recipe=recipe)
    dead = ~found.alive
    assert dead.any()
    assert not found.explain(activations().values)[0][:, dead].any()
    assert not found.contributions[dead].any()


def test_activations_of_another_layer_are_refused() -> None:
    found = fit_explanation(activations(), 0, n=2, recipe=QUICK)
    with pytest.raises(InputError, match="have shape"):
        found.explain(np.zeros((3, 5), np.float32))


def test_a_network_is_made_without_drawing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    network = ExplanationNetwork((6, 4, 2))
    network.draw(torch.Generator().manual_seed(0))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())
