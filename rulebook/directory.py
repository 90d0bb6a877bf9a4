"""Who fills a role on a day: roles to recipients, by circuit of the county where that matters."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from rulebook.schema import Period, RecipientSpec


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A county belongs to a unit (a judicial circuit) for a time."""

    unit: str
    county_fips: str
    effective: Period


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who can be told."""

    id: str
    role: str
    jurisdiction: str
    name: str


class Directory:
    """Immutable once built."""

    def __init__(self, recipients: tuple[RecipientSpec, ...], units: dict[str, tuple[UnitRow, ...]]) -> None:
        self.specs = recipients
        self._rows = {
            (table, row.county_fips): tuple(r for r in rows if r.county_fips == row.county_fips)
            for table, rows in units.items()
            for row in rows
        }
        self._units = units

    def resolve(self, role: str, jurisdiction: str, county_fips: str | None, on: date) -> str | None:
        """The recipient's id; None if the role is not filled, or if it goes by county and the county is not known."""
        for spec in self.specs:
            if spec.role != role or spec.jurisdiction != jurisdiction or not spec.effective.holds(on):
                continue
            if spec.by_unit is None:
                return spec.recipient
            if county_fips is None:
                return None
            for override in spec.overrides:
                if override.county == county_fips and override.effective.holds(on):
                    return override.recipient
            for row in self._rows.get((spec.by_unit, county_fips), ()):
                if row.effective.holds(on):
                    return spec.recipient.format(unit=row.unit)
        return None

    def clashes(self, table: str) -> Iterator[tuple[str, str]]:
        """Counties that belong to two units of a table at once, or to none for a time; and what is wrong."""
        for (name, county), rows in self._rows.items():
            wrong = _clash([row.effective for row in rows]) if name == table else None
            if wrong:
                yield county, wrong

    def counties(self, table: str) -> frozenset[str]:
        """Codes of the counties that a table of units has."""
        return frozenset(row.county_fips for row in self._units[table])

    def changes(self) -> set[date]:
        """Every day on which somebody else may fill a role."""
        periods = [row.effective for rows in self._units.values() for row in rows]
        for spec in self.specs:
            periods += [spec.effective, *(override.effective for override in spec.overrides)]
        return {day for period in periods for day in period.days()}

    def by_county(self, role: str, jurisdiction: str) -> bool:
        """Whether the role goes by the county of the encounter."""
        return any(
            spec.by_unit is not None for spec in self.specs if spec.role == role and spec.jurisdiction == jurisdiction
        )

    def recipients(self, on: date) -> tuple[Recipient, ...]:
        """Everybody who may be sent something on a day, by id. Whom only a person can tell is not among them."""
        found: dict[str, Recipient] = {}
        for spec in self.specs:
            if not spec.effective.holds(on) or spec.delivery == "task":
                continue
            rows = self._units[spec.by_unit] if spec.by_unit else ()
            in_force = (row for row in rows if row.effective.holds(on))
            ids = {spec.recipient.format(unit=row.unit): f"{spec.name} {row.unit}" for row in in_force}
            ids |= {override.recipient: spec.name for override in spec.overrides if override.effective.holds(on)}
            if spec.by_unit is None:
                ids[spec.recipient] = spec.name
            for recipient_id, name in ids.items():
                found[recipient_id] = Recipient(recipient_id, spec.role, spec.jurisdiction, name)
        return tuple(found[recipient_id] for recipient_id in sorted(found))


def _clash(periods: Iterable[Period]) -> str | None:
    ordered = sorted(periods, key=lambda period: period.from_)
    for earlier, later in pairwise(ordered):
        if earlier.until is None or earlier.until > later.from_:
            return f"two units on {later.from_}"
        if earlier.until < later.from_:
            return f"no unit from {earlier.until} to {later.from_}"
    return None
