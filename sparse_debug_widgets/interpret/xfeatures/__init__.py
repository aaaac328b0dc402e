"""A few concepts that explain one class."""
