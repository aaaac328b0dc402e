"""LIME on sentences: the lime package's own answer for one feature, for all features at the price of one."""

import numpy as np
import pytest
import torch
from lime.lime_text import IndexedString, LimeTextExplainer
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.core.text import TextData, TruncatedTextWarning
from sparse_debug_widgets.data import Demo, load_demo
from sparse_debug_widgets.interpret import TextExplanations, lime_text
from sparse_debug_widgets.interpret.lime.lime_text import random_state
from sparse_debug_widgets.interpret.lime.words import BagOfWords
from sparse_debug_widgets.sparse import DeepFeatures, elastic_net_path, extract_features
from tests.contracts.untouched import disturb, untouched

ODD = (
    "",
    "word",
    "🙂🙃",
    "fine 🙂 fine",
    "שלום עולם, مرحبا שלום",
    "<script>alert('x')</script> & <b>bold</b>",
    "it's not_bad -- it's   GOOD, Good!",
    " \n",
)


@pytest.fixture(scope="module")
def demo() -> Demo:
    torch.set_num_threads(1)
    return load_demo("tickets")


@pytest.fixture(scope="module")
def features(demo: Demo) -> DeepFeatures:
    return extract_features(demo.model, demo.train)


@pytest.mark.parametrize("sentence", ODD)
def test_words_and_masks_are_those_of_lime(sentence: str) -> None:
    ours, theirs = BagOfWords(sentence), IndexedString(sentence)
    assert ours.words == tuple(str(word) for word in theirs.inverse_vocab)
    rng = np.random.default_rng(0)
    for _ in range(5):
        kept = rng.integers(0, 2, len(ours))
        assert ours.keeping(kept) == theirs.inverse_removing(list(np.flatnonzero(kept == 0)))
    assert ours.keeping(np.ones(len(ours))) == sentence


@pytest.mark.parametrize("index", range(4))
def test_the_answer_for_one_feature_is_that_of_the_lime_package(
    demo: Demo, features: DeepFeatures, index: int
) -> None:
    sentence, feature = demo.test.sentences[index], 1
    found = lime_text(demo.model, [sentence], features, tokenizer=demo.test.tokenizer, n_samples=200, seed=4)
    column = found.place(feature)

    def activation(texts: list[str]) -> np.ndarray:
        with torch.no_grad():
            raw = demo.model.features(demo.test.tokenizer.tensor(texts)).double().numpy()
        return ((raw - features.mean) / features.scale)[:, [feature]]

    explainer = LimeTextExplainer(feature_selection="none", random_state=random_state(4, sentence))
    theirs = explainer.explain_instance(sentence, activation, labels=(0,), num_samples=200)
    weights = dict(theirs.as_map()[0])
    expected = np.array([weights[k] for k in range(len(weights))])
    assert np.allclose(found.weights_of(0)[:, column], expected, atol=1e-6)
    assert found.intercepts[0, column] == pytest.approx(theirs.intercept[0], abs=1e-6)
    assert found.r2[0, column] == pytest.approx(theirs.score, abs=1e-6)


def test_all_features_cost_the_passes_of_one(demo: Demo, features: DeepFeatures) -> None:
    seen: list[int] = []
    handle = demo.model.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    try:
        lime_text(demo.model, demo.test.sentences[:1], features, tokenizer=demo.test.tokenizer, n_samples=400)
    finally:
        handle.remove()
    # Two more rows find the layer; samples that read the same are asked about once.
    assert sum(seen) <= 1.05 * 400


def test_the_model_is_left_alone_also_when_cancelled(demo: Demo, features: DeepFeatures) -> None:
    model = disturb(load_demo("tickets").model)
    calls = []

    def stop(progress) -> None:
        calls.append(progress)
        if len(calls) == 3:
            raise Cancelled

    options = {"tokenizer": demo.test.tokenizer, "n_samples": 60, "chunk_size": 16}
    with untouched(model):
        lime_text(model, demo.test.sentences[:2], features, **options)
    with untouched(model), pytest.raises(Cancelled):
        lime_text(model, demo.test.sentences[:2], features, progress=stop, **options)
    assert calls[0].total == 120


def test_a_seed_and_a_sentence_decide_its_samples(demo: Demo, features: DeepFeatures) -> None:
    options = {"tokenizer": demo.test.tokenizer, "n_samples": 80, "features": [1, 5]}
    together = lime_text(demo.model, demo.test.sentences[:3], features, **options)
    alone = lime_text(demo.model, demo.test.sentences[2:3], features, chunk_size=7, **options)
    other = lime_text(demo.model, demo.test.sentences[2:3], features, seed=1, **options)
    assert np.allclose(together.weights_of(2), alone.weights_of(0), atol=1e-5)
    assert not np.allclose(other.weights_of(0), alone.weights_of(0), atol=1e-3)
    assert np.isnan(alone.stability).all()
    agreed = lime_text(demo.model, demo.test.sentences[2:3], features, repeats=3, **options)
    assert np.array_equal(agreed.weights, alone.weights) or np.allclose(
        agreed.weights, alone.weights, atol=1e-5
    )
    assert ((agreed.stability > 0) & (agreed.stability <= 1)).any()


def test_the_cache_answers_for_other_features_without_a_pass(
    demo: Demo, features: DeepFeatures, tmp_path
) -> None:
    options = {"tokenizer": demo.test.tokenizer, "n_samples": 50, "cache": tmp_path}
    first = lime_text(demo.model, demo.test.sentences[:2], features, features=[1], **options)
    seen: list[int] = []
    handle = demo.model.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    try:
        again = lime_text(demo.model, demo.test.sentences[:2], features, features=[5, 1], **options)
    finally:
        handle.remove()
    assert sum(seen) <= 4
    assert np.array_equal(again.weights[:, 1], first.weights[:, 0])


def test_a_path_explains_the_features_that_its_layer_uses(demo: Demo, features: DeepFeatures) -> None:
    path = elastic_net_path(features, n_lambdas=20, eps=0.05)
    found = lime_text(demo.model, demo.test, path, n_samples=10)
    used = np.flatnonzero((path.weights_at(path.select()) != 0).any(0))
    assert np.array_equal(found.features, used)
    assert found.sentences == demo.test.sentences


def test_odd_sentences_are_explained_as_far_as_they_have_words(demo: Demo, features: DeepFeatures) -> None:
    found = lime_text(
        demo.model, ODD, features, tokenizer=demo.test.tokenizer, n_samples=40, rows=np.arange(8) + 100
    )
    assert np.diff(found.starts).tolist() == [len(BagOfWords(sentence)) for sentence in ODD]
    assert np.isfinite(found.weights).all()
    empty = [k for k, sentence in enumerate(ODD) if not BagOfWords(sentence).words]
    assert np.isnan(found.r2[empty]).all()
    assert found.poor[empty].all()
    assert np.allclose(found.intercepts[empty], found.activations[empty])
    assert found.rows[3] == 103


def test_ten_thousand_words_are_explained_up_to_the_cut(demo: Demo, features: DeepFeatures) -> None:
    words = ["my screen is black"] + [f"w{k}" for k in range(10_000)]
    with pytest.warns(TruncatedTextWarning, match="words after the cut"):
        found = lime_text(
            demo.model,
            [" ".join(words)],
            features,
            tokenizer=demo.test.tokenizer,
            max_length=20,
            n_samples=12,
            features=[1],
        )
    assert found.weights.shape == (10_004, 1)
    assert found.poor.all()


def test_fewer_samples_than_words_and_a_feature_that_never_fires(demo: Demo, features: DeepFeatures) -> None:
    model = load_demo("tickets").model
    with torch.no_grad():
        model.convolution.weight[3] = 0
        model.convolution.bias[3] = -1
    found = lime_text(model, demo.test.sentences[:2], features, tokenizer=demo.test.tokenizer, n_samples=5)
    column = found.place(3)
    assert (found.weights[:, column] == 0).all()
    assert np.isnan(found.r2[:, column]).all()
    assert found.poor[:, column].all()
    assert np.isfinite(found.weights).all()


class Encoder(nn.Module):
    """Word vectors; the answer is a mapping, as encoders have it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 6, padding_idx=0)

    def forward(self, ids):
        return {"last_hidden_state": self.embedding(ids).tanh()}


def test_a_pooled_encoder_is_explained_as_its_features_were_taken() -> None:
    torch.manual_seed(0)
    model = Encoder().eval()

    def tokenizer(texts):
        return [[1 + sum(map(ord, word)) % 29 for word in text.split()] for text in texts]

    sentences = ["a fine film", "not so fine", "dull film", "what a film", "dull"]
    features = extract_features(
        model, (sentences, [0, 1, 1, 0, 1]), tokenizer=tokenizer, pooling="mean", validation=0.0
    )
    found = lime_text(model, sentences, features, tokenizer=tokenizer, n_samples=60)
    assert np.allclose(found.activations, features.standardized(), atol=1e-5)
    path = elastic_net_path(features, n_lambdas=5)
    with pytest.raises(InputError, match="no linear layer at all"):
        lime_text(model, sentences, path, tokenizer=tokenizer, features=[0])
    again = lime_text(model, sentences, path, tokenizer=tokenizer, features=[0], pooling="mean", n_samples=60)
    assert np.array_equal(again.weights[:, 0], found.weights[:, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 1}, "n_samples is not compatible with LIME on sentences"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"rows": [1]}, "be 2 whole numbers"),
        ({"features": "feature 99"}, "feature"),
        ({"tokenizer": None}, "tokenizer is not compatible with sentences"),
    ],
)
def test_bad_parameters_are_refused(demo: Demo, features: DeepFeatures, options, message) -> None:
    with untouched(demo.model), pytest.raises(InputError, match=message):
        lime_text(
            demo.model,
            list(demo.test.sentences[:2]),
            features,
            **{"tokenizer": demo.test.tokenizer, "n_samples": 10} | options,
        )


def test_features_of_another_model_are_refused(demo: Demo) -> None:
    other = DeepFeatures.from_arrays(np.random.default_rng(0).normal(size=(30, 7)), np.arange(30) % 2)
    with pytest.raises(InputError, match="see the 7 features"):
        lime_text(demo.model, demo.test, other, n_samples=10)


def test_the_result_is_saved_drawn_and_tabled_as_text(demo: Demo, features: DeepFeatures, tmp_path) -> None:
    sentences = [demo.test.sentences[0], ODD[5]]
    found = lime_text(demo.model, sentences, features, tokenizer=demo.test.tokenizer, n_samples=30)
    again = TextExplanations.load(found.save(tmp_path / "found.sdw"))
    assert again.sentences == found.sentences
    assert again.words == found.words
    assert np.array_equal(again.weights, found.weights)
    frame = found.to_frame()
    assert len(frame) == found.weights.size
    assert frame["weight"].iloc[1] == found.weights[0, 1]
    drawn = found.plot(1, feature=1).to_json()
    assert "<script>" not in drawn
    with pytest.raises(InputError, match="index"):
        found.plot(2)
    assert repr(found).startswith("TextExplanations(2 sentences")


SPACELESS = {
    "chinese": ("电影很好看。", "好", ("电", "影", "很", "好", "看")),
    "japanese": ("この映画はとても良いです", "良", None),
    "thai": ("หนังเรื่องนี้ดีมาก", "ดี", ("ห", "นั", "ง", "เรื่", "อ", "นี้", "ดี", "มา", "ก")),
}


class Characters(nn.Module):
    """Counts characters: feature 0 of one of them, feature 1 of all."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.wanted = wanted
        self.fc = nn.Linear(2, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        here = torch.stack([(ids == self.wanted).sum(1), (ids > 0).sum(1)], 1)
        return self.fc(here.float() + 0 * self.fc.weight.sum())


@pytest.mark.parametrize("language", SPACELESS)
def test_where_words_have_no_spaces_each_character_is_one(language: str) -> None:
    sentence, key, words = SPACELESS[language]
    assert words is None or BagOfWords(sentence).words == words
    model = Characters(ord(key[0]))
    data = TextData(
        [sentence, sentence[1:], key, sentence[:3]], [0, 1, 0, 1], lambda some: [[*map(ord, s)] for s in some]
    )
    found = extract_features(model, data, validation=0)
    made = lime_text(model, [sentence], found, tokenizer=data.tokenizer, features=[0], n_samples=300)
    weights = made.weights_of(0)[:, 0]
    assert made.words_of(0)[int(weights.argmax())] == key
    assert np.sort(weights)[-2] < 0.3 * weights.max()


MARKED = {
    "हिन्दी भाषा": ("हिन्दी", "भाषा"),
    "cafe\u0301 noir": ("cafe\u0301", "noir"),
    "한국어 영화": ("한국어", "영화"),
    "GPT4在2024年": ("GPT4", "在", "2024", "年"),
    "❤️ ok 👍🏽": ("ok",),
    "เ": ("เ",),
    "\u0301": (),
    "ー": ("ー",),
}


@pytest.mark.parametrize("text", MARKED)
def test_marks_stay_with_their_letters_and_no_character_is_lost(text: str) -> None:
    bag = BagOfWords(text)
    assert bag.keeping(np.ones(len(bag))) == text
    assert bag.words == MARKED[text]
