"""How fast everybody is evaluated again: in full while nobody is reported, else a tenth of the time in small batches.

Priorities are not enough. A batch that has a processor, its caches and the database is in the way of a first notice
even if it yields.
"""

from dataclasses import dataclass

IN_FULL = 8000
"""Persons per batch, at most, while nobody is reported."""
BESIDE = 200
"""The same, while encounters come in."""
RESTS = 9.0
"""While encounters come in: how long a rest is, in lengths of the batch before it."""
QUIET_SECONDS = 2.0
"""For so long after a report others are expected."""


@dataclass(slots=True)
class Pace:
    """Times are seconds of one monotonic clock."""

    _reported: int | None = None
    _beside_until: float = float("-inf")

    def saw(self, reported: int, now: float) -> None:
        """`reported` is a count of what came in, from any start; only whether it moved matters."""
        if self._reported is not None and reported != self._reported:
            self._beside_until = now + QUIET_SECONDS
        self._reported = reported

    def most(self, now: float) -> int:
        """Persons in the batch that begins now."""
        return BESIDE if now < self._beside_until else IN_FULL

    def rest(self, began: float, now: float) -> float:
        """Seconds to leave to others after a batch."""
        return RESTS * (now - began) if began < self._beside_until else 0.0
