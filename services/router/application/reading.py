"""What was decided on every duty and why, for those who may know, and with a trace that they read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from contracts.envelope import Event
from contracts.events import RecordRead
from contracts.facts import FieldGroup
from kernel.clock import Clock, Ids
from kernel.database import Transaction
from kernel.errors import NotFound
from kernel.identity import Caller
from kernel.outbox import Outbox
from kernel.sealing import DataKey, unseal
from kernel.subject_keys import SubjectKeys
from kernel.telemetry import current_traceparent
from rulebook.lateness import Lateness, lateness
from services.router.application.ports import Records, Stored
from services.router.domain import records
from services.router.domain.identity import obligation_id
from services.router.domain.records import Record

Standing = Literal["not_due", "review", "open", "told", "done"]
"""`told`: the recipient's system confirmed the notice and nobody answered yet; `done`: it was acknowledged as the duty
demands, or a person did it."""


@dataclass(frozen=True, slots=True)
class OpenedObligation:
    """The last decision on one duty, in the clear, and how far it is."""

    obligation_id: UUID
    duty_id: str
    record: Record
    decided_at: datetime
    law_version: str | None
    policy_version: str | None
    state: Standing
    told_at: datetime | None
    done_at: datetime | None
    reference: str | None
    late: Lateness | None


@dataclass(frozen=True, slots=True)
class OpenedSubject:
    subject_number: int
    subject_id: UUID
    discovered_at: datetime
    obligations: tuple[OpenedObligation, ...]


class Reading:
    """The use case of reading. Never commits."""

    def __init__(self, *, store: Records, keys: SubjectKeys, outbox: Outbox, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._keys = keys
        self._outbox = outbox
        self._clock = clock
        self._ids = ids

    async def of_encounter(self, tx: Transaction, encounter_id: UUID, caller: Caller) -> list[OpenedSubject]:
        """One per subject that was not erased. Raises NotFound, also for a caller who may not know."""
        stored = await self._store.of_encounter(tx, encounter_id)
        if not stored or not all(_may_read(caller, one) for one in stored):
            raise NotFound("There are no obligations of an encounter with this id for this client.")
        # Straight from the table: a read must not lag behind an erasure.
        keys = await self._keys.of_subjects(tx, [one.subject_id for one in stored])
        now = self._clock()
        opened = [_opened(one, keys[one.subject_id], now) for one in stored if one.subject_id in keys]
        event_id = self._ids()
        read = Event(
            id=event_id,
            time=now,
            source=self._outbox.source,
            data=RecordRead(object_kind="obligations", object_id=encounter_id, reader=caller.client_id),
            key=encounter_id,
            encounter_id=encounter_id,
            jurisdiction=stored[0].jurisdiction,
            agency=stored[0].agency,
            correlation_id=event_id,
            traceparent=current_traceparent(),
        )
        await self._outbox.append(tx, [read])
        return opened


def _may_read(caller: Caller, stored: Stored) -> bool:
    """Need to know: operators, and the agency whose report it is, which knows all that the reasons tell."""
    return caller.kind == "operator" or stored.agency in caller.agencies


def _opened(stored: Stored, key: DataKey, now: datetime) -> OpenedSubject:
    done: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
    for completion in stored.completions:
        groups = unseal(key, completion.event_id, completion.sealed.groups, (FieldGroup.ACKNOWLEDGEMENT,))
        said = groups[FieldGroup.ACKNOWLEDGEMENT]
        done.setdefault(said["duty_id"], (completion.completed_at, said))
    obligations: dict[str, OpenedObligation] = {}
    for one in stored.rounds:
        basis = unseal(key, one.event_id, one.sealed.groups, (FieldGroup.BASIS,))[FieldGroup.BASIS]
        for duty_id, record in records.decode(basis).items():
            told = stored.told.get(duty_id)
            completed, said = done.get(duty_id, (None, {}))
            told_at = told.first_confirmed_at if told is not None else None
            done_at = (told.met_at if told is not None else None) or completed
            due = record["outcome"] == "due"
            obligations[duty_id] = OpenedObligation(
                obligation_id=obligation_id(stored.encounter_id, stored.subject_id, duty_id),
                duty_id=duty_id,
                record=record,
                decided_at=one.decided_at,
                law_version=one.law_version,
                policy_version=one.policy_version,
                state=_state(record, told_at, done_at),
                told_at=told_at,
                done_at=done_at,
                reference=said.get("reference"),
                late=lateness(_time(record, "due_at"), _time(record, "target_at"), told_at or done_at, now)
                if due
                else None,
            )
    return OpenedSubject(stored.subject_number, stored.subject_id, stored.discovered_at, tuple(obligations.values()))


def _state(record: Record, told_at: datetime | None, done_at: datetime | None) -> Standing:
    if record["outcome"] == "not_due":
        return "not_due"
    if done_at is not None:
        return "done"
    if record["outcome"] == "review":
        return "review"
    return "told" if told_at is not None else "open"


def _time(record: Record, name: str) -> datetime | None:
    return datetime.fromisoformat(record[name]) if name in record else None
