"""Whether the trail has everything: sources number their events densely, so what is missing can be named."""

from collections.abc import Iterable
from dataclasses import dataclass

Range = tuple[int, int]
"""First and last sequence number, both missing."""


@dataclass(frozen=True, slots=True)
class Continuity:
    """What came of one source and shard: all numbers up to `highest` but those in `missing` (ascending ranges)."""

    highest: int = -1
    missing: tuple[Range, ...] = ()

    @property
    def through(self) -> int:
        """Last number up to which nothing is missing; -1 if not even the first came."""
        return self.missing[0][0] - 1 if self.missing else self.highest

    def with_arrived(self, sequences: Iterable[int]) -> "Continuity":
        """After these numbers came, in any order; numbers that had come before change nothing."""
        highest, missing = self.highest, list(self.missing)
        for sequence in sorted(sequences):
            if sequence > highest:
                if sequence > highest + 1:
                    missing.append((highest + 1, sequence - 1))
                highest = sequence
            else:
                missing = [part for gap in missing for part in _without(gap, sequence)]
        return Continuity(highest, tuple(missing))


def _without(gap: Range, sequence: int) -> tuple[Range, ...]:
    first, last = gap
    if not first <= sequence <= last:
        return (gap,)
    return tuple(part for part in ((first, sequence - 1), (sequence + 1, last)) if part[0] <= part[1])
