"""Intake's tables: every statement takes a whole batch, and what is about a person is sealed before it gets here."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.envelope import Event
from contracts.events import EncounterAmended, EncounterReported, TaskCompleted
from contracts.facts import FieldGroup
from kernel.database import Transaction
from kernel.errors import SubjectErased
from kernel.events.outbox import Outbox
from kernel.sealing import Sealed, seal, unseal
from kernel.subject_keys import SubjectKeys
from services.intake.application.accept import Request
from services.intake.application.intake import Answer, Answered, EncounterWrite, SubjectWrite
from services.intake.application.tasks import TaskWrite
from services.intake.domain.record import EncounterRecord, SubjectRecord


class PostgresStore:
    """`services.intake.application.intake.Store` in PostgreSQL."""

    def __init__(self, keys: SubjectKeys, outbox: Outbox) -> None:
        self._keys = keys
        self._outbox = outbox

    async def answered(self, tx: Transaction, requests: Sequence[Request]) -> dict[bytes, Answered]:
        rows = await tx.driver.fetch(
            """
            SELECT token, key, content, encounter_id, answer FROM request
            WHERE token = ANY($1::bytea[]) OR key = ANY($2::bytea[])
            """,
            [request.token for request in requests],
            [request.key for request in requests if request.key is not None],
        )
        found: dict[bytes, Answered] = {}
        for token, key, content, encounter_id, answer in rows:
            answered = Answered(content, Answer(encounter_id, answer))
            found[token] = answered
            if key is not None:
                found[key] = answered
        return found

    async def known(self, tx: Transaction, incidents: Sequence[bytes]) -> set[bytes]:
        rows = await tx.driver.fetch("SELECT incident FROM encounter WHERE incident = ANY($1::bytea[])", incidents)
        return {row[0] for row in rows}

    async def by_incident(self, tx: Transaction, incident: bytes) -> EncounterRecord | None:
        return await _read(tx, "incident", incident)

    async def by_id(self, tx: Transaction, encounter_id: UUID) -> EncounterRecord | None:
        return await _read(tx, "id", encounter_id)

    async def opened(self, tx: Transaction, record: EncounterRecord) -> EncounterRecord:
        granted = await self._keys.load_grants(tx)
        keys = await self._keys.of_subjects(tx, [subject.id for subject in record.subjects])
        rows = await tx.driver.fetch("SELECT id, sealed FROM subject WHERE encounter_id = $1", record.id)
        sealed = {row[0]: Sealed.decode(row[1]) for row in rows}
        subjects = tuple(
            replace(subject, groups=unseal(keys[subject.id], subject.event_id, sealed[subject.id].groups, granted))
            if subject.id in keys
            else subject
            for subject in record.subjects
        )
        return replace(record, subjects=subjects)

    async def write(self, tx: Transaction, writes: Sequence[EncounterWrite]) -> None:
        if not writes:
            return
        # In one order everywhere: two processes that write the same incidents must not wait for each other in a ring.
        writes = sorted(writes, key=lambda write: write.incident)
        keys = await self._keys.create(tx, [subject.id for write in writes for subject in write.subjects])
        rows: list[tuple[UUID, SubjectWrite, bytes]] = []
        events: list[Event] = []
        for write in writes:
            for subject in write.subjects:
                sealed = seal(keys[subject.id], subject.event_id, subject.groups)
                rows.append((write.id, subject, sealed.encode()))
                events.append(_event(self._outbox.source, write, subject, sealed))
        await _insert_encounters(tx, [write for write in writes if write.new])
        await _update_encounters(tx, [write for write in writes if not write.new])
        await _insert_subjects(tx, [row for row in rows if row[1].changed is None])
        await _update_subjects(tx, [row for row in rows if row[1].changed is not None])
        await _insert_requests(tx, [(*write.answered, write.accepted_at) for write in writes])
        await self._outbox.append(tx, events)

    async def completed(self, tx: Transaction, name: bytes) -> bytes | None:
        content: bytes | None = await tx.driver.fetchval("SELECT content FROM task WHERE name = $1", name)
        return content

    async def complete(self, tx: Transaction, task: TaskWrite) -> None:
        key = (await self._keys.of_subjects(tx, [task.subject_id])).get(task.subject_id)
        if key is None:
            raise SubjectErased("the subject of this task was erased")
        sealed = seal(key, task.event_id, {FieldGroup.ACKNOWLEDGEMENT: task.said})
        await tx.driver.execute(
            "INSERT INTO task (name, content, subject_id, completed_at) VALUES ($1, $2, $3, $4)",
            task.name,
            task.content,
            task.subject_id,
            task.completed_at,
        )
        event = Event(
            id=task.event_id,
            time=task.at,
            source=self._outbox.source,
            data=TaskCompleted(completed_at=task.completed_at),
            key=task.encounter_id,
            jurisdiction=task.jurisdiction,
            correlation_id=task.correlation_id,
            causation_id=task.causation_id,
            encounter_id=task.encounter_id,
            subject_id=task.subject_id,
            agency=task.agency,
            traceparent=task.traceparent,
            key_id=sealed.key_id,
            commitment=sealed.commitment,
            sealed=sealed.groups,
        )
        await self._outbox.append(tx, [event])

    async def remember(self, tx: Transaction, request: Request, answer: Answer, at: datetime) -> None:
        await _insert_requests(tx, [(request, answer, at)])

    async def forget_requests(self, tx: Transaction, before: datetime) -> None:
        """Drops answers that nobody will ask for again; afterwards the record itself still tells a repetition."""
        await tx.driver.execute("DELETE FROM request WHERE answered_at < $1", before)


# By name: a newer release may have added columns already.
_COLUMNS = ", ".join(one.name for one in fields(EncounterRecord) if one.name != "subjects")


async def _read(tx: Transaction, column: str, value: Any) -> EncounterRecord | None:
    row = await tx.driver.fetchrow(f"SELECT {_COLUMNS} FROM encounter WHERE {column} = $1 FOR UPDATE", value)
    if row is None:
        return None
    subjects = await tx.driver.fetch(
        "SELECT id, number, event_id, record_version, digest FROM subject WHERE encounter_id = $1 ORDER BY number",
        row["id"],
    )
    return EncounterRecord(**row, subjects=tuple(SubjectRecord(**subject, groups=None) for subject in subjects))


async def _insert_encounters(tx: Transaction, writes: Sequence[EncounterWrite]) -> None:
    if not writes:
        return
    await tx.driver.execute(
        """
        INSERT INTO encounter (id, agency, jurisdiction, incident, correlation_id, record_version, digest,
                               encounter_at, discovered_at, accepted_at)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::integer[], $7::bytea[],
                             $8::timestamptz[], $9::timestamptz[], $10::timestamptz[])
        """,
        [write.id for write in writes],
        [write.agency for write in writes],
        [write.jurisdiction for write in writes],
        [write.incident for write in writes],
        [write.correlation_id for write in writes],
        [write.record_version for write in writes],
        [write.digest for write in writes],
        [write.encounter_at for write in writes],
        [write.discovered_at for write in writes],
        [write.accepted_at for write in writes],
    )


async def _update_encounters(tx: Transaction, writes: Sequence[EncounterWrite]) -> None:
    for write in writes:
        await tx.driver.execute(
            """
            UPDATE encounter SET record_version = $2, digest = $3, encounter_at = $4, discovered_at = $5,
                                 accepted_at = $6
            WHERE id = $1
            """,
            write.id,
            write.record_version,
            write.digest,
            write.encounter_at,
            write.discovered_at,
            write.accepted_at,
        )
        if write.said:
            await tx.driver.execute(
                """
                UPDATE subject SET record_version = said.record_version, digest = said.digest
                FROM unnest($1::uuid[], $2::integer[], $3::bytea[]) AS said(id, record_version, digest)
                WHERE subject.id = said.id
                """,
                list(write.said),
                [version for version, _ in write.said.values()],
                [digest for _, digest in write.said.values()],
            )


async def _insert_subjects(tx: Transaction, rows: Sequence[tuple[UUID, SubjectWrite, bytes]]) -> None:
    if not rows:
        return
    await tx.driver.execute(
        """
        INSERT INTO subject (encounter_id, id, number, event_id, record_version, digest, sealed)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::integer[],
                             $6::bytea[], $7::bytea[])
        """,
        [encounter_id for encounter_id, _, _ in rows],
        *_columns(rows),
    )


async def _update_subjects(tx: Transaction, rows: Sequence[tuple[UUID, SubjectWrite, bytes]]) -> None:
    if not rows:
        return
    await tx.driver.execute(
        """
        UPDATE subject SET event_id = news.event_id, record_version = news.record_version, digest = news.digest,
                           sealed = news.sealed
        FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::integer[], $5::bytea[], $6::bytea[])
             AS news(id, number, event_id, record_version, digest, sealed)
        WHERE subject.id = news.id
        """,
        *_columns(rows),
    )


def _columns(rows: Sequence[tuple[UUID, SubjectWrite, bytes]]) -> tuple[list[Any], ...]:
    return (
        [subject.id for _, subject, _ in rows],
        [subject.number for _, subject, _ in rows],
        [subject.event_id for _, subject, _ in rows],
        [subject.record_version for _, subject, _ in rows],
        [subject.digest for _, subject, _ in rows],
        [sealed for _, _, sealed in rows],
    )


async def _insert_requests(tx: Transaction, answered: Sequence[tuple[Request, Answer, datetime]]) -> None:
    await tx.driver.execute(
        """
        INSERT INTO request (token, key, client_id, token_id, content, encounter_id, answer, answered_at)
        SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::bytea[], $6::uuid[], $7::bytea[],
                             $8::timestamptz[])
        """,
        [request.token for request, _, _ in answered],
        [request.key for request, _, _ in answered],
        [request.client_id for request, _, _ in answered],
        [request.token_id for request, _, _ in answered],
        [request.content for request, _, _ in answered],
        [answer.encounter_id for _, answer, _ in answered],
        [answer.body for _, answer, _ in answered],
        [at for _, _, at in answered],
    )


def _event(source: str, write: EncounterWrite, subject: SubjectWrite, sealed: Sealed) -> Event:
    data = EncounterReported(
        subject_number=subject.number,
        record_version=write.record_version,
        encounter_at=write.encounter_at,
        # The legal clock starts at the encounter where the report names no other moment.
        discovered_at=write.discovered_at or write.encounter_at,
        accepted_at=write.accepted_at,
    )
    return Event(
        id=subject.event_id,
        time=write.accepted_at,
        source=source,
        data=data if subject.changed is None else _amended(data, subject.changed),
        key=write.id,
        jurisdiction=write.jurisdiction,
        correlation_id=write.correlation_id,
        causation_id=subject.causation_id,
        encounter_id=write.id,
        subject_id=subject.id,
        agency=write.agency,
        traceparent=write.traceparent,
        key_id=sealed.key_id,
        commitment=sealed.commitment,
        sealed=sealed.groups,
    )


def _amended(data: EncounterReported, changed: tuple[str, ...]) -> EncounterAmended:
    return EncounterAmended(
        subject_number=data.subject_number,
        record_version=data.record_version,
        encounter_at=data.encounter_at,
        discovered_at=data.discovered_at,
        accepted_at=data.accepted_at,
        changed_groups=changed,
    )
