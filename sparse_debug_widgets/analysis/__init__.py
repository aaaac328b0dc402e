"""Questions about a model that is wrong: which features, which examples, which cause, and which repair."""
