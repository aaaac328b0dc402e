"""How often the host waits for the card in one step of each method, and the table of it.

``python -m tests.gpu.waits`` measures on a card made of host memory and writes the table
into ``docs/benchmarks/waits.md``.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sparse_debug_widgets as sdw
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Recipe
from sparse_debug_widgets.interpret.xfeatures.srae.srae import ExplanationWarning
from sparse_debug_widgets.perturbation import METHODS as ATTACKS
from sparse_debug_widgets.perturbation.norms import NORMS
from sparse_debug_widgets.saliency import METHODS
from sparse_debug_widgets.sparse.path.path import UncertifiedWarning
from sparse_debug_widgets.sparse.solvers import saga
from sparse_debug_widgets.sparse.solvers.working_set.strength import Strength
from tests.gpu.card import Card
from tests.gpu.steps import network, pictures, table

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "waits.md"
OPEN, CLOSE = "<!-- waits: written by python -m tests.gpu.waits -->", "<!-- end of waits -->"
Places = dict[str, float]


@dataclass(frozen=True)
class Step:
    """One step of a method.

    Attributes:
        unit: What it is.
        run: Does so many of them on the card; or, where ``called`` is given, as many as it takes.
        counts: Two numbers of steps, the difference between which is measured.
        called: Module or class, and the name of the function in it one call of which is a step.
    """

    unit: str
    run: Callable[[int], object]
    counts: tuple[int, int] = (1, 2)
    called: tuple[Any, str] | None = None


def _fit(solver: str, **options: Any) -> object:
    settings: dict[str, Any] = {"n_lambdas": 3, "eps": 0.2, "tol": 1e-3} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UncertifiedWarning)
        return sdw.elastic_net_path(*table(), solver=solver, device="cuda", **settings)


def _attribute(method: str, chunks: int) -> object:
    own = {"n_samples": 2} if method.startswith("smooth") else {}
    own |= {"n_steps": 2} if method == "integrated_gradients" else {}
    x, y = pictures(2 * chunks)
    return sdw.attribute(network().eval().to("cuda"), x, method, target=y, chunk_size=2, **own)


def _perturb(method: str, norm: str, steps: int) -> object:
    x, y = pictures(3)
    model = network().eval().to("cuda")
    return sdw.perturb(model, x, target=y, norm=norm, method=method, eps=0.5, steps=steps, ascent=True)


def _look(steps: int) -> object:
    model = network().eval().to("cuda")
    features = sdw.extract_features(model, pictures(), validation=0)
    return sdw.visualize_features(model, pictures(), features, features=[0], n_steps=steps, size=(16, 16))


def _lime(batches: int) -> object:
    model = network().eval().to("cuda")
    features = sdw.extract_features(model, pictures(), validation=0)
    settings = {"features": [0], "segments": "grid", "n_segments": 9, "chunk_size": 10}
    return sdw.lime_images(model, pictures(1)[0], features, n_samples=10 * batches, **settings)


def _explain(pictures_shown: int) -> object:
    recipe = Recipe(epochs=1, pretraining=1, retries=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExplanationWarning)
        model = network().eval().to("cuda")
        return sdw.x_features(model, pictures(48), 0, n=2, gallery=pictures_shown, recipe=recipe, hidden=(6,))


def _train(batches: int) -> object:
    return sdw.adversarial_training(network().to("cuda"), pictures(6 * batches), epochs=1, batch_size=6)


STEPS_OF: dict[str, Step] = {
    "elastic_net_path, SAGA's minibatches": Step(
        "two epochs", lambda n: _fit("saga"), (0, 0), (saga._Inner, "_epochs")
    ),
    "elastic_net_path, SAGA's look at the gap": Step(
        "look", lambda n: _fit("saga"), (0, 0), (saga._Inner, "_refresh")
    ),
    "elastic_net_path, working set": Step(
        "improvement of a point", lambda n: _fit("working_set"), (0, 0), (Strength, "improve")
    ),
    "certificate": Step("strength", lambda n: _fit("saga"), (0, 0), (saga, "certify")),
    "extract_features": Step(
        "batch",
        lambda n: sdw.extract_features(network().to("cuda"), pictures(6 * n), validation=0, batch_size=6),
        (2, 4),
    ),
    **{
        f"attribute, {method}": Step("chunk of pictures", lambda n, m=method: _attribute(m, n))
        for method in METHODS
    },
    **{
        f"perturb, {method}, {norm}": Step("step", lambda n, m=method, b=norm: _perturb(m, b, n), (2, 4))
        for method in ATTACKS
        for norm in NORMS
    },
    "adversarial_training": Step("batch", _train, (2, 4)),
    "visualize_features": Step("step", _look, (2, 4)),
    "lime_images": Step("batch of masked pictures", _lime, (2, 4)),
    "x_features": Step("picture of the gallery", _explain, (2, 4)),
}


def measure(name: str) -> Places:
    """Waits in one step, by what and where."""
    step = STEPS_OF[name]
    if step.called is not None:
        return _per_call(step.run, *step.called)
    few, many = (_run(step.run, count) for count in step.counts)
    span = step.counts[1] - step.counts[0]
    return {place: round((many[place] - few[place]) / span, 2) for place in many if many[place] != few[place]}


def _run(run: Callable[[int], object], count: int) -> Counter[str]:
    with Card() as card:
        run(count)
    return _named(card)


def _per_call(run: Callable[[int], object], owner: Any, name: str) -> Places:
    function, calls, waits = getattr(owner, name), 0, Counter[str]()

    with Card() as card:

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            before = _named(card)
            found = function(*args, **kwargs)
            waits.update(_named(card) - before)
            calls += 1
            return found

        with patch.object(owner, name, counted):
            run(0)
    return {place: round(count / calls, 2) for place, count in waits.items()}


def _named(card: Card) -> Counter[str]:
    return Counter({f"{place} ({what})": count for (what, place), count in card.waits.items()})


def write(measured: dict[str, Places]) -> str:
    """The table."""
    rows = ["| method | one step is | waits | where, and how often |", "| --- | --- | --- | --- |"]
    for name, places in measured.items():
        listed = "<br>".join(f"`{place}` {count:g}" for place, count in sorted(places.items()))
        rows.append(
            f"| {name} | {STEPS_OF[name].unit} | {sum(places.values()):.3g} | {listed or 'nowhere'} |"
        )
    return "\n".join(rows)


def printed(text: str) -> dict[str, Places]:
    """What a table says, by method."""
    inside = text.split(OPEN)[1].split(CLOSE, maxsplit=1)[0]
    rows = [row.strip("| ").split(" | ") for row in inside.strip().splitlines()[2:]]
    return {row[0]: dict(_entry(part) for part in row[3].split("<br>") if part != "nowhere") for row in rows}


def _entry(text: str) -> tuple[str, float]:
    place, count = text.rsplit(" ", 1)
    return place.strip("`"), float(count)


def compare(name: str, measured: Places, expected: Places) -> None:
    """Fail where the host waits elsewhere, or more or less often, than a table says.

    How many rounds an iteration takes may hang on the last digit of a product: there a quarter is let pass.
    """
    again = "If that is meant: python -m tests.gpu.waits"
    assert set(measured) == set(expected), (
        f"{name} waits elsewhere than docs/benchmarks/waits.md says. {again}"
    )
    slack = 0.25 if "elastic_net" in name or name == "certificate" else 0.0
    for place, count in measured.items():
        told = expected[place]
        assert abs(count - told) <= slack * told + 0.011, f"{name}: {place} {count}, not {told}. {again}"


def main() -> None:
    """Measure everything and write the table."""
    text = PAGE.read_text(encoding="utf-8")
    table = write({name: measure(name) for name in STEPS_OF})
    before, rest = text.split(OPEN)
    after = rest.split(CLOSE)[1]
    PAGE.write_text(f"{before}{OPEN}\n{table}\n{CLOSE}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
