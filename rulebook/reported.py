"""From the groups of reports, as they were sealed, to columns: without a `SubjectFacts` and a fact map for each person.

A property test holds this equal to `rulebook.person.known_facts`.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from contracts.facts import Age, Circumstances, Custody
from rulebook.columns import Column, Columns, mask_of, nothing_known, pair
from rulebook.disclosure import parse_path
from rulebook.person import NOT_ANSWERED, add_age
from rulebook.possibilities import read_reported
from rulebook.schema import FactSpec

if TYPE_CHECKING:
    from rulebook.loader import Law

GROUPS = ("age", "circumstances", "status")
"""Groups that rules read: the others need not be opened."""

_KEPT = 100_000
"""Values whose place in a column is kept; they are few, but for amounts and days."""


class Reported:
    """Collects what was reported of many persons, on one day, batch after batch."""

    def __init__(self, law: "Law", as_of: date) -> None:
        self._law = law
        self._as_of = as_of
        self._rows = 0
        self._facts: dict[str, _Fact] = {}
        self._states: dict[str, str] = {}
        self._open = {group: dict(self._open_facts(group)) for group in ("circumstances", "status")}
        self._fields = self._field_tree()

    def add(self, groups: Mapping[str, Any], encounter_on: date) -> None:
        """One more person: the JSON values of the groups, by name, and the local day of the encounter.

        Raises ValueError or TypeError for what is no report; the person has a row all the same.
        """
        row = self._rows
        self._rows += 1
        for group, known in self._open.items():
            for fact, raw in groups.get(group, _NONE).get("facts", _NONE).items():
                column = known.get(fact)
                if column is not None:
                    column.put_raw(row, raw)
        _put_fields(row, groups, self._fields)
        self._put_age(row, groups, encounter_on)
        residence = groups.get("circumstances", _NONE).get("residence_county_fips")
        if residence is not None:
            self._fact("state_of_residence").put(row, self._state(residence))

    def take(self) -> Columns:
        """What is known of everybody since the last time, before what follows from it."""
        rows, self._rows = self._rows, 0
        found = {name: fact.take(rows) for name, fact in self._facts.items() if fact.rows}
        never = mask_of(self._law.facts["review_expired"])(False)
        return Columns(rows, found | {"review_expired": np.full(rows, never, np.uint64)})

    def _put_age(self, row: int, groups: Mapping[str, Any], encounter_on: date) -> None:
        reported = groups.get("age", _NONE)
        born = reported.get("birth_date")
        alleged_on = groups.get("circumstances", _NONE).get("custody", _NONE).get("conduct_alleged_on")
        # The fields that count, without the cost of a model for each person.
        age = SimpleNamespace(
            birth_date=None if born is None else date.fromisoformat(born),
            years=reported.get("years"),
            stated_years=reported.get("stated_years"),
            verified_by=reported.get("verified_by"),
        )
        conduct = None
        if alleged_on is not None:
            custody = Custody.model_construct(conduct_alleged_on=date.fromisoformat(alleged_on))
            conduct = Circumstances.model_construct(custody=custody)
        known: dict[str, Any] = {}
        add_age(known, cast(Age, age), conduct, encounter_on, self._as_of)
        for fact, value in known.items():
            self._fact(fact).put(row, value)

    def _state(self, county_fips: str) -> str:
        found = self._states.get(county_fips)
        if found is None:
            state = self._law.state_of(county_fips)
            named = state is not None and state in self._law.facts["state_of_residence"].values
            found = self._states[county_fips] = state if state is not None and named else "other"
        return found

    def _fact(self, fact: str) -> "_Fact":
        found = self._facts.get(fact)
        if found is None:
            found = self._facts[fact] = _Fact(self._law.facts[fact])
        return found

    def _open_facts(self, group: str) -> "Iterator[tuple[str, _Fact]]":
        for fact, spec in self._law.facts.items():
            if not spec.computed and (spec.group == "status") is (group == "status"):
                yield fact, self._fact(fact)

    def _field_tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for reported in self._law.reported:
            *steps, last = parse_path(reported.spec.from_ or "")
            here = tree
            for step in steps:
                here = here.setdefault(step, {})
            here[last] = self._fact(reported.fact)
        return tree


_NONE: Mapping[str, Any] = {}


def _put_fields(row: int, reported: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    for name, here in fields.items():
        value = reported.get(name)
        if value is None:
            continue
        if isinstance(here, dict):
            _put_fields(row, value, here)
        else:
            here.put_raw(row, value)


class _Fact:
    """What is known of one fact, of those of whom anything is."""

    __slots__ = ("_code", "_coded", "_spec", "rows", "values")

    def __init__(self, spec: FactSpec) -> None:
        self._spec = spec
        self._code: Callable[[Any], Any] = mask_of(spec) if spec.type in ("bool", "enum") else lambda v: pair(v, spec)
        self._coded: dict[Any, Any] = {}
        self.rows: list[int] = []
        self.values: list[Any] = []

    def put_raw(self, row: int, raw: Any) -> None:
        """A value as a report writes it. What is not of the fact's type is not known; without an answer, as before."""
        key = raw.__class__, raw
        if key not in self._coded:
            if len(self._coded) >= _KEPT:
                self._coded.clear()
            self._coded[key] = self._read(raw)
        code = self._coded[key]
        if code is not None:
            self.rows.append(row)
            self.values.append(code)

    def put(self, row: int, value: Any) -> None:
        self.rows.append(row)
        self.values.append(self._code(value))

    def _read(self, raw: Any) -> Any:
        if raw in NOT_ANSWERED:
            return None
        try:
            return self._code(read_reported(self._spec, raw))
        except ValueError:
            return self._code(None)

    def take(self, rows: int) -> Column:
        column = nothing_known(self._spec, rows)
        # Where a person has two, the one that was put last counts.
        if isinstance(column, tuple):
            both = np.array(self.values, np.int64)
            column[0][self.rows], column[1][self.rows] = both[:, 0], both[:, 1]
        else:
            column[self.rows] = np.array(self.values, np.uint64)
        self.rows, self.values = [], []
        return column
