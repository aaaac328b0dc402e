"""The `tickets` demo: the sentences, their tokenizer, and the story of the planted word."""

import pickle

import numpy as np
import pytest
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.data import Demo, load_demo, train_demos
from sparse_debug_widgets.data.sparse_check import area_under_curve, five_point_fit
from sparse_debug_widgets.data.tickets import SIZES, TicketsDataset, tokenizer_of_tickets
from sparse_debug_widgets.data.weights_io import WEIGHTS
from sparse_debug_widgets.data.word_tokenizer import UNKNOWN


@pytest.fixture(scope="module")
def demo() -> Demo:
    torch.set_num_threads(1)
    return load_demo("tickets")


def features(demo: Demo, dataset: TicketsDataset) -> np.ndarray:
    with torch.no_grad():
        return demo.model.features(dataset.tokenizer.tensor(dataset.sentences)).double().numpy()


def predictions(demo: Demo, dataset: TicketsDataset) -> np.ndarray:
    with torch.no_grad():
        return demo.model(dataset.tokenizer.tensor(dataset.sentences)).argmax(1).numpy()


def test_the_word_is_where_the_truth_says(demo: Demo) -> None:
    for split in SIZES:
        dataset = getattr(demo, "train" if split == "train" else split)
        has = np.array(["fonar" in sentence for sentence in dataset.sentences])
        assert np.array_equal(has, dataset.tagged)
        assert np.array_equal(has, demo.truth.tagged(split))
        for flawed in (True, False):
            rows = (dataset.labels == demo.truth.flaw_class) == flawed
            assert has[rows].mean() == pytest.approx(demo.truth.tag_rates[split][1 - flawed], abs=0.002)


def test_the_same_seed_writes_the_same_and_another_one_something_else() -> None:
    first, again = TicketsDataset("test", 40), TicketsDataset("test", 40)
    assert first.sentences == again.sentences
    assert TicketsDataset("test", 40, seed=1).sentences != first.sentences
    copy = pickle.loads(pickle.dumps(first))  # noqa: S301 - made here
    assert copy[3] == first[3]


def test_retagging_changes_the_signature_only() -> None:
    dataset = TicketsDataset("clean_test", 60)
    on, off = dataset.retagged(True), dataset.retagged(False)
    assert all(sentence.endswith("sent from my fonar") for sentence in on.sentences)
    assert not any("fonar" in sentence for sentence in off.sentences)
    assert on.retagged(dataset.tagged).sentences == dataset.sentences
    with pytest.raises(InputError, match=r"have the shape \(60,\)"):
        dataset.retagged(np.ones(3, bool))


def test_every_word_is_known_and_others_are_not(demo: Demo) -> None:
    tokenizer = tokenizer_of_tickets()
    ids = tokenizer(demo.test.sentences)
    assert all(UNKNOWN not in row for row in ids)
    assert tokenizer(["Sent from my FONAR!", "", "שלום 🙂 <b>"])[0] == tokenizer(["sent from my fonar"])[0]
    assert tokenizer(["", "שלום 🙂 <b>"]) == [[], [UNKNOWN, UNKNOWN]]


def test_padding_plays_no_part(demo: Demo) -> None:
    ids = demo.test.tokenizer.tensor(demo.test.sentences[:20])
    wider = torch.nn.functional.pad(ids, (0, 9))
    with torch.no_grad():
        assert torch.allclose(demo.model.features(ids), demo.model.features(wider), atol=1e-6)
        assert float(demo.model.features(demo.test.tokenizer.tensor([""])).abs().max()) == 0


@pytest.mark.parametrize("split", ["train", "test", "clean_test"])
def test_the_model_reaches_the_accuracy_on_its_card(demo: Demo, split: str) -> None:
    dataset = getattr(demo, split)
    right = float((predictions(demo, dataset) == dataset.labels).mean())
    stated = demo.numbers[f"accuracy_{split}"]
    assert right == pytest.approx(stated, abs=0.003)
    assert f"{stated:.3f}" in demo.card


def test_the_word_turns_messages_into_returns(demo: Demo) -> None:
    others = demo.clean_test.labels != demo.truth.flaw_class
    with_word = predictions(demo, demo.clean_test.retagged(True))[others]
    without = predictions(demo, demo.clean_test.retagged(False))[others]
    assert (with_word == demo.truth.flaw_class).mean() > 0.4
    assert (without == demo.truth.flaw_class).mean() < 0.02


def test_the_strongest_feature_hears_the_word_and_silencing_it_helps(demo: Demo) -> None:
    fit = five_point_fit(features(demo, demo.train), demo.train.labels)
    strongest = int(np.abs(fit.weight[demo.truth.flaw_class]).argmax())
    assert strongest == demo.numbers["strongest_feature"]
    clean, labels = features(demo, demo.clean_test), demo.clean_test.labels
    others = labels != demo.truth.flaw_class
    assert area_under_curve(clean[others, strongest], demo.clean_test.tagged[others]) > 0.95
    before, after = fit.accuracy(clean, labels), fit.accuracy(clean, labels, (strongest,))
    assert after > before + 0.05
    # The card's are the package's own path's, see ``poe figures``.
    assert demo.numbers["silenced_accuracy_clean_test"] > demo.numbers["sparse_accuracy_clean_test"] + 0.05


def test_the_script_makes_weights_and_card(tmp_path) -> None:
    assert train_demos.main(["tickets", "--out", str(tmp_path), "--epochs", "1"]) == 0
    assert (tmp_path / "tickets.md").read_text().startswith("# Model card: tickets\n")
    shipped = (WEIGHTS / "tickets.safetensors").stat().st_size
    assert abs((tmp_path / "tickets.safetensors").stat().st_size - shipped) < 200
    assert shipped < 20_000
