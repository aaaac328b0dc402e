"""The problem that every solver solves: losses, penalty, families, certificates."""
