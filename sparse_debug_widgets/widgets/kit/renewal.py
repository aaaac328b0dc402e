"""Compute a result again with the settings that it was computed with."""

from __future__ import annotations

from typing import Any

from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.progress import Progress, ProgressCallback


def fit_again(path: Any, model: Any, data: Any, *, progress: ProgressCallback) -> Any:  # noqa: ANN401
    """The same path for the model and the data as they are now; a job's function.

    Args:
        path: A :class:`RegularizationPath`.
        model: A copy of the live model, taken where cells run.
        data: Its data.
        progress: Called once a minibatch; may raise Cancelled.

    Raises:
        Cancelled: Also where part of the path was solved: a renewed path is whole or not shown.
    """
    from sparse_debug_widgets.core.progress import Cancelled
    from sparse_debug_widgets.sparse import elastic_net_path, extract_features

    provenance = path.provenance
    facts = provenance.params

    def taking(step: Progress) -> None:
        progress(Progress(step.done, step.total, f"taking features, {step.done:g} examples"))

    with collected_notices():
        features = extract_features(
            model,
            data,
            layer=path.layer or None,
            validation=facts.get("validation", 0.1),
            class_names=path.class_names,
            seed=provenance.seed or 0,
            progress=taking,
        )
        count = int(path.n_requested)
        # A path that was cancelled early tells the spacing of its strengths, and so where it would end.
        step = (
            (path.lambdas[-1] / path.lambdas[0]) ** (1 / (len(path.lambdas) - 1))
            if len(path.lambdas) > 1
            else 1
        )
        renewed = elastic_net_path(
            features,
            family=path.family,
            alpha=path.alpha,
            n_lambdas=count,
            eps=float(step ** (count - 1)) if count > 1 and step < 1 else 1e-3,
            solver=provenance.method.partition(":")[2],
            tol=path.tol,
            seed=provenance.seed or 0,
            progress=progress,
        )
    if renewed.cancelled:
        raise Cancelled
    return renewed
