"""The findings of a report in plain words, and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparse_debug_widgets.analysis.common.rates import Rate
from sparse_debug_widgets.analysis.debug.stages import DENSE, SILENCED, SPARSE, STAGES
from sparse_debug_widgets.analysis.suspects.graft import FOUND
from sparse_debug_widgets.analysis.suspects.suspects import CANNOT_SEE
from sparse_debug_widgets.core.checks import shorten
from sparse_debug_widgets.sparse.features.labels import SPLIT_NAMES

if TYPE_CHECKING:
    from sparse_debug_widgets.analysis.debug.report import DebugReport

FEW = 10
_NAME = 60
_LISTED = 5


def findings(report: DebugReport) -> tuple[str, ...]:
    """The findings, a sentence each, most important first."""
    if not report.class_names:
        return (_numbers(report),)
    parts = (
        _accuracy(report),
        *_causes(report),
        _weakest(report, "class"),
        _weakest(report, "group"),
        _confused(report),
        _explained(report),
        _suspected(report),
        _repair(report),
    )
    return tuple(part for part in parts if part)


def left_out(report: DebugReport) -> tuple[str, ...]:
    """Say what was not done, and why: a sentence each."""
    said = []
    if not report.class_names:
        said.append(
            "The labels are numbers: confusions, errors with their features and suspects are about classes "
            "and were left out. For this model there are the path, its features, what moves a prediction "
            "(feature_order), prototypes and LIME."
        )
    if report.labels_are == "answers":
        said.append(
            "The data have no labels: the model's own answers stand in their place. An error is here an "
            "example for which the sparse layer answers another class than the model, not a wrong answer."
        )
    if report.class_names and DENSE not in report.stages:
        said.append("The network's own decision layer is unknown, so that it is not compared.")
    if report.search_note:
        said.append(report.search_note)
    if report.cause_table:
        said.append(CANNOT_SEE)
    if report.split == SPLIT_NAMES[0]:
        said.append("Only training rows were there to look at: all shares are too good. Pass test=.")
    if report.class_names and not report.group_names:
        said.append("No groups were given: pass groups=, one label for each example, for shares per group.")
    return tuple(said)


def _accuracy(report: DebugReport) -> str:
    which = f"{report.split or 'examined'} examples"
    n_used, p = len(report.used), len(report.feature_names)
    sparse = f"the sparse layer, which uses {n_used:,} of {p:,} features, is right on {report.rate()}"
    if DENSE not in report.stages:
        return f"{sparse[0].upper()}{sparse[1:]} {which}."
    return f"The model's own layer is right on {report.rate(DENSE)} {which}; {sparse}."


def _numbers(report: DebugReport) -> str:
    values = dict(zip(report.stages, report.accuracies, strict=True))
    told = "; ".join(f"R^2 of {STAGES[stage]} is {value:.3f}" for stage, value in values.items())
    return (
        f"The model predicts numbers. On {report.split} examples {told}. The sparse layer uses "
        f"{len(report.used):,} of {len(report.feature_names):,} features."
    )


def _causes(report: DebugReport) -> list[str]:
    """The small causes that were found, with their repairs."""
    table = report.cause_table
    if not table:
        return []
    said = [s for s, verdict in zip(table["sentence"], table["verdict"], strict=True) if verdict == FOUND]
    if not said:
        return ["No small fixed cause was found, which does not say that there is none."]
    accuracies, worst = report.repair_accuracies, report.repair_worst
    if report.repair_names and accuracies is not None and worst is not None:
        repairs = "; ".join(
            f"{name} {100 * accuracies[k]:.1f} % (worst group {100 * worst[k]:.1f} %)"
            for k, name in enumerate(report.repair_names)
        )
        said.append(f"Right answers where examples have the first cause by the toss of a coin: {repairs}.")
    return said


def _weakest(report: DebugReport, of: str) -> str:
    names, counts, hits = {
        "class": (report.class_names, report.class_counts, report.class_hits),
        "group": (report.group_names, report.group_counts, report.group_hits),
    }[of]
    there = np.flatnonzero(counts > 0)
    if len(there) < 2:
        return ""
    found = hits[report.stages.index(SPARSE)]
    worst = there[np.argmin(found[there] / counts[there])]
    rate = Rate.from_counts(int(found[worst]), int(counts[worst]))
    few = " (few examples: this share says little)" if rate.n < FEW else ""
    return f"The weakest {of} of the sparse layer is {_quoted(names[worst])}: right on {rate}{few}."


def _confused(report: DebugReport) -> str:
    matrix = report.confusion[report.stages.index(SPARSE)].copy()
    np.fill_diagonal(matrix, 0)
    if not matrix.any():
        return "The sparse layer makes no errors on these examples."
    label, answer = np.unravel_index(int(matrix.argmax()), matrix.shape)
    n, total = int(matrix[label, answer]), int(matrix.sum())
    label_name, answer_name = report.class_names[int(label)], report.class_names[int(answer)]
    return (
        f"The commonest of its {total:,} errors: {_quoted(label_name)} taken for {_quoted(answer_name)}, "
        f"{n:,} times."
    )


def _explained(report: DebugReport) -> str:
    if not len(report.error_rows):
        return ""
    rate = Rate.of(report.explained)
    control = Rate.of(report.error_controls == report.error_labels)
    return (
        f"Errors that are right once one feature, the one that speaks most for the wrong class, is silenced: "
        f"{rate} (a random feature that is used: {100 * control.value:.1f} %)."
    )


def _suspected(report: DebugReport) -> str:
    table = report.suspect_table
    names, errors, towards = table["name"], table["errors"], table["towards"]
    order = sorted((k for k in range(len(names)) if errors[k]), key=lambda k: -errors[k])[:_LISTED]
    if not order:
        return ""
    told = [f"{_quoted(names[k])} ({errors[k]:,} errors, most towards {_quoted(towards[k])})" for k in order]
    return f"Features that make most errors: {', '.join(told)}."


def _repair(report: DebugReport) -> str:
    if SILENCED not in report.stages:
        if not len(report.error_rows):
            return ""
        return (
            "No feature was found whose silencing mends more of these examples than it breaks, beyond "
            "chance. A cause that is in the test data as often as in the training data cannot be seen so: "
            "look at the examples, or pass groups= or cleaner test data."
        )
    names = ", ".join(_quoted(report.feature_names[j]) for j in report.silenced[:_LISTED])
    more = len(report.silenced) - _LISTED
    before, after = report.stages.index(SPARSE), report.stages.index(SILENCED)
    counts = np.maximum(report.class_counts, 1)
    change = (report.class_hits[after] - report.class_hits[before]) / counts
    loser = int(change.argmin())
    lost = (
        f"{_quoted(report.class_names[loser])} loses {-100 * change[loser]:.1f} points"
        if change[loser] < 0
        else "no class loses"
    )
    groups = _worst_groups(report, before, after)
    shared = report.accuracies[after] < report.accuracies[before] and report.cause_table is not None
    hint = " A cause that these examples share looks useful on them." if shared else ""
    from_to = f"from {100 * report.accuracies[before]:.1f} % to {100 * report.accuracies[after]:.1f} %"
    return (
        f"Silencing {names}{f' and {more} more' if more > 0 else ''} changes the share of right answers "
        f"{from_to}; {lost}{groups}.{hint}"
    )


def _worst_groups(report: DebugReport, before: int, after: int) -> str:
    there = report.group_counts > 0
    if not there.any():
        return ""
    rates = report.group_hits[:, there] / report.group_counts[there]
    return (
        f"; the worst group goes from {100 * rates[before].min():.1f} % to {100 * rates[after].min():.1f} %"
    )


def _quoted(name: str) -> str:
    return repr(shorten(name, _NAME))
