"""Parts the values that a fact may take into cells: within one, every comparison of a condition comes out the same."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from rulebook.dates import plus_months
from rulebook.kleene import Truth
from rulebook.leaves import AgeLeaf, Leaf, WithinLeaf, days_of
from rulebook.values import Among, FactMap, Interval, Value

Cell = tuple[bool, ...]
"""For each of the leaves, whether it holds there."""


class Cells:
    """All cells of one fact on one day, as bits from a first one on."""

    def __init__(self, leaves: list[Leaf], as_of: date, start: int) -> None:
        self._leaves = leaves
        self._as_of = as_of
        self._bit = {cell: 1 << number for number, cell in enumerate(cells(leaves, None, as_of), start)}
        self.all = sum(self._bit.values())
        self.true = {
            leaf.index: sum(bit for cell, bit in self._bit.items() if cell[position])
            for position, leaf in enumerate(leaves)
        }
        """By the index of a leaf: the cells where it holds."""
        self.end = start + len(self._bit)

    def within(self, value: Value | None) -> int:
        """The cells that the fact can be in, given what is known of it: none that it could not be in otherwise."""
        return self.all if value is None else sum(self._bit[cell] for cell in cells(self._leaves, value, self._as_of))


def cells(leaves: list[Leaf], value: Value | None, as_of: date) -> list[Cell]:
    """The cells that a fact can be in, given what is known of it, for leaves on that one fact alone."""
    found: dict[Cell, None] = {}
    for exact in boundary_values(leaves, value, as_of):
        known = {leaves[0].fact: exact}
        found[tuple(leaf.code(known, as_of) == Truth.TRUE for leaf in leaves)] = None
    return list(found)


def boundary_values(leaves: Iterable[Leaf], value: Value | None, as_of: date) -> list[Any]:
    """Exact values of the fact of these leaves: at, before and after each threshold, within what is known of it."""
    listed = list(leaves)
    spec = listed[0].spec
    if value is not None and not isinstance(value, (Interval, Among)):
        return [value]
    if spec.type == "bool":
        return [True, False]
    if spec.type == "enum":
        members = value.values if isinstance(value, Among) else spec.values
        return [member for member in spec.values if member in members]
    low, high = (value.low, value.high) if isinstance(value, Interval) else (None, None)
    cuts = {cut for leaf in listed for cut in _cuts(leaf, as_of)} | {end for end in (low, high) if end is not None}
    around = sorted({near for cut in cuts for near in _around(cut, spec.type)})
    if spec.type == "decimal":
        between = ((one + other) / 2 for one, other in pairwise(around))
        around = sorted({*around, *between})
    return [one for one in around if (low is None or low <= one) and (high is None or one <= high)]


def days_around(leaf: AgeLeaf, fact: str, facts: FactMap) -> list[date]:
    """Days for one of the two facts of an age on a day, around those on which the other one puts its thresholds."""
    other = facts.get(next(one for one in leaf.facts if one != fact))
    sign = -12 if fact == leaf.fact else 12
    listed = leaf.threshold if isinstance(leaf.threshold, tuple) else (leaf.threshold,)
    ages = {years for age in listed for years in (age, age + 1)}
    ends = [end for end in days_of(other) if end is not None]
    found = (one for end in ends for age in ages for one in _around(plus_months(end, sign * age), "date"))
    low, high = days_of(facts.get(fact))
    return [one for one in found if (low is None or low <= one) and (high is None or one <= high)]


def _cuts(leaf: Leaf, as_of: date) -> Iterator[Any]:
    if isinstance(leaf, AgeLeaf):
        on = as_of if leaf.on == "as_of" else leaf.on
        if isinstance(on, date):
            listed = leaf.threshold if isinstance(leaf.threshold, tuple) else (leaf.threshold,)
            yield from (plus_months(on, -12 * years) for age in listed for years in (age, age + 1))
    elif isinstance(leaf, WithinLeaf):
        back = leaf.threshold
        yield plus_months(as_of, -back) if leaf.operator == "within_months" else as_of - timedelta(days=back)
    elif isinstance(leaf.threshold, tuple):
        yield from leaf.threshold
    elif leaf.threshold is not None:
        yield leaf.threshold


def _around(cut: Any, kind: str) -> Iterator[Any]:
    if kind == "date":
        # A month earlier may be a shorter month, whose last days stand for all that would have followed.
        yield from (cut + timedelta(days=days) for days in range(-4, 5))
    elif kind == "decimal":
        yield from (cut - 1, Decimal(cut), cut + 1)
    else:
        yield from (cut - 1, cut, cut + 1)
