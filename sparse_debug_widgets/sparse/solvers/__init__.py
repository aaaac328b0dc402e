"""The solvers of a path: the working set, SAGA, and the polish to rounding."""
