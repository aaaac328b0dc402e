"""interpret: what a deep feature means."""

from sparse_debug_widgets.interpret.prototypes import Prototypes, find_prototypes
from sparse_debug_widgets.interpret.surrogate import Surrogates, fit_surrogates

__all__ = ["Prototypes", "Surrogates", "find_prototypes", "fit_surrogates"]
