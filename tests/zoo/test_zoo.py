"""Every step of a first day, with models as people have them."""

import pytest
import torch

from tests.zoo.models import ZOO
from tests.zoo.steps import RAW, REFUSED, live
from tests.zoo.table import ADVICE, PAGE, printed

torch.set_num_threads(1)
TOLD = printed(PAGE.read_text(encoding="utf-8"))


def test_the_table_has_every_architecture_and_no_other():
    assert list(TOLD) == list(ZOO)
    assert len(ZOO) >= 40


@pytest.mark.parametrize("name", ZOO)
def test_each_step_works_or_is_refused_with_what_to_do(name):
    """``live`` also sees to it that no step changes the model."""
    became = live(ZOO[name])
    raw = {step: words for step, (status, words) in became.items() if status == RAW}
    assert not raw, raw
    for step, (status, words) in became.items():
        assert status != REFUSED or ADVICE.search(words), f"{step} says not what to do: {words}"
    found = {step: status for step, (status, _) in became.items()}
    assert found == TOLD[name], "If that is meant: python -m tests.zoo"
