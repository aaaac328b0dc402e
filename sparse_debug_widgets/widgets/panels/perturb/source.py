"""The source of the Perturbation panel: live models and their names, pictures, a result; runs to start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sparse_debug_widgets.core.checks import InputError, check_int, refuse, reject, shorten
from sparse_debug_widgets.core.fingerprint import array_fingerprint, combine, model_fingerprint
from sparse_debug_widgets.core.hooks import unwrap
from sparse_debug_widgets.core.job import Job
from sparse_debug_widgets.core.pixels import box_from, model_box
from sparse_debug_widgets.core.progress import ProgressCallback
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.perturbation import ConceptProbe, ErrorCounterfactuals, Perturbation
from sparse_debug_widgets.perturbation.norms import BOX_MODES, NORMS
from sparse_debug_widgets.widgets.kit import fields, wire
from sparse_debug_widgets.widgets.kit.code import Cell, normalized
from sparse_debug_widgets.widgets.kit.namespace import called, example_code
from sparse_debug_widgets.widgets.kit.run_list import has_ended
from sparse_debug_widgets.widgets.kit.stale import Watch, Watches
from sparse_debug_widgets.widgets.panels.perturb import code, settings
from sparse_debug_widgets.widgets.panels.perturb.film import (
    Strip,
    concept_strips,
    error_strips,
    joined,
    paper_radii,
    step_strip,
)
from sparse_debug_widgets.widgets.panels.perturb.work import PerturbRun, PerturbRuns, classes_of, runs_of
from sparse_debug_widgets.widgets.shared.gallery import Examples, check_result_in

# What the results are called where the notebook has no name for them, and where their pictures are.
_USUAL: dict[type, tuple[str, str]] = {
    Perturbation: ("result", "inputs"),
    ErrorCounterfactuals: ("errors", "inputs"),
    ConceptProbe: ("drawn", "starts"),
}
_WHAT = "the Perturbation panel"
RESULTS = (Perturbation, ErrorCounterfactuals, ConceptProbe)


class PerturbSource:
    """Models, pictures and possibly a result; it starts runs, and knows nothing of widgets.

    Args:
        given: A live model or a result.
        model: The live model of a result.
        data: Pictures to choose from.
        compare: A second live model.
        class_names: One per class.
        box: Pixel range.
        normalize: How the inputs were normalised, as :func:`core.pixels.normalization` takes it.
        titles: Names of the models.

    Raises:
        InputError: No model and no result, or data that hold no pictures.
    """

    def __init__(
        self,
        given: Any,  # noqa: ANN401 (a model or a result)
        model: nn.Module | None,
        *,
        data: Any,  # noqa: ANN401 (whatever Examples takes)
        compare: nn.Module | None,
        class_names: Sequence[str],
        box: Any,  # noqa: ANN401 (numbers or tensors)
        normalize: Any,  # noqa: ANN401 (see core.pixels)
        titles: Sequence[str],
    ) -> None:
        self._given = given
        self.result = given if isinstance(given, RESULTS) else None
        live = model if self.result is not None else given
        self.models = tuple(unwrap(m) for m in (live, compare) if m is not None)
        if not self.models and self.result is None:
            refuse("The Perturbation panel needs a model: call sdw.perturb_panel(model, data).")
        self.titles = titles_of(self.models, titles)
        self.data, self.normalize, self._said_box = data, normalize, box
        self.box = _box_of(self.result, box, normalize, data)
        self.examples = examples_of(self.result, data, class_names, self.box)
        self.runs: PerturbRuns = runs_of(self.models)
        self._own: set[int] = set()
        self.look(1.0)
        self.radii = paper_radii(self.dims or 1)

    @property
    def dims(self) -> int:
        """Numbers in one picture; 0 while none is known."""
        return int(np.prod(self.examples.shape)) if self.examples.shape else 0

    def look(self, seconds: float, progress: ProgressCallback | None = None) -> None:
        """Let the first model look at more of the pictures; on the main thread."""
        if not self.models or not self.examples.shape:
            return
        if not isinstance(self.result, ErrorCounterfactuals):
            self.examples.look(self.models[0], seconds=seconds, progress=progress)
        elif not self.examples.class_names:
            # Their predictions are known, but not how many classes there are to choose from.
            count = classes_of(self.models[0], self.examples.input(0))
            self.examples.class_names = tuple(f"class {c}" for c in range(count))

    def take(self, picture: Any, label: int) -> int:  # noqa: ANN401 (a tensor or an array)
        """Take in a picture of the user's own; its row."""
        tensor = torch.as_tensor(picture)
        shape = self.examples.shape
        if tensor.ndim == (len(shape) + 1 if shape else 4) and len(tensor) == 1:
            tensor = tensor[0]
        row = self.examples.add(tensor, label)
        self._own.add(row)
        self.look(0.0)
        return row

    # -- runs ------------------------------------------------------------------------------------------

    def check_free(self) -> None:
        """Refuse a run while there is one at work, or no model.

        Raises:
            InputError: Either.
        """
        self.runs.check_free()
        if not self.models:
            refuse(
                "This panel has a result only, and a new run needs the live model. "
                "Show it with its model: sdw.panel(result, model)."
            )

    def checked(self, values: Mapping[str, Any], row: int) -> tuple[dict[str, Any], int | str]:
        """Settings in their own types, and the target as ``perturb`` takes it.

        Raises:
            InputError: What is wrong with which.
        """
        good, wrong = self.check(values, row)
        if wrong:
            raise InputError(" ".join(wrong.values()))
        return good, settings.read_target(values.get("target"), self.label(row), self.n_classes)[0]

    def check(self, values: Mapping[str, Any], row: int) -> tuple[dict[str, Any], dict[str, str]]:
        """Settings in their own types, and what is wrong with which."""
        good, wrong = settings.check_all(values)
        odd = settings.read_target(values.get("target"), self.label(row), self.n_classes)[1]
        return good, {**wrong, **({"target": odd} if odd else {})}

    @property
    def n_classes(self) -> int:
        """The number of classes; 0 while that is not known."""
        return len(self.examples.class_names)

    def label(self, row: int) -> int:
        """Class of a picture, -1 if unknown."""
        return int(self.examples.labels[row]) if 0 <= row < len(self.examples) else -1

    def number(self, row: int) -> int:
        """Return the number of an example in the data: errors keep their places among all."""
        return int(self.examples.caption(row)["number"])

    def row_of(self, number: int) -> int:
        """The row of the example that the data call so."""
        numbers = self.examples.numbers
        if numbers is None:
            return number
        found = np.flatnonzero(numbers == number)
        if not len(found):
            listed = ", ".join(map(str, numbers[:10].tolist())) + (", ..." if len(numbers) > 10 else "")
            refuse(f"Example {number} is not among the errors of this panel: {listed}.")
        return int(found[0])

    def check_target(self, target: object) -> None:
        """Refuse a target that no picture could have.

        Raises:
            InputError: Neither a word that is known nor a class.
        """
        wrong = settings.read_target(target, 0, self.n_classes)[1]
        if wrong:
            known = f"a class below {self.n_classes}" if self.n_classes else "the number of a class"
            refuse(f"The target must be 'prediction', 'label' or {known}; it is {shorten(repr(target), 60)}.")

    def perturb(self, values: Mapping[str, Any], row: int) -> Job[Any]:
        """Start a perturbation of one picture."""
        self.check_free()
        chosen, target = self.checked(values, row)
        picture = self.examples.input(row)
        run = PerturbRun(
            number=self.runs.next_number(),
            kind="perturb",
            values={**chosen, "target": values["target"]},
            code=self.perturb_cell(values, row),
            titles=self.titles,
            names=self.examples.class_names,
            about=f"example {self.number(row)}",
            label=self.label(row),
            row=row,
        )
        call = {**settings.call_options(chosen), "target": target, "box": self.box}
        self.result = None
        return self.runs.start(run, self.models, picture, call).job

    def draw(self, values: Mapping[str, Any], class_index: int) -> Job[Any]:
        """Start concept probing."""
        self.check_free()
        good, wrong = settings.check_all(values, settings.CONCEPT)
        if wrong:
            raise InputError(" ".join(wrong.values()))
        high = self.n_classes - 1
        index = check_int(class_index, "class", "this model", low=0, high=high if high >= 0 else None)
        shape = self.examples.shape
        if not shape:
            refuse("This panel has no picture yet to take the shape from. Pass data, or choose(picture).")
        run = PerturbRun(
            number=self.runs.next_number(),
            kind="concept",
            values={**good, "class_index": index},
            code=self.concept_cell(values, index),
            titles=self.titles,
            names=self.examples.class_names,
            about=f"draw {fields.cut(self.examples.name(index), 60)}",
        )
        call = {"class_index": index, "shape": shape, **good, "seeds": tuple(range(good["seeds"]))}
        call["box"] = self.box
        self.result = None
        return self.runs.start(run, self.models, None, call).job

    # -- code ------------------------------------------------------------------------------------------

    def perturb_cell(self, values: Mapping[str, Any], row: int) -> Cell:
        """The calls that do what the fields say."""
        chosen, target = self.checked(values, row)
        names = {**self._names(), "picture": self._picture_code(row)}
        more = normalized(self.normalize, self.data)
        return code.perturb_cell(chosen, names, more, target=target, box=self._said_box)

    def concept_cell(self, values: Mapping[str, Any], class_index: int) -> Cell:
        """The call that draws what the fields say."""
        good, _ = settings.check_all(values, settings.CONCEPT)
        more, shape = normalized(self.normalize, self.data), self.examples.shape
        return code.concept_cell(good, self._names(), more, class_index, shape=shape, box=self._said_box)

    def _names(self) -> dict[str, str]:
        names = {"model": called(self.models[0], "model")} if self.models else {"model": "model"}
        if len(self.models) > 1:
            names["compare"] = called(self.models[1], "robust_model")
        return names

    def _picture_code(self, row: int) -> str:
        if row in self._own:
            return "picture"
        if self.data is None and isinstance(self._given, RESULTS):
            # A result holds its pictures.
            usual, field = _USUAL[type(self._given)]
            return f"{called(self._given, usual)}.{field}[{row}:{row + 1}]"
        return example_code(self.data, row, self.examples.shape)

    # -- what is shown ---------------------------------------------------------------------------------

    def watch(self) -> Watch | None:
        """Notices from now on when a model or the data change."""
        if not self.models:
            return None
        fingerprint = expected_fingerprint(self.result, self.models[0])
        first = Watch(self.models[0], self.data, fingerprint=fingerprint)
        return Watches([first, *(Watch(model) for model in self.models[1:])])

    def film(self, row: int) -> Strip:
        """The film of the result, for one of its pictures."""
        result, names = self.result, self.examples.class_names
        title = self.titles[0] if self.titles else "the model"
        strips: list[Strip] = []
        kind = "perturb"
        if isinstance(result, ConceptProbe):
            strips, kind = concept_strips(result, title=title), "concept"
        elif isinstance(result, ErrorCounterfactuals):
            strips = error_strips(result, row, names)
        elif result is not None and 0 <= row < len(result.delta):
            strips = [step_strip(result, row, title=title, names=names, label=self.label(row))]
        return joined(strips, run=0, kind=kind)

    def head(self, typed: Mapping[str, Any], concept: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the page needs to know once."""
        head: dict[str, Any] = wire.jsonable(
            {
                **settings.fields(typed, concept),
                "classes": fields.labels(self.examples.class_names, limit=200),
                "models": fields.labels(self.titles, limit=200),
                "shape": list(self.examples.shape),
                "dims": self.dims,
                "range": self.examples.span if self.box is not None else float("inf"),
                "radii": self.radii,
                "norms": settings.norm_facts(),
                "spending": [name for name, mode in BOX_MODES.items() if mode.spends],
                "live": bool(self.models),
                "picks": isinstance(self.result, Perturbation | ErrorCounterfactuals),
                "saved": False,
            }
        )
        return head


def _box_of(result: Any, box: Any, normalize: Any, data: Any) -> Any:  # noqa: ANN401
    """The pixel range in the model's units: what the caller says, else that of the result."""
    given = model_box(box, normalize, data)
    if result is None or given is not box or box is None:
        return given
    if isinstance(result, Perturbation):
        return None if result.low is None or result.high is None else (result.low, result.high)
    return box_from(result.provenance.params) or box


def titles_of(models: Sequence[nn.Module], given: Sequence[str]) -> tuple[str, ...]:
    """Names of the models: what the caller says, what the notebook calls them, or first and second."""
    if given:
        if len(given) != len(models):
            refuse(f"titles= must have one name for each model; it has {len(given)} for {len(models)}.")
        return tuple(str(name) for name in given)
    names = [called(model, "") for model in models]
    if all(names) and len(set(names)) == len(names):
        return tuple(names)
    return ("model", "compared with")[: len(models)]


def examples_of(result: Any, data: Any, class_names: Sequence[str], box: Any) -> Examples:  # noqa: ANN401
    """The pictures of the panel: those of a result, or the data.

    Raises:
        InputError: Data that are not those of the result.
    """
    if data is not None and isinstance(result, Perturbation | ErrorCounterfactuals):
        check_result_in(result.inputs, data, _WHAT)
    if isinstance(result, Perturbation):
        return Examples(np.array(result.inputs), class_names=class_names, box=box)
    if isinstance(result, ErrorCounterfactuals):
        names = class_names or result.class_names
        if not len(result.labels):
            return Examples(None, class_names=names, box=box)
        pair = (torch.from_numpy(np.array(result.inputs)), torch.from_numpy(np.array(result.labels)))
        examples = Examples(pair, class_names=names, box=box, limit=max(1, len(result.labels)))
        examples.read(len(result.labels))
        examples.predictions = np.array(result.predictions)
        examples.confidences = np.array(result.why_confidence[:, 0], dtype=np.float64)
        examples.rank = np.arange(len(result.labels))
        examples.numbers = np.array(result.indices)
        return examples
    if isinstance(result, ConceptProbe) and data is None:
        return Examples(np.array(result.starts), class_names=class_names, box=box)
    if isinstance(data, TextData):
        advice = "Words that matter: sdw.saliency_panel(model, data), sdw.lime_text."
        must = "hold pictures or vectors of numbers, which can change a little"
        reject("data", _WHAT, must, "sentences", advice)
    examples = Examples(data, class_names=class_names, box=box)
    if isinstance(result, ConceptProbe) and examples.shape != result.starts.shape[1:]:
        must = f"hold pictures of the shape {result.starts.shape[1:]} of the drawing"
        reject("data", _WHAT, must, f"shape {examples.shape}")
    return examples


def drawing_of(result: Any) -> dict[str, Any]:  # noqa: ANN401
    """Fields of the concept tab that begin with the settings of a drawing."""
    if not isinstance(result, ConceptProbe):
        return {}
    kept = {name: result.provenance.params[name] for name in ("eps_l2", "q", "steps")}
    return {**kept, "seeds": min(12, len(result.seeds)), "class_index": result.class_index}


def settings_of(result: Any) -> dict[str, Any]:  # noqa: ANN401
    """Fields that begin with the settings of a result."""
    if isinstance(result, Perturbation):
        found: dict[str, Any] = {
            "norm": result.norm,
            "eps": float(result.eps[0]),
            "target": int(result.target[0]),
        }
        if NORMS[result.norm].sparse:
            found["q"] = float(result.q[0])
        return {
            **found,
            "steps": int(result.losses.shape[1]) - 1,
            "direction": "away" if result.ascent else "towards",
        }
    if isinstance(result, ErrorCounterfactuals):
        return {"norm": result.norm, "eps": float(result.eps), "target": "label"}
    return {}


def expected_fingerprint(result: Any, model: nn.Module) -> str:  # noqa: ANN401
    """Fingerprint that the model has if the result is still its own; empty if nothing is known."""
    if result is None:
        return ""
    if not isinstance(result, Perturbation):
        return str(result.provenance.fingerprint)
    now = model_fingerprint(model)
    same = combine(now, array_fingerprint(result.inputs)) == result.provenance.fingerprint
    return now if same else "another model"


def summary_of(run: PerturbRun) -> dict[str, Any]:
    """A run in the list."""
    summary: dict[str, Any] = {
        "run": run.number, "kind": run.kind, "state": run.job.state, "values": run.values, "about": run.about,
        "row": run.row, "pinned": run.pinned, "seconds": run.job.status.seconds, "outcomes": [],
    }  # fmt: skip
    if run.kind == "perturb":
        summary["sparse"] = NORMS[run.values["norm"]].sparse
        summary["more"] = settings.more_words(run.values)
    if has_ended(run) and run.kind == "perturb":
        summary["outcomes"] = [
            {
                "title": title,
                "before": float(found.confidence_before[0]),
                "after": float(found.confidence_after[0]),
                "support": int(found.support[0]),
                "success": bool(found.success[0]),
                "target": int(found.target[0]),
            }
            for title, found in zip(run.titles, run.results, strict=False)
        ]
    elif has_ended(run):
        summary["outcomes"] = [
            {"title": title, "after": float(np.nanmean(found.confidences))}
            for title, found in zip(run.titles, run.results, strict=False)
        ]
    return dict(wire.jsonable(summary))
