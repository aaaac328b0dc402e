"""Names are untrusted: bounded before they are sent, and never the reason for a failure."""

from hypothesis import given
from hypothesis import strategies as st

from sparse_debug_widgets.widgets.kit import fields


@given(st.text())
def test_short_names_are_sent_as_they_are(name):
    (label,) = fields.labels([name])
    assert label == name.replace("\x00", "\ufffd")


def test_long_names_say_how_long_they_were():
    (label,) = fields.labels(["x" * 10_000])
    assert label.startswith("x" * fields.LABEL_LIMIT + "\u2026")
    assert "10,000 characters" in label


def test_all_names_together_are_bounded():
    sent = fields.labels(["y" * 10_000] * 2048)
    assert sum(map(len, sent)) < 1.5 * fields.TOTAL_LIMIT


def test_lone_surrogates_can_be_sent():
    (label,) = fields.labels(["a\ud800b"])
    assert label == "a?b"
