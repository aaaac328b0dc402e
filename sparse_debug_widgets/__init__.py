"""Jupyter widgets bound to live PyTorch models: find out why a network is wrong, and fix it.

The one module that knows every room. Names are handed out lazily (PEP 562), so that importing the
package costs nothing and needs neither torch nor Jupyter; inside IPython the import also registers
the formatter that shows a result as its panel.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

# For type checkers and editors, which take "as" for a name that is shown here.
# isort: off
if TYPE_CHECKING:
    from sparse_debug_widgets.analysis import (
        Ablation as Ablation,
        BiasProbe as BiasProbe,
        Confusion as Confusion,
        DebugReport as DebugReport,
        Misclassification as Misclassification,
        Suspects as Suspects,
        ablation as ablation,
        bias_probe as bias_probe,
        confusion as confusion,
        debug_report as debug_report,
        misclassification as misclassification,
        suspects as suspects,
    )
    from sparse_debug_widgets.core.text import (
        TextData as TextData,
    )
    from sparse_debug_widgets.data import (
        Demo as Demo,
        list_demos as list_demos,
        load_demo as load_demo,
    )
    from sparse_debug_widgets.evaluate import (
        ExplanationMetrics as ExplanationMetrics,
        KeptPixels as KeptPixels,
        explanation_metrics as explanation_metrics,
        keep_top_pixels as keep_top_pixels,
        locality_from_masks as locality_from_masks,
        locality_from_points as locality_from_points,
        orthogonality as orthogonality,
    )
    from sparse_debug_widgets.interpret import (
        FeatureOrder as FeatureOrder,
        ImageExplanations as ImageExplanations,
        Prototypes as Prototypes,
        TextExplanations as TextExplanations,
        Visualizations as Visualizations,
        WordClouds as WordClouds,
        XFeatures as XFeatures,
        feature_order as feature_order,
        find_prototypes as find_prototypes,
        lime_images as lime_images,
        lime_prototypes as lime_prototypes,
        lime_text as lime_text,
        visualize_features as visualize_features,
        word_clouds as word_clouds,
        x_features as x_features,
    )
    from sparse_debug_widgets.perturbation import (
        AdversarialTraining as AdversarialTraining,
        ConceptProbe as ConceptProbe,
        ErrorCounterfactuals as ErrorCounterfactuals,
        Perturbation as Perturbation,
        adversarial_training as adversarial_training,
        error_counterfactuals as error_counterfactuals,
        perturb as perturb,
        probe_concept as probe_concept,
        robust_accuracy as robust_accuracy,
    )
    from sparse_debug_widgets.saliency import (
        Attribution as Attribution,
        Curvature as Curvature,
        CurvatureAgreement as CurvatureAgreement,
        Excitation as Excitation,
        Lambda1Sweep as Lambda1Sweep,
        RankOneErrors as RankOneErrors,
        attribute as attribute,
        curvature as curvature,
        curvature_agreement as curvature_agreement,
        excitation as excitation,
        lambda1_sweep as lambda1_sweep,
        rank_one_errors as rank_one_errors,
    )
    from sparse_debug_widgets.sparse import (
        DeepFeatures as DeepFeatures,
        ElasticNetPathClassifier as ElasticNetPathClassifier,
        ElasticNetPathRegressor as ElasticNetPathRegressor,
        RegularizationPath as RegularizationPath,
        SparseDecisionLayer as SparseDecisionLayer,
        elastic_net_path as elastic_net_path,
        extract_features as extract_features,
        find_decision_layer as find_decision_layer,
    )
    from sparse_debug_widgets.widgets import (
        PANELS as PANELS,
        debug as debug,
        features_panel as features_panel,
        fit_panel as fit_panel,
        panel as panel,
        perturb_panel as perturb_panel,
        saliency_panel as saliency_panel,
        x_features_panel as x_features_panel,
    )


# isort: on

# Room -> the names that it shows here; what type checkers see above is compared with it by a test.
_ROOMS = {
    "analysis": (
        "Ablation",
        "BiasProbe",
        "Confusion",
        "DebugReport",
        "Misclassification",
        "Suspects",
        "ablation",
        "bias_probe",
        "confusion",
        "debug_report",
        "misclassification",
        "suspects",
    ),
    "core.text": ("TextData",),
    "data": (
        "Demo",
        "list_demos",
        "load_demo",
    ),
    "evaluate": (
        "ExplanationMetrics",
        "KeptPixels",
        "explanation_metrics",
        "keep_top_pixels",
        "locality_from_masks",
        "locality_from_points",
        "orthogonality",
    ),
    "interpret": (
        "FeatureOrder",
        "ImageExplanations",
        "Prototypes",
        "TextExplanations",
        "Visualizations",
        "WordClouds",
        "XFeatures",
        "feature_order",
        "find_prototypes",
        "lime_images",
        "lime_prototypes",
        "lime_text",
        "visualize_features",
        "word_clouds",
        "x_features",
    ),
    "perturbation": (
        "AdversarialTraining",
        "ConceptProbe",
        "ErrorCounterfactuals",
        "Perturbation",
        "adversarial_training",
        "error_counterfactuals",
        "perturb",
        "probe_concept",
        "robust_accuracy",
    ),
    "saliency": (
        "Attribution",
        "Curvature",
        "CurvatureAgreement",
        "Excitation",
        "Lambda1Sweep",
        "RankOneErrors",
        "attribute",
        "curvature",
        "curvature_agreement",
        "excitation",
        "lambda1_sweep",
        "rank_one_errors",
    ),
    "sparse": (
        "DeepFeatures",
        "ElasticNetPathClassifier",
        "ElasticNetPathRegressor",
        "RegularizationPath",
        "SparseDecisionLayer",
        "elastic_net_path",
        "extract_features",
        "find_decision_layer",
    ),
    "widgets": (
        "PANELS",
        "debug",
        "features_panel",
        "fit_panel",
        "panel",
        "perturb_panel",
        "saliency_panel",
        "x_features_panel",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}
__all__ = ["__version__", *_ROOM_OF]  # noqa: PLE0604 - names, all of them


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
