"""Small Saliency panels for the tests, and what they have sent."""

import numpy as np

from sparse_debug_widgets import saliency_panel
from sparse_debug_widgets.widgets.shared import heat
from tests.saliency.models import images, small_cnn
from tests.widgets.front import eventually

QUICK = {"sweep": "", "methods": ("gradient",), "fallback": "none"}


def ended(shown, state="done"):
    eventually(lambda: shown.job.get("state") == state)
    return shown


def small(n=3, **options):
    return saliency_panel(small_cnn(), images(n), **{**QUICK, **options})


def sent(trait, cell):
    """The maps (K, P, n) of one cell as the page has them."""
    value, arrays = trait["value"], trait["arrays"]
    head = value["cells"][cell]
    n = int(np.prod(value["shape"]))
    packed = heat.Packed(
        head["units"], head["levels"], np.frombuffer(arrays[head["array"]]["data"], np.uint8)
    )
    return heat.unpack(packed, (len(head["units"]) // head["planes"], head["planes"], n))
