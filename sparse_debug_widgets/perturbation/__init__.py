"""Sparse perturbations of live models: why this prediction, and what would have changed it?"""

from sparse_debug_widgets.perturbation.adversarial_training import AdversarialTraining, adversarial_training
from sparse_debug_widgets.perturbation.attack import (
    Attack,
    FrankWolfeAttack,
    PGDAttack,
    WorstOf,
    robust_accuracy,
    strongest,
)
from sparse_debug_widgets.perturbation.balls import Ball, L2Ball, LInfBall, Vertex
from sparse_debug_widgets.perturbation.concepts import ConceptProbe, probe_concept
from sparse_debug_widgets.perturbation.counterfactuals import ErrorCounterfactuals, error_counterfactuals
from sparse_debug_widgets.perturbation.frank_wolfe import frank_wolfe
from sparse_debug_widgets.perturbation.methods import METHODS
from sparse_debug_widgets.perturbation.perturbation import Perturbation
from sparse_debug_widgets.perturbation.pgd import pgd
from sparse_debug_widgets.perturbation.run import PerturbationWarning, perturb
from sparse_debug_widgets.perturbation.sparse_balls import (
    L1Ball,
    L1QBall,
    SpendingL1QBall,
    l1_radius_around_l2,
)
from sparse_debug_widgets.perturbation.trace import StepPiece

__all__ = [
    "METHODS",
    "AdversarialTraining",
    "Attack",
    "Ball",
    "ConceptProbe",
    "ErrorCounterfactuals",
    "FrankWolfeAttack",
    "L1Ball",
    "L1QBall",
    "L2Ball",
    "LInfBall",
    "PGDAttack",
    "Perturbation",
    "PerturbationWarning",
    "SpendingL1QBall",
    "StepPiece",
    "Vertex",
    "WorstOf",
    "adversarial_training",
    "error_counterfactuals",
    "frank_wolfe",
    "l1_radius_around_l2",
    "perturb",
    "pgd",
    "probe_concept",
    "robust_accuracy",
    "strongest",
]
