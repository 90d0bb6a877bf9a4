"""What intake does with a request, inside a transaction that the edge opened: the one place that puts decisions,
keys, tables and events together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import orjson

from contracts.facts import EncounterReport
from kernel.clock import Clock, Ids
from kernel.database import Transaction
from kernel.errors import Conflict, NotFound
from kernel.identity import Caller
from rulebook.loader import Law
from services.intake.application import accept, amend, tasks
from services.intake.application.accept import BlindIndex, Report, Request
from services.intake.application.amend import Amendment
from services.intake.application.tasks import Task, TaskWrite
from services.intake.domain.record import Change, EncounterRecord, Groups


@dataclass(frozen=True, slots=True)
class Answer:
    """The 202 of a request, as it was first given: `body` never says anything about a person."""

    encounter_id: UUID
    body: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """The incident of a report is stored already: `Intake.report_again` says what that means."""


@dataclass(frozen=True, slots=True)
class SubjectWrite:
    """A subject to store, with the event that tells of it."""

    id: UUID
    number: int
    event_id: UUID
    causation_id: UUID | None
    groups: Groups
    changed: tuple[str, ...] | None
    """None: the subject is new."""
    record_version: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class EncounterWrite:
    """An encounter to store with everything that belongs to the same transaction."""

    id: UUID
    new: bool
    agency: str
    jurisdiction: str
    incident: bytes
    correlation_id: UUID
    record_version: int
    digest: bytes
    encounter_at: datetime
    discovered_at: datetime | None
    accepted_at: datetime
    subjects: tuple[SubjectWrite, ...]
    said: Mapping[UUID, tuple[int, bytes]]
    """By subject id: the version and hash of the last report, where no facts changed."""
    traceparent: str | None
    answered: tuple[Request, Answer]


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered before."""

    content: bytes
    answer: Answer


class Store(Protocol):
    """Intake's tables and keys."""

    async def answered(self, tx: Transaction, requests: Sequence[Request]) -> dict[bytes, Answered]:
        """Requests that were answered before, by their `token` and by their `key`."""

    async def known(self, tx: Transaction, incidents: Sequence[bytes]) -> set[bytes]:
        """Which of these incidents are stored."""

    async def by_incident(self, tx: Transaction, incident: bytes) -> EncounterRecord | None:
        """The record, locked until the transaction ends, its facts not opened."""

    async def by_id(self, tx: Transaction, encounter_id: UUID) -> EncounterRecord | None:
        """The record, locked until the transaction ends, its facts not opened."""

    async def opened(self, tx: Transaction, record: EncounterRecord) -> EncounterRecord:
        """The record with the facts of every subject that was not erased."""

    async def write(self, tx: Transaction, writes: Sequence[EncounterWrite]) -> None:
        """States, sealed facts, requests and events, all in this transaction."""

    async def completed(self, tx: Transaction, name: bytes) -> bytes | None:
        """The content of a task that was completed before."""

    async def complete(self, tx: Transaction, task: TaskWrite) -> None:
        """The task and its event. Raises SubjectErased."""

    async def remember(self, tx: Transaction, request: Request, answer: Answer, at: datetime) -> None:
        """A request that changed nothing, so that its key is not used for another one."""


class Intake:
    """Accepts reports and amendments. Never commits."""

    def __init__(self, store: Store, *, blind: BlindIndex, law: Law, jurisdiction: str, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._blind = blind
        self._law = law
        self._jurisdiction = jurisdiction
        self._clock = clock
        self._ids = ids

    def check(self, report: EncounterReport, caller: Caller, key: str | None, traceparent: str | None) -> Report:
        """The report, checked and prepared. Raises Forbidden, Invalid."""
        accept.check_report(report, caller.agencies, self._clock(), self._law)
        return accept.prepare(
            report,
            self._blind,
            client_id=caller.client_id,
            token_id=caller.token_id,
            key=key,
            traceparent=traceparent,
        )

    async def report(self, tx: Transaction, reports: Sequence[Report]) -> list[Answer | Known | Exception]:
        """Stores the reports that are new, and answers those that were answered before, each by itself.

        No two of them may have the same incident, key or token (see `claims`).
        """
        answered = await self._store.answered(tx, [report.request for report in reports])
        known = await self._store.known(tx, [report.incident for report in reports])
        outcomes: list[Answer | Known | Exception] = []
        writes: list[EncounterWrite] = []
        for report in reports:
            try:
                before = _answered(answered, report.request)
            except Exception as error:  # noqa: BLE001 - handed to the one request that it belongs to
                outcomes.append(error)
                continue
            if before is not None:
                outcomes.append(before)
            elif report.incident in known:
                outcomes.append(Known())
            else:
                write = self._first(report)
                writes.append(write)
                outcomes.append(write.answered[1])
        await self._store.write(tx, writes)
        return outcomes

    async def report_again(self, tx: Transaction, report: Report) -> Answer:
        """A report of an incident that is stored. Raises Conflict, SubjectErased."""
        record = await self._store.by_incident(tx, report.incident)
        if record is None:
            raise NotFound("The record is not there any more: send the report again.")
        before = _answered(await self._store.answered(tx, [report.request]), report.request)
        if before is not None:
            return before
        numbers = {subject.number for subject in report.subjects}
        if accept.says_nothing_new(record, report):
            answer = _answer(record, numbers)
            if report.request.key is not None:
                await self._store.remember(tx, report.request, answer, self._clock())
            return answer
        change = accept.decide(await self._store.opened(tx, record), report)
        return await self._apply(tx, record, change, report.request, numbers)

    async def amend(
        self,
        tx: Transaction,
        caller: Caller,
        encounter_id: UUID,
        amendment: Amendment,
        *,
        key: str | None,
        traceparent: str | None,
    ) -> Answer:
        """Raises NotFound for an unknown encounter or another agency's, Invalid, Conflict, SubjectErased."""
        content = amend.content_digest(self._blind, encounter_id, amendment)
        request = self._request(caller, content, key, traceparent)
        record, before = await self._asked_before(tx, caller, encounter_id, request)
        if before is not None:
            return before
        opened = await self._store.opened(tx, record)
        change = amend.decide(opened, amendment, self._clock(), self._law, self._blind)
        return await self._apply(tx, opened, change, request, None)

    def _request(self, caller: Caller, content: bytes, key: str | None, traceparent: str | None) -> Request:
        return accept.identify(
            self._blind,
            client_id=caller.client_id,
            token_id=caller.token_id,
            key=key,
            content=content,
            traceparent=traceparent,
        )

    async def _asked_before(
        self, tx: Transaction, caller: Caller, encounter_id: UUID, request: Request
    ) -> tuple[EncounterRecord, Answer | None]:
        """The caller's encounter, locked, and what the same request was answered before. Raises NotFound, Conflict."""
        record = await self._store.by_id(tx, encounter_id)
        if record is None or record.agency not in caller.agencies:
            raise NotFound("There is no such encounter for this client.")
        return record, _answered(await self._store.answered(tx, [request]), request)

    async def complete(
        self,
        tx: Transaction,
        caller: Caller,
        encounter_id: UUID,
        task: Task,
        *,
        key: str | None,
        traceparent: str | None,
    ) -> Answer:
        """Somebody did a task; the same again is answered as before.

        Raises NotFound for an unknown encounter or another agency's, Invalid, Conflict when it was completed otherwise,
        SubjectErased.
        """
        content = tasks.content_of(self._blind, encounter_id, task)
        request = self._request(caller, content, key, traceparent)
        record, before = await self._asked_before(tx, caller, encounter_id, request)
        if before is not None:
            return before
        now = self._clock()
        numbers = {one.number for one in record.subjects}
        errors = list(tasks.task_problems(task, numbers, now, self._law, self._jurisdiction))
        subject = record.subject(task.subject_number)
        if errors or subject is None:
            raise accept.invalid(errors)
        name = tasks.name_of(self._blind, subject.id, task.duty_id)
        earlier = await self._store.completed(tx, name)
        if earlier is not None and earlier != content:
            raise Conflict("This task was completed before, at another time or with another reference.")
        if earlier is None:
            await self._store.complete(
                tx,
                TaskWrite(
                    event_id=self._ids(),
                    encounter_id=record.id,
                    agency=record.agency,
                    jurisdiction=record.jurisdiction,
                    correlation_id=record.correlation_id,
                    subject_id=subject.id,
                    causation_id=subject.event_id,
                    name=name,
                    content=content,
                    completed_at=task.completed_at.astimezone(UTC),
                    said={"duty_id": task.duty_id, "reference": task.reference},
                    at=now,
                    traceparent=traceparent,
                ),
            )
        body = {"encounter_id": str(record.id), "subject_number": subject.number, "subject_id": str(subject.id)}
        answer = Answer(record.id, orjson.dumps(body | {"completed_at": task.completed_at.astimezone(UTC)}))
        await self._store.remember(tx, request, answer, now)
        return answer

    def _first(self, report: Report) -> EncounterWrite:
        encounter_id, now = self._ids(), self._clock()
        subjects = tuple(
            SubjectWrite(
                id=self._ids(),
                number=subject.number,
                event_id=self._ids(),
                causation_id=None,
                groups=subject.groups,
                changed=None,
                record_version=report.record_version,
                digest=subject.digest,
            )
            for subject in report.subjects
        )
        answer = _accepted(encounter_id, now, report.record_version, {one.number: one.id for one in subjects})
        return EncounterWrite(
            id=encounter_id,
            new=True,
            agency=report.agency,
            jurisdiction=self._jurisdiction,
            incident=report.incident,
            correlation_id=subjects[0].event_id,
            record_version=report.record_version,
            digest=report.digest,
            encounter_at=report.encounter_at,
            discovered_at=report.discovered_at,
            accepted_at=now,
            subjects=subjects,
            said={},
            traceparent=report.request.traceparent,
            answered=(report.request, answer),
        )

    async def _apply(
        self, tx: Transaction, record: EncounterRecord, change: Change, request: Request, numbers: set[int] | None
    ) -> Answer:
        """Writes a change of a stored encounter; the answer names the subjects with these numbers, or all."""
        subjects = []
        for changed in change.subjects:
            stored = record.subject(changed.number)
            said = change.said.get(changed.number)
            subjects.append(
                SubjectWrite(
                    id=stored.id if stored else self._ids(),
                    number=changed.number,
                    event_id=self._ids(),
                    causation_id=stored.event_id if stored else None,
                    groups=changed.groups,
                    changed=tuple(group.value for group in changed.changed) if stored else None,
                    record_version=said.record_version if said else stored.record_version if stored else 0,
                    digest=said.digest if said else stored.digest if stored else b"",
                )
            )
        now = self._clock() if subjects else record.accepted_at
        named = {one.number: one.id for one in record.subjects} | {one.number: one.id for one in subjects}
        answer = _accepted(
            record.id,
            now,
            change.record_version,
            {
                number: subject_id
                for number, subject_id in sorted(named.items())
                if numbers is None or number in numbers
            },
        )
        written = {one.number for one in subjects}
        write = EncounterWrite(
            id=record.id,
            new=False,
            agency=record.agency,
            jurisdiction=record.jurisdiction,
            incident=record.incident,
            correlation_id=record.correlation_id,
            record_version=change.record_version,
            digest=change.digest,
            encounter_at=change.encounter_at,
            discovered_at=change.discovered_at,
            accepted_at=now,
            subjects=tuple(subjects),
            said={
                named[number]: (said.record_version, said.digest)
                for number, said in change.said.items()
                if number not in written
            },
            traceparent=request.traceparent,
            answered=(request, answer),
        )
        await self._store.write(tx, [write])
        return answer


def claims(report: Report) -> frozenset[bytes]:
    """What only one report of a batch may have; another with the same waits for the next batch."""
    request = report.request
    return frozenset(one for one in (report.incident, request.token, request.key) if one is not None)


def _answered(answered: Mapping[bytes, Answered], request: Request) -> Answer | None:
    """The answer that was given before. Raises Conflict when it was to another request."""
    for name in (request.key, request.token):
        if name is not None and name in answered:
            accept.same_answer(answered[name].content, request)
            return answered[name].answer
    return None


def _answer(record: EncounterRecord, numbers: set[int]) -> Answer:
    subjects = {one.number: one.id for one in record.subjects if one.number in numbers}
    return _accepted(record.id, record.accepted_at, record.record_version, subjects)


def _accepted(encounter_id: UUID, accepted_at: datetime, version: int, subjects: Mapping[int, UUID]) -> Answer:
    body = {
        "encounter_id": str(encounter_id),
        "accepted_at": accepted_at,
        "record_version": version,
        "subjects": [{"subject_number": number, "subject_id": str(subject)} for number, subject in subjects.items()],
    }
    return Answer(encounter_id, orjson.dumps(body))
