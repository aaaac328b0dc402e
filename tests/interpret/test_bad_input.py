"""What people will pass in: odd sentences, odd pictures, features that tell nothing, models of every form.

Each case ends in an answer that says what it is worth, or in an error that says what to do; the model is left
as it was. Cases that concern one function only are in the test of that function.
"""

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.text import TruncatedTextWarning
from sparse_debug_widgets.interpret import (
    find_prototypes,
    lime_images,
    lime_prototypes,
    lime_text,
    visualize_features,
    word_clouds,
)
from tests.contracts.untouched import disturb, untouched
from tests.interpret.models import Pictures, features_of, pictures
from tests.sparse.features.test_text_models import LABELS, SENTENCES, Own, bert_tokenizer, gpt, lengths


def text_model(answer="tensor"):
    torch.manual_seed(0)
    return disturb(Own(answer))


def text_features(model, **options):
    return sdw.extract_features(model, (SENTENCES, LABELS), tokenizer=lengths, validation=0.0, **options)


# -- sentences


def test_a_tokenizer_without_a_padding_token_is_refused_and_the_advice_helps():
    model, tokenizer = gpt(), bert_tokenizer(special=False)
    data = (SENTENCES, LABELS)
    features = sdw.extract_features(model, data, tokenizer=tokenizer, pooling="last", validation=0.0)
    bare = bert_tokenizer(pad_token=None, special=False, eos_token="film")  # noqa: S106 - no password
    with untouched(model), pytest.raises(InputError, match=r"tokenizer\.pad_token = tokenizer\.eos_token"):
        lime_text(model, SENTENCES[:2], features, tokenizer=bare, n_samples=20)
    bare.pad_token = bare.eos_token
    found = lime_text(model, SENTENCES[:1], features, tokenizer=bare, n_samples=20)
    assert np.isfinite(found.weights).all()


@pytest.mark.parametrize("answer", ["tensor", "tuple", "dict"])
def test_odd_sentences_through_models_of_every_form(answer):
    model = text_model(answer)
    with untouched(model):
        features = text_features(model)
        found = lime_text(model, SENTENCES, features, tokenizer=lengths, n_samples=30)
        prototypes = find_prototypes(features, SENTENCES, k=3)
    assert np.isfinite(found.weights).all()
    assert set(prototypes.sentences) <= set(SENTENCES)
    clouds = word_clouds(found)
    assert {"film", "שלום", "script"} <= set(clouds.words)
    for drawn in (prototypes.plot(), clouds.plot(), found.plot(5)):
        assert "<script>" not in drawn.to_json()
    order = sdw.feature_order(sdw.elastic_net_path(features, n_lambdas=12), 0, clouds, prototypes)
    assert "<script>" not in order.plot().to_json()


def test_sentences_without_a_word_have_no_cloud_and_that_is_said():
    model = text_model()
    features = text_features(model)
    found = lime_text(model, ["", " ", "🙂", "?!"], features, tokenizer=lengths, n_samples=10)
    assert len(found.words) == 0
    assert found.poor.all()
    assert len(found.to_frame()) == 0
    with pytest.raises(InputError, match=r"No word occurs in as many as 1 sentences \(0 words in all\)"):
        word_clouds(found)


def test_one_word_is_explained_by_itself():
    model = text_model()
    found = lime_text(model, ["film"], text_features(model), tokenizer=lengths, n_samples=40)
    assert found.words == ("film",)
    # The package's kernel gives the sample without any word a weight of 3e-4, and the ridge does the rest.
    assert found.poor.all()


def test_ten_thousand_words_go_through_all_of_it():
    model = text_model()
    data = ([*SENTENCES, "fine " * 5_000 + "film " * 5_000], [*LABELS, 1])
    with pytest.warns(TruncatedTextWarning):
        features = sdw.extract_features(model, data, tokenizer=lengths, max_length=64, validation=0.0)
    prototypes = find_prototypes(features, data[0], k=1)
    with pytest.warns(TruncatedTextWarning, match="words after the cut"):
        found = lime_text(model, [data[0][-1]], features, tokenizer=lengths, max_length=64, n_samples=20)
    assert found.words == ("fine", "film")
    order = sdw.feature_order(sdw.elastic_net_path(features, n_lambdas=8), 0, prototypes)
    assert len(order.plot().to_json()) < 60_000


# -- pictures and features


class Rectified(nn.Module):
    """Features: a corner's brightness, a constant, one that never fires, one that fires on white only."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        corner = x[:, :, -4:, -4:].mean((1, 2, 3))
        return self.fc(torch.stack([corner, 0 * mean + 0.5, (mean - 9).relu(), (mean - 0.95).relu()], 1))


@pytest.fixture
def rectified():
    model, data = Rectified(), (pictures(24, 1, 8)[0], torch.arange(24) % 2)
    with pytest.warns(UserWarning, match="3 of 4 features are constant"):
        return model, data, features_of(model, data)


def test_constant_and_silent_features_are_explained_by_nothing_and_marked(rectified):
    model, data, features = rectified
    every = [0, 1, 2, 3]
    with untouched(model):
        prototypes = find_prototypes(features, data, features=every, k=2)
        found = lime_images(model, data[0][:2], features, features=every, n_samples=70)
        made = visualize_features(model, data, features, features=every, n_steps=80, signs=(1, -1))
    assert prototypes.constant.tolist() == [False, True, True, True]
    assert (prototypes.top[1:] == -1).all()
    assert found.poor[:, 1:].all()
    assert not found.weights[:, 1:].any()
    assert not found.mask(0, 2).any()
    assert np.isfinite(made.pictures).all()
    # What never fires on the data may be made to fire; a constant stays where it is.
    assert made.activations[1].tolist() == [0.0, 0.0]
    assert made.activations[2].tolist() == [0.0, 0.0]
    assert made.beyond[1].tolist() == [0.0, 0.0]
    for drawn in (prototypes.plot(every), found.plot(every), made.plot(every)):
        assert drawn.data
    assert len(made.to_frame()) == 8


def test_nothing_but_constant_features_is_refused():
    model, x = Rectified(), torch.full((6, 1, 8, 8), 0.25)
    with untouched(model), pytest.raises(InputError, match="4 features that are all constant"):
        features_of(model, (x, torch.arange(6) % 2))


def test_prototypes_of_constant_features_cannot_be_explained(rectified):
    model, data, features = rectified
    chosen = find_prototypes(features, data, features=[1, 2])
    with untouched(model), pytest.raises(InputError, match="None of these features varies"):
        lime_prototypes(model, chosen, features, n_samples=70)


def test_fewer_examples_than_k_everywhere():
    model, data = Pictures(), pictures(3)
    features = features_of(model, data)
    prototypes = find_prototypes(features, data, k=9)
    found = lime_prototypes(model, prototypes, features, k=9, n_samples=70)
    assert sorted(found.rows) == [0, 1, 2]
    order = sdw.feature_order(
        sdw.elastic_net_path(features, n_lambdas=8, validation=0), 0, prototypes, found, n_prototypes=9
    )
    # Nine columns were asked for; what is not there stays empty.
    assert [bool(note) for note in order.notes[0]] == [True] * 3 + [False] * 6 + [True]


@pytest.mark.parametrize("answer", ["tuple", "dict"])
def test_a_model_that_answers_a_tuple_or_a_dict_is_explained_as_any_other(answer):
    data = pictures()
    plain, other = Pictures(), Pictures(answer=answer)
    features = features_of(plain, data)
    expected = lime_images(plain, data[0][:1], features, n_samples=70)
    with untouched(other):
        found = lime_images(other, data[0][:1], features, n_samples=70)
    assert np.array_equal(found.weights, expected.weights)


def test_one_segment_and_fewer_samples_than_segments_are_marked():
    model, data = Pictures(), pictures()
    features = features_of(model, data)
    one = lime_images(model, data[0][:1], features, segments=np.zeros((16, 16), int), n_samples=30, hide=0.0)
    assert one.n_segments.tolist() == [1]
    assert one.poor.all()
    assert one.overlay(0, 0).shape == (16, 16, 3)
    with pytest.warns(UserWarning, match="5 samples for up to 64"):
        few = lime_images(model, data[0][:1], features, n_samples=5)
    assert few.poor.mean() > 0.5


class InPlaceThenView(Pictures):
    """Overwrites what it is given, and wants the ordinary order of pixels."""

    def forward(self, inputs):
        inputs.mul_(2.0)
        quarters = self.conv(inputs).relu()
        return self.fc(quarters.view(len(inputs), quarters.shape[1], -1).mean(2))


def test_a_model_that_overwrites_its_inputs_sees_each_of_them_once_and_the_data_stay():
    data, model = pictures(), InPlaceThenView()
    before = data[0].clone()
    features = features_of(model, data)
    with torch.no_grad():
        truth = model.conv(2 * before).relu().mean((2, 3)).numpy()
    assert np.allclose(features.values, truth, atol=1e-5)
    live = find_prototypes(model, data, units=features, k=3)
    assert np.array_equal(live.top, np.argsort(-truth, axis=0, kind="stable")[:3].T)
    found = lime_images(model, data[0][0], features, n_samples=140, chunk_size=16)
    assert np.allclose(found.activations[0], (truth[0] - features.mean) / features.scale, atol=1e-4)
    visualize_features(model, data, features, n_steps=2)
    assert torch.equal(data[0], before)
