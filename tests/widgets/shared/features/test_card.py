"""The card of one feature: found when somebody looks, shared with the Features panel, kept in pages."""

import numpy as np
import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.widgets.shared.features.card import FeatureCards
from sparse_debug_widgets.widgets.shared.live import LiveModel
from tests.contracts.untouched import untouched
from tests.interpret.models import Pictures, pictures
from tests.widgets.front import eventually
from tests.widgets.panels.features.test_panel import Words, fitted, tokens

SENTENCES = ["good film", "bad film", "good good plot", "bad bad end", "fine", "so good"] * 8


@pytest.fixture(scope="module")
def seen():
    model, data = Pictures(), pictures(60)
    return model, data, *fitted(model, data)


class Panel:
    """Where a live model says what changed; it is kept weakly."""

    def changed(self, state) -> None:
        return


PANEL = Panel()


def live_of(model, path, data):
    return LiveModel(model, path, data, PANEL.changed)


def test_features_and_data_give_the_prototypes_at_once_and_touch_no_model(seen) -> None:
    _, data, features, path = seen
    cards = FeatureCards(path, data=data, features=features)
    assert cards.about() == {"kind": "pictures", "able": True}
    for feature in (2, 0):
        value, arrays = cards.card(feature)
        column = features.values[:, feature]
        assert [item["row"] for item in value["top"]] == np.argsort(-column, kind="stable")[:5].tolist()
        assert len(value["tiles"]) == 5
        assert arrays["sheet"].size
        assert not value["waits"]


def test_nothing_is_read_before_somebody_looks(seen) -> None:
    model, data, _, path = seen
    looks = []

    class Watched:
        def __len__(self) -> int:
            return 60

        def __getitem__(self, row: int):
            looks.append(row)
            return data[0][row], data[1][row]

    watched = Watched()
    cards = FeatureCards(path, live_of(model, path, data), data=watched)
    before = len(looks)
    assert before <= 1  # what kind of examples these are
    told: list[int] = []
    cards = FeatureCards(path, live_of(model, path, data), data=watched, told=lambda: told.append(1))
    with untouched(model):
        first = cards.card(1).value
        assert first["waits"]
        eventually(lambda: told and not cards.card(1).value["waits"])
    assert len(looks) >= 60
    assert len(cards.card(1).value["top"]) == 5
    assert cards.news


def test_without_examples_there_is_nothing_to_show(seen) -> None:
    *_, path = seen
    cards = FeatureCards(path)
    assert not cards.about()["able"]
    value = cards.card(0).value
    assert "top" not in value
    assert not value["waits"]
    with pytest.raises(InputError, match="this path"):
        cards.card(path.weights_at(0).shape[1])


def test_sentences_get_the_weights_of_their_words() -> None:
    model = Words()
    data = TextData(SENTENCES, np.arange(48) % 2, tokens)
    features, path = fitted(model, data)
    cards = FeatureCards(path, live_of(model, path, data), data=data, features=features)
    assert cards.card(0).value["kind"] == "text"
    eventually(lambda: not cards.card(0).value["waits"])
    top = cards.card(0).value["top"]
    assert top[0]["text"] in SENTENCES
    assert any(weight is not None for _, weight in top[0]["pieces"])


def test_a_page_without_a_kernel_has_as_many_cards_as_fit(seen) -> None:
    _, data, features, path = seen
    cards = FeatureCards(path, data=data, features=features)
    every = cards.known(range(6), 10**6)
    assert list(every) == list(range(6))
    size = sum(array.nbytes for array in every[0].arrays.values())
    assert len(cards.known(range(6), size + 1)) == 1
