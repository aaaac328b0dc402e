"""The table of terms: every "?" of every panel has its sentence and its formula, in plain words."""

import re
from pathlib import Path

import pytest

from sparse_debug_widgets import widgets

STATIC = Path(widgets.__file__).parent / "static"
TABLE = (STATIC / "terms.js").read_text(encoding="utf-8")
TERMS = dict(re.findall(r"^  (\w+): \{\n((?:    .*\n)+)  \},\n", TABLE, re.MULTILINE))
# whatIs("x"), heading(..., "x"), explained(..., "x"), tile("...", "x") and tile(`...`, "x")
USES = re.compile(r"""(?:whatIs\(|heading\(.*?, |tile\(.*?, |explained\(.*\), )"(\w+)"\)""")
STRINGS = re.compile(r'"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`')


def test_terms_have_a_name_a_sentence_and_a_formula():
    assert len(TERMS) > 20
    for term, body in TERMS.items():
        fields = dict(re.findall(r'^    (\w+): "(.*)",$', body, re.MULTILINE))
        assert set(fields) == {"name", "says", "formula"}, term
        assert fields["says"].endswith("."), term
        assert len(fields["says"]) < 260, term


def test_every_term_that_is_asked_for_is_in_the_table():
    text = "\n".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))
    asked = set(USES.findall(text)) | set(
        re.findall(r': "(\w+)"', re.search(r"FIELD_TERMS = \{(.*?)\}", text, re.S)[1])
    )
    assert {"lambda", "rule", "certificate", "eps", "q", "gap", "mass", "alpha", "norm", "lambda1"} <= asked
    assert asked <= set(TERMS)


@pytest.mark.parametrize("name", sorted(path.name for path in STATIC.glob("*.js")))
def test_no_panel_speaks_of_the_thesis_or_in_symbols_of_the_code(name):
    text = (STATIC / name).read_text(encoding="utf-8")
    strings = STRINGS.findall(re.sub(r"^\s*(//|\*|/\*\*).*$", "", text, flags=re.MULTILINE))
    for wrong in ("thesis", "eps / m", "sdw.panel(", "the paper"):
        assert not [s for s in strings if wrong in s], wrong
