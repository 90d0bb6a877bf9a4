"""Applies the law to what agencies report, records every decision with its reasons, and issues what follows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.envelope import Event
from contracts.events import (
    EncounterAmended,
    EncounterReported,
    EncounterRetracted,
    EventData,
    NoticeCorrected,
    NoticeIssued,
    ObligationDecided,
    SubjectErased,
    TaskCompleted,
)
from contracts.facts import FieldGroup, SubjectFacts
from kernel.clock import Clock, Ids
from kernel.database import Transaction
from kernel.errors import Unavailable
from kernel.outbox import Outbox
from kernel.sealing import DataKey, Sealed, seal, unseal
from kernel.subject_keys import SubjectKeys
from rulebook.loader import Law
from services.router.application.ports import Decided, Departures, NewNotice, Snapshot, State, Store
from services.router.application.rulings import Reasoned, retracted, rule
from services.router.courier.job import Job
from services.router.domain.obligations import Change, Issue, Retired, plan
from services.router.domain.origin import Origin, tell
from services.router.domain.priorities import priority_number
from services.router.domain.rounds import rounds
from services.router.domain.webhook import notice_body

_FACTS = frozenset(FieldGroup) - {
    FieldGroup.BASIS,
    FieldGroup.DISCLOSURE,
    FieldGroup.ACKNOWLEDGEMENT,
    FieldGroup.DETERMINATION,
}


@dataclass
class _Outcome:
    """All that one batch changes, written at its end in one statement per table."""

    snapshots: list[Snapshot] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)
    retired: list[Retired] = field(default_factory=list)
    notices: list[NewNotice] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    berths: dict[tuple[str, str], int] = field(default_factory=dict)


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
        outcome = _Outcome()
        for state in states.values():
            snapshot = state.snapshot
            if snapshot is None or (key := keys.get(snapshot.key_id)) is None:
                continue
            late = {
                obligation.duty_id
                for obligation in state.obligations.values()
                if obligation.outcome == "review" and obligation.review_at is not None and obligation.review_at <= now
            }
            self._decide(outcome, snapshot, state, key, now, late=late)
        await self._write(tx, outcome)
        return len(subject_ids)

    # -- one event per subject --

    async def _round(self, tx: Transaction, events: Sequence[Event]) -> None:
        now = self._clock()
        whole = [event.key for event in events if event.subject_id is None]
        members = await self._store.subjects_of(tx, whole) if whole else {}
        concerned = [event.subject_id for event in events if event.subject_id is not None]
        states = await self._store.lock(tx, [*concerned, *(one for some in members.values() for one in some)])
        empty = State(None, {}, {}, {})
        stored_keys = {state.snapshot.key_id for state in states.values() if state.snapshot is not None}
        keys = await self._open_keys(tx, stored_keys | {event.key_id for event in events if event.key_id is not None})
        outcome = _Outcome()
        erased: list[Event] = []
        done: list[tuple[UUID, datetime]] = []
        for event in events:
            subjects = [event.subject_id] if event.subject_id is not None else members.get(event.key, [])
            for subject_id in subjects:
                state = states.get(subject_id, empty)
                match event.data:
                    case EncounterReported() | EncounterAmended():
                        key = keys.get(event.key_id) if event.key_id is not None else None
                        # An erased subject has no facts any more: nothing can be decided, and nobody be told.
                        if key is not None:
                            snapshot = _snapshot(event, subject_id, key, self._keys.granted)
                            outcome.snapshots.append(snapshot)
                            self._decide(outcome, snapshot, state, key, now)
                    case EncounterRetracted():
                        key = keys.get(state.snapshot.key_id) if state.snapshot is not None else None
                        if state.snapshot is not None and key is not None:
                            self._retract(outcome, state.snapshot, state, key, event, now)
                    case TaskCompleted(duty_id=duty_id, completed_at=completed_at):
                        if duty_id in state.obligations:
                            done.append((state.obligations[duty_id].obligation_id, completed_at))
                    case SubjectErased():
                        erased.append(event)
                    case _:
                        # Types of later versions that this release reads but does not act on.
                        pass
        await self._write(tx, outcome)
        for obligation_id, at in done:
            await self._store.meet(tx, [obligation_id], at)
        await self._forget(tx, erased)

    def _decide(
        self,
        outcome: _Outcome,
        snapshot: Snapshot,
        state: State,
        key: DataKey,
        now: datetime,
        *,
        late: set[str] | None = None,
    ) -> None:
        granted = self._keys.granted & _FACTS
        facts = SubjectFacts.from_groups(unseal(key, snapshot.event_id, snapshot.sealed.groups, granted))
        expired = {duty for duty, obligation in state.obligations.items() if obligation.review_expired}
        expired |= late or set()
        for reasoned in rule(facts, snapshot, expired, key=key, law=self._law, now=now):
            cause = snapshot.event_id
            if late is not None:
                obligation = state.obligations.get(reasoned.ruling.duty_id)
                if obligation is None or obligation.duty_id not in late:
                    continue
                cause = state.decided_by_event[obligation.obligation_id]
            self._apply(outcome, reasoned, snapshot, state, key, now, cause, expired=expired)

    def _retract(
        self, outcome: _Outcome, snapshot: Snapshot, state: State, key: DataKey, event: Event, now: datetime
    ) -> None:
        for obligation in state.obligations.values():
            self._apply(outcome, retracted(obligation, key=key), snapshot, state, key, now, event.id, expired=set())

    def _apply(
        self,
        outcome: _Outcome,
        reasoned: Reasoned,
        snapshot: Snapshot,
        state: State,
        key: DataKey,
        now: datetime,
        cause: UUID,
        *,
        expired: set[str],
    ) -> None:
        before = state.obligations.get(reasoned.ruling.duty_id)
        change = plan(
            reasoned.ruling,
            encounter_id=snapshot.encounter_id,
            subject_id=snapshot.subject_id,
            before=before,
            review_expired=reasoned.ruling.duty_id in expired,
            standing=state.standing.get(before.obligation_id, ()) if before is not None else (),
            now=now,
        )
        if change is None:
            return
        origin = self._origin(snapshot, change)
        told = self._obligation_event(origin, change, reasoned, key, now, cause)
        outcome.events.append(told)
        outcome.decided.append(
            Decided(
                obligation=change.obligation,
                event_id=told.id,
                law_version=self._law.version,
                policy_version=self._law.policy_version,
                decided_at=now,
            )
        )
        for issue in change.issues:
            self._issue(outcome, issue, change, reasoned, origin, key, now, told.id)
        for one in change.retired:
            outcome.retired.append(one)
            data = NoticeCorrected(
                notice_id=one.notice_id,
                obligation_id=change.obligation.obligation_id,
                how=one.how,
                replaced_by=one.replaced_by,
            )
            outcome.events.append(self._tell(self._ids(), origin, data, now, told.id))

    def _issue(
        self,
        outcome: _Outcome,
        issue: Issue,
        change: Change,
        reasoned: Reasoned,
        origin: Origin,
        key: DataKey,
        now: datetime,
        cause: UUID,
    ) -> None:
        obligation = change.obligation
        body = notice_body(
            notice_id=issue.notice_id,
            source=self._outbox.source,
            subject_id=origin.subject_id,
            encounter_id=origin.encounter_id,
            duty_id=obligation.duty_id,
            kind=issue.kind,
            revision=issue.revision,
            issued_at=now,
            due_at=obligation.due_at,
            citations=obligation.citations,
            law_version=origin.law_version,
            policy_version=origin.policy_version,
            replaces=issue.replaces,
            purpose=reasoned.purpose,
            redisclosure=reasoned.redisclosure,
            disclosed=reasoned.disclosed,
        )
        # The event that tells of the notice has the notice's id, so one seal serves the row and the event.
        sealed = seal(key, issue.notice_id, {FieldGroup.DISCLOSURE: body.decode()})
        data = NoticeIssued(
            notice_id=issue.notice_id,
            obligation_id=obligation.obligation_id,
            duty_id=obligation.duty_id,
            recipient_id=issue.recipient_id,
            revision=issue.revision,
            kind=issue.kind,
            priority=issue.priority,
            due_at=obligation.due_at,
            replaces=issue.replaces,
        )
        outcome.events.append(self._tell(issue.notice_id, origin, data, now, cause, sealed))
        berth = (issue.recipient_id, issue.priority)
        if berth not in outcome.berths:
            outcome.berths[berth] = self._departures.room(issue.recipient_id, issue.priority)
        outcome.berths[berth] -= 1
        leased = outcome.berths[berth] >= 0
        outcome.notices.append(
            NewNotice(
                issue=issue,
                origin=origin,
                sealed=sealed,
                told_tag=reasoned.ruling.told_tag if issue.kind != "withdrawal" else b"",
                due_at=obligation.due_at,
                issued_at=now,
                leased=leased,
            )
        )
        if leased:
            outcome.jobs.append(
                Job(
                    notice_id=issue.notice_id,
                    recipient_id=issue.recipient_id,
                    priority=priority_number(issue.priority),
                    attempt=1,
                    origin=origin,
                    body=body,
                    lease_ends=self._departures.lease_ends(),
                )
            )

    # -- writing --

    async def _open_keys(self, tx: Transaction, key_ids: set[UUID]) -> dict[UUID, DataKey]:
        if not self._keys.granted and not await self._keys.load_grants(tx):
            # Without grants every fact would look unknown: waiting is right, deciding is not.
            raise Unavailable("keys.service_grant gives the router no field group; run `firstnotice migrate`")
        return await self._keys.by_id(tx, key_ids)

    async def _write(self, tx: Transaction, outcome: _Outcome) -> None:
        store = self._store
        await store.save_snapshots(tx, outcome.snapshots)
        await store.save_obligations(tx, outcome.decided)
        await store.retire(tx, outcome.retired)
        await store.insert_notices(tx, outcome.notices, self._departures.worker, self._departures.lease)
        await self._outbox.append(tx, outcome.events)
        if outcome.jobs:
            jobs, accept = outcome.jobs, self._departures.accept
            tx.after_commit.append(lambda: accept(jobs))
        if len(outcome.jobs) < len(outcome.notices):
            tx.after_commit.append(self._departures.wake)

    async def _forget(self, tx: Transaction, erased: Sequence[Event]) -> None:
        """Nobody can read these notices any more: what was not sent is closed."""
        for event in erased:
            if event.subject_id is None:
                continue
            closed = await self._store.forget(tx, event.subject_id)
            now = self._clock()
            await self._outbox.append(
                tx,
                [
                    self._tell(
                        self._ids(),
                        origin,
                        NoticeCorrected(
                            notice_id=notice_id, obligation_id=origin.obligation_id, how="superseded_unsent"
                        ),
                        now,
                        event.id,
                    )
                    for notice_id, origin in closed
                ],
            )

    # -- events --

    def _origin(self, snapshot: Snapshot, change: Change) -> Origin:
        return Origin(
            encounter_id=snapshot.encounter_id,
            subject_id=snapshot.subject_id,
            obligation_id=change.obligation.obligation_id,
            duty_id=change.obligation.duty_id,
            jurisdiction=snapshot.jurisdiction,
            correlation_id=snapshot.correlation_id,
            agency=snapshot.agency,
            law_version=self._law.version,
            policy_version=self._law.policy_version,
            traceparent=snapshot.traceparent,
        )

    def _obligation_event(
        self, origin: Origin, change: Change, reasoned: Reasoned, key: DataKey, now: datetime, cause: UUID
    ) -> Event:
        obligation = change.obligation
        event_id = self._ids()
        data = ObligationDecided(
            obligation_id=obligation.obligation_id,
            duty_id=obligation.duty_id,
            outcome=obligation.outcome,
            revision=obligation.revision,
            recipient_role=obligation.recipient_role,
            recipient_id=obligation.recipient_id,
            owner=obligation.owner,
            clock=obligation.clock,
            due_at=obligation.due_at,
            review_at=obligation.review_at,
            decided_by=obligation.decided_by,
            citations=obligation.citations,
        )
        sealed = seal(key, event_id, {FieldGroup.BASIS: reasoned.basis})
        return self._tell(event_id, origin, data, now, cause, sealed)

    def _tell(
        self, event_id: UUID, origin: Origin, data: EventData, now: datetime, cause: UUID, sealed: Sealed | None = None
    ) -> Event:
        return tell(origin, data, id=event_id, source=self._outbox.source, time=now, cause=cause, sealed=sealed)


def _snapshot(event: Event, subject_id: UUID, key: DataKey, granted: frozenset[FieldGroup]) -> Snapshot:
    """Without the groups that we may not open: the narrative never comes into this schema."""
    data = event.data
    groups = {name: part for name, part in event.sealed.items() if name in granted}
    assert isinstance(data, EncounterReported | EncounterAmended)
    return Snapshot(
        subject_id=subject_id,
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
