"""The command line: thin commands over the rooms below."""

INTERRUPTED = 130
"""Exit code of a command that a person has stopped, as shells have it."""
