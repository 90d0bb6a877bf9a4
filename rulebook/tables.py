"""Dollar amounts by household size: what a condition may compare with, in whole cents, rounded as it says."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Literal, Protocol

from rulebook.values import Interval, Value

Rounding = Literal["cent_down", "cent_up", "cent_half_up", "dollar_down", "dollar_up", "dollar_half_up"]
HOUSEHOLDS = 12
"""Sizes that are thought of where a household may have any; larger ones only raise the amounts further."""
_LISTED = 20
"""Tables list no more sizes than that; larger ones follow from an amount for each further person."""
_KEPT = 4096
"""Amounts that are kept, by size and day."""
_CENTS = {"cent": 1, "dollar": 100}


class ParameterTable(Protocol):
    """A table of the law, such as the poverty guidelines."""

    def amount(self, size: int | None, on: date) -> int | None:
        """Cents for a household of `size` (1 or more), by the version in force on that day; None if there is none.

        For no size, the greatest amount of any: none where amounts grow with the household. Never less for a larger
        household; where it holds nothing for one size, it holds nothing for a larger one.
        """

    def changes_after(self, on: date) -> date | None:
        """First later day on which another version comes into force, if one is known."""

    def taken_by(self, program: str) -> "ParameterTable | None":
        """As a program applies it, which takes each version on a day of its own; None if no such day is held."""

    @property
    def per(self) -> str:
        """The time that an amount is for: year, month, or once."""

    @property
    def verified(self) -> bool:
        """Whether all amounts were seen in their primary source."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """`percent` of a table's amount for the household, rounded to whole cents or dollars as the rule says."""

    name: str
    table: ParameterTable
    of: str
    """The fact that holds the household's size."""
    percent: Decimal
    rounding: Rounding
    part: int = 1
    """12 for the month of an amount by the year."""
    taken_by: str | None = None
    _kept: dict[tuple[int | None, date], int | None] = field(default_factory=dict, repr=False, compare=False)
    _bounds: dict[tuple[Value | None, date], tuple[int | None, int | None]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def cents(self, size: int | None, on: date) -> int | None:
        """The amount that is compared with, for no size the greatest of any; None where the table holds none."""
        key = (size, on)
        if key not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            amount = self.table.amount(size, on)
            exact = None if amount is None else Fraction(amount) * Fraction(self.percent) / (100 * self.part)
            self._kept[key] = None if exact is None else _rounded(exact, self.rounding)
        return self._kept[key]

    def bounds(self, size: Value | None, on: date) -> tuple[int | None, int | None]:
        """The least and the greatest threshold that the household's size allows; None where there is no bound."""
        key = size, on
        if key not in self._bounds:
            if len(self._bounds) >= _KEPT:
                self._bounds.clear()
            low, high = size_bounds(size)
            self._bounds[key] = self.least(low, on), self.cents(high, on)
        return self._bounds[key]

    def least(self, size: int, on: date) -> int | None:
        """The threshold, or where none is held for that size the one of the largest smaller household: no less."""
        found = self.cents(size, on)
        while found is None and size > 1:
            size = min(size - 1, _LISTED)
            found = self.cents(size, on)
        return found

    def shown(self) -> dict[str, str | bool]:
        """As an answer tells it: what was not verified says so there, too."""
        found: dict[str, str | bool] = {"table": self.name, "of": self.of, "percent": str(self.percent)}
        if self.part != 1:
            found["per"] = "month"
        found["round"] = self.rounding
        if self.taken_by is not None:
            found["taken_by"] = self.taken_by
        return found | {"verified": self.table.verified}


def size_bounds(size: Value | None) -> tuple[int, int | None]:
    """A household has one person at least; with no size known there is no greatest."""
    if isinstance(size, Interval):
        low = size.low if isinstance(size.low, int) else 1
        return max(low, 1), max(size.high, 1) if isinstance(size.high, int) else None
    if isinstance(size, int):
        return max(size, 1), max(size, 1)
    return 1, None


def _rounded(cents: Fraction, rounding: Rounding) -> int:
    unit, _, way = rounding.partition("_")
    units = cents / _CENTS[unit]
    whole = {"down": units.__floor__, "up": units.__ceil__, "half_up": (units + Fraction(1, 2)).__floor__}[way]()
    return whole * _CENTS[unit]
