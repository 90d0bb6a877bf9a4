"""Applies the law to what agencies report, records every decision with its reasons, and issues what follows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.envelope import Event
from contracts.events import (
    DecidedObligation,
    EncounterAmended,
    EncounterReported,
    EncounterRetracted,
    NoticeCorrected,
    ObligationDecided,
    SubjectErased,
    TaskCompleted,
)
from contracts.facts import FieldGroup
from kernel.clock import Clock, Ids
from kernel.database import Transaction
from kernel.errors import PoisonEvent
from kernel.events.outbox import Outbox
from kernel.sealing import DataKey, Sealed, seal, unseal
from kernel.subject_keys import SubjectKeys
from rulebook.loader import Law
from services.router.application.facts import REPORTED, grants, known_of
from services.router.application.issuing import Issuing
from services.router.application.outcome import Outcome
from services.router.application.ports import Completion, Departures, NewRound, Round, Snapshot, State, Store
from services.router.application.rulings import Ruled, retracted, rule, ruled
from services.router.domain import records
from services.router.domain.obligations import Change, Obligation, Ruling, plan
from services.router.domain.origin import Origin
from services.router.domain.records import Record
from services.router.domain.rounds import rounds

_UNKNOWN = State(None, (), {}, {})


@dataclass(frozen=True, slots=True)
class _Subject:
    """One subject while it is decided: what was known, and what stands on record."""

    snapshot: Snapshot
    state: State
    key: DataKey
    standing: Mapping[str, Record]
    now: datetime

    @property
    def expired(self) -> set[str]:
        return {duty_id for duty_id, record in self.standing.items() if record.get("review_expired")}

    @property
    def late(self) -> set[str]:
        """Duties whose review nobody settled in time."""
        timers = ((duty_id, records.under_review(record)) for duty_id, record in self.standing.items())
        return {duty_id for duty_id, at in timers if at is not None and at <= self.now}


class Deciding:
    """The use case behind the consumer of encounters and the review timer."""

    def __init__(
        self,
        *,
        law: Law,
        store: Store,
        keys: SubjectKeys,
        outbox: Outbox,
        departures: Departures,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._law = law
        self._store = store
        self._keys = keys
        self._outbox = outbox
        self._departures = departures
        self._issuing = Issuing(source=outbox.source, departures=departures, ids=ids)
        self._clock = clock
        self._ids = ids

    async def handle(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Events of the topic `encounters`, in order. Raises PoisonEvent, LawError, Unavailable."""
        for one_per_subject in rounds(events):
            await self._round(tx, one_per_subject)

    async def expire_reviews(self, tx: Transaction, limit: int) -> int:
        """Decides again what nobody settled in time; how many subjects that were. Raises Unavailable."""
        now = self._clock()
        subject_ids = await self._store.due_reviews(tx, now, limit)
        states = await self._store.lock(tx, subject_ids)
        keys = await self._open_keys(tx, {s.snapshot.key_id for s in states.values() if s.snapshot is not None})
        outcome = Outcome()
        for subject_id, state in states.items():
            key = keys.get(state.snapshot.key_id) if state.snapshot is not None else None
            if state.snapshot is None or key is None:
                # Erased: nobody can decide it any more, and its timer must not come up for ever.
                outcome.timers[subject_id] = None
                continue
            subject = self._subject(state.snapshot, state, key, now)
            self._decide(outcome, subject, only=subject.late)
        await outcome.write(tx, self._store, self._outbox, self._departures)
        return len(subject_ids)

    # -- one event per subject --

    async def _round(self, tx: Transaction, events: Sequence[Event]) -> None:
        now = self._clock()
        whole = [event.key for event in events if event.subject_id is None]
        members = await self._store.subjects_of(tx, whole) if whole else {}
        concerned = [event.subject_id for event in events if event.subject_id is not None]
        states = await self._store.lock(tx, [*concerned, *(one for some in members.values() for one in some)])
        stored_keys = {state.snapshot.key_id for state in states.values() if state.snapshot is not None}
        keys = await self._open_keys(tx, stored_keys | {event.key_id for event in events if event.key_id is not None})
        outcome = Outcome()
        erased: list[Event] = []
        for event in events:
            key = keys.get(event.key_id) if event.key_id is not None else None
            for subject_id in [event.subject_id] if event.subject_id is not None else members.get(event.key, []):
                state = states.get(subject_id, _UNKNOWN)
                match event.data:
                    case EncounterReported() | EncounterAmended():
                        # An erased subject has no facts any more: nothing can be decided, and nobody be told.
                        if key is not None:
                            snapshot = _snapshot(event, subject_id, key, self._keys.granted)
                            outcome.snapshots.append(snapshot)
                            self._decide(outcome, self._subject(snapshot, state, key, now))
                    case EncounterRetracted():
                        key_of = keys.get(state.snapshot.key_id) if state.snapshot is not None else None
                        if state.snapshot is not None and key_of is not None:
                            self._retract(outcome, self._subject(state.snapshot, state, key_of, now), event)
                    case TaskCompleted(completed_at=completed_at):
                        # What was done for an erased subject cannot be read any more; the trail has that it was done.
                        if key is not None:
                            self._complete(outcome, states.get(subject_id), event, subject_id, key, completed_at)
                    case SubjectErased():
                        erased.append(event)
                    case _:
                        # Types of later versions that this release reads but does not act on.
                        pass
        await outcome.write(tx, self._store, self._outbox, self._departures)
        await self._forget(tx, erased)

    def _subject(self, snapshot: Snapshot, state: State, key: DataKey, now: datetime) -> _Subject:
        bases = (unseal(key, one.event_id, one.sealed.groups, (FieldGroup.BASIS,)) for one in state.rounds)
        return _Subject(snapshot, state, key, records.standing(one[FieldGroup.BASIS] for one in bases), now)

    def _decide(self, outcome: Outcome, subject: _Subject, *, only: set[str] | None = None) -> None:
        """Every duty about a subject; `only` those whose review ran out of time, when nothing else is new."""
        snapshot, key, now = subject.snapshot, subject.key, subject.now
        facts = known_of(snapshot, key, self._keys.granted & REPORTED)
        expired = subject.expired | (only or set())
        news: dict[str, Record] = {}
        changes: list[tuple[Change, Ruled]] = []
        decisions = rule(facts, snapshot, expired, law=self._law, now=now)
        for decision in decisions:
            duty_id = decision.duty_id
            if only is not None and duty_id not in only:
                continue
            late = duty_id in expired
            record: Record | None
            if decision.noticed:
                one = ruled(decision, facts, key=key, law=self._law)
                change = _planned(subject, one.ruling, late)
                if change is None:
                    continue
                changes.append((change, one))
                to_be = change.obligation
                record = records.record_of(
                    decision, revision=to_be.revision, review_at=to_be.review_at, review_expired=late
                )
            else:
                record = records.next_record(decision, subject.standing.get(duty_id), review_expired=late, now=now)
            if record is not None:
                news[duty_id] = record
        cause = snapshot.event_id if only is None else subject.state.rounds[-1].event_id
        self._conclude(outcome, subject, news, changes, cause, duties=len(decisions))

    def _retract(self, outcome: Outcome, subject: _Subject, event: Event) -> None:
        news: dict[str, Record] = {}
        changes: list[tuple[Change, Ruled]] = []
        for duty_id, standing in subject.standing.items():
            record = records.retracted(standing)
            obligation = subject.state.obligations.get(duty_id)
            if obligation is not None:
                one = retracted(obligation, key=subject.key)
                change = _planned(subject, one.ruling, False)
                if change is not None:
                    changes.append((change, one))
            if record is not None:
                news[duty_id] = record
        self._conclude(outcome, subject, news, changes, event.id, duties=len(subject.standing))

    def _conclude(
        self,
        outcome: Outcome,
        subject: _Subject,
        news: Mapping[str, Record],
        changes: Sequence[tuple[Change, Ruled]],
        cause: UUID,
        *,
        duties: int,
    ) -> None:
        """Records a round that changed something, tells of it, and issues what follows."""
        snapshot, key, now = subject.snapshot, subject.key, subject.now
        outcome.timers[snapshot.subject_id] = records.next_review({**subject.standing, **news})
        if not news and not changes:
            return
        event_id = self._ids()
        sealed = seal(key, event_id, {FieldGroup.BASIS: records.encode(news)})
        data = ObligationDecided(duties=duties, obligations=tuple(_open(change.obligation) for change, _ in changes))
        outcome.events.append(self._event(event_id, snapshot, data, now, cause, sealed))
        done = Round(
            event_id=event_id,
            sealed=sealed,
            decided_at=now,
            law_version=self._law.version,
            policy_version=self._law.policy_version,
        )
        number = len(subject.state.rounds) + 1
        outcome.rounds.append(NewRound(subject_id=snapshot.subject_id, number=number, round=done))
        for change, one in changes:
            outcome.obligations.append(change.obligation)
            self._issuing.follow(outcome, change, one, self._origin(snapshot, change.obligation), key, now, event_id)

    def _complete(
        self,
        outcome: Outcome,
        state: State | None,
        event: Event,
        subject_id: UUID,
        key: DataKey,
        completed_at: datetime,
    ) -> None:
        if state is None:
            raise PoisonEvent("a task was completed for a subject that was never reported")
        said = unseal(key, event.id, event.sealed, (FieldGroup.ACKNOWLEDGEMENT,))
        if FieldGroup.ACKNOWLEDGEMENT not in said:
            raise PoisonEvent("a completed task does not say which duty it was")
        done: Mapping[str, Any] = said[FieldGroup.ACKNOWLEDGEMENT]
        groups = {name: part for name, part in event.sealed.items() if name == FieldGroup.ACKNOWLEDGEMENT}
        sealed = Sealed(key.key_id, event.commitment or b"", groups)
        outcome.completions.append(
            Completion(event_id=event.id, subject_id=subject_id, completed_at=completed_at, sealed=sealed)
        )
        obligation = state.obligations.get(done["duty_id"])
        if obligation is not None:
            outcome.met.append((obligation.obligation_id, completed_at))

    # -- keys and erasure --

    async def _open_keys(self, tx: Transaction, key_ids: set[UUID]) -> dict[UUID, DataKey]:
        await grants(tx, self._keys)
        return await self._keys.by_id(tx, key_ids)

    async def _forget(self, tx: Transaction, erased: Sequence[Event]) -> None:
        """Nobody can read these notices any more: what was not sent is closed."""
        for event, subject_id in _subjects(erased):
            closed = await self._store.forget(tx, subject_id)
            now = self._clock()
            corrections = (
                (origin, NoticeCorrected(notice_id=one, obligation_id=origin.obligation_id, how="superseded_unsent"))
                for one, origin in closed
            )
            await self._outbox.append(
                tx, [self._issuing.told(origin, data, now, event.id) for origin, data in corrections]
            )

    # -- events --

    def _origin(self, snapshot: Snapshot, obligation: Obligation) -> Origin:
        return Origin(
            encounter_id=snapshot.encounter_id,
            subject_id=snapshot.subject_id,
            obligation_id=obligation.obligation_id,
            duty_id=obligation.duty_id,
            jurisdiction=snapshot.jurisdiction,
            correlation_id=snapshot.correlation_id,
            agency=snapshot.agency,
            law_version=self._law.version,
            policy_version=self._law.policy_version,
            traceparent=snapshot.traceparent,
        )

    def _event(
        self, event_id: UUID, snapshot: Snapshot, data: ObligationDecided, now: datetime, cause: UUID, sealed: Sealed
    ) -> Event:
        return Event(
            id=event_id,
            time=now,
            source=self._outbox.source,
            data=data,
            key=snapshot.encounter_id,
            jurisdiction=snapshot.jurisdiction,
            correlation_id=snapshot.correlation_id,
            causation_id=cause,
            encounter_id=snapshot.encounter_id,
            subject_id=snapshot.subject_id,
            agency=snapshot.agency,
            law_version=self._law.version,
            policy_version=self._law.policy_version,
            traceparent=snapshot.traceparent,
            key_id=sealed.key_id,
            commitment=sealed.commitment,
            sealed=sealed.groups,
        )


def _planned(subject: _Subject, ruling: Ruling, review_expired: bool) -> Change | None:
    before = subject.state.obligations.get(ruling.duty_id)
    return plan(
        ruling,
        encounter_id=subject.snapshot.encounter_id,
        subject_id=subject.snapshot.subject_id,
        before=before,
        review_expired=review_expired,
        standing=subject.state.standing.get(before.obligation_id, ()) if before is not None else (),
        now=subject.now,
    )


def _open(obligation: Obligation) -> DecidedObligation:
    return DecidedObligation(
        obligation_id=obligation.obligation_id,
        duty_id=obligation.duty_id,
        outcome=obligation.outcome,
        revision=obligation.revision,
        recipient_role=obligation.recipient_role,
        recipient_id=obligation.recipient_id,
        owner=obligation.owner,
        clock=obligation.clock,
        due_at=obligation.due_at,
        target_at=obligation.target_at,
        review_at=obligation.review_at,
        decided_by=obligation.decided_by,
        citations=obligation.citations,
    )


def _subjects(events: Sequence[Event]) -> Iterator[tuple[Event, UUID]]:
    return ((event, event.subject_id) for event in events if event.subject_id is not None)


def _snapshot(event: Event, subject_id: UUID, key: DataKey, granted: frozenset[FieldGroup]) -> Snapshot:
    """Without the groups that we may not open: the narrative never comes into this schema."""
    data = event.data
    groups = {name: part for name, part in event.sealed.items() if name in granted}
    assert isinstance(data, EncounterReported | EncounterAmended)
    return Snapshot(
        subject_id=subject_id,
        subject_number=data.subject_number,
        encounter_id=event.key,
        agency=event.agency,
        jurisdiction=event.jurisdiction,
        record_version=data.record_version,
        encounter_at=data.encounter_at,
        discovered_at=data.discovered_at,
        key_id=key.key_id,
        sealed=Sealed(key.key_id, event.commitment or b"", groups),
        event_id=event.id,
        correlation_id=event.correlation_id,
        traceparent=event.traceparent,
    )
