"""Amounts and percentages of the law by date and household size, in whole cents; what is not held is not known."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from rulebook.conditions import Node
from rulebook.errors import LawError
from rulebook.schema import Cited, Id, Line, Period, follow_on
from rulebook.tables import Rounding

Percent = Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d{1,2})?$")]


class NotKnown(LawError):
    """No amount is held for that day or household; nobody may guess one."""


class AmountVersion(Node):
    """`cents` by household size, the first for one person; `each_more` for every further person.

    One amount and no `each_more` means the same whatever the size. Months and years are as `per` of the table says.
    """

    effective: Period
    cite: Cited
    cents: tuple[int, ...] = Field(strict=False, min_length=1)
    each_more: int | None = Field(default=None, ge=0)
    known_from: date | None = None
    """Day of publication, where the amounts were not known earlier."""
    verified: bool
    """Whether the amounts were seen in the primary source that is cited."""
    note: Line | None = None

    @model_validator(mode="after")
    def _grows(self) -> "AmountVersion":
        if min(self.cents) < 0 or any(later < earlier for earlier, later in pairwise(self.cents)):
            raise ValueError("cents must not be less for a larger household; write them from one person upward")
        if not self.verified and self.note is None:
            raise ValueError("what is not verified says so in a note: what was seen, and what is to be checked")
        return self

    def for_size(self, size: int | None) -> int | None:
        """For no size, the greatest amount of any, if there is one."""
        if size is None:
            return self.cents[0] if len(self.cents) == 1 and self.each_more is None else None
        if size < 1:
            return None
        if size <= len(self.cents):
            return self.cents[size - 1]
        if self.each_more is not None:
            return self.cents[-1] + (size - len(self.cents)) * self.each_more
        return self.cents[0] if len(self.cents) == 1 else None


class AmountSpec(Node):
    title: Line
    jurisdiction: Id
    per: Literal["year", "month", "once"]
    rounding: Rounding
    """How a percentage of an amount is rounded."""
    adopted: tuple["Adoption", ...] = Field(default=(), strict=False)
    """Programs that apply a new version later than its first day."""
    versions: tuple[AmountVersion, ...] = Field(strict=False, min_length=1)

    @model_validator(mode="after")
    def _continuous(self) -> "AmountSpec":
        follow_on([version.effective for version in self.versions])
        return self


class Adoption(Node):
    """A program takes a new version of the table on a day of each year."""

    program: Id
    month: int = Field(ge=1, le=12)
    day: int = Field(ge=1, le=28)
    cite: Cited
    verified: bool


class PercentVersion(Node):
    effective: Period
    percent: Percent
    """With every disregard that the limit includes."""
    includes: Line | None = None
    cite: Cited


class PercentSpec(Node):
    """The limit of a program as a percentage of a table or of a median. Conditions repeat it; a test compares them."""

    title: Line
    program: Id
    fact: Id
    of: Id | None = None
    """The table it is a percentage of, where that is held."""
    versions: tuple[PercentVersion, ...] = Field(strict=False, min_length=1)


class ParametersFile(Node):
    tables: dict[Id, AmountSpec] = Field(default_factory=dict)
    percentages: dict[Id, PercentSpec] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """The amounts of one name, over time."""

    name: str
    spec: AmountSpec

    def amount(self, size: int | None, on: date) -> int | None:
        """Cents for a household of `size` on a day, as `rulebook.tables.ParameterTable`; None where nothing is held."""
        version = self.version(on)
        return None if version is None else version.for_size(size)

    def version(self, on: date) -> AmountVersion | None:
        return next((version for version in self.spec.versions if version.effective.holds(on)), None)

    def changes_after(self, on: date) -> date | None:
        """First later day on which another version comes into force, or the last known one ends."""
        days = [day for v in self.spec.versions for day in (v.effective.from_, v.effective.until) if day is not None]
        return min((day for day in days if day > on), default=None)

    def value(self, on: date, household_size: int = 1) -> int:
        """Cents. Raises NotKnown where nothing is held for that day or household."""
        amount = self.amount(household_size, on)
        if amount is None:
            raise NotKnown(f"{self.name} holds no amount for that day and household; add a version to law/parameters/")
        return amount

    def taken_by(self, program: str) -> "TakenTable | None":
        """As a program applies it; None if no day is held on which it takes new versions."""
        found = (adoption for adoption in self.spec.adopted if adoption.program == program)
        adoption = next(found, None)
        return None if adoption is None else TakenTable(self, adoption)

    @property
    def per(self) -> str:
        return self.spec.per

    @property
    def verified(self) -> bool:
        return all(version.verified for version in self.spec.versions)


@dataclass(frozen=True, slots=True)
class TakenTable:
    """A table as a program applies it that takes, on one day of each year, the version that is in force then."""

    table: Table
    adoption: Adoption

    def taken_on(self, on: date) -> date:
        """The day on which the program took what it applies."""
        this_year = date(on.year, self.adoption.month, self.adoption.day)
        return this_year if this_year <= on else this_year.replace(year=on.year - 1)

    def amount(self, size: int | None, on: date) -> int | None:
        """Cents for a household of `size` on a day, as `rulebook.tables.ParameterTable`; None where nothing is held."""
        return self.table.amount(size, self.taken_on(on))

    def changes_after(self, on: date) -> date | None:
        """First later day on which the program takes another version, or the last known one has ended."""
        later = self.table.changes_after(self.taken_on(on))
        if later is None:
            return None
        taken = self.taken_on(later)
        return taken if taken >= later else taken.replace(year=taken.year + 1)

    def taken_by(self, program: str) -> "TakenTable | None":
        return self.table.taken_by(program)

    @property
    def per(self) -> str:
        return self.table.per

    @property
    def verified(self) -> bool:
        """Whether the amounts and the day were seen."""
        return self.table.verified and self.adoption.verified


@dataclass(frozen=True, slots=True)
class Parameters:
    """All tables and percentages of one release."""

    tables: Mapping[str, Table]
    percentages: Mapping[str, PercentSpec]

    @classmethod
    def of(cls, tables: Mapping[str, AmountSpec], percentages: Mapping[str, PercentSpec]) -> "Parameters":
        return cls({name: Table(name, spec) for name, spec in tables.items()}, dict(percentages))

    def value(self, name: str, on: date, household_size: int = 1) -> int:
        """Cents. Raises NotKnown for a name, day or household that is not held; nothing is guessed."""
        if name not in self.tables:
            raise NotKnown(f"there is no table {name}; write one of {', '.join(sorted(self.tables))}")
        return self.tables[name].value(on, household_size)
