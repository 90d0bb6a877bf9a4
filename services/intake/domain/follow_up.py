"""What became of an agency's reports: the topic `notices`, folded into one record per obligation and per notice.

Events of one encounter come in order; what an event says replaces what an earlier one said.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.envelope import Event
from contracts.events import (
    DecidedObligation,
    NoticeAcknowledged,
    NoticeAttempted,
    NoticeConfirmed,
    NoticeCorrected,
    NoticeEscalated,
    NoticeHeld,
    NoticeIssued,
    ObligationDecided,
)

RETIRED = frozenset({"superseded_unsent", "corrected", "withdrawn"})
"""States of a notice that no longer stands."""


@dataclass(slots=True, kw_only=True)
class FollowedObligation:
    id: UUID
    encounter_id: UUID
    subject_id: UUID | None
    duty_id: str
    outcome: str
    revision: int
    recipient_role: str
    recipient_id: str | None
    owner: str | None
    clock: str
    due_at: datetime | None
    target_at: datetime | None
    review_at: datetime | None
    decided_at: datetime
    escalation: int = 0
    acknowledgement: str | None = None
    acknowledged_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class FollowedNotice:
    id: UUID
    encounter_id: UUID
    obligation_id: UUID
    recipient_id: str
    kind: str
    revision: int
    issued_at: datetime
    state: str = "issued"
    """issued, sending, held, confirmed, acknowledged, or one of RETIRED."""
    attempts: int = 0
    confirmed_at: datetime | None = None
    acknowledgement: str | None = None
    acknowledged_at: datetime | None = None
    replaced_by: UUID | None = None


def named(events: Iterable[Event]) -> tuple[set[UUID], set[UUID]]:
    """Ids of the obligations and of the notices that the events are about."""
    obligations: set[UUID] = set()
    notices: set[UUID] = set()
    for event in events:
        match event.data:
            case ObligationDecided(obligations=decided):
                obligations.update(one.obligation_id for one in decided)
            case NoticeEscalated(obligation_id=obligation_id):
                obligations.add(obligation_id)
            case NoticeAcknowledged(notice_id=notice_id, obligation_id=obligation_id):
                obligations.add(obligation_id)
                notices.add(notice_id)
            case (
                NoticeIssued(notice_id=notice_id)
                | NoticeAttempted(notice_id=notice_id)
                | NoticeConfirmed(notice_id=notice_id)
                | NoticeHeld(notice_id=notice_id)
                | NoticeCorrected(notice_id=notice_id)
            ):
                notices.add(notice_id)
    return obligations, notices


@dataclass(slots=True)
class FollowUp:
    """The records that a batch of events is about, by id."""

    obligations: dict[UUID, FollowedObligation] = field(default_factory=dict)
    notices: dict[UUID, FollowedNotice] = field(default_factory=dict)

    def follow(self, events: Sequence[Event]) -> None:
        """Brings the records up to date. Types that are not known here say nothing about them."""
        for event in events:
            match event.data:
                case ObligationDecided(obligations=decided):
                    for one in decided:
                        self._decided(event, one)
                case NoticeIssued():
                    self._issued(event, event.data)
                case NoticeEscalated(obligation_id=obligation_id, rung=rung, owner=owner):
                    if obligation := self.obligations.get(obligation_id):
                        obligation.escalation, obligation.owner = rung, owner
                case NoticeAcknowledged():
                    self._acknowledged(event.data)
                case NoticeAttempted() | NoticeConfirmed() | NoticeHeld() | NoticeCorrected():
                    if notice := self.notices.get(event.data.notice_id):
                        _travelled(notice, event.data)

    def _decided(self, event: Event, one: DecidedObligation) -> None:
        before = self.obligations.get(one.obligation_id)
        self.obligations[one.obligation_id] = FollowedObligation(
            id=one.obligation_id,
            encounter_id=event.encounter_id or event.key,
            subject_id=event.subject_id,
            duty_id=one.duty_id,
            outcome=one.outcome,
            revision=one.revision,
            recipient_role=one.recipient_role,
            recipient_id=one.recipient_id,
            owner=one.owner,
            clock=one.clock,
            due_at=one.due_at,
            target_at=one.target_at,
            review_at=one.review_at,
            decided_at=event.time,
            escalation=before.escalation if before else 0,
            acknowledgement=before.acknowledgement if before else None,
            acknowledged_at=before.acknowledged_at if before else None,
        )

    def _issued(self, event: Event, data: NoticeIssued) -> None:
        if notice := self.notices.get(data.notice_id):
            notice.kind, notice.revision = data.kind, data.revision
            return
        self.notices[data.notice_id] = FollowedNotice(
            id=data.notice_id,
            encounter_id=event.encounter_id or event.key,
            obligation_id=data.obligation_id,
            recipient_id=data.recipient_id,
            kind=data.kind,
            revision=data.revision,
            issued_at=event.time,
        )

    def _acknowledged(self, data: NoticeAcknowledged) -> None:
        if notice := self.notices.get(data.notice_id):
            notice.acknowledgement, notice.acknowledged_at = data.status, data.acknowledged_at
            if notice.state not in RETIRED:
                notice.state = "acknowledged"
        if obligation := self.obligations.get(data.obligation_id):
            obligation.acknowledgement, obligation.acknowledged_at = data.status, data.acknowledged_at


def _travelled(notice: FollowedNotice, data: NoticeAttempted | NoticeConfirmed | NoticeHeld | NoticeCorrected) -> None:
    match data:
        case NoticeAttempted(attempt=attempt):
            notice.attempts = max(notice.attempts, attempt)
            # Held has an event of its own; a retry means that sending goes on.
            if notice.state in ("issued", "held"):
                notice.state = "sending"
        case NoticeConfirmed(attempt=attempt, confirmed_at=confirmed_at):
            notice.attempts = max(notice.attempts, attempt)
            notice.confirmed_at = confirmed_at
            if notice.state in ("issued", "sending", "held"):
                notice.state = "confirmed"
        case NoticeHeld():
            notice.state = "held"
        case NoticeCorrected(how=how, replaced_by=replaced_by):
            notice.state, notice.replaced_by = how, replaced_by
