"""Time and identity as parameters, so that every decision can be tested and replayed."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

Clock = Callable[[], datetime]
"""Gives the present moment, in UTC."""

Ids = Callable[[], UUID]
"""Gives a new identifier at each call."""


def system_clock() -> datetime:
    return datetime.now(UTC)


def system_ids() -> UUID:
    """UUID version 7 (RFC 9562): random, and near in the index to others of the same time."""
    return uuid7()
