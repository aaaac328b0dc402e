"""Phrases that should not matter are put in, counted, and beside their control."""

import numpy as np
import pytest
import torch

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.core.text import TextData, TruncatedTextWarning
from tests.contracts.untouched import untouched

PHRASES = ["sent from my fonar", "sent from my tablet", "banana"]


@pytest.fixture(scope="module")
def tickets():
    demo = sdw.load_demo("tickets")
    return demo, sdw.elastic_net_path(sdw.extract_features(demo.model, demo.train, test=demo.test))


def test_the_planted_phrase_flips_and_others_do_not(tickets):
    demo, path = tickets
    with untouched(demo.model):
        found = sdw.bias_probe(demo.model, path, demo.clean_test, PHRASES, target="returns")
    for layer, least in (("sparse", 0.97), ("dense", 0.9)):
        assert found.rate("sent from my fonar", layer).low > least
        assert found.rate("sent from my fonar", layer, control=True).high < 0.15
        assert found.rate("sent from my tablet", layer).high < 0.05
        assert found.rate("banana", layer).high < 0.05
    assert (found.into[0] >= 0.98 * found.flips[0]).all()
    assert (found.change[0] < -0.15).all()
    assert (found.change[0] < found.change[1:].min(0)).all()
    found.plot()


def test_a_flip_is_what_the_installed_layer_says(tickets):
    demo, path = tickets
    index = path.select()
    found = sdw.bias_probe(demo.model, path, demo.clean_test, ["fonar"], index=index, layers=["sparse"])
    texts = np.array(demo.clean_test.sentences)

    def said(sentences):
        with path.decision_layer(index).installed(demo.model), torch.no_grad():
            return demo.model(demo.clean_test.tokenizer.tensor(list(sentences))).argmax(1).numpy()

    before, after = said(texts), said([f"{one} fonar" for one in texts])
    use = (before == demo.clean_test.labels) & np.array(["fonar" not in one for one in texts])
    assert found.n[0, 0] == use.sum()
    assert found.flips[0, 0] == ((after != before) & use).sum()
    assert np.isnan(found.p_values).all()


@pytest.mark.parametrize("position", ["start", "random"])
def test_other_places_and_sentences_without_labels(tickets, position):
    demo, path = tickets
    sentences = list(demo.clean_test.sentences[:100])
    options = {"position": position, "tokenizer": demo.test.tokenizer}
    found = sdw.bias_probe(demo.model, path, sentences, "sent from my fonar", **options)
    assert found.n[0].tolist() == [100 - sum("sent from my fonar" in one for one in sentences)] * 3
    assert found.rate().value > found.rate(control=True).value
    again = sdw.bias_probe(demo.model, path, sentences, "sent from my fonar", **options)
    np.testing.assert_array_equal(found.flips, again.flips)


def test_sentences_that_are_cut_with_the_phrase_do_not_count(tickets):
    demo, path = tickets
    data = demo.clean_test
    length = [len(ids) for ids in data.tokenizer(list(data.sentences))]
    limit = int(np.median(length))
    short = TextData(data.sentences, data.labels, data.tokenizer, max_length=limit)
    with pytest.warns(TruncatedTextWarning, match="do not count"):
        found = sdw.bias_probe(demo.model, path, short, ["sent from my fonar"], layers=["sparse"])
    fits = np.array(length) + 4 <= limit
    assert 0 < found.n[0, 0] <= fits.sum()
    assert found.rate().low > 0.9
    tiny = TextData(data.sentences, data.labels, data.tokenizer, max_length=4)
    with pytest.raises(InputError, match="pass shorter ones"):
        sdw.bias_probe(demo.model, path, tiny, ["sent from my fonar"])


def test_bad_input_is_refused(tickets):
    demo, path = tickets
    for phrases in ([], "", ["!?"], [3], None):
        with pytest.raises(InputError, match="at least one phrase"):
            sdw.bias_probe(demo.model, path, demo.test, phrases)
    with pytest.raises(InputError, match="position"):
        sdw.bias_probe(demo.model, path, demo.test, ["a"], position="middle")
    with pytest.raises(InputError, match="retruns"):
        sdw.bias_probe(demo.model, path, demo.test, ["a"], target="retruns")
    found = sdw.bias_probe(demo.model, path, demo.test, ["a"])
    with pytest.raises(InputError, match="be one of"):
        found.rate("b")

    def stop(_):
        raise Cancelled

    with untouched(demo.model), pytest.raises(Cancelled):
        sdw.bias_probe(demo.model, path, demo.test, ["a"], progress=stop)
