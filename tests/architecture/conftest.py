"""Fast tests."""

from tests.support.isolation import nothing_outside

__all__ = ["nothing_outside"]
