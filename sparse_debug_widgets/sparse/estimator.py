"""scikit-learn's face of the path: estimators for ``Pipeline``, ``cross_val_score`` and ``clone``.

The whole path is fitted and one strength is chosen by the five-point rule, on held-out rows or by K-fold
cross-validation. The chosen layer is polished to rounding where the problem is small, so that it does not
depend on the order of the rows, and a sample weight of 2 is exactly a row that occurs twice.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from sparse_debug_widgets.core.checks import check_real, reject, suggest
from sparse_debug_widgets.sparse.features.deep_features import DeadFeaturesWarning, DeepFeatures
from sparse_debug_widgets.sparse.features.labels import TRAIN, VALIDATION
from sparse_debug_widgets.sparse.path.path import UncertifiedWarning, elastic_net_path, path_request
from sparse_debug_widgets.sparse.path.polished import polished
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath
from sparse_debug_widgets.sparse.path.request import NamedSolver
from sparse_debug_widgets.sparse.problem.families import FAMILIES, leanest_family

Float64 = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


class _ElasticNetPath(BaseEstimator):  # type: ignore[misc]
    """The common part of classifier and regressor."""

    def __init__(  # noqa: PLR0913 - scikit-learn keeps every setting as a parameter of its own
        self,
        *,
        alpha: float = 0.99,
        lambdas: object = None,
        n_lambdas: int = 100,
        eps: float = 1e-3,
        tolerance: float = 0.05,
        cv: object = None,
        validation: float = 0.1,
        standardize: bool = True,
        solver: NamedSolver = "working_set",
        tol: float | Literal["auto"] = "auto",
        max_epochs: int = 5000,
        n_jobs: int | None = None,
        random_state: object = 0,
    ) -> None:
        self.alpha = alpha
        self.lambdas = lambdas
        self.n_lambdas = n_lambdas
        self.eps = eps
        self.tolerance = tolerance
        self.cv = cv
        self.validation = validation
        self.standardize = standardize
        self.solver = solver
        self.tol = tol
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _fit_path(self, X: Float64, y: Array, family: str, sample_weight: object) -> None:
        """Fit, choose, polish; sets the fitted attributes."""
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        check_real(self.validation, "validation", "a split", low=0, high=1, open_high=True)
        rows = np.ones(len(X), bool) if weights is None else weights > 0
        if self.cv is None:
            splits = _held_out(X, y, family, self.validation, seed)
            path = self._path(X[rows], y[rows], splits[rows], family, _taken(weights, rows), seed)
            index = _choose(path, path.accuracies[:, 1], self.tolerance)
        else:
            splits = np.full(len(X), TRAIN, np.uint8)
            path = self._path(X[rows], y[rows], splits[rows], family, _taken(weights, rows), seed)
            scores = self._cross_validate(X, y, family, weights, path.lambdas, seed)
            self.cv_scores_ = scores
            index = _choose(path, scores.mean(0), self.tolerance)
        request = path_request(
            family=path.family,
            alpha=self.alpha,
            sample_weight=_taken(weights, rows),
            standardize=self.standardize,
        )
        fitted = self._features(X[rows], y[rows], splits[rows])
        standard, intercept = polished(path, index, fitted, request)
        self.coef_ = standard / path.scale
        self.intercept_ = intercept - self.coef_ @ path.mean
        self.path_ = path
        self.lambda_ = float(path.lambdas[index])
        self.lambda_index_ = index
        self.n_iter_ = max(1, int(path.iterations.sum()))

    def _features(self, X: Float64, y: Array, splits: Array) -> DeepFeatures:
        with warnings.catch_warnings():
            # Constant columns are no news in a pipeline; their coefficients are 0.
            warnings.simplefilter("ignore", DeadFeaturesWarning)
            return DeepFeatures.from_arrays(X, y, splits=splits)

    def _path(
        self,
        X: Float64,
        y: Array,
        splits: Array,
        family: str,
        weights: Float64 | None,
        seed: int,
        lambdas: object = None,
    ) -> RegularizationPath:
        return elastic_net_path(
            self._features(X, y, splits),
            family=family,
            alpha=self.alpha,
            lambdas=self.lambdas if lambdas is None else lambdas,  # type: ignore[arg-type]
            n_lambdas=self.n_lambdas,
            eps=self.eps,
            solver=self.solver,
            tol=self.tol,
            seed=seed,
            standardize=self.standardize,
            sample_weight=weights,
            max_epochs=self.max_epochs,
        )

    def _cross_validate(
        self, X: Float64, y: Array, family: str, weights: Float64 | None, lambdas: Float64, seed: int
    ) -> Float64:
        """Validation scores (folds, K), each fold weighing alike."""
        splitter = check_cv(self.cv, y, classifier=not FAMILIES[family].numbers)
        folds = [
            delayed(self._fold)(X, y, train, test, family, weights, lambdas, seed)
            for train, test in splitter.split(X, y)
        ]
        return np.array(Parallel(n_jobs=self.n_jobs)(folds))

    def _fold(
        self,
        X: Float64,
        y: Array,
        train: Array,
        test: Array,
        family: str,
        weights: Float64 | None,
        lambdas: Float64,
        seed: int,
    ) -> Float64:
        """Scores (K,) on the rows of one fold; a class that its training rows lack counts as missed."""
        if weights is not None:
            train, test = train[weights[train] > 0], test[weights[test] > 0]
        mass = np.ones(len(X)) if weights is None else weights
        known, share, kind = test, 1.0, family
        labels = y
        if not FAMILIES[family].numbers:
            present, labels = np.unique(y[train]), y.copy()
            known = test[np.isin(y[test], present)]
            share = float(mass[known].sum() / mass[test].sum())
            labels[np.isin(y, present)] = np.searchsorted(present, y[np.isin(y, present)])
            if len(present) == 1 or len(known) == 0:
                return np.full(len(lambdas), share)
            kind = leanest_family(len(present))
        rows = np.concatenate([train, known])
        splits = np.repeat(np.array([TRAIN, VALIDATION], np.uint8), [len(train), len(known)])
        with warnings.catch_warnings():
            # The path over all rows says what is not certified; once is enough.
            warnings.simplefilter("ignore", UncertifiedWarning)
            path = self._path(X[rows], labels[rows], splits, kind, _taken(weights, rows), seed, lambdas)
        scores = path.accuracies[:, 1]
        return np.where(np.isnan(scores), 0.0, scores) * share

    def _checked(self, X: object) -> Float64:
        check_is_fitted(self)
        checked: Float64 = validate_data(self, _plain(X), dtype=np.float64, reset=False)
        return checked


class ElasticNetPathClassifier(ClassifierMixin, _ElasticNetPath):  # type: ignore[misc]
    """Sparse linear classifier: the certified elastic-net path, and the layer the five-point rule chooses.

    Binary problems have one row of coefficients (binomial), others one per class (multinomial).

    Args:
        alpha: Mix in [0, 1]: 1 is the lasso, 0 is ridge.
        lambdas: Strictly decreasing strengths, or None for ``n_lambdas`` from lambda_max down.
        n_lambdas: Number of strengths, where they are not given.
        eps: Ratio of the smallest to the largest strength, where they are not given.
        tolerance: The sparsest layer whose accuracy is within this of the best on the path is chosen.
        cv: None to choose on held-out rows; or folds as scikit-learn takes them (a number, a splitter,
            an iterable), to choose by cross-validation and keep the layer that is fitted to all rows.
        validation: Share of the rows to hold out, where ``cv`` is None. Equal rows go to the same side; with
            0 the training accuracy chooses.
        standardize: Whether features are standardised for the fit; coefficients are in raw units either way.
        class_weight: None, "balanced" (classes count alike: each row by the inverse of its class's share), or
            a dictionary from labels to weights (1 where a label is missing). They multiply the sample
            weights, in the fit and in the choice of the strength.
        solver: A name in ``sparse.SOLVERS``, or a solver with options.
        tol: Relative duality gap that every strength is to reach, or "auto"; see :func:`elastic_net_path`.
        max_epochs: Passes over the data that one strength may take.
        n_jobs: Folds at the same time, through joblib (and whatever backend it is given).
        random_state: Seed of the held-out rows and of the solver.

    Attributes:
        classes_: Labels of the classes.
        coef_: (C, p) or (1, p), raw units.
        intercept_: (C,) or (1,).
        path_: The :class:`RegularizationPath`.
        lambda_: The strength chosen.
        lambda_index_: Its index on the path.
        cv_scores_: (folds, K) scores, where ``cv`` is given.
        n_features_in_: p.
        n_iter_: Passes over the data of the whole path.
    """

    def __init__(  # noqa: PLR0913 - scikit-learn keeps every setting as a parameter of its own
        self,
        *,
        alpha: float = 0.99,
        lambdas: object = None,
        n_lambdas: int = 100,
        eps: float = 1e-3,
        tolerance: float = 0.05,
        cv: object = None,
        validation: float = 0.1,
        standardize: bool = True,
        class_weight: object = None,
        solver: NamedSolver = "working_set",
        tol: float | Literal["auto"] = "auto",
        max_epochs: int = 5000,
        n_jobs: int | None = None,
        random_state: object = 0,
    ) -> None:
        super().__init__(
            alpha=alpha,
            lambdas=lambdas,
            n_lambdas=n_lambdas,
            eps=eps,
            tolerance=tolerance,
            cv=cv,
            validation=validation,
            standardize=standardize,
            solver=solver,
            tol=tol,
            max_epochs=max_epochs,
            n_jobs=n_jobs,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X: object, y: object, sample_weight: object = None) -> Self:
        """Fit the path and choose a layer.

        Args:
            X: (n, p) array, tensor or DataFrame.
            y: (n,) labels.
            sample_weight: (n,) non-negative weights, or None.

        Raises:
            ValueError: Input that cannot be fitted; the message says why.
        """
        inputs, targets = validate_data(self, _plain(X), _plain(y), dtype=np.float64)
        check_classification_targets(targets)
        weights = None
        present = np.ones(len(targets), bool)
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, inputs, dtype=np.float64)
            if (weights > 0).any():
                # Rows without weight do not exist, nor does a class that has no others.
                present = weights > 0
        self.classes_ = np.unique(targets[present])
        labels = np.zeros(len(targets), np.int64)
        labels[present] = np.searchsorted(self.classes_, targets[present])
        if len(self.classes_) < 2:
            msg = f"y must have at least two classes; got one class, {self.classes_[:1].tolist()}."
            raise ValueError(msg)
        family = leanest_family(len(self.classes_))
        if self.class_weight is not None:
            weights = (present if weights is None else weights) * self._weights_of_classes(labels, weights)[
                labels
            ]
        self._fit_path(inputs, labels, family, weights)
        return self

    def _weights_of_classes(self, labels: Array, weights: Float64 | None) -> Float64:
        """Factor (C,) of each class's sample weights."""
        mass = np.bincount(labels, weights, len(self.classes_)).astype(np.float64)
        if self.class_weight == "balanced":
            balanced: Float64 = mass.sum() / (len(mass) * mass)
            return balanced
        if not isinstance(self.class_weight, Mapping):
            must = "be None, 'balanced', or a dictionary from labels to weights"
            reject("class_weight", "a classifier", must, self.class_weight)
        known = self.classes_.tolist()
        unknown = [label for label in self.class_weight if label not in known]
        if unknown:
            names = [str(label) for label in known]
            advice = suggest(str(unknown[0]), names)
            reject("class_weight", "these labels", "name classes that occur", repr(unknown[0]), advice)
        factors = [
            check_real(
                self.class_weight.get(label, 1.0), f"class_weight[{label!r}]", "a fit", low=0, open_low=True
            )
            for label in known
        ]
        return np.array(factors)

    def decision_function(self, X: object) -> Float64:
        """Logits (n, C) of X (n, p); (n,) for the second of two classes.

        Args:
            X: Inputs (n, p), as for :meth:`fit`.
        """
        checked = self._checked(X)
        logits: Float64 = checked @ self.coef_.T + self.intercept_
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: object) -> Float64:
        """Class probabilities (n, C).

        Args:
            X: Inputs (n, p), as for :meth:`fit`.
        """
        logits = self.decision_function(X)
        if logits.ndim == 1:
            logits = np.stack([np.zeros_like(logits), logits], 1)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        probabilities: Float64 = odds / odds.sum(1, keepdims=True)
        return probabilities

    def predict_log_proba(self, X: object) -> Float64:
        """Logarithms of the class probabilities (n, C).

        Args:
            X: Inputs (n, p), as for :meth:`fit`.
        """
        return np.log(self.predict_proba(X))

    def predict(self, X: object) -> Array:
        """Labels (n,).

        Args:
            X: Inputs (n, p), as for :meth:`fit`.
        """
        logits = self.decision_function(X)
        chosen = (logits > 0).astype(int) if logits.ndim == 1 else logits.argmax(1)
        labels: Array = self.classes_[chosen]
        return labels


class ElasticNetPathRegressor(MultiOutputMixin, RegressorMixin, _ElasticNetPath):  # type: ignore[misc]
    """Sparse linear regression: the certified elastic-net path, and the model the five-point rule chooses.

    Takes the parameters of :class:`ElasticNetPathClassifier`; scores are R^2, so ``tolerance`` is in units of
    R^2. The loss is half the mean squared error, summed over outputs.

    Attributes:
        coef_: (p,), or (m, p) for several outputs, raw units.
        intercept_: A number, or (m,) for several outputs.
        path_: The :class:`RegularizationPath`.
        lambda_: The strength chosen.
        lambda_index_: Its index on the path.
        cv_scores_: (folds, K) scores, where ``cv`` is given.
        n_features_in_: p.
        n_iter_: Passes over the data of the whole path.
    """

    def fit(self, X: object, y: object, sample_weight: object = None) -> Self:
        """Fit the path and choose a model.

        Args:
            X: (n, p) array, tensor or DataFrame.
            y: (n,) or (n, m) targets.
            sample_weight: (n,) non-negative weights, or None.

        Raises:
            ValueError: Input that cannot be fitted; the message says why.
        """
        inputs, targets = validate_data(
            self,
            _plain(X),
            _plain(y),
            dtype=np.float64,
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=2,
        )
        self._fit_path(inputs, targets.astype(np.float64), leanest_family(None), sample_weight)
        if targets.ndim == 1:
            self.coef_, self.intercept_ = self.coef_[0], self.intercept_[0]
        return self

    def predict(self, X: object) -> Float64:
        """Predictions (n,), or (n, m) for several outputs.

        Args:
            X: Inputs (n, p), as for :meth:`fit`.
        """
        predictions: Float64 = self._checked(X) @ self.coef_.T + self.intercept_
        return predictions


def _plain(values: object) -> Any:  # noqa: ANN401 - whatever scikit-learn takes, scikit-learn checks
    """Tensors as arrays; everything else as it is."""
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values


def _taken(weights: Float64 | None, rows: Array) -> Float64 | None:
    return None if weights is None else weights[rows]


def _held_out(X: Float64, y: Array, family: str, share: float, seed: int) -> npt.NDArray[np.uint8]:
    """Hold out rows by a seeded hash of their own numbers.

    Equal rows go to the same side: no copy of a training row is validated on, and a weight of 2 splits like
    two copies. A class keeps its rows if all of them would be held out.
    """
    key = seed.to_bytes(8, "little")
    targets = np.ascontiguousarray(y, np.float64).reshape(len(X), -1)
    rows = np.ascontiguousarray(np.concatenate([X, targets], 1))
    drawn = [hashlib.blake2b(row.tobytes(), digest_size=8, key=key).digest() for row in rows]
    chance = np.frombuffer(b"".join(drawn), np.uint64) / 2.0**64
    splits = np.where(chance < share, VALIDATION, TRAIN).astype(np.uint8)
    groups = np.zeros(len(X), np.int64) if FAMILIES[family].numbers else y
    for group in np.unique(groups):
        mine = groups == group
        if (splits[mine] == VALIDATION).all():
            splits[mine] = TRAIN
    return splits


def _choose(path: RegularizationPath, scores: Float64, tolerance: float) -> int:
    """The five-point rule on given scores; on training scores where there are none."""
    allowed = check_real(tolerance, "tolerance", "the five-point rule", low=0)
    if np.isnan(scores).all():
        scores = path.accuracies[:, 0]
    if np.isnan(scores).all():
        return 0
    good = scores >= np.nanmax(scores) - allowed - 1e-9
    return int(np.where(good, path.n_nonzero.sum(1), np.iinfo(np.int64).max).argmin())
