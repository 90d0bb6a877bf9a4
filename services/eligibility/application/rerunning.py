"""Evaluates everybody again under the law in force: in columns, and alone only those who could act upon something else.

The persons are in parts by their ids. A batch, its changes and how far its part has come are one transaction: killed at
any moment, the work goes on exactly where it was, and each change is published once.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol, cast
from uuid import UUID

from contracts.facts import FieldGroup
from kernel.clock import Clock
from kernel.database import Transaction
from kernel.sealing import DataKey, SealBroken, Sealed, unseal
from kernel.telemetry import logger
from rulebook.loader import Law
from rulebook.population import Population, personal_changes
from rulebook.reported import GROUPS, Reported
from services.eligibility.application.matching import Matching
from services.eligibility.application.ports import Standing, Store
from services.eligibility.domain.determinations import answers_tag

BATCH = 2000
"""Persons per transaction, at most."""
ALONE = 200
"""Where more have to be evaluated alone, batches get smaller: for that time, a quarter of a second, they are locked."""
PARTS = 16

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """The persons whose ids end with one hexadecimal digit (they begin with the time), and how far they are done."""

    number: int
    cursor: UUID | None
    """The last person done."""


@dataclass(frozen=True, slots=True)
class Person:
    """What is needed to see whether a person could act upon something else now."""

    subject_id: UUID
    jurisdiction: str
    facts_id: UUID
    encounter_at: datetime
    sealed: Sealed
    answers: bytes


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

    async def look_again_by(self, tx: Transaction, days: Mapping[UUID, date]) -> None:
        """Subjects are looked at again on this day if nothing is due earlier."""

    async def waiting(self, tx: Transaction, limit: int) -> int:
        """Events of ours that wait to be published, counted up to `limit`."""


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
        self._screens: dict[str, tuple[date, _Screen]] = {}
        self._limit = BATCH

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

    async def step(self, tx: Transaction) -> Step | None:
        """The next persons; None if there are none, or others work at all that are left. Raises Unavailable."""
        part = await self._reruns.claim(tx, self._law)
        if part is None:
            return None
        now, limit = self._clock(), self._limit
        persons = await self._reruns.batch(tx, part, self._law, limit)
        keys = await self._matching.open_keys(tx, [person.sealed.key_id for person in persons])
        others = [person for person in persons if person.sealed.key_id in keys]
        again = await self._to_evaluate(tx, others, keys, now)
        standings = await self._store.standings(tx, again, retracted=False)
        done = await self._matching.again(tx, self._others(list(standings.values())), now)
        await self._look_again(tx, [person for person in others if person.subject_id not in again], now)
        self._limit = max(ALONE, limit // 2) if len(again) > ALONE else min(BATCH, limit * 2)
        step = Step(len(persons), done["changed"], len(persons) - len(others) + done["erased"], done["failed"])
        cursor = persons[-1].subject_id if persons else part.cursor
        await self._reruns.advance(tx, part, self._law, step, cursor, now if len(persons) < limit else None)
        return step

    def _others(self, standings: Sequence[Standing]) -> list[Standing]:
        """Without those whom an event brought under this release in the meantime."""
        return [standing for standing in standings if standing.law_digest != self._law.digest]

    async def _to_evaluate(
        self, tx: Transaction, persons: Sequence[Person], keys: Mapping[UUID, DataKey], now: datetime
    ) -> set[UUID]:
        """Who has to be evaluated alone: whose answers differ, and whose facts do not open."""
        if not await self._reruns.same_schedule(tx, self._law, self._schedule):
            # Nobody else could tell when their answers change by themselves.
            return {person.subject_id for person in persons}
        found: set[UUID] = set()
        for jurisdiction in {person.jurisdiction for person in persons}:
            there = [person for person in persons if person.jurisdiction == jurisdiction]
            screen = self._screen(jurisdiction, self._law.local_date(jurisdiction, now))
            found |= screen.differing(there, keys, self._matching.keys.granted)
        return found

    def _screen(self, jurisdiction: str, today: date) -> "_Screen":
        found = self._screens.get(jurisdiction)
        if found is None or found[0] != today:
            found = self._screens[jurisdiction] = today, _Screen(self._law, jurisdiction, today)
        return found[1]

    async def _look_again(self, tx: Transaction, persons: Sequence[Person], now: datetime) -> None:
        days: dict[UUID, date] = {}
        for jurisdiction in {person.jurisdiction for person in persons}:
            today = self._law.local_date(jurisdiction, now)
            day = self._matching.everybody_on(jurisdiction, today)
            if day is not None:
                days |= {person.subject_id: day for person in persons if person.jurisdiction == jurisdiction}
        await self._reruns.look_again_by(tx, days)


class _Screen:
    """Who, of the persons of one jurisdiction, could act upon something else on one day."""

    def __init__(self, law: Law, jurisdiction: str, today: date) -> None:
        self._law = law
        self._jurisdiction = jurisdiction
        self._collected = Reported(law, today)
        self._population = Population(law, jurisdiction, today)

    def differing(
        self, persons: Sequence[Person], keys: Mapping[UUID, DataKey], granted: Collection[FieldGroup]
    ) -> set[UUID]:
        """Also those whose facts do not open."""
        groups = [group for group in granted if group.value in GROUPS]
        self._collected.take()  # of a batch that was undone half-way, something may be left
        opened: list[Person] = []
        found: set[UUID] = set()
        for person in persons:
            try:
                facts = unseal(keys[person.sealed.key_id], person.facts_id, person.sealed.groups, groups)
                opened.append(person)
                encounter_on = self._law.local_date(self._jurisdiction, person.encounter_at)
                # A field group is its own name.
                self._collected.add(cast(Mapping[str, Any], facts), encounter_on)
            except (SealBroken, ValueError, TypeError) as error:
                log.warning("a person has to be evaluated alone", subject_id=person.subject_id, error=error)
                found.add(person.subject_id)
        for person, row in zip(opened, self._population.answers(self._collected.take()), strict=True):
            if answers_tag(keys[person.sealed.key_id].secret, row.tobytes()) != person.answers:
                found.add(person.subject_id)
        return found
