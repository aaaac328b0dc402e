"""The working-set solver for small problems: lists of entries at work, and a compiled loop for each job."""

from sparse_debug_widgets.sparse.solvers.working_set.compact.run import VALUES, CompactRun, suits

__all__ = ["VALUES", "CompactRun", "suits"]
