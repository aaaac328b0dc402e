"""The settings of a path fit: one frozen object, checked before anything else is looked at.

What a setting is called, what it may be and what it is by default stands in the signature of
``elastic_net_path``, and there only: this object, the command line and the Fit panel read it from there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from sparse_debug_widgets.core.checks import check_finite, check_known, refuse, reject, shorten
from sparse_debug_widgets.core.params import Parameter, check_parameters
from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.sparse.problem.objective import Problem
from sparse_debug_widgets.sparse.rows.processes import Processes
from sparse_debug_widgets.sparse.solvers.solver import PathSolver, RunSettings

Float64 = npt.NDArray[np.float64]
NamedSolver = str | PathSolver
"""A solver by its name, or one with options of its own."""
WHAT = "an elastic-net path"
_OWN = {"own": True}
"""Marks what each process of a shared fit has for itself."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PathRequest:
    """A path that is wanted, apart from its data; every attribute is an argument of ``elastic_net_path``.

    Attributes:
        family: A name in ``FAMILIES``.
        alpha: Mix of the elastic net.
        lambdas: (K,) strengths, strictly decreasing, or None.
        n_lambdas: K, where they are not given.
        eps: Ratio of the smallest to the largest, where they are not given.
        solver: The solver with its options.
        tol: Relative duality gap to reach; "auto" until the problem is known.
        seed: Of everything random.
        standardize: Are features standardised?
        sample_weight: As given.
        validation: Share of the rows of an X that is held out.
        max_epochs: Passes over the data that one strength may take.
        stopping: One of ``STOPPING_RULES``.
        penalty_factors: As given.
        group: Penalise a feature's weights over all classes as one?
        max_features: Average number of nonzero weights at which the path ends, or None.
        start: As given.
        device: Where the solver's arrays live.
        memory_budget: Bytes that the fit may use beside the features, or None.
        storage: Name of the precision of the solver's features, or None for what suits their size.
    """

    family: str
    alpha: float
    lambdas: Float64 | None
    n_lambdas: int
    eps: float
    solver: PathSolver
    tol: float | Literal["auto"]
    seed: int
    standardize: bool
    sample_weight: object = field(metadata=_OWN)
    validation: float
    max_epochs: int
    stopping: str
    penalty_factors: object = field(metadata=_OWN)
    group: bool
    max_features: float | None
    start: object = field(metadata=_OWN)
    device: torch.device = field(metadata=_OWN)
    memory_budget: float | None
    storage: str | None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all settings."""
        return tuple(setting.name for setting in dataclasses.fields(cls))

    @classmethod
    def read(
        cls, parameters: Sequence[Parameter], solvers: Registry[PathSolver], given: Mapping[str, Any]
    ) -> Self:
        """Check what was given; what was not has its default.

        Args:
            parameters: Of ``elastic_net_path``.
            solvers: By name.
            given: Setting -> value.

        Raises:
            InputError: An unknown setting, or a value that cannot be; the message says what was expected.
        """
        known = [parameter for parameter in parameters if parameter.name in cls.names()]
        check_known(given, [parameter.name for parameter in known], WHAT, "setting")
        default = {parameter.name: parameter.default for parameter in known}
        solver = _solver(given.get("solver", default["solver"]), solvers)
        rest = [parameter for parameter in known if parameter.name != "solver"]
        checked = check_parameters(rest, {n: v for n, v in given.items() if n != "solver"}, WHAT)
        checked["device"] = _place(checked["device"])
        checked["lambdas"] = None if checked["lambdas"] is None else _strengths(checked["lambdas"])
        if checked["group"] and not getattr(solver, "groups", False):
            able = " or ".join(f"solver={name!r}" for name, one in solvers.items() if hasattr(one, "groups"))
            refuse(f"The solver {solver.name!r} knows no group penalties. Pass {able} with group=True.")
        return cls(solver=solver, **checked)

    def agree(self, processes: Processes) -> None:
        """Refuse settings that differ between the processes of a shared fit.

        Args:
            processes: Those that share it.

        Raises:
            InputError: In every process, naming the setting and two values that differ.
        """
        common = [setting.name for setting in dataclasses.fields(self) if not setting.metadata.get("own")]
        processes.same(**{name: _plain(getattr(self, name)) for name in common})

    @property
    def params(self) -> dict[str, Any]:
        """The settings that a result and a checkpoint keep beside family, alpha, seed and strengths."""
        kept = ("tol", "max_epochs", "stopping", "standardize", "storage", "group", "max_features")
        return {"solver": repr(self.solver), **{name: getattr(self, name) for name in kept}}

    @property
    def run(self) -> RunSettings:
        """The settings that a solver is told; the tolerance must be a number by now.

        Raises:
            TypeError: It is still "auto".
        """
        if isinstance(self.tol, str):
            msg = "the tolerance is not known before the problem is"
            raise TypeError(msg)
        return RunSettings(self.tol, self.max_epochs, self.stopping, self.seed)

    def grid(self, problem: Problem) -> Float64:
        """The strengths of the path: as given, or from the problem's lambda_max down.

        Args:
            problem: The training problem.

        Raises:
            InputError: Features that carry no information about the labels at all.
        """
        if self.lambdas is not None:
            return self.lambdas
        largest = problem.lambda_max
        if not largest > 1e-14:
            refuse(
                "No feature is correlated with the labels on the training split, so that there is no path "
                "to follow. Pass lambdas= if you want this fit all the same."
            )
        return np.asarray(largest * np.geomspace(1.0, self.eps, self.n_lambdas), np.float64)


def _plain(value: object) -> object:
    """A value as processes can compare it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _solver(given: object, solvers: Registry[PathSolver]) -> PathSolver:
    if isinstance(given, str):
        return solvers[given]
    if not callable(getattr(given, "begin", None)):
        must = f"be a solver, or one of {', '.join(map(repr, solvers))}"
        reject("solver", WHAT, must, shorten(repr(given)))
    return given  # type: ignore[return-value]  # the rest of the protocol shows at work


def _strengths(lambdas: object) -> Float64:
    """Strengths as they were given.

    Raises:
        InputError: They are not positive, finite and strictly decreasing.
    """
    given: Float64 = np.atleast_1d(np.array(lambdas, np.float64))
    if given.ndim != 1 or given.size == 0:
        reject("lambdas", "a path", "be a sequence of at least one number", f"shape {given.shape}")
    check_finite(given, "lambdas", "a path")
    if (given <= 0).any():
        advice = "End the path with a small positive strength instead of 0."
        reject("lambdas", "a path", "be positive", f"{given.min():g}", advice)
    rises = np.flatnonzero(np.diff(given) >= 0)
    if len(rises):
        i = int(rises[0])
        got = f"{given[i]:g} followed by {given[i + 1]:g} at position {i + 1}"
        reject("lambdas", "a path", "be strictly decreasing", got, "Sort them, largest first.")
    return given


def _place(device: str | torch.device | None) -> torch.device:
    """A device that can hold data.

    Raises:
        InputError: There is none of that name, or it does not work.
    """
    try:
        place = torch.device("cpu" if device is None else device)
        float(torch.zeros((), dtype=torch.float32, device=place))
    except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:
        advice = f"PyTorch says: {shorten(str(error).splitlines()[0], 100)}."
        must = "be one that PyTorch can use, such as 'cpu' or 'cuda'"
        reject("device", "this machine", must, shorten(repr(device)), advice)
    return place
