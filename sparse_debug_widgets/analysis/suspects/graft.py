"""The graft test: cut what carries a feature of a class out of its members, put it into others, ask again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.analysis.common.layers import ClassLayer
from sparse_debug_widgets.analysis.common.rates import clopper_pearson
from sparse_debug_widgets.analysis.common.reader import DeepReader
from sparse_debug_widgets.analysis.suspects.views import Region, View
from sparse_debug_widgets.core.seeding import generator

Ints = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

FEWEST = 5
"""Members and others that each half must have."""
PER_CLASS, LEAST_USE = 3, 0.05
MEMBERS, SCREENED, CONFIRMED = 8, 24, 200
ENOUGH, NEAR = 0.2, 0.05
LEVEL, FLIPS, GAP = 0.05, 0.25, 0.15
CARRIES = 0.1
"""Share of the graft's whole effect from which on a feature carries it."""

FOUND, LOOK, NOTHING, UNTESTED = "suspect", "worth a look", "no small fixed cause found", "not tested"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one class.

    Attributes:
        class_index: The class.
        status: One of FOUND, LOOK, NOTHING, UNTESTED.
        feature: The feature that the class rests on most; -1 where nothing was tested.
        region: The part that was grafted.
        screened: Share of others that became the class in the screening.
        flips: The same on the other half; NaN where it was not confirmed.
        low: Its lower bound.
        control: Share with the same part of non-members.
        elsewhere: Share with another part of members.
        high: The larger of the controls' upper bounds.
        score: Above 0 for a suspect.
        carriers: Features that carry the effect, strongest first, with their shares in logits.
        example: Rows (into, of) that show it; none where nothing was tested.
    """

    class_index: int
    status: str
    feature: int = -1
    region: Region = ()
    screened: float = float("nan")
    flips: float = float("nan")
    low: float = float("nan")
    control: float = float("nan")
    elsewhere: float = float("nan")
    high: float = float("nan")
    score: float = float("-inf")
    carriers: tuple[tuple[int, float], ...] = ()
    example: tuple[int, ...] = ()


class Tested(NamedTuple):
    """The layer and the examples that are tested.

    Attributes:
        layer: The layer.
        read: The model's features.
        view: The examples.
        z: (n, p) their features.
        labels: (n,) their classes.
    """

    layer: ClassLayer
    read: DeepReader
    view: View
    z: Float64
    labels: Ints


class _Candidate(NamedTuple):
    class_index: int
    feature: int
    region: Region
    rate: float
    members: Ints
    others: Ints


def graft_test(
    tested: Tested, seed: int, step: Callable[[int, int, str], None], draws: int = CONFIRMED
) -> list[Verdict]:
    """Test each class of a layer.

    Args:
        tested: The layer and the examples.
        seed: Of the split and of all draws.
        step: Called with what is done, what there is, and a note; may raise Cancelled.
        draws: Pairs in a confirmation.

    Returns:
        One verdict for each class, suspects first.
    """
    layer, labels = tested.layer, tested.labels
    said = layer.predictions(tested.z)
    discovery = generator(seed, "suspects", "halves").permutation(len(labels)) < len(labels) // 2
    found: list[Verdict] = []
    candidates: list[_Candidate] = []
    for c in range(layer.n_classes):
        step(c, 2 * layer.n_classes, f"looking for what makes an example class {c + 1} of {layer.n_classes}")
        members = [
            np.flatnonzero((discovery == half) & (labels == c) & (said == c)) for half in (True, False)
        ]
        others = [
            np.flatnonzero((discovery == half) & (labels != c) & (said == labels)) for half in (True, False)
        ]
        if min(map(len, [*members, *others])) < FEWEST:
            found.append(Verdict(c, UNTESTED))
            continue
        rng = generator(seed, "suspects", "search", c)
        screened = _screened(tested, c, members[0], others[0], rng)
        if screened is None:
            found.append(Verdict(c, NOTHING))
            continue
        feature, region, rate = screened
        candidates.append(_Candidate(c, feature, region, rate, members[1], others[1]))
    tests = max(1, sum(one.rate >= ENOUGH for one in candidates))
    for number, one in enumerate(candidates):
        step(layer.n_classes + number, layer.n_classes + len(candidates), "confirming on the other half")
        rng = generator(seed, "suspects", "confirm", one.class_index)
        if one.rate < ENOUGH:
            found.append(Verdict(one.class_index, NOTHING, one.feature, one.region, one.rate))
        else:
            found.append(_confirmed(tested, one, LEVEL / (3 * tests), draws, rng))
    return sorted(found, key=lambda v: (-v.score, -np.nan_to_num(v.screened, nan=-1.0), v.class_index))


def _screened(
    tested: Tested, c: int, members: Ints, others: Ints, rng: np.random.Generator
) -> tuple[int, Region, float] | None:
    """The strongest feature, and the smallest region that flips nearly as many as the best."""
    layer, read, view, z, _ = tested
    use = layer.weights[c] * (z[members].mean(0) - z[others].mean(0))
    ranked = np.argsort(-use, kind="stable")[:PER_CLASS]
    top = [int(j) for j in ranked if use[j] > LEAST_USE * use[use > 0].sum()]
    if not top:
        return None
    chosen = rng.permutation(members)[: MEMBERS * view.donors]
    drops = view.drops(read, chosen, others, rng)
    regions = list(dict.fromkeys(region for j in top for region in view.regions(drops, j)))
    if not regions:
        return None
    into, of = rng.choice(others, SCREENED), rng.choice(members, SCREENED)
    rates = {
        region: float(_says(layer, read(view.graft(into, of, [region] * SCREENED)), c).mean())
        for region in regions
    }
    most = max(rates.values())
    region = min((r for r in rates if rates[r] >= most - NEAR), key=lambda r: (len(r), -rates[r]))
    return top[0], region, most


def _confirmed(
    tested: Tested, one: _Candidate, alpha: float, draws: int, rng: np.random.Generator
) -> Verdict:
    layer, read, view = tested[:3]
    c, region = one.class_index, one.region
    into, of, far = (rng.choice(rows, draws) for rows in (one.others, one.members, one.others))
    same = [region] * draws
    after, control = read(view.graft(into, of, same)), read(view.graft(into, far, same))
    placebo = read(view.graft(into, of, [view.elsewhere(int(row), region, rng) for row in of]))
    hits = [_says(layer, z, c) for z in (after, control, placebo)]
    low = clopper_pearson(int(hits[0].sum()), draws, alpha)[0]
    high = max(clopper_pearson(int(hit.sum()), draws, alpha)[1] for hit in hits[1:])
    score = min(low - FLIPS, low - high - GAP)
    share = layer.weights[c] * (after - control).mean(0)
    total = share[share > 0].sum()
    carriers = [
        (int(j), float(share[j])) for j in np.argsort(-share, kind="stable") if share[j] > CARRIES * total
    ]
    status = FOUND if score > 0 else LOOK if low >= GAP and low > high else NOTHING
    shown = int(np.argmax(hits[0] & ~hits[1] & ~hits[2]))
    return Verdict(
        class_index=c,
        status=status,
        feature=carriers[0][0] if carriers else one.feature,
        region=region,
        screened=one.rate,
        flips=float(hits[0].mean()),
        low=low,
        control=float(hits[1].mean()),
        elsewhere=float(hits[2].mean()),
        high=high,
        score=score,
        carriers=tuple(carriers),
        example=(int(into[shown]), int(of[shown])),
    )


def _says(layer: ClassLayer, z: Any, c: int) -> npt.NDArray[np.bool_]:  # noqa: ANN401 (an array)
    return np.asarray(layer.predictions(z) == c)
