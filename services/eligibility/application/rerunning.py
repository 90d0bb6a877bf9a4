"""Evaluates everybody again under the law in force: in columns, and alone only those who could act upon something else.

The persons are in parts by their ids. A batch, its changes and how far its part has come are one transaction: killed at
any moment, the work goes on exactly where it was, and each change is published once.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from kernel.clock import Clock
from kernel.database import Transaction
from kernel.sealing import DataKey, SealBroken, Sealed
from kernel.telemetry import logger
from rulebook.loader import Law
from rulebook.population import Population, personal_changes
from services.eligibility.application.matching import Matching
from services.eligibility.application.ports import Standing, Store
from services.eligibility.domain.determinations import answers_tag
from services.eligibility.domain.pace import IN_FULL

ALONE = 200
"""Where more have to be evaluated alone, batches get smaller: for that time, a quarter of a second, they are locked."""
PARTS = 16

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """The persons of every sixteenth minute or so, as their ids tell it (a UUIDv7's fourth byte counts 65 seconds), and
    how far they are done. Who came together is stored together, and read together."""

    number: int
    cursor: UUID | None
    """The last person done."""


class Person(NamedTuple):
    """What is needed to see whether a person could act upon something else now."""

    subject_id: UUID
    jurisdiction: str
    facts_id: UUID
    answers: bytes
    look_again_on: date | None
    row: Sealed | None
    """The facts as `application.rows` sealed them, if it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the evaluation of everybody under one release has come."""

    law_version: str
    persons: int
    """Done, of `total`; those who were evaluated under the release anyway are passed over, and not counted."""
    changed: int
    erased: int
    failed: int
    total: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One batch."""

    persons: int
    changed: int
    erased: int
    failed: int


class Reruns(Protocol):
    """How far re-runs are. Each call is part of the given transaction."""

    async def begin(self, tx: Transaction, law: Law, schedule: bytes, now: datetime) -> None:
        """Notes that this release applies from now on; nothing if it was the last to be noted.

        Where everybody stands under it already, it is finished at once.
        """

    async def progress(self, tx: Transaction, law: Law, total: int) -> Progress | None:
        """None if the release was never noted, or another one since."""

    async def total(self, tx: Transaction) -> int:
        """How many persons there are."""

    async def claim(self, tx: Transaction, law: Law) -> Part | None:
        """A part that is not done and that nobody else works at, until the end of the transaction."""

    async def same_schedule(self, tx: Transaction, law: Law, schedule: bytes) -> bool:
        """Whether the days on which everybody is looked at again were found under the same personal changes."""

    async def batch(self, tx: Transaction, part: Part, law: Law, limit: int) -> list[Person]:
        """The next persons of a part who stand under another release, in the order of their ids; not locked."""

    async def advance(
        self, tx: Transaction, part: Part, law: Law, step: Step, cursor: UUID | None, done_at: datetime | None
    ) -> None:
        """Moves a claimed part on."""

    async def keep_rows(self, tx: Transaction, rows: Mapping[UUID, tuple[UUID, Sealed]]) -> None:
        """By subject, the row of the facts that this event brought; nothing where others came in the meantime."""

    async def look_again_by(self, tx: Transaction, days: Mapping[UUID, date]) -> None:
        """Subjects are looked at again on this day if nothing is due earlier."""

    async def waiting(self, tx: Transaction, limit: int) -> int:
        """Events of ours that wait to be published, counted up to `limit`."""

    async def reported(self, tx: Transaction) -> int:
        """A count that moves with every event that is brought to the service."""


class Worker(Protocol):
    """A process that takes step after step."""

    async def start(self) -> None:
        """Once."""

    def progress(self) -> AsyncIterator[Progress]:
        """What it tells after each batch, until it ends."""

    async def ended(self) -> int:
        """Waits for it; 0 when everybody is done."""

    async def stop(self) -> None:
        """Lets it finish its batch, and waits for it."""


class Rerunning:
    """The use case. Never commits: whoever calls opens a transaction for each step."""

    def __init__(self, law: Law, store: Store, reruns: Reruns, matching: Matching, clock: Clock) -> None:
        self._law = law
        self._store = store
        self._reruns = reruns
        self._matching = matching
        self._clock = clock
        self._schedule = personal_changes(law)
        self._rows = matching.rows
        self._populations: dict[str, tuple[date, Population]] = {}
        self._limit = IN_FULL

    async def begin(self, tx: Transaction) -> Progress:
        """The release applies from now on: whoever stands under another one has to be looked at."""
        await self._reruns.begin(tx, self._law, self._schedule, self._clock())
        found = await self._reruns.progress(tx, self._law, await self._reruns.total(tx))
        assert found is not None, "it was noted in this transaction"
        return found

    async def progress(self, tx: Transaction, total: int) -> Progress | None:
        """None if another release was noted since: then this one has nothing left to do."""
        return await self._reruns.progress(tx, self._law, total)

    async def waiting(self, tx: Transaction, limit: int) -> int:
        return await self._reruns.waiting(tx, limit)

    async def reported(self, tx: Transaction) -> int:
        return await self._reruns.reported(tx)

    async def step(self, tx: Transaction, most: int = IN_FULL) -> Step | None:
        """The next persons, `most` of them; None if there are none, or others work at all that are left.

        Raises Unavailable.
        """
        part = await self._reruns.claim(tx, self._law)
        if part is None:
            return None
        now, limit = self._clock(), min(self._limit, most)
        persons = await self._reruns.batch(tx, part, self._law, limit)
        opened = await self._open(tx, persons)
        again = await self._to_evaluate(tx, opened, now)
        standings = await self._store.standings(tx, again, retracted=False)
        done = await self._matching.again(tx, self._others(list(standings.values())), now)
        await self._reruns.keep_rows(tx, opened.made)
        await self._look_again(tx, [one.person for one in opened.persons if one.person.subject_id not in again], now)
        self._limit = max(ALONE, limit // 2) if len(again) > ALONE else min(IN_FULL, self._limit * 2)
        step = Step(len(persons), done["changed"], len(persons) - len(opened.persons) + done["erased"], done["failed"])
        cursor = persons[-1].subject_id if persons else part.cursor
        await self._reruns.advance(tx, part, self._law, step, cursor, now if len(persons) < limit else None)
        return step

    def _others(self, standings: Sequence[Standing]) -> list[Standing]:
        """Without those whom an event brought under this release in the meantime."""
        return [standing for standing in standings if standing.law_digest != self._law.digest]

    async def _open(self, tx: Transaction, persons: Sequence[Person]) -> "_Batch":
        """Everybody who was not erased, with the row of their facts: made anew where it was of another catalogue."""
        keys = await self._matching.open_keys(tx, [one.row.key_id for one in persons if one.row is not None])
        may_open = self._rows.may_be_opened(self._matching.keys.granted)
        batch, without = _Batch([], {}), []
        for person in persons:
            if person.row is None or not may_open:
                without.append(person)
            elif (key := keys.get(person.row.key_id)) is not None:
                if (row := self._opened_row(person, person.row, key)) is not None:
                    batch.persons.append(_Opened(person, key.secret, row))
                else:
                    without.append(person)
        if without:
            await self._from_facts(tx, without, batch)
        return batch

    def _opened_row(self, person: Person, row: Sealed, key: DataKey) -> bytes | None:
        try:
            return self._rows.opened(row, key, person.facts_id)
        except (SealBroken, ValueError) as error:
            log.warning("the row of a person's facts has to be made again", subject_id=person.subject_id, error=error)
            return None

    async def _from_facts(self, tx: Transaction, persons: Sequence[Person], batch: "_Batch") -> None:
        found = await self._store.facts(tx, [person.facts_id for person in persons])
        keys = await self._matching.open_keys(tx, [facts.sealed.key_id for facts in found.values()])
        for person in persons:
            facts = found.get(person.facts_id)
            key = keys.get(facts.sealed.key_id) if facts else None
            if facts is None or key is None:
                continue
            row = None
            try:
                opened = self._matching.opened(facts, key)
            except SealBroken as error:
                log.warning("a person has to be evaluated alone", subject_id=person.subject_id, error=error)
            else:
                encounter_on = self._law.local_date(person.jurisdiction, facts.encounter_at)
                row = self._rows.made(opened, encounter_on, person.facts_id)
            if row is not None:
                sealed = self._rows.sealed(row, key, person.facts_id, self._matching.keys.granted)
                if sealed is not None:
                    batch.made[person.subject_id] = person.facts_id, sealed
            batch.persons.append(_Opened(person, key.secret, row or b""))

    async def _to_evaluate(self, tx: Transaction, batch: "_Batch", now: datetime) -> set[UUID]:
        """Who has to be evaluated alone: whose answers differ, and whose facts do not open."""
        if not await self._reruns.same_schedule(tx, self._law, self._schedule):
            # Nobody else could tell when their answers change by themselves.
            return {one.person.subject_id for one in batch.persons}
        found = {one.person.subject_id for one in batch.persons if not one.row}
        for jurisdiction in {one.person.jurisdiction for one in batch.persons}:
            there = [one for one in batch.persons if one.row and one.person.jurisdiction == jurisdiction]
            today = self._law.local_date(jurisdiction, now)
            columns = self._rows.columns([one.row for one in there], today)
            for one, answers in zip(there, self._population(jurisdiction, today).answers(columns), strict=True):
                if answers_tag(one.secret, answers.tobytes()) != one.person.answers:
                    found.add(one.person.subject_id)
        return found

    def _population(self, jurisdiction: str, today: date) -> Population:
        found = self._populations.get(jurisdiction)
        if found is None or found[0] != today:
            found = self._populations[jurisdiction] = today, Population(self._law, jurisdiction, today)
        return found[1]

    async def _look_again(self, tx: Transaction, persons: Sequence[Person], now: datetime) -> None:
        """On the day on which the law changes for everybody, at the latest."""
        days: dict[UUID, date] = {}
        for jurisdiction in {person.jurisdiction for person in persons}:
            day = self._matching.everybody_on(jurisdiction, self._law.local_date(jurisdiction, now))
            if day is not None:
                days |= {
                    person.subject_id: day
                    for person in persons
                    if person.jurisdiction == jurisdiction
                    and (person.look_again_on is None or person.look_again_on > day)
                }
        if days:
            await self._reruns.look_again_by(tx, days)


@dataclass(slots=True)
class _Opened:
    person: Person
    secret: bytes = field(repr=False)
    row: bytes = field(repr=False)
    """Empty where the facts do not open."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Who was not erased, and by subject the event and the row of whom a row was made anew."""

    persons: list[_Opened]
    made: dict[UUID, tuple[UUID, Sealed]]
