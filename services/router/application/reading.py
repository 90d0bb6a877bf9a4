"""What was decided on every duty and why, for those who may know, and with a trace that they read it."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from contracts.envelope import Event
from contracts.events import RecordRead
from contracts.facts import FieldGroup
from kernel.clock import Clock, Ids
from kernel.database import Transaction
from kernel.errors import NotFound
from kernel.events.outbox import Outbox
from kernel.identity import Caller
from kernel.sealing import DataKey, unseal
from kernel.subject_keys import SubjectKeys
from kernel.telemetry import current_traceparent, logger
from rulebook.errors import LawError
from rulebook.lateness import Lateness, lateness
from rulebook.loader import Law
from rulebook.releases import Releases
from rulebook.review import ReviewGaps
from services.router.application.facts import ASKED, grants, known_of
from services.router.application.ports import Records, Round, Snapshot, Stored
from services.router.application.rulings import unsettled
from services.router.domain import records
from services.router.domain.identity import obligation_id
from services.router.domain.records import Record

log = logger(__name__)

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
    fulfilled_with: str | None
    """The duty whose notice fulfils this one too."""
    reference: str | None
    late: Lateness | None
    citation_verified: bool | None = None
    """As the release says by which it was decided; None if that one is not at hand."""
    gaps: ReviewGaps | None = None
    """What would settle it now, if it is for review."""


@dataclass(frozen=True, slots=True)
class OpenedSubject:
    subject_number: int
    subject_id: UUID
    discovered_at: datetime
    obligations: tuple[OpenedObligation, ...]


class Reading:
    """The use case of reading. Never commits."""

    def __init__(
        self,
        *,
        law: Law,
        releases: Releases,
        store: Records,
        keys: SubjectKeys,
        outbox: Outbox,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._law = law
        self._releases = releases
        self._store = store
        self._keys = keys
        self._outbox = outbox
        self._clock = clock
        self._ids = ids

    async def of_encounter(self, tx: Transaction, encounter_id: UUID, caller: Caller) -> list[OpenedSubject]:
        """One per subject that was not erased. Raises NotFound, also for a caller who may not know; Unavailable."""
        stored = await self._store.of_encounter(tx, encounter_id)
        if not stored or not all(_may_read(caller, one) for one in stored):
            raise NotFound("There are no obligations of an encounter with this id for this client.")
        # Straight from the table: a read must not lag behind an erasure.
        keys = await self._keys.of_subjects(tx, [one.subject_id for one in stored])
        groups = await grants(tx, self._keys) & ASKED
        now = self._clock()
        opened = []
        for one in stored:
            key = keys.get(one.subject_id)
            if key is not None:
                opened.append(self._with_gaps(_opened(one, key, now), one.snapshot, key, groups, now))
                # A millisecond or two for each: first notices of this process do not wait for all of them.
                await asyncio.sleep(0)
        opened = await self._with_citations(opened)
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

    def _with_gaps(
        self,
        opened: OpenedSubject,
        snapshot: Snapshot | None,
        key: DataKey,
        groups: Collection[FieldGroup],
        now: datetime,
    ) -> OpenedSubject:
        """With what would settle each review by the last facts and the law in force: the next report meets these."""
        reviews = {
            one.duty_id: bool(one.record.get("review_expired")) for one in opened.obligations if one.state == "review"
        }
        if not reviews or snapshot is None:
            return opened
        gaps = unsettled(known_of(snapshot, key, groups), snapshot, reviews, law=self._law, now=now)
        return replace(
            opened, obligations=tuple(replace(one, gaps=gaps.get(one.duty_id)) for one in opened.obligations)
        )

    async def _with_citations(self, opened: list[OpenedSubject]) -> list[OpenedSubject]:
        """With what the release that decided each duty says of its citation."""
        versions = {one.law_version for subject in opened for one in subject.obligations}
        verified = {version: await self._verified(version) for version in versions}
        return [
            replace(
                subject,
                obligations=tuple(
                    replace(one, citation_verified=verified[one.law_version].get(one.duty_id))
                    for one in subject.obligations
                ),
            )
            for subject in opened
        ]

    async def _verified(self, version: str | None) -> dict[str, bool]:
        """By duty, whether its citation was verified; empty if that release is not at hand, which stops no reading."""
        if version is None:
            return {}
        try:
            law = await self._releases.of(version)
        except LawError as error:
            log.error("a release by which duties were decided cannot be read", law_version=version, error=error)
            return {}
        return {duty.spec.id: duty.spec.citation_verified for duty in law.duties}


def _may_read(caller: Caller, stored: Stored) -> bool:
    """Need to know: operators, and the agency whose report it is, which knows all that the reasons tell."""
    return caller.kind == "operator" or stored.agency in caller.agencies


def _opened(stored: Stored, key: DataKey, now: datetime) -> OpenedSubject:
    done: dict[str, tuple[datetime, Mapping[str, Any]]] = {}
    for completion in stored.completions:
        groups = unseal(key, completion.event_id, completion.sealed.groups, (FieldGroup.ACKNOWLEDGEMENT,))
        said = groups[FieldGroup.ACKNOWLEDGEMENT]
        done.setdefault(said["duty_id"], (completion.completed_at, said))
    standing: dict[str, Record] = {}
    rounds: dict[str, Round] = {}
    for one in stored.rounds:
        basis = unseal(key, one.event_id, one.sealed.groups, (FieldGroup.BASIS,))[FieldGroup.BASIS]
        for duty_id, record in records.decode(basis).items():
            standing[duty_id], rounds[duty_id] = record, one
    obligations = []
    for duty_id, record in standing.items():
        carrier = records.fulfilled_with(record, standing)
        told = stored.told.get(carrier or duty_id)
        completed, said = done.get(duty_id, (None, {}))
        told_at = told.first_confirmed_at if told is not None else None
        done_at = completed or (told.met_at if told is not None else None)
        ends = (_time(record, "due_at"), _time(record, "target_at"))
        obligations.append(
            OpenedObligation(
                obligation_id=obligation_id(stored.encounter_id, stored.subject_id, duty_id),
                duty_id=duty_id,
                record=record,
                decided_at=rounds[duty_id].decided_at,
                law_version=rounds[duty_id].law_version,
                policy_version=rounds[duty_id].policy_version,
                state=_state(record, told_at, done_at),
                told_at=told_at,
                done_at=done_at,
                fulfilled_with=carrier,
                reference=said.get("reference"),
                late=lateness(*ends, told_at or done_at, now) if record["outcome"] == "due" else None,
            )
        )
    return OpenedSubject(stored.subject_number, stored.subject_id, stored.discovered_at, tuple(obligations))


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
