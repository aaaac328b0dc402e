"""A sparse decision layer as a module in the model's own units: call it, edit it, put it into the model."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from sparse_debug_widgets.core.checks import check_choice, check_real, reject
from sparse_debug_widgets.core.outputs import Place, place_of
from sparse_debug_widgets.sparse.layer.naming import edits, position, several
from sparse_debug_widgets.sparse.layer.outputs import OUT_OF_QUESTION, spread
from sparse_debug_widgets.sparse.layer.swap import InstalledLayer, install_layer, replacing_layer

if TYPE_CHECKING:
    import pandas as pd

Feature = int | str


class SparseDecisionLayer(nn.Module):
    """A linear layer with few nonzero weights, in raw (unstandardised) feature units.

    With standardised weights W (C, p), intercepts b, mean m and scale s of the features, the logits are
    ``W ((x - m) / s) + b``. The layer keeps ``weight = W / s`` and the logits at the mean features, and
    computes ``weight (x - center - rest) + intercept``: the same numbers as an ordinary linear layer with
    :attr:`weight` and :attr:`bias`, without the cancellation that a large mean would cause in float32. What
    rounding the mean leaves over is kept beside it, feature by feature: where a feature hardly varies its raw
    weight is huge, and the leftover would stay behind in the intercept when the feature is silenced.

    Attributes:
        weight: (C, p) float32, raw units.
        intercept: (C,) float32, the logits at ``center``.
        center: (p,) float32, the mean features.
        rest: (p,) float32, what rounding them to float32 leaves over.
        scale: (p,) float32, what one standardised unit is.
        feature_names: p names.
        class_names: Names of the classes; two for the single row of a binomial fit, which is that of class 1:
            the weights of class 0 are its negative.
        layer: Name of the layer that this one replaces by default; "" if unknown.
        outputs: Outputs of the model that the classes are, where they are some of many; else empty.
    """

    weight: nn.Parameter
    intercept: nn.Parameter
    center: torch.Tensor
    rest: torch.Tensor
    scale: torch.Tensor

    def __init__(  # noqa: PLR0913 - what a layer is made of
        self,
        weight: torch.Tensor,
        intercept: torch.Tensor,
        center: torch.Tensor,
        scale: torch.Tensor,
        *,
        feature_names: Iterable[str],
        class_names: Iterable[str],
        layer: str = "",
        outputs: Iterable[int] = (),
        rest: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.intercept = nn.Parameter(intercept, requires_grad=False)
        self.register_buffer("center", center)
        self.register_buffer("rest", torch.zeros_like(center) if rest is None else rest)
        self.register_buffer("scale", scale)
        self.feature_names = tuple(feature_names)
        self.class_names = tuple(class_names)
        self.layer = layer
        self.outputs = tuple(outputs)
        self._check()

    def _check(self) -> None:
        rows, p = self.weight.shape
        shapes = {
            "intercepts": (tuple(self.intercept.shape), (rows,)),
            "mean": (tuple(self.center.shape), (p,)),
            "scale": (tuple(self.scale.shape), (p,)),
            "feature_names": ((len(self.feature_names),), (p,)),
        }
        for name, (got, expected) in shapes.items():
            if got != expected:
                reject(name, f"weights of shape {(rows, p)}", f"have shape {expected}", f"shape {got}")
        if len(self.class_names) != rows and (rows, len(self.class_names)) != (1, 2):
            must = f"be {rows} names (or 2 for the one row of a binomial layer)"
            got_names = f"{len(self.class_names)} names"
            reject("class_names", f"weights of shape {(rows, p)}", must, got_names)

    @classmethod
    def from_standardized(
        cls,
        weights: npt.ArrayLike,
        intercepts: npt.ArrayLike,
        mean: npt.ArrayLike,
        scale: npt.ArrayLike,
        feature_names: Iterable[str],
        class_names: Iterable[str],
        layer: str = "",
        outputs: Iterable[int] = (),
    ) -> Self:
        """The layer of a fit on standardised features; the folding is done in float64.

        Args:
            weights: (C, p) weights of the standardised features, 0 for dead ones.
            intercepts: (C,).
            mean: (p,) mean of the raw features.
            scale: (p,) spread of the raw features, positive (1 for dead ones).
            feature_names: p names.
            class_names: C names, or 2 for a binomial fit with one row.
            layer: Name of the layer that these features feed.
            outputs: Outputs of the model that the classes are, where they are some of many.

        Returns:
            The layer, float32, on the CPU.

        Raises:
            InputError: Shapes that do not belong together, or a scale that is not positive.
        """
        w, b = np.asarray(weights, np.float64), np.asarray(intercepts, np.float64)
        m, s = np.asarray(mean, np.float64), np.asarray(scale, np.float64)
        if w.ndim != 2 or b.shape != w.shape[:1] or m.shape != w.shape[1:] or s.shape != m.shape:
            got = f"weights {w.shape}, intercepts {b.shape}, mean {m.shape}, scale {s.shape}"
            reject("weights", "a decision layer", "have shapes (C, p), (C,), (p,), (p,)", got)
        if not (np.isfinite(s) & (s > 0)).all():
            got = f"{float(s.min())} as its smallest"
            reject("scale", "a decision layer", "be positive and finite (1 for dead features)", got)
        raw = w / s
        center = m.astype(np.float32)
        rest = (m - center.astype(np.float64)).astype(np.float32)
        return cls(
            torch.from_numpy(raw.astype(np.float32)),
            torch.from_numpy(b.astype(np.float32)),
            torch.from_numpy(center),
            torch.from_numpy(s.astype(np.float32)),
            feature_names=feature_names,
            class_names=class_names,
            layer=layer,
            outputs=outputs,
            rest=torch.from_numpy(rest),
        )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        *args: Any,  # noqa: ANN401 (torch's own)
    ) -> None:
        # Earlier versions had the rest in their intercepts.
        state_dict.setdefault(f"{prefix}rest", torch.zeros_like(self.center))
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def in_features(self) -> int:
        """Number of features p, as ``nn.Linear`` calls it."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """Number of logits, as ``nn.Linear`` calls it."""
        return self.weight.shape[0]

    @property
    def bias(self) -> torch.Tensor:
        """(C,) bias of the ordinary linear layer with the same logits, computed in float64."""
        shift = self.weight.double() @ self._mean()
        return (self.intercept.double() - shift).to(self.weight.dtype)

    @property
    def standardized_weight(self) -> npt.NDArray[np.float64]:
        """(C, p) weights of the standardised features, as the solver and the panels know them."""
        raw = self.weight.detach().double() * self.scale.double()
        return raw.cpu().numpy()

    @property
    def n_nonzero(self) -> npt.NDArray[np.int64]:
        """(C,) number of weights that are not exactly 0, per row."""
        return (self.weight.detach() != 0).sum(1).cpu().numpy()

    @property
    def features_per_class(self) -> float:
        """Mean number of nonzero weights per row, the sparsity measure of the paper."""
        return float(self.n_nonzero.mean())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (..., C) of raw features (..., p); computed in at least the layer's own precision.

        Args:
            features: Raw features (..., p).
        """
        x = self._centered(features)
        logits = functional.linear(x, self.weight.to(x.dtype), self.intercept.to(x.dtype))
        return logits.to(features.dtype)

    def _centered(self, features: torch.Tensor) -> torch.Tensor:
        if features.ndim == 0 or features.shape[-1] != self.in_features or not features.is_floating_point():
            must = f"have shape (..., {self.in_features}) and a float dtype"
            reject("features", "this layer", must, f"shape {tuple(features.shape)}, {features.dtype}")
        dtype = torch.promote_types(features.dtype, self.weight.dtype)
        return features.to(dtype) - self.center.to(dtype) - self.rest.to(dtype)

    def _mean(self) -> torch.Tensor:
        return self.center.double() + self.rest.double()

    def contributions(self, features: torch.Tensor, class_index: int | str) -> torch.Tensor:
        """Split a class's logit into the features' parts, ``W_cj z_j`` for each example (standardised units).

        Args:
            features: (n, p) raw features.
            class_index: Index or name of a class. In a binomial layer class 0 has the negated logit.

        Returns:
            (n, p); its sum over features plus the class's intercept is the logit.
        """
        row, sign = self._row(class_index)
        x = self._centered(features)
        return x * (sign * self.weight[row]).to(x.dtype)

    def silence(
        self,
        features: Feature | Iterable[Feature],
        class_index: int | str | None = None,
        at: Literal["mean", "zero"] = "mean",
    ) -> Self:
        """A new layer in which the features no longer speak.

        The paper's "set f = 0" (its Eq. 8) is ambiguous: in standardised space 0 is the mean activation, in
        raw space it is "off". Both are here.

        Args:
            features: Index or name of a feature, or several.
            class_index: Only for this class; None for all.
            at: ``"mean"`` freezes the feature at its mean (its weight becomes 0); ``"zero"`` freezes it at
                the raw activation 0 (the intercept takes up what it then adds).

        Returns:
            The new layer; this one is unchanged.

        Raises:
            InputError: No such feature or class, or another ``at``.
        """
        check_choice(at, ("mean", "zero"), "at", "silence")
        new = copy.deepcopy(self)
        columns = [self._column(feature) for feature in several(features)]
        rows = list(range(self.out_features)) if class_index is None else [self._row(class_index)[0]]
        with torch.no_grad():
            for row in rows:
                # A feature named twice is silenced once.
                for column in dict.fromkeys(columns):
                    if at == "zero":
                        off = -self.weight[row, column].double() * self._mean()[column]
                        new.intercept[row] += off.to(self.intercept.dtype)
                    new.weight[row, column] = 0.0
        return new

    def edit(self, changes: Mapping[tuple[int | str, Feature], float]) -> Self:
        """A new layer with some weights set, in standardised units; logits at the mean stay as they are.

        Args:
            changes: ``{(class, feature): standardised weight}``, each by index or name.

        Returns:
            The new layer; this one is unchanged.

        Raises:
            InputError: An unknown class or feature, or a weight that is not a finite number.
        """
        new = copy.deepcopy(self)
        with torch.no_grad():
            for class_index, feature, value in edits(changes):
                row, sign = self._row(class_index)
                column = self._column(feature)
                weight = check_real(value, "a weight", "edit")
                new.weight[row, column] = sign * weight / float(self.scale[column])
        return new

    def to_frame(self) -> pd.DataFrame:
        """The nonzero weights, strongest first within each class: class, feature, weight (both units)."""
        import pandas as pd

        standardized = self.standardized_weight
        raw = self.weight.detach().cpu().numpy()
        names = self.class_names[-self.out_features :]
        rows, columns = np.nonzero(standardized)
        order = np.lexsort((-np.abs(standardized[rows, columns]), rows))
        rows, columns = rows[order], columns[order]
        return pd.DataFrame(
            {
                "class": [names[row] for row in rows],
                "feature": [self.feature_names[column] for column in columns],
                "weight": standardized[rows, columns],
                "raw_weight": raw[rows, columns],
            }
        )

    def install(self, model: nn.Module, layer: str | None = None) -> InstalledLayer:
        """Put a copy of this layer into the model, in place of its decision layer.

        The copy is on the device of the layer it replaces and answers in the dtype it is asked in. A layer
        of a few of the model's classes gives the others a logit so low that they are never chosen. A
        binomial layer (one row) in a model with two logits answers (-z/2, z/2). While another thread works
        in the model, it is waited for.

        Args:
            model: The live model.
            layer: Name of the layer to replace; the one that the features were taken at by default.

        Returns:
            A handle whose ``restore()`` puts the old layer back (calling it twice does no harm).

        Raises:
            InputError: No such layer, or one with other numbers of inputs or outputs.
        """
        return install_layer(model, layer if layer is not None else self.layer, self.fitted_to)

    @contextmanager
    def installed(self, model: nn.Module, layer: str | None = None) -> Iterator[nn.Module]:
        """The model with this layer inside, for the length of a ``with`` block.

        Other threads may use the model meanwhile, with this layer in it; those that want to put in a layer of
        their own wait until the block has ended.

        Args:
            model: The live model.
            layer: As for :meth:`install`.

        Yields:
            The model; on exit its own layer is back, also after an exception.

        Raises:
            InputError: As for :meth:`install`; also on exit, if somebody else replaced the layer meanwhile.
        """
        with replacing_layer(model, layer if layer is not None else self.layer):
            handle = self.install(model, layer)
            try:
                yield model
            finally:
                handle.restore()

    def fitted_to(self, old: nn.Module) -> Self:
        """A copy that can stand in for ``old``: its number of logits, device, training flag.

        Args:
            old: The layer that is replaced.

        Raises:
            InputError: ``old`` is not linear, or its sizes do not fit.
        """
        if not isinstance(old, nn.Linear | SparseDecisionLayer):
            reject("the layer to replace", "a decision layer", "be an nn.Linear", type(old).__name__)
        if old.in_features != self.in_features:
            must = f"take {self.in_features} features"
            reject("the layer to replace", "this sparse layer", must, f"one that takes {old.in_features}")
        new = copy.deepcopy(self)._with_rows(old.out_features)
        # Not old.weight, which may be computed anew when it is asked for.
        like = next(old.parameters())
        new.to(like.device)
        if like.dtype == torch.float64:
            new.double()
        new.training = old.training
        for parameter in new.parameters():
            parameter.requires_grad_(like.requires_grad)
        return new

    def _with_rows(self, rows: int) -> Self:
        """The same predictions from another number of logits, where two classes or some of many allow it."""
        if rows == self.out_features:
            return self
        if self.outputs and max(self.outputs) < rows:
            return self._with_rows(len(self.outputs))._among(rows)
        if (self.out_features, rows) == (1, 2) and len(self.class_names) == 2:
            # The same probabilities as (0, z), and both classes have a logit that can be explained.
            weight = torch.cat([-self.weight, self.weight]) / 2
            intercept = torch.cat([-self.intercept, self.intercept]) / 2
        elif (self.out_features, rows) == (2, 1):
            weight, intercept = self.weight[1:] - self.weight[:1], self.intercept[1:] - self.intercept[:1]
        else:
            must, got = f"have {self.out_features} outputs", f"one with {rows} outputs"
            advice = "Where its classes are some of these, say which: extract_features(..., classes=...)."
            return reject("the layer to replace", "this sparse layer", must, got, advice)
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.intercept = nn.Parameter(intercept.detach(), requires_grad=False)
        return self

    def _among(self, rows: int) -> Self:
        """This layer as one of all outputs of the model, of which the others are out of the question."""
        weight = spread(self.weight, self.outputs, rows, 0.0)
        intercept = spread(self.intercept, self.outputs, rows, OUT_OF_QUESTION)
        names = [f"output {row}" for row in range(rows)]
        for row, name in zip(self.outputs, self.class_names, strict=True):
            names[row] = name
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.intercept = nn.Parameter(intercept.detach(), requires_grad=False)
        self.class_names, self.outputs = tuple(names), ()
        return self

    def _row(self, class_index: int | str) -> Place:
        """Row and sign of a class: one row may speak for two."""
        index = position(class_index, self.class_names, "class_index")
        return place_of(index, lone=self.out_features == 1 and len(self.class_names) == 2)

    def _column(self, feature: Feature) -> int:
        return position(feature, self.feature_names, "feature")

    def extra_repr(self) -> str:
        """Shape and sparsity, for ``print(model)``."""
        name = f", layer={self.layer!r}" if self.layer else ""
        rows, p = self.weight.shape
        return f"in_features={p}, out_features={rows}, features_per_class={self.features_per_class:.1f}{name}"
