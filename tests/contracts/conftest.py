"""What contract tests borrow from the rooms they look into."""

from tests.widgets.conftest import notebook

__all__ = ["notebook"]
