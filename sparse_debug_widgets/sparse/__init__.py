"""Deep features, the certified elastic-net path of a decision layer, and sparse layers for live models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sparse_debug_widgets.sparse.features.deep_features import DeadFeaturesWarning, DeepFeatures
from sparse_debug_widgets.sparse.features.extract import extract_features
from sparse_debug_widgets.sparse.features.labels import TEST, TRAIN, VALIDATION
from sparse_debug_widgets.sparse.features.store import StaleCacheWarning
from sparse_debug_widgets.sparse.layer.decision_layer import SparseDecisionLayer
from sparse_debug_widgets.sparse.layer.find_layer import find_decision_layer
from sparse_debug_widgets.sparse.layer.swap import InstalledLayer
from sparse_debug_widgets.sparse.path.path import SOLVERS, UncertifiedWarning, elastic_net_path
from sparse_debug_widgets.sparse.path.regularization_path import RegularizationPath, SelectionWarning
from sparse_debug_widgets.sparse.solvers.saga import Saga, StepSizeWarning

if TYPE_CHECKING:
    from sparse_debug_widgets.sparse.estimator import ElasticNetPathClassifier, ElasticNetPathRegressor

__all__ = [
    "SOLVERS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "DeadFeaturesWarning",
    "DeepFeatures",
    "ElasticNetPathClassifier",
    "ElasticNetPathRegressor",
    "InstalledLayer",
    "RegularizationPath",
    "Saga",
    "SelectionWarning",
    "SparseDecisionLayer",
    "StaleCacheWarning",
    "StepSizeWarning",
    "UncertifiedWarning",
    "elastic_net_path",
    "extract_features",
    "find_decision_layer",
]

# These two need scikit-learn, whose import takes longer than a small fit.
_LAZY = ("ElasticNetPathClassifier", "ElasticNetPathRegressor")


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module attribute may be anything)
    """Import the scikit-learn front when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.estimator"), name)
    globals()[name] = value
    return value
