"""Pictures that are optimised to activate features."""
