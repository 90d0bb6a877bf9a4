"""The day on which commands of these tests are given."""

from datetime import UTC, datetime

import pytest

from kernel import clock

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Commands take the clock when they begin."""
    monkeypatch.setattr(clock, "system_clock", lambda: NOON)
    return NOON
