"""The result of a path fit: K decision layers from sparse to dense, each with its certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from sparse_debug_widgets.core import figures
from sparse_debug_widgets.core.checks import check_int, check_real, refuse, reject
from sparse_debug_widgets.core.notices import notice
from sparse_debug_widgets.core.outputs import Place
from sparse_debug_widgets.core.result import Result
from sparse_debug_widgets.sparse.layer.decision_layer import SparseDecisionLayer
from sparse_debug_widgets.sparse.layer.naming import position, renamed
from sparse_debug_widgets.sparse.layer.outputs import Outputs
from sparse_debug_widgets.sparse.problem.families import FAMILIES, Family

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Float64 = npt.NDArray[np.float64]


class SelectionWarning(UserWarning):
    """A lambda was chosen by training accuracy because there is no validation split."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RegularizationPath(Result):
    """An elastic-net path, largest strength first.

    Weights and intercepts are in standardised units: ``logits = W ((x - mean) / scale) + b``. The weights are
    kept as one sparse matrix (CSR) whose row ``k * C + c`` is row c at index k. A binomial fit has one row
    (C = 1), that of class 1; the weights of class 0 are its negative, here and in layers, tables and panels.

    Attributes:
        lambdas: (K,) strengths, decreasing.
        alpha: Mix of the elastic net.
        family: "multinomial", "binomial" or "gaussian".
        tol: Relative duality gap that was asked for.
        weight_data: Nonzero weights, float64.
        weight_indices: Their features, int32.
        weight_indptr: (K * C + 1,) int64, where each row starts.
        intercepts: (K, C).
        duality_gaps: (K,) relative to the smaller of the objective and the null objective; never below the
            true relative suboptimality.
        objectives: (K,) training objective.
        losses: (K, 3) mean loss on the training, validation and test split; NaN where a split is empty.
        accuracies: (K, 3) share of right predictions, or R^2 for gaussian fits; NaN where a split is empty.
        n_nonzero: (K, C) number of nonzero weights.
        iterations: (K,) passes over the data.
        seconds: (K,) wall-clock seconds.
        mean: (p,) of the training split.
        scale: (p,) of the training split, 1 for dead features.
        alive: (p,) bool, features that took part.
        feature_names: p names.
        class_names: Names of the classes (two for binomial fits) or outputs.
        layer: The layer whose input the features are; "" for arrays.
        dense_weight: (C, p) the model's own layer in standardised units, or None.
        dense_bias: (C,), or None.
        dense_accuracies: (3,) of the model's own layer; NaN if unknown.
        null_objective: Objective of the model without features.
        reasons: K phrases: what ended the work on each strength.
        n_requested: Number of strengths asked for; more than K if the fit ended early.
        max_features: Average number of nonzero weights per class at which the fit was to end, or None.
        penalty_factors: (p,) factors of the penalty, or None for all ones.
        grouped: Whether a feature's weights were penalised as a group over all classes.
        weight_bounds: (K,) proved bounds on ``max |W - W*|``, the distance of the weights from the optimal
            ones in standardised units; infinite where nothing is proved. None in files of older versions.
        zeros_proved: (K,) bool, whether all zeros but the open ones are proved to be zeros of the optimum.
        open_zeros: Places ``(k * C + c) * p + j``, sorted, of zeros that may be nonzero at the optimum,
            where the others are proved.
    """

    kind: ClassVar[str] = "regularization_path"
    arrays: ClassVar[Mapping[str, str]] = {
        "lambdas": "K float positive finite decreasing",
        "weight_data": "m float finite",
        "weight_indices": "m index <p",
        "weight_indptr": "r index sorted",
        "intercepts": "K C float finite",
        "duality_gaps": "K float",
        "objectives": "K float",
        "losses": "K 3 float",
        "accuracies": "K 3 float",
        "n_nonzero": "K C index",
        "iterations": "K index",
        "seconds": "K float",
        "mean": "p float finite",
        "scale": "p float positive finite",
        "alive": "p bool",
        "feature_names": "p names",
        "class_names": "n names",
        "dense_weight": "? D p float",
        "dense_bias": "? D float",
        "dense_accuracies": "3 float",
        "reasons": "K names",
        "penalty_factors": "? p float",
        "weight_bounds": "? K float",
        "zeros_proved": "? K bool",
        "open_zeros": "? z index sorted",
    }

    lambdas: Float64
    alpha: float
    family: str
    tol: float
    weight_data: Float64
    weight_indices: npt.NDArray[np.int32]
    weight_indptr: npt.NDArray[np.int64]
    intercepts: Float64
    duality_gaps: Float64
    objectives: Float64
    losses: Float64
    accuracies: Float64
    n_nonzero: npt.NDArray[np.int64]
    iterations: npt.NDArray[np.int64]
    seconds: Float64
    mean: Float64
    scale: Float64
    alive: npt.NDArray[np.bool_]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    layer: str
    dense_weight: Float64 | None
    dense_bias: Float64 | None
    dense_accuracies: Float64
    null_objective: float
    reasons: tuple[str, ...]
    n_requested: int
    max_features: float | None = None
    penalty_factors: Float64 | None = None
    grouped: bool = False
    weight_bounds: Float64 | None = None
    zeros_proved: npt.NDArray[np.bool_] | None = None
    open_zeros: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        k, c = self.intercepts.shape
        p = len(self.mean)
        facts = {
            "lambdas": self.lambdas.shape == (k,),
            "weight_indptr": self.weight_indptr.shape == (k * c + 1,)
            and bool(self.weight_indptr[0] == 0)
            and bool((np.diff(self.weight_indptr) >= 0).all())
            and int(self.weight_indptr[-1]) == len(self.weight_indices) == len(self.weight_data),
            "weight_indices": bool(((self.weight_indices >= 0) & (self.weight_indices < p)).all()),
            "accuracies": self.accuracies.shape == self.losses.shape == (k, 3),
            "n_nonzero": self.n_nonzero.shape == (k, c),
            "duality_gaps": self.duality_gaps.shape == self.objectives.shape == (k,),
            "mean": self.scale.shape == self.alive.shape == (p,) and len(self.feature_names) == p,
            "family": self.family in FAMILIES,
            "class_names": self.family in FAMILIES
            and c == FAMILIES[self.family].n_rows(len(self.class_names))
            and (len(self.class_names) == 2 or not FAMILIES[self.family].single_row),
            "reasons": len(self.reasons) == k,
        }
        if self.weight_bounds is not None and self.zeros_proved is not None and self.open_zeros is not None:
            facts |= {
                "weight_bounds": self.weight_bounds.shape == self.zeros_proved.shape == (k,),
                "open_zeros": bool(((self.open_zeros >= 0) & (self.open_zeros < k * c * p)).all()),
            }
        wrong = [name for name, fits in facts.items() if not fits]
        if wrong:
            must = "have arrays that fit K lambdas, C rows and p features"
            reject("a regularization path", "itself", must, f"a mismatch in {', '.join(wrong)}")

    @property
    def n_lambdas(self) -> int:
        """K, the number of strengths that were solved."""
        return len(self.lambdas)

    @property
    def n_rows(self) -> int:
        """C, the rows of the weights: one per class or output, 1 for the two classes of a binomial fit."""
        return int(self.intercepts.shape[1])

    @property
    def n_classes(self) -> int:
        """Number of classes or outputs; two for a binomial fit, which share one row."""
        return len(self.class_names)

    @property
    def labels_are(self) -> Family:
        """The family of the labels: names of scores and rows, signs of classes."""
        return FAMILIES[self.family]

    @property
    def n_features(self) -> int:
        """p, dead features included."""
        return len(self.mean)

    @property
    def certified(self) -> npt.NDArray[np.bool_]:
        """(K,) whether the duality gap is within the tolerance."""
        return np.asarray(self.duality_gaps <= self.tol)

    @property
    def cancelled(self) -> bool:
        """True if somebody stopped the fit before its last strength."""
        return self.n_lambdas < self.n_requested and not self.limited

    @property
    def limited(self) -> bool:
        """True if the fit ended because ``max_features`` was exceeded, by the last strength."""
        return self.max_features is not None and float(self.n_nonzero[-1].mean()) > self.max_features

    def _csr(self, first: int, last: int) -> csr_matrix:
        start, stop = self.weight_indptr[first], self.weight_indptr[last]
        triple = (
            self.weight_data[start:stop],
            self.weight_indices[start:stop],
            self.weight_indptr[first : last + 1] - start,
        )
        return csr_matrix(triple, shape=(last - first, self.n_features))

    def entries(
        self, index: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """The nonzero weights at an index: rows, features and values, standardised units.

        Args:
            index: Index on the path, 0 is the sparsest; negative ones count from the end.

        Raises:
            InputError: No such index.
        """
        part = self._csr(*self._rows_of(index))
        rows = np.repeat(np.arange(self.n_rows), np.diff(part.indptr))
        return rows, part.indices, part.data

    def sparse_rows(self, index: int, values: npt.NDArray[np.floating[Any]]) -> csr_matrix:
        """A sparse (C, p) matrix of other values in the places of the nonzero weights at an index.

        Args:
            index: Index on the path, 0 is the sparsest; negative ones count from the end.
            values: One for each nonzero weight there, in their order.

        Raises:
            InputError: No such index.
        """
        part = self._csr(*self._rows_of(index))
        return csr_matrix((values, part.indices, part.indptr), shape=part.shape)

    def _rows_of(self, index: int) -> tuple[int, int]:
        k, c = self._index(index), self.n_rows
        return k * c, (k + 1) * c

    def weights_at(self, index: int) -> Float64:
        """Weights (C, p) at an index, standardised units.

        Args:
            index: Index on the path, 0 is the sparsest; negative ones count from the end.

        Raises:
            InputError: No such index.
        """
        return np.asarray(self._csr(*self._rows_of(index)).toarray(), np.float64)

    def intercepts_at(self, index: int) -> Float64:
        """Intercepts (C,) at an index.

        Args:
            index: Index on the path, 0 is the sparsest; negative ones count from the end.

        Raises:
            InputError: No such index.
        """
        return np.asarray(self.intercepts[self._index(index)], np.float64)

    def class_path(self, class_index: int | str) -> Float64:
        """Weights (K, p) of one class along the path; positive ones speak for the class.

        Args:
            class_index: Number or name of the class.

        Raises:
            InputError: No such class.
        """
        c, sign = self.place(class_index)
        out = np.zeros((self.n_lambdas, self.n_features))
        for k in range(self.n_lambdas):
            row = slice(*self.weight_indptr[k * self.n_rows + c :][:2])
            out[k, self.weight_indices[row]] = sign * self.weight_data[row]
        return out

    def feature_order(self, class_index: int | str) -> npt.NDArray[np.int64]:
        """Index (p,) at which each feature first enters a class's row; K if it never does.

        Args:
            class_index: Number or name of the class.

        Raises:
            InputError: No such class.
        """
        nonzero = self.class_path(class_index) != 0
        return np.where(nonzero.any(0), nonzero.argmax(0), self.n_lambdas).astype(np.int64)

    def proved(self, class_index: int | str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return the nonzero weights and the zeros that the bound on weights proves for one class.

        Args:
            class_index: Number or name of the class.

        Returns:
            Two arrays (K, p): weights that are proved to be nonzero at the optimum (of the sign they have
            here), and weights that are proved to be zero there. Where both are False, either may be true.

        Raises:
            InputError: No such class.
        """
        weights, row = self.class_path(class_index), self.place(class_index)[0]
        nothing = np.zeros(weights.shape, np.bool_)
        if self.weight_bounds is None or self.zeros_proved is None or self.open_zeros is None:
            return nothing, nothing
        strength, rest = np.divmod(self.open_zeros, self.n_rows * self.n_features)
        owner, feature = np.divmod(rest, self.n_features)
        zero = np.where(self.zeros_proved[:, None], weights == 0, nothing)
        mine = owner == row
        zero[strength[mine], feature[mine]] = False
        # Features that took no part have no weights.
        return np.abs(weights) > self.weight_bounds[:, None], zero | ~self.alive

    def entry_range(self, class_index: int | str) -> npt.NDArray[np.int64]:
        """Between which indices each feature first enters a class's row at the optimum, (2, p).

        The first index at which its weight may be nonzero, and the first at which it must be; K where that is
        never. Where the two agree, :meth:`feature_order` is proved.

        Args:
            class_index: Number or name of the class.

        Raises:
            InputError: No such class.
        """
        nonzero, zero = self.proved(class_index)
        bounds = (~zero, nonzero)
        return np.stack([np.where(b.any(0), b.argmax(0), self.n_lambdas) for b in bounds]).astype(np.int64)

    def _index(self, index: int) -> int:
        k = check_int(index, "index", "a path", low=-self.n_lambdas, high=self.n_lambdas - 1)
        return k % self.n_lambdas

    def class_number(self, class_index: int | str) -> int:
        """Number of a class, by number or name.

        Args:
            class_index: Number or name of the class.

        Raises:
            InputError: No such class.
        """
        return position(class_index, self.class_names, "class_index", "this path")

    def place(self, class_index: int | str) -> Place:
        """Row of the weights and sign of a class: its weights are ``sign * weights[row]``.

        Args:
            class_index: Number or name of the class.

        Raises:
            InputError: No such class.
        """
        return self.labels_are.place(self.class_number(class_index))

    def select(
        self,
        *,
        tolerance: float | None = None,
        n_features: float | None = None,
        lambda_: float | None = None,
        index: int | None = None,
    ) -> int:
        """Choose an index of the path; without arguments by ``tolerance=0.05``.

        Args:
            tolerance: The sparsest layer whose validation accuracy is within this of the best on the path
                (0.05 is the paper's five points). Without a validation split the training accuracy counts,
                with a warning.
            n_features: The densest layer with at most this many nonzero weights per class on average.
            lambda_: The strength nearest to this one, in ratio.
            index: This very index; negative ones count from the dense end.

        Returns:
            An index in [0, K).

        Raises:
            InputError: More than one argument, or one out of range.
        """
        given = [v is not None for v in (tolerance, n_features, lambda_, index)]
        if sum(given) > 1:
            refuse(
                f"Choose by one of tolerance, n_features, lambda_ and index; {sum(given)} of them are given."
            )
        if index is not None:
            return self._index(index)
        if lambda_ is not None:
            wanted = check_real(lambda_, "lambda_", "select", low=0, open_low=True)
            return int(np.abs(np.log(self.lambdas / wanted)).argmin())
        if n_features is not None:
            limit = check_real(n_features, "n_features", "select", low=0)
            fits = np.flatnonzero(self.n_nonzero.mean(1) <= limit)
            return int(fits[-1]) if len(fits) else 0
        allowed = check_real(0.05 if tolerance is None else tolerance, "tolerance", "select", low=0)
        accuracy = self.accuracies[:, 1]
        if np.isnan(accuracy).all():
            notice(
                f"the path has no validation split, so training {self.labels_are.score} chooses the lambda, "
                "which favours dense layers; fit with validation > 0.",
                SelectionWarning,
            )
            accuracy = self.accuracies[:, 0]
        # A share of n examples is exact to rounding only: a tie with the limit counts as within.
        good = accuracy >= np.nanmax(accuracy) - allowed - 1e-9
        return int(np.where(good, self.n_nonzero.sum(1), np.iinfo(np.int64).max).argmin())

    def decision_layer(self, index: int) -> SparseDecisionLayer:
        """The layer at an index as a module in the model's own units.

        Args:
            index: Index on the path, 0 is the sparsest; negative ones count from the end.

        Raises:
            InputError: No such index.
        """
        outputs = Outputs.of(self)
        return SparseDecisionLayer.from_standardized(
            self.weights_at(index),
            self.intercepts_at(index),
            self.mean,
            self.scale,
            feature_names=self.feature_names,
            class_names=self.class_names,
            layer=self.layer,
            outputs=() if outputs is None else outputs.rows,
        )

    def rename(self, names: Mapping[int | str, str]) -> None:
        """Call features what they stand for.

        Names are kept with the path: tables, layers and panels made from it show them, and files hold them.
        They are the one thing about a result that may change, because they are nothing that was computed.

        Args:
            names: ``{number or present name: new name}``; "" gives a feature its number as a name again.

        Raises:
            InputError: An unknown feature, or a name that is no short line of text or another feature's.

        Examples:
            ``path.rename({75: "red mark in the corner"})``
        """
        object.__setattr__(self, "feature_names", renamed(self.feature_names, names))

    def to_frame(self) -> pd.DataFrame:
        """One row per lambda: sizes, objective, gap, bound on weights, losses and accuracies, cost."""
        import pandas as pd

        columns: dict[str, object] = {
            "lambda": self.lambdas,
            "n_nonzero": self.n_nonzero.sum(1),
            "features_per_class": self.n_nonzero.mean(1),
            "objective": self.objectives,
            "duality_gap": self.duality_gaps,
            "certified": self.certified,
            "weight_bound": np.full(self.n_lambdas, np.nan)
            if self.weight_bounds is None
            else self.weight_bounds,
        }
        for i, split in enumerate(("train", "validation", "test")):
            columns[f"{split}_loss"] = self.losses[:, i]
            columns[f"{split}_{self.labels_are.column}"] = self.accuracies[:, i]
        columns |= {"iterations": self.iterations, "seconds": self.seconds, "reason": self.reasons}
        return pd.DataFrame(columns, index=pd.RangeIndex(self.n_lambdas, name="index"))

    def plot(self, class_index: int | str | None = None, n_features: int = 20) -> go.Figure:
        """Accuracy along the path, or the coefficient paths of one class.

        Args:
            class_index: A class, for its coefficient paths; None for the accuracies.
            n_features: How many coefficient paths to draw, those that enter first.

        Raises:
            InputError: No such class, or ``n_features`` is no count.
        """
        if class_index is None:
            splits = ("train", "validation", "test")
            known = {s: self.accuracies[:, i] for i, s in enumerate(splits) if self.accuracies[:, i].size}
            series = {name: values for name, values in known.items() if not np.isnan(values).all()}
            return figures.lines(
                self.lambdas,
                series,
                title=f"{int(self.certified.sum())} of {self.n_lambdas} lambdas certified",
                x_title="lambda",
                y_title=self.labels_are.score,
                log_x=True,
            )
        path, order = self.class_path(class_index), self.feature_order(class_index)
        first = np.lexsort((-np.abs(path).max(0), order))[: check_int(n_features, "n_features", "a figure")]
        chosen = {self.feature_names[j]: path[:, j] for j in first if order[j] < self.n_lambdas}
        name = self.class_names[self.class_number(class_index)]
        return figures.lines(
            self.lambdas,
            chosen,
            title=name,
            x_title="lambda",
            y_title=f"weight ({self.labels_are.weight_unit})",
            log_x=True,
        )

    def __repr__(self) -> str:
        low, high = (int(v) for v in (self.n_nonzero.sum(1).min(), self.n_nonzero.sum(1).max()))
        parts = [
            f"{self.provenance.method}, {self.family}, alpha={self.alpha:g}",
            f"{self.n_lambdas} lambdas {self.lambdas[0]:.3g} ... {self.lambdas[-1]:.3g}",
            f"{self.n_rows} x {self.n_features} weights, {low} ... {high} nonzero",
            f"{int(self.certified.sum())}/{self.n_lambdas} certified to gap <= {self.tol:g}",
        ]
        if self.weight_bounds is not None:
            worst = float(self.weight_bounds.max())
            parts.append(
                f"weights to within {worst:.1g}" if np.isfinite(worst) else "weights without a bound"
            )
        if self.cancelled:
            parts.append(f"cancelled after {self.n_lambdas} of {self.n_requested} lambdas")
        if self.limited:
            parts.append(f"ended beyond {self.max_features:g} features per {self.labels_are.one}")
        return f"RegularizationPath({'; '.join(parts)})"
