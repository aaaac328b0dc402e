"""The runs of the Perturbation panel: jobs on private copies of the models, kept with their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sparse_debug_widgets.core import jobs
from sparse_debug_widgets.core.hooks import call_model, model_untouched, placement
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.outputs import logits_of
from sparse_debug_widgets.core.progress import Progress, ProgressCallback
from sparse_debug_widgets.perturbation import ConceptProbe, Perturbation, perturb, probe_concept
from sparse_debug_widgets.widgets.kit.code import Cell
from sparse_debug_widgets.widgets.kit.run_list import RunList, Shelf
from sparse_debug_widgets.widgets.kit.snapshot import snapshot
from sparse_debug_widgets.widgets.panels.perturb.film import Strip, concept_strips, joined, step_strip

Kind = Literal["perturb", "concept"]


@dataclass(eq=False)
class PerturbRun:
    """One run: what was asked for, its job, and what came of it.

    Attributes:
        number: Counts the runs of these models.
        kind: A perturbation of a picture, or concept probing.
        values: What was in the fields.
        code: The calls that reproduce it.
        titles: Name of each model.
        names: Of the classes.
        about: What the list says of it: the picture, the class.
        label: True class of the picture, -1 if unknown.
        row: Which example it was; -1 for none.
        pinned: Whether a person keeps it for comparison.
        notes: Warnings that it gave.
        film: What the page shows, once there is a result.
    """

    number: int
    kind: Kind
    values: dict[str, Any]
    code: Cell
    titles: tuple[str, ...]
    names: tuple[str, ...]
    about: str
    label: int = -1
    row: int = -1
    pinned: bool = False
    notes: list[str] = field(default_factory=list)
    film: Strip | None = None
    job: Job[Any] = field(init=False)

    @property
    def results(self) -> tuple[Any, ...]:
        """A result for each model that was run; also the part that a cancelled run has."""
        found = self.job.result(0) if self.job.state == "done" else self.job.partial
        return tuple(found or ())


class PerturbRuns(RunList[PerturbRun]):
    """All runs of one or two live models."""

    def start(
        self, run: PerturbRun, models: Sequence[nn.Module], inputs: Tensor | None, call: Mapping[str, Any]
    ) -> PerturbRun:
        """Run beside the notebook, on copies that are made here and now.

        Args:
            run: What to run.
            models: The live models; they are only copied.
            inputs: The picture (1, ...), for a perturbation.
            call: Arguments of ``perturb`` or ``probe_concept``.
        """
        twins = [snapshot(model) for model in models]
        work = _perturb if run.kind == "perturb" else _draw
        run.job = jobs.submit(
            work,
            run,
            twins,
            inputs,
            dict(call),
            name=f"perturbation {run.number}: {run.about}",
            noun="perturbation",
        )
        self.add(run)
        return run


def _perturb(
    run: PerturbRun,
    twins: Sequence[nn.Module],
    inputs: Tensor,
    call: dict[str, Any],
    *,
    progress: ProgressCallback,
) -> list[Perturbation]:
    """The job: one model after the other, towards the same class."""
    results: list[Perturbation] = []
    target = call.pop("target")
    why = target == "prediction"
    with collected_notices() as run.notes:
        for twin, title in zip(twins, run.titles, strict=True):

            def listen(step: Progress, done: int = len(results), title: str = title) -> None:
                sure = f", {step.piece.confidences[0]:.0%}" if step.piece is not None else ""
                note = f"{title}: {step.note}{sure}"
                progress(Progress(done + step.fraction, len(twins), note))

            # A person who asks why does not want to be told that it is predicted already.
            asked = "prediction" if why and results and _says(twin, inputs) == int(target[0]) else target
            found = perturb(twin, inputs, target=asked, keep_iterates=True, progress=listen, **call)
            results.append(found)
            if found.cancelled:
                break
            # What the first model predicts is what all of them are asked about.
            target = found.target
    strips = [
        step_strip(found, 0, title=title, names=run.names, label=run.label)
        for found, title in zip(results, run.titles, strict=False)
    ]
    run.film = joined(strips, run=run.number, kind=run.kind)
    return results


def _says(twin: nn.Module, inputs: Tensor) -> int:
    """The class that a model predicts for one picture (1, ...)."""
    return int(_logits(twin, inputs).argmax())


def classes_of(model: nn.Module, inputs: Tensor) -> int:
    """Count the classes that a model knows, asked with one picture (1, ...)."""
    return int(_logits(model, inputs).shape[1])


def _logits(model: nn.Module, inputs: Tensor) -> Tensor:
    with model_untouched(model) as bare, torch.inference_mode(mode=False), torch.no_grad():
        device, dtype = placement(bare)
        return logits_of(call_model(bare, inputs.to(device, dtype)), rows=len(inputs))


def _draw(
    run: PerturbRun,
    twins: Sequence[nn.Module],
    _inputs: object,
    call: dict[str, Any],
    *,
    progress: ProgressCallback,
) -> list[ConceptProbe]:
    """The job: every model draws the class, from the same noise."""
    results: list[ConceptProbe] = []
    for twin, title in zip(twins, run.titles, strict=True):

        def listen(step: Progress, done: int = len(results), title: str = title) -> None:
            progress(Progress(done + step.fraction, len(twins), f"{title}: {step.note}"))

        results.append(probe_concept(twin, progress=listen, **call))
        if results[-1].cancelled:
            break
    strips = [
        strip
        for found, title in zip(results, run.titles, strict=False)
        for strip in concept_strips(found, title=title)
    ]
    run.film = joined(strips, run=run.number, kind=run.kind)
    return results


_shelf: Shelf[PerturbRuns] = Shelf()


def runs_of(models: Sequence[nn.Module]) -> PerturbRuns:
    """The runs of these live models; a panel that is made again finds them, also those at work."""
    return _shelf.take(models, PerturbRuns) if models else PerturbRuns()
