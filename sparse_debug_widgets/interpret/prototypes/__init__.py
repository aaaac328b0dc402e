"""The examples that activate a feature most and least, found in one pass."""
