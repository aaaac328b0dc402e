"""The rows of the features as a solver sees them: in memory, from a file, shared out; their products."""
