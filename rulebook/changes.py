"""When an answer may change by itself: a birthday, the end of a time limit, another version of a rule."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from contracts.facts import Age
from rulebook.compiled import CompiledDerivation
from rulebook.dates import age_on, birthday
from rulebook.generated import Plan
from rulebook.leaves import AgeLeaf, Leaf, TableLeaf, WithinLeaf
from rulebook.values import FactMap

_KEPT = 64
"""Days for which it is kept what may change after them."""


@dataclass(frozen=True, slots=True)
class _Dated:
    version_day: date | None
    """First later day on which another version of a rule comes into force."""
    table_day: date | None
    """First later day on which another amount does."""
    leaves: tuple[Leaf, ...]
    """Comparisons with a date of the person, whose truth depends on the day."""
    years: tuple[int, ...]
    """Ages on whose birthday a comparison changes."""


def next_change(
    plan: Plan,
    derivations: Iterable[CompiledDerivation],
    facts: FactMap,
    as_of: date,
    age: Age | None,
    encounter_on: date,
) -> date | None:
    """The first later day that may change an answer: on no day before it does one. The answers may also stay."""
    dated = _on(plan, derivations, as_of)
    days = {day for leaf in dated.leaves for day in leaf.changes(facts, as_of)}
    days.update(day for day in (dated.version_day, dated.table_day) if day is not None)
    if "age_years" in facts and age is not None:
        days.update(_birthdays(age, as_of, encounter_on, dated.years))
    return min((day for day in days if day > as_of), default=None)


def next_common_change(plan: Plan, derivations: Iterable[CompiledDerivation], as_of: date) -> date | None:
    """The first later day on which answers may change whoever the person is: another version of a rule or an amount."""
    dated = _on(plan, derivations, as_of)
    return min((day for day in (dated.version_day, dated.table_day) if day is not None), default=None)


def _on(plan: Plan, derivations: Iterable[CompiledDerivation], as_of: date) -> _Dated:
    dated = plan.dated.get(as_of)
    if dated is None:
        if len(plan.dated) >= _KEPT:
            plan.dated.clear()
        dated = plan.dated[as_of] = _dated(plan, derivations, as_of)
    return dated


def _dated(plan: Plan, derivations: Iterable[CompiledDerivation], as_of: date) -> _Dated:
    leaves = {leaf.index: leaf for derivation in derivations for leaf in derivation.when.leaves()}
    days: set[date] = set()
    for program in plan.programs:
        for version in program.versions:
            effective = version.spec.effective
            if program.spec.version_key is None:
                days |= {effective.from_, effective.until or effective.from_}
                if not effective.holds(as_of):
                    continue
            leaves.update((leaf.index, leaf) for leaf in version.leaves)
    tables = (leaf.changes({}, as_of) for leaf in leaves.values() if isinstance(leaf, TableLeaf))
    return _Dated(
        version_day=min((day for day in days if day > as_of), default=None),
        table_day=min((day for found in tables for day in found), default=None),
        leaves=tuple(leaf for leaf in leaves.values() if isinstance(leaf, (WithinLeaf, AgeLeaf))),
        years=tuple(sorted({years for leaf in leaves.values() for years in _years(leaf)})),
    )


def _years(leaf: Leaf) -> Iterator[int]:
    if leaf.fact == "age_years":
        for years in leaf.threshold if isinstance(leaf.threshold, tuple) else (leaf.threshold,):
            if leaf.operator in ("gte", "lt", "eq", "ne", "in", "not_in"):
                yield years
            if leaf.operator not in ("gte", "lt"):
                yield years + 1


def _birthdays(age: Age, as_of: date, encounter_on: date, years: Iterable[int]) -> Iterator[date]:
    if age.birth_date is None or age.birth_date > encounter_on:
        # Years without a birthday: exact on the day of the encounter, and each year later one more is possible.
        yield encounter_on + timedelta(days=1)
        yield birthday(encounter_on, age_on(as_of, encounter_on) + 1)
        return
    for count in years:
        yield birthday(age.birth_date, count)
