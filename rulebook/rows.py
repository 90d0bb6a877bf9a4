"""What was reported of a person as a row of fixed width, made once, and many rows as columns: for re-runs.

Making a row costs as much as evaluating it twice, and opening three sealed groups three times as much as opening one
row. A property test holds rows equal to `rulebook.person.known_facts`.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from struct import Struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from contracts.facts import Age, Circumstances, Custody
from rulebook.columns import ages
from rulebook.disclosure import parse_path
from rulebook.encoding import Bounds, Column, Columns, Numbers, mask_of, nothing_known, pair
from rulebook.person import NOT_ANSWERED, RESIDENCE, STATUS, add_age, is_open, residence_of
from rulebook.possibilities import read_reported
from rulebook.schema import FactSpec
from rulebook.screening import screened_status

if TYPE_CHECKING:
    from rulebook.loader import Law

GROUPS = ("age", "circumstances", "status")
"""Groups that rules read: the others need not be opened."""

_VERSION = 2
"""Of the code that makes rows: raised when it makes others."""
_ID_BYTES = 8
_NO_COUNTY = -1
_KEPT = 100_000
"""Values whose place in a column is kept; they are few, but for amounts and days."""
_FROM_AGE = ("age_verified", "stated_age_years", "age_at_alleged_conduct")
"""Facts that `rulebook.person.add_age` works out whatever the day on which is evaluated."""
_STRUCT = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
_NONE: Mapping[str, Any] = {}


class RowFormat:
    """Rows under the fact catalogue and the screening protocols of one release. Others have another `id`, and read none
    of them."""

    def __init__(self, law: "Law") -> None:
        self._law = law
        asked = {fact: spec for fact, spec in law.facts.items() if is_open(fact, spec)}
        fields = [(fact, _stored(spec)) for fact, spec in asked.items()]
        fields += [(fact, _stored(law.facts[fact])) for fact in _FROM_AGE]
        # What the age of one day is worked out from, as ordinals of days and completed years; and where they live.
        fields += [("born", "<i4"), ("years", "<i2"), ("encounter_on", "<i4"), ("county", "<i4")]
        meaning = [(fact, spec.type, spec.values, spec.group, spec.from_, spec.bounds) for fact, spec in asked.items()]
        screening = sorted((name, sorted(held.outcome_map.items())) for name, held in law.screening.items())
        self.id = hashlib.sha256(repr((_VERSION, fields, meaning, screening)).encode()).digest()[:_ID_BYTES]
        self._dtype = np.dtype([("format", f"V{_ID_BYTES}"), *fields])
        self._specs = {fact: law.facts[fact] for fact in (*asked, *_FROM_AGE)}
        self._facts = {fact: _Field(spec, *self._place(fact)) for fact, spec in self._specs.items()}
        self._open = {
            group: {fact: self._facts[fact] for fact, spec in asked.items() if _in_group(spec, group)}
            for group in ("circumstances", "status")
        }
        self._fields = self._field_tree()
        self._age = Struct("<ihi")
        self._age_at = self._place("born")[0]
        self._county, self._county_at = Struct("<i"), self._place("county")[0]
        self._states: dict[int, int] = {}
        self._nothing = self._row_of_nothing()

    def row(self, groups: Mapping[str, Any], encounter_on: date) -> bytes:
        """The row of one person: the JSON values of the groups, by name, and the local day of the encounter.

        Raises ValueError or TypeError for what is no report.
        """
        row = bytearray(self._nothing)
        for group, known in self._open.items():
            for fact, raw in groups.get(group, _NONE).get("facts", _NONE).items():
                field = known.get(fact)
                if field is not None:
                    field.put_raw(row, raw)
        _put_fields(row, groups, self._fields)
        self._put_screening(row, groups.get("circumstances", _NONE).get("screening", ()))
        self._put_age(row, groups, encounter_on)
        residence = groups.get("circumstances", _NONE).get("residence_county_fips")
        if residence is not None:
            # Digits of another script are five characters of a code, and no county.
            self._county.pack_into(row, self._county_at, int(residence) if residence.isascii() else 0)
        return bytes(row)

    def reads(self, row: bytes) -> bool:
        """Whether the row was made under the same catalogue."""
        return row.startswith(self.id) and len(row) == self._dtype.itemsize

    def columns(self, rows: Sequence[bytes], as_of: date) -> Columns:
        """What is known of everybody on one day, before what follows from it. All rows are of this format."""
        table = np.frombuffer(b"".join(rows), self._dtype)
        found: dict[str, Column] = {}
        for fact, spec in self._specs.items():
            column = table[fact]
            found[fact] = column.astype(np.uint64) if _is_mask(spec) else (column[:, 0].copy(), column[:, 1].copy())
        found["age_years"] = self._ages(table, as_of)
        found[RESIDENCE] = self._residence(table)
        found["review_expired"] = np.full(len(rows), mask_of(self._law.facts["review_expired"])(False), np.uint64)
        return Columns(len(rows), found)

    def _put_screening(self, row: bytearray, results: Iterable[Mapping[str, str]]) -> None:
        cited = ((one["protocol_id"], one["protocol_version"], one["outcome"]) for one in results)
        least = screened_status(cited, self._law.screening)
        if least != "unchanged":
            self._facts[STATUS].raise_to(row, least)

    def _put_age(self, row: bytearray, groups: Mapping[str, Any], encounter_on: date) -> None:
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
        add_age(known, cast(Age, age), conduct, encounter_on, encounter_on)
        years = known.pop("age_years", None)
        for fact, value in known.items():
            self._facts[fact].put(row, value)
        if years is not None:
            told = age.birth_date if age.birth_date is not None and age.birth_date <= encounter_on else None
            self._age.pack_into(
                row, self._age_at, told.toordinal() if told else 0, -1 if told else years, encounter_on.toordinal()
            )

    def _ages(self, table: NDArray[np.void], as_of: date) -> Bounds:
        """Completed years on the day: of whom the birthday is not known, one or the other."""
        day = np.full(len(table), as_of.toordinal(), np.int64)
        born, reported_on = table["born"].astype(np.int64), table["encounter_on"].astype(np.int64)
        years = table["years"].astype(np.int64)
        later = day > reported_on
        by_years = years + np.where(later, ages(day, reported_on), 0)
        by_birth = ages(day, born)
        low, high = nothing_known(self._law.facts["age_years"], len(table))
        for side, more in ((low, 0), (high, later)):
            np.copyto(side, by_years + more, where=years >= 0)
            np.copyto(side, by_birth, where=born > 0)
        return cast(Numbers, low), cast(Numbers, high)

    def _residence(self, table: NDArray[np.void]) -> Column:
        """By the county; where it is not known, as it was told."""
        mask = mask_of(self._law.facts[RESIDENCE])
        counties, where = np.unique(table["county"], return_inverse=True)
        for county in map(int, counties):
            if county != _NO_COUNTY and county not in self._states:
                self._states[county] = mask(residence_of(f"{county:05}", self._law))
        by_county = np.array([self._states.get(int(county), 0) for county in counties], np.uint64)[where]
        return np.where(by_county == 0, table[RESIDENCE].astype(np.uint64), by_county)

    def _place(self, field: str) -> tuple[int, str]:
        """Where it is in a row, and in which format of `struct`."""
        assert self._dtype.fields is not None, "it is made of fields"
        kind, offset = self._dtype.fields[field][:2]
        return offset, "<qq" if kind.subdtype else _STRUCT[kind.itemsize]

    def _row_of_nothing(self) -> bytes:
        row = bytearray(self._dtype.itemsize)
        row[:_ID_BYTES] = self.id
        for field in self._facts.values():
            field.put(row, None)
        self._age.pack_into(row, self._age_at, 0, -1, 0)
        self._county.pack_into(row, self._county_at, _NO_COUNTY)
        return bytes(row)

    def _field_tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for reported in self._law.reported:
            *steps, last = parse_path(reported.spec.from_ or "")
            here = tree
            for step in steps:
                here = here.setdefault(step, {})
            here[last] = self._facts[reported.fact]
        return tree


def _is_mask(spec: FactSpec) -> bool:
    return spec.type in ("bool", "enum")


def _in_group(spec: FactSpec, group: str) -> bool:
    return (spec.group == "status") is (group == "status")


def _stored(spec: FactSpec) -> Any:
    """The numpy type: the bits of an enumeration's members, or the least and greatest of a number or day."""
    if not _is_mask(spec):
        return "<i8", (2,)
    members = len(spec.values) or 2
    return next(f"<u{size}" for size in (1, 2, 4, 8) if members <= 8 * size)


def _put_fields(row: bytearray, reported: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    for name, here in fields.items():
        value = reported.get(name)
        if value is None:
            continue
        if isinstance(here, dict):
            _put_fields(row, value, here)
        else:
            here.put_raw(row, value)


class _Field:
    """The place of one fact in a row."""

    __slots__ = ("_at", "_code", "_coded", "_spec", "_struct")

    def __init__(self, spec: FactSpec, at: int, form: str) -> None:
        self._spec = spec
        self._at = at
        self._struct = Struct(form)
        mask = mask_of(spec) if _is_mask(spec) else None
        self._code: Callable[[Any], tuple[int, ...]] = lambda v: pair(v, spec) if mask is None else (mask(v),)
        self._coded: dict[Any, bytes | None] = {}

    def put_raw(self, row: bytearray, raw: Any) -> None:
        """A value as a report writes it. What is not of the fact's type is not known; without an answer, as before."""
        key = raw.__class__, raw
        if key not in self._coded:
            if len(self._coded) >= _KEPT:
                self._coded.clear()
            self._coded[key] = self._read(raw)
        coded = self._coded[key]
        if coded is not None:
            row[self._at : self._at + len(coded)] = coded

    def put(self, row: bytearray, value: Any) -> None:
        self._struct.pack_into(row, self._at, *self._code(value))

    def raise_to(self, row: bytearray, least: str) -> None:
        """As `rulebook.person.raised`: the bits of an ordered enumeration's members, from the least up."""
        (members,) = self._struct.unpack_from(row, self._at)
        at = 1 << self._spec.values.index(least)
        above = members & ~(at - 1)
        self._struct.pack_into(row, self._at, above if above == members else above | at)

    def _read(self, raw: Any) -> bytes | None:
        if raw in NOT_ANSWERED:
            return None
        try:
            return self._struct.pack(*self._code(read_reported(self._spec, raw)))
        except ValueError:
            return self._struct.pack(*self._code(None))
