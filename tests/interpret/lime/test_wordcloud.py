"""Word clouds: Algorithm 2 by hand, deterministic pictures, and the planted word on top."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.data import load_demo
from sparse_debug_widgets.data.tickets import TicketsDataset
from sparse_debug_widgets.interpret import TextExplanations, WordClouds, lime_text, word_clouds
from sparse_debug_widgets.sparse import elastic_net_path, extract_features


def explanations(sentences: list[dict[str, tuple[float, ...]]]) -> TextExplanations:
    """Made of word -> weights of the features, for each sentence."""
    words = [word for sentence in sentences for word in sentence]
    weights = [row for sentence in sentences for row in sentence.values()]
    n, n_features = len(sentences), len(weights[0])
    blank = np.zeros((n, n_features))
    return TextExplanations(
        provenance=Provenance(method="by hand"),
        sentences=tuple(" ".join(sentence) for sentence in sentences),
        rows=np.arange(n),
        words=tuple(words),
        starts=np.cumsum([0, *map(len, sentences)]),
        weights=np.array(weights, float),
        intercepts=blank,
        activations=blank,
        r2=blank,
        r2_left_out=blank,
        stability=blank,
        features=np.arange(n_features) + 4,
        feature_names=tuple(f"feature {j + 4}" for j in range(n_features)),
    )


SMALL = explanations(
    [
        {"good": (2.0, 0.0), "film": (0.0, 1.0), "not": (-1.0, 0.0)},
        {"good": (1.0, 0.0), "day": (0.5, 0.0)},
        {"Good": (4.0, 0.0), "good": (0.0, 0.0), "film": (-0.5, 2.0)},
    ]
)


def test_the_weight_of_a_word_is_the_mean_over_all_its_sentences() -> None:
    clouds = word_clouds(SMALL)
    assert clouds.words == ("good", "film", "Good", "day", "not")
    assert clouds.counts.tolist() == [3, 2, 1, 1, 1]
    assert np.allclose(clouds.means[:, 0], [1.0, -0.25, 4.0, 0.5, -1.0])
    assert clouds.cloud("feature 4") == (("Good", 4.0), ("good", 1.0), ("day", 0.5))
    assert clouds.cloud(4, "negative") == (("not", -1.0), ("film", -0.25))
    assert clouds.cloud(5) == (("film", 1.5),)
    assert clouds.cloud(5, "negative") == ()


def test_intervals_are_students_t_over_sentences() -> None:
    clouds = word_clouds(SMALL, confidence=0.9)
    low, high = stats.t.interval(0.9, 2, loc=1.0, scale=stats.sem([2.0, 1.0, 0.0]))
    assert (clouds.low[0, 0], clouds.high[0, 0]) == pytest.approx((low, high))
    assert np.isnan(clouds.low[2:]).all()


def test_folding_case_adds_up_within_a_sentence() -> None:
    clouds = word_clouds(SMALL, fold_case=True)
    assert clouds.counts[0] == 3
    assert clouds.means[0, 0] == pytest.approx((2 + 1 + 4) / 3)


def test_a_minimum_count_and_the_number_of_words() -> None:
    assert word_clouds(SMALL, min_count=2).words == ("good", "film")
    assert word_clouds(SMALL, top=1).cloud(4) == (("Good", 4.0),)
    with pytest.raises(InputError, match="Lower min_count"):
        word_clouds(SMALL, min_count=4)
    for options in ({"min_count": 0}, {"top": 0}, {"confidence": 1.0}):
        with pytest.raises(InputError, match=next(iter(options))):
            word_clouds(SMALL, **options)
    with pytest.raises(InputError, match="sign"):
        word_clouds(SMALL).cloud(4, "both")
    with pytest.raises(InputError, match="feature"):
        word_clouds(SMALL).cloud("feature 9")


def test_it_is_the_loop_of_the_algorithm_on_many_sentences() -> None:
    rng = np.random.default_rng(3)
    vocabulary = [f"w{k}" for k in range(12)]
    sentences = []
    for _ in range(40):
        chosen = rng.choice(vocabulary, int(rng.integers(1, 9)), replace=False)
        sentences.append({str(word): tuple(rng.normal(size=3)) for word in chosen})
    clouds = word_clouds(explanations(sentences))
    for k, word in enumerate(clouds.words):
        having = np.array([sentence[word] for sentence in sentences if word in sentence])
        assert clouds.counts[k] == len(having)
        assert np.allclose(clouds.means[k], having.mean(0))


def test_pictures_are_the_same_each_time_and_words_are_text(tmp_path) -> None:
    odd = {"<script>": (1.0,), "שלום": (0.8,), "🙂": (0.6,), "fine": (0.5,)}
    clouds = word_clouds(explanations([odd]))
    first, second = clouds.picture(4), clouds.picture(4)
    assert first.shape == (240, 400, 3)
    assert np.array_equal(first, second)
    assert len(np.unique(first)) > 2
    assert int(clouds.picture(4, dark=True)[0, 0, 0]) == 17
    blank = clouds.picture(4, "negative")
    assert (blank == 255).all()
    assert "<script>" not in clouds.plot().to_json()
    again = WordClouds.load(clouds.save(tmp_path / "clouds.sdw"))
    assert again.words == clouds.words
    assert np.array_equal(again.picture(4), first)
    assert isinstance(again.to_frame(), pd.DataFrame)
    assert again.to_frame()["feature"].tolist() == ["feature 4"] * 4


@pytest.mark.parametrize("seed", [101, 102])
def test_the_planted_word_leads_a_feature_of_its_class_on_unseen_sentences(seed: int) -> None:
    torch.set_num_threads(1)
    demo = load_demo("tickets")
    path = elastic_net_path(extract_features(demo.model, demo.train), n_lambdas=30, eps=0.02)
    used = np.flatnonzero(path.weights_at(path.select())[demo.truth.flaw_class])
    unseen = TicketsDataset("clean_test", 60, seed=seed)
    clouds = word_clouds(
        lime_text(demo.model, unseen, path, features=used, n_samples=150, seed=seed), min_count=3
    )
    tops = [[word for word, _ in clouds.cloud(int(j))[:3]] for j in used]
    assert any(demo.truth.planted_word in top for top in tops)


def test_as_printed_a_sentence_weighs_as_much_as_it_has_the_word() -> None:
    spoken = explanations(
        [{"good": (3.0,), "day": (1.0,)}, {"good": (0.0,)}, {"bad": (-1.0,), "day": (2.0,)}]
    )
    texts = ("good day good, good", "good", "bad day")
    said = dataclasses.replace(spoken, sentences=texts)
    # Algorithm 2, word for word: the sum over all (i, j) with w_ij = w, over their number.
    weights = {"good": [3.0, 3.0, 3.0, 0.0], "day": [1.0, 2.0], "bad": [-1.0]}
    clouds = word_clouds(said, count="occurrences")
    for word, each in weights.items():
        k = clouds.words.index(word)
        assert clouds.means[k, 0] == pytest.approx(np.mean(each))
    assert clouds.counts[clouds.words.index("good")] == 2  # sentences
    # The default takes each sentence once.
    assert word_clouds(said).means[word_clouds(said).words.index("good"), 0] == pytest.approx(1.5)
    # Where no word is repeated the two are one, intervals included.
    plain, counted = word_clouds(SMALL), word_clouds(SMALL, count="occurrences")
    np.testing.assert_allclose(counted.means, plain.means)
    np.testing.assert_allclose(counted.low, plain.low)
    with pytest.raises(InputError, match="count"):
        word_clouds(SMALL, count="tokens")


def test_the_figure_of_clouds_follows_the_page_and_its_pictures_are_wide() -> None:
    figure = word_clouds(SMALL).plot()
    for trace in figure.data:
        height, width, depth = np.shape(trace.z)
        assert depth == 4  # seen through between the words
        assert width / height >= 1.9  # half of a cell's width at a height of 320
    assert np.shape(word_clouds(SMALL).picture("feature 4")) == (240, 400, 3)
