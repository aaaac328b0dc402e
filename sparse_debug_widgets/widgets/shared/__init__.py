"""Parts that some panels share: a path and its live model, curves, heat maps, galleries, features."""
