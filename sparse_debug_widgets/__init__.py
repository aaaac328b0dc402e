"""Jupyter widgets bound to live PyTorch models: find out why a network is wrong, and fix it.

The one module that knows every room. Names are handed out lazily (PEP 562), so that importing the
package costs nothing and needs neither torch nor Jupyter; inside IPython the import also registers
the formatter that shows a result as its panel.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparse_debug_widgets.core.text import TextData
    from sparse_debug_widgets.data import Demo, list_demos, load_demo
    from sparse_debug_widgets.evaluate import (
        ExplanationMetrics,
        KeptPixels,
        explanation_metrics,
        keep_top_pixels,
        locality_from_masks,
        locality_from_points,
        orthogonality,
    )
    from sparse_debug_widgets.interpret import (
        FeatureOrder,
        ImageExplanations,
        Prototypes,
        TextExplanations,
        Visualizations,
        WordClouds,
        XFeatures,
        feature_order,
        find_prototypes,
        lime_images,
        lime_prototypes,
        lime_text,
        visualize_features,
        word_clouds,
        x_features,
    )
    from sparse_debug_widgets.perturbation import (
        AdversarialTraining,
        ConceptProbe,
        ErrorCounterfactuals,
        Perturbation,
        adversarial_training,
        error_counterfactuals,
        perturb,
        probe_concept,
        robust_accuracy,
    )
    from sparse_debug_widgets.saliency import (
        Attribution,
        Curvature,
        CurvatureAgreement,
        Excitation,
        Lambda1Sweep,
        RankOneErrors,
        attribute,
        curvature,
        curvature_agreement,
        excitation,
        lambda1_sweep,
        rank_one_errors,
    )
    from sparse_debug_widgets.sparse import (
        DeepFeatures,
        ElasticNetPathClassifier,
        ElasticNetPathRegressor,
        RegularizationPath,
        SparseDecisionLayer,
        elastic_net_path,
        extract_features,
        find_decision_layer,
    )
    from sparse_debug_widgets.widgets import (
        PANELS,
        features_panel,
        fit_panel,
        panel,
        perturb_panel,
        saliency_panel,
        x_features_panel,
    )

__all__ = [
    "PANELS",
    "AdversarialTraining",
    "Attribution",
    "ConceptProbe",
    "Curvature",
    "CurvatureAgreement",
    "DeepFeatures",
    "Demo",
    "ElasticNetPathClassifier",
    "ElasticNetPathRegressor",
    "ErrorCounterfactuals",
    "Excitation",
    "ExplanationMetrics",
    "FeatureOrder",
    "ImageExplanations",
    "KeptPixels",
    "Lambda1Sweep",
    "Perturbation",
    "Prototypes",
    "RankOneErrors",
    "RegularizationPath",
    "SparseDecisionLayer",
    "TextData",
    "TextExplanations",
    "Visualizations",
    "WordClouds",
    "XFeatures",
    "__version__",
    "adversarial_training",
    "attribute",
    "curvature",
    "curvature_agreement",
    "elastic_net_path",
    "error_counterfactuals",
    "excitation",
    "explanation_metrics",
    "extract_features",
    "feature_order",
    "features_panel",
    "find_decision_layer",
    "find_prototypes",
    "fit_panel",
    "keep_top_pixels",
    "lambda1_sweep",
    "lime_images",
    "lime_prototypes",
    "lime_text",
    "list_demos",
    "load_demo",
    "locality_from_masks",
    "locality_from_points",
    "orthogonality",
    "panel",
    "perturb",
    "perturb_panel",
    "probe_concept",
    "rank_one_errors",
    "robust_accuracy",
    "saliency_panel",
    "visualize_features",
    "word_clouds",
    "x_features",
    "x_features_panel",
]

# name -> room; a contract test compares this with the imports above and with __all__
_ROOM_OF = {
    "AdversarialTraining": "perturbation",
    "Attribution": "saliency",
    "ConceptProbe": "perturbation",
    "Curvature": "saliency",
    "CurvatureAgreement": "saliency",
    "DeepFeatures": "sparse",
    "Demo": "data",
    "ElasticNetPathClassifier": "sparse",
    "ElasticNetPathRegressor": "sparse",
    "ErrorCounterfactuals": "perturbation",
    "Excitation": "saliency",
    "ExplanationMetrics": "evaluate",
    "FeatureOrder": "interpret",
    "ImageExplanations": "interpret",
    "KeptPixels": "evaluate",
    "Lambda1Sweep": "saliency",
    "PANELS": "widgets",
    "Perturbation": "perturbation",
    "Prototypes": "interpret",
    "RankOneErrors": "saliency",
    "RegularizationPath": "sparse",
    "SparseDecisionLayer": "sparse",
    "TextData": "core.text",
    "TextExplanations": "interpret",
    "Visualizations": "interpret",
    "WordClouds": "interpret",
    "XFeatures": "interpret",
    "adversarial_training": "perturbation",
    "attribute": "saliency",
    "curvature": "saliency",
    "curvature_agreement": "saliency",
    "elastic_net_path": "sparse",
    "error_counterfactuals": "perturbation",
    "excitation": "saliency",
    "explanation_metrics": "evaluate",
    "extract_features": "sparse",
    "feature_order": "interpret",
    "features_panel": "widgets",
    "find_decision_layer": "sparse",
    "find_prototypes": "interpret",
    "fit_panel": "widgets",
    "keep_top_pixels": "evaluate",
    "lambda1_sweep": "saliency",
    "lime_images": "interpret",
    "lime_prototypes": "interpret",
    "lime_text": "interpret",
    "list_demos": "data",
    "load_demo": "data",
    "locality_from_masks": "evaluate",
    "locality_from_points": "evaluate",
    "orthogonality": "evaluate",
    "panel": "widgets",
    "perturb": "perturbation",
    "perturb_panel": "widgets",
    "probe_concept": "perturbation",
    "rank_one_errors": "saliency",
    "robust_accuracy": "perturbation",
    "saliency_panel": "widgets",
    "visualize_features": "interpret",
    "word_clouds": "interpret",
    "x_features": "interpret",
    "x_features_panel": "widgets",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module attribute may be anything)
    """Import the room of a public name when it is first asked for."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("sparse-debug-widgets")
    elif name in _ROOM_OF:
        value = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, for tab completion."""
    return sorted(__all__)


def _join_ipython() -> None:
    """Show results as panels, progress of long work and jobs in the sidebar, if this is IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        widgets = import_module(f"{__name__}.widgets")
        widgets.register_formatter(shell)
        widgets.register_progress(shell)
        widgets.announce_jobs(shell)


def _join_marimo() -> None:
    """Show results as panels, if this is marimo."""
    if "marimo" in sys.modules:
        import_module(f"{__name__}.widgets").register_display()


_join_ipython()
_join_marimo()
