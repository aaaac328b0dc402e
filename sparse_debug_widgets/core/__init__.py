"""Vocabulary that every room shares: results, storage, checks, hooks, seeding, progress."""
