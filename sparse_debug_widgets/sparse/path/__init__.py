"""The regularisation path: from features to a certified path of sparse layers, and its result."""
