"""Deep features, the certified elastic-net path of a decision layer, and sparse layers for live models."""

from sparse_debug_widgets.sparse.decision_layer import SparseDecisionLayer
from sparse_debug_widgets.sparse.deep_features import DeadFeaturesWarning, DeepFeatures
from sparse_debug_widgets.sparse.extract import extract_features
from sparse_debug_widgets.sparse.feature_store import StaleCacheWarning
from sparse_debug_widgets.sparse.find_layer import find_decision_layer
from sparse_debug_widgets.sparse.labels import TEST, TRAIN, VALIDATION
from sparse_debug_widgets.sparse.path import SOLVERS, UncertifiedWarning, elastic_net_path
from sparse_debug_widgets.sparse.regularization_path import RegularizationPath, SelectionWarning
from sparse_debug_widgets.sparse.saga import Saga, StepSizeWarning
from sparse_debug_widgets.sparse.swap import InstalledLayer

__all__ = [
    "SOLVERS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "DeadFeaturesWarning",
    "DeepFeatures",
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
