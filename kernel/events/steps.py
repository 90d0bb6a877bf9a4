"""Which records of a fetch may be handled: those that follow, without a hole, on what was handled before."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from kernel.bus import Delivery, Position


@dataclass(frozen=True, slots=True)
class Step:
    """`batch` in the order it came; partitions `out_of_step` have to be sought again before anything more of them."""

    batch: tuple[Delivery, ...]
    out_of_step: frozenset[Position]
    skipped: int
    """Offsets that the log does not hold (a marker, a compacted record) between ones that were handled."""


def in_step(
    expected: Mapping[Position, int], sought: Set[Position], deliveries: Sequence[Delivery], *, at_most: int = 2**31
) -> Step:
    """`expected` gives the next offset of each partition that is ours; others' records are not for us.

    A rebalance, a broken connection or a log made anew can make a reader's position jump without a word, so only the
    expected offset is taken. `sought` partitions were sought and have not brought anything since: what begins later
    there is what the log has after the expected offset. What is beyond `at_most` records has to be sought again.
    """
    nexts = dict(expected)
    fresh = set(sought)
    out_of_step: set[Position] = set()
    batch: list[Delivery] = []
    skipped = 0
    for one in deliveries:
        position = one.position
        if position not in nexts or position in out_of_step:
            continue
        if len(batch) == at_most:
            out_of_step.add(position)
            continue
        if one.offset != nexts[position] and not (position in fresh and one.offset > nexts[position]):
            out_of_step.add(position)
            continue
        skipped += one.offset - nexts[position]
        fresh.discard(position)
        nexts[position] = one.offset + 1
        batch.append(one)
    return Step(tuple(batch), frozenset(out_of_step), skipped)
