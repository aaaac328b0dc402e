"""Findings as tables: a title, a header and rows of text, for the terminal and for the report alike."""

import numpy as np

from sparse_debug_widgets.cli.findings import TOLERANCE, Findings
from sparse_debug_widgets.core.page import Table

STAGES = {"dense": "the model's own layer", "sparse": "sparse layer", "silenced": "sparse, silenced"}


def tables(findings: Findings) -> tuple[Table, ...]:
    """All tables, in the order in which a person wants them."""
    return (chosen(findings), per_class(findings), strongest(findings), before_and_after(findings))


def percent(value: float) -> str:
    """A share as a percentage; a dash where there is none."""
    return "-" if np.isnan(value) else f"{100 * value:.1f} %"


def chosen(findings: Findings) -> Table:
    """The chosen point of the path."""
    path, i = findings.path, findings.selected
    dense, sparse = path.dense_accuracies, path.accuracies[i]
    n_used = int((path.weights_at(i) != 0).any(axis=0).sum())
    rows = [
        ("lambda", "", f"{path.lambdas[i]:.3g} ({i + 1} of {len(path.lambdas)})"),
        ("features used", str(len(path.feature_names)), str(n_used)),
        *(
            (f"{split} accuracy", percent(dense[s]), percent(sparse[s]))
            for s, split in enumerate(("training", "validation", "test"))
        ),
    ]
    certified = f"{int(path.certified.sum())} of {len(path.lambdas)} lambdas"
    note = f"Duality gap below {path.tol:g} at {certified}; the largest is {np.max(path.duality_gaps):.1g}."
    bound = None if path.weight_bounds is None else float(path.weight_bounds[i])
    if bound is not None and np.isfinite(bound):
        note += f" The weights of this layer are within {bound:.1g} of the optimal ones (standardised units)."
    title = f"The sparsest layer within {100 * TOLERANCE:g} points of the best"
    return Table(title, ("", "dense", "sparse"), tuple(rows), note)


def per_class(findings: Findings) -> Table:
    """Features per class in the chosen layer."""
    counts = findings.path.n_nonzero[findings.selected]
    rows = tuple(
        (name, str(int(count))) for name, count in zip(findings.path.class_names, counts, strict=True)
    )
    return Table("Features per class", ("class", "features"), rows)


def strongest(findings: Findings) -> Table:
    """The strongest features of the class that was looked at."""
    rows = tuple(
        (
            feature.name,
            f"{feature.weight:+.3f}",
            "-" if np.isnan(feature.detects_mark) else f"{feature.detects_mark:.2f}",
            "yes" if feature.index in findings.silenced else "",
        )
        for feature in findings.top
    )
    name = findings.demo.class_names[findings.class_index]
    planted = getattr(findings.demo.truth, "flaw", "")
    note = (
        f"Planted: {planted}. Detection is the area under the ROC curve, over other classes."
        if planted
        else ""
    )
    return Table(
        f"Strongest features of {name!r}", ("feature", "weight", "detects the mark", "silenced"), rows, note
    )


def before_and_after(findings: Findings) -> Table:
    """Accuracy of the live model with each layer in place."""
    measures = next(iter(findings.accuracies.values()))
    rows = tuple(
        (measure, *(percent(found[measure]) for found in findings.accuracies.values()))
        for measure in measures
    )
    header = ("the live model: accuracy", *(STAGES[stage] for stage in findings.accuracies))
    note = (
        "In the clean test set the planted mark is a coin toss."
        if findings.demo.clean_test is not None
        else ""
    )
    return Table("The layer back in the live model", header, rows, note)
