"""What is known of many persons in numpy columns, as `rulebook.columns` evaluates them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rulebook.schema import FactSpec
from rulebook.values import Among, FactMap, Interval, Value

Masks = NDArray[np.uint64]
Numbers = NDArray[np.int64]
Bounds = tuple[Numbers, Numbers]
Column = Masks | Bounds


ROWS = 1 << 15
"""Persons evaluated at a time: the columns of one step stay in the processor's cache."""
OPEN_LOW, OPEN_HIGH = -(1 << 62), 1 << 62
"""Ends of a number or day that are not known."""
_DIGITS = 6
_BOOLS = (False, True)


@dataclass(frozen=True, slots=True)
class Columns:
    """What is known of many persons, fact by fact: a mask of the members that an enumeration may still be, or the
    bounds of a number or day. A fact without a column is known of nobody."""

    rows: int
    facts: Mapping[str, Column]

    def part(self, start: int, end: int) -> "Columns":
        """A view of some of the persons."""
        cut = {
            fact: (column[0][start:end], column[1][start:end]) if isinstance(column, tuple) else column[start:end]
            for fact, column in self.facts.items()
        }
        return Columns(min(end, self.rows) - start, cut)

    def parts(self, rows: int = ROWS) -> "Iterator[Columns]":
        return (self.part(start, start + rows) for start in range(0, self.rows, rows))


def encode(persons: Sequence[FactMap], catalogue: Mapping[str, FactSpec]) -> Columns:
    """Columns of facts as `rulebook.person` gives them. Keep them: making them costs more than evaluating."""
    names = {fact for person in persons for fact in person} & catalogue.keys()
    return Columns(len(persons), {fact: _column(persons, fact, catalogue[fact]) for fact in sorted(names)})


def members_of(spec: FactSpec) -> tuple[Any, ...]:
    """Of an enumeration, or yes and no, in the order of their bits."""
    return _BOOLS if spec.type == "bool" else spec.values


def number_of(value: Any, spec: FactSpec) -> int:
    """A whole number in the order of the values: days and numbers as they are, decimals in millionths twice, and odd
    between two of them, so that every comparison with a threshold of up to six digits is exact."""
    if isinstance(value, date):
        return value.toordinal()
    if spec.type != "decimal":
        return int(value)
    scaled = Decimal(value).scaleb(_DIGITS)
    whole = int(scaled.to_integral_value("ROUND_FLOOR"))
    return 2 * whole + int(scaled != whole)


def _column(persons: Sequence[FactMap], fact: str, spec: FactSpec) -> Column:
    if spec.type in ("bool", "enum"):
        mask = mask_of(spec)
        return np.fromiter((mask(person.get(fact)) for person in persons), np.uint64, len(persons))
    pairs = [pair(person.get(fact), spec) for person in persons]
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])


def mask_of(spec: FactSpec) -> Callable[[Value | None], int]:
    """For a value of an enumeration, what a column holds: a bit for each member that it may be; none of them where what
    was said contradicts itself, so that nothing fills it."""
    bits: dict[Any, int] = {member: 1 << position for position, member in enumerate(members_of(spec))}
    bits[None] = (1 << len(bits)) - 1

    def mask(value: Value | None) -> int:
        if not isinstance(value, Among):
            return bits[value]
        found = sum(bits[one] for one in value.values)
        return 0 if found == bits[None] else found

    return mask


def pair(value: Any, spec: FactSpec) -> tuple[int, int]:
    """For a number or day, what two columns hold: the least and the greatest that it may be."""
    if value is None:
        return OPEN_LOW, OPEN_HIGH
    if isinstance(value, Interval):
        low = OPEN_LOW if value.low is None else number_of(value.low, spec)
        return low, OPEN_HIGH if value.high is None else number_of(value.high, spec)
    exact = number_of(value, spec)
    return exact, exact


def nothing_known(spec: FactSpec, rows: int) -> Column:
    """The column of a fact that is known of nobody."""
    if spec.type in ("bool", "enum"):
        return np.full(rows, mask_of(spec)(None), np.uint64)
    return np.full(rows, OPEN_LOW, np.int64), np.full(rows, OPEN_HIGH, np.int64)
