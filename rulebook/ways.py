"""The ways in which a condition becomes what is wanted of it: which facts, in which of their cells, do it together.

A way is a pair of bits: the facts that it needs, and the cells (`rulebook.cells`) that these facts have to be in, so
that one fact never has to hold two values at once.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_, or_

from rulebook.crux import Crux, Way
from rulebook.kleene import Truth

LARGEST = 3
"""Facts in a set; more than that is no question that somebody on the street can ask."""
_WORTH_SORTING = 6
"""So few ways are cheaper to carry on than to compare."""

Alone = tuple[tuple[int, tuple[bool, bool]], ...]
"""For each of two facts, by its bit, whether it could settle their comparison alone: to true, and to false."""
Ranges = Mapping[int, Sequence[int]]
"""By a fact's bit, all cells of it; and of each fact that follows from it, which is asked for by the same question."""
_NOTHING: list[Way] = [(0, -1)]


def ways_of_two(alone: Alone) -> dict[Truth, list[Way]]:
    """How a leaf on two facts becomes true, and how false: by one of them, or else by both."""
    both = reduce(or_, (bit for bit, _ in alone), 0)
    ways: dict[Truth, list[Way]] = {}
    for position, wanted in enumerate((Truth.TRUE, Truth.FALSE)):
        side = [(bit, -1) for bit, outcomes in alone if outcomes[position]]
        if not side and len(alone) > 1:
            side.append((both, -1))
        ways[wanted] = side
    return ways


def ways_to(wanted: Truth, crux: Crux, ranges: Ranges) -> list[Way]:
    """Of up to `LARGEST` facts; none at all if it cannot become so.

    An open crux becomes true or false. A settled one becomes otherwise, for which TRUE is to be `wanted`.
    """
    found = crux.ways.get(wanted)
    if found is None:
        found = crux.ways[wanted] = _ways(wanted, crux, ranges)
    return found


def needed_to(wanted: Truth, crux: Crux) -> int | None:
    """Bits of the facts that all ways need, of any size; None if there is no way."""
    if wanted not in crux.needed:
        crux.needed[wanted] = _needed(wanted, crux)
    return crux.needed[wanted]


def _ways(wanted: Truth, crux: Crux, ranges: Ranges) -> list[Way]:
    needed = needed_to(wanted, crux)
    if needed is None or needed.bit_count() > LARGEST:
        return []
    of_parts, count = crux.demand(wanted)
    if count == 1:
        return _minimal([way for part in crux.parts for way in ways_to(of_parts, part, ranges)])
    # chosen[n]: ways to have n of the parts so far as they are wanted.
    chosen: list[list[Way]] = [_NOTHING] + [[] for _ in range(count)]
    left = len(crux.parts)
    spare = left - count
    # Those with few leaves first: what they rule out need not be looked for in the others.
    for seen, part in enumerate(sorted(crux.parts, key=_leaf_count), 1):
        left -= 1
        ways = ways_to(of_parts, part, ranges)
        if ways:
            for n in range(min(count, seen), max(count - left, 1) - 1, -1):
                more = _both(chosen[n - 1], ways, needed, ranges)
                chosen[n] = _minimal(chosen[n] + more) if chosen[n] else more
        if not spare and not (ways and chosen[seen]):
            return []
    return chosen[count]


def _both(some: list[Way], others: list[Way], needed: int, ranges: Ranges) -> list[Way]:
    """One of some and one of the others, unless with what is `needed` at last they are too many facts."""
    found = []
    for facts, where in some:
        for more, elsewhere in others:
            if (facts | more | needed).bit_count() <= LARGEST:
                both = where & elsewhere
                shared = facts & more
                if not shared or _consistent(shared, both, ranges):
                    found.append((facts | more, both))
    return found


def _consistent(shared: int, where: int, ranges: Ranges) -> bool:
    """Whether each of the shared facts has a cell left."""
    while shared:
        bit = shared & -shared
        if not all(where & whole for whole in ranges.get(bit, ())):
            return False
        shared ^= bit
    return True


def _needed(wanted: Truth, crux: Crux) -> int | None:
    if crux.leaf is not None:
        ways = crux.ways[wanted]
        return reduce(and_, (facts for facts, _ in ways)) if ways else None
    of_parts, count = crux.demand(wanted)
    each = [bits for part in crux.parts if (bits := needed_to(of_parts, part)) is not None]
    if len(each) < count:
        return None
    if len(each) == count:
        return reduce(or_, each, 0)
    if count == 1:
        return reduce(and_, each)
    found, rest = 0, reduce(or_, each, 0)
    while rest:
        bit = rest & -rest
        if sum(1 for bits in each if not bits & bit) < count:
            found |= bit
        rest ^= bit
    return found


def _minimal(ways: list[Way]) -> list[Way]:
    """Without those that another one covers: with fewer facts, or more freely."""
    if len(ways) < _WORTH_SORTING:
        return ways
    kept: list[Way] = []
    for facts, where in sorted(set(ways), key=_size):
        if not any(f & ~facts == 0 and where & ~w == 0 for f, w in kept):
            kept.append((facts, where))
    return kept


def _leaf_count(crux: Crux) -> int:
    return len(crux.leaves)


def _size(way: Way) -> tuple[int, int]:
    return way[0].bit_count(), -way[1].bit_count()
