"""The fast certified path solver: block steps find the support, coupled Newton steps polish on it."""

from sparse_debug_widgets.sparse.solvers.working_set.options import WorkingSet

__all__ = ["WorkingSet"]
