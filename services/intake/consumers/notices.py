"""Follows the topic `notices`, so that an agency sees what became of its reports without asking another service.

Events of one encounter come in order; what an event says replaces what an earlier one said.
"""

from collections.abc import Sequence

from contracts.envelope import Event
from contracts.events import (
    NoticeAcknowledged,
    NoticeAttempted,
    NoticeConfirmed,
    NoticeCorrected,
    NoticeEscalated,
    NoticeHeld,
    NoticeIssued,
    ObligationDecided,
)
from kernel.database import Transaction


async def follow_notices(tx: Transaction, events: Sequence[Event]) -> None:
    """Handler of the topic `notices`. Types that it does not know say nothing about these views."""
    for event in events:
        match event.data:
            case ObligationDecided():
                await _decided(tx, event, event.data)
            case NoticeIssued():
                await _issued(tx, event, event.data)
            case NoticeAttempted(notice_id=notice_id, attempt=attempt):
                # Held has an event of its own; a retry means that sending goes on.
                await tx.driver.execute(
                    """
                    UPDATE notice_view SET attempts = greatest(attempts, $2),
                        state = CASE WHEN state IN ('issued', 'held') THEN 'sending' ELSE state END
                    WHERE id = $1
                    """,
                    notice_id,
                    attempt,
                )
            case NoticeConfirmed(notice_id=notice_id, confirmed_at=confirmed_at, attempt=attempt):
                await tx.driver.execute(
                    """
                    UPDATE notice_view SET confirmed_at = $2, attempts = greatest(attempts, $3),
                        state = CASE WHEN state IN ('issued', 'sending', 'held') THEN 'confirmed' ELSE state END
                    WHERE id = $1
                    """,
                    notice_id,
                    confirmed_at,
                    attempt,
                )
            case NoticeHeld(notice_id=notice_id):
                await tx.driver.execute("UPDATE notice_view SET state = 'held' WHERE id = $1", notice_id)
            case NoticeAcknowledged():
                await _acknowledged(tx, event.data)
            case NoticeEscalated(obligation_id=obligation_id, rung=rung, owner=owner):
                await tx.driver.execute(
                    "UPDATE obligation_view SET escalation = $2, owner = $3 WHERE id = $1", obligation_id, rung, owner
                )
            case NoticeCorrected(notice_id=notice_id, how=how, replaced_by=replaced_by):
                await tx.driver.execute(
                    "UPDATE notice_view SET state = $2, replaced_by = $3 WHERE id = $1", notice_id, how, replaced_by
                )


async def _decided(tx: Transaction, event: Event, data: ObligationDecided) -> None:
    await tx.driver.executemany(
        """
        INSERT INTO obligation_view (id, encounter_id, subject_id, duty_id, outcome, revision, recipient_role,
                                     recipient_id, owner, clock, due_at, target_at, review_at, decided_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, revision = excluded.revision,
            recipient_role = excluded.recipient_role, recipient_id = excluded.recipient_id, owner = excluded.owner,
            clock = excluded.clock, due_at = excluded.due_at, target_at = excluded.target_at,
            review_at = excluded.review_at, decided_at = excluded.decided_at
        """,
        [
            (
                one.obligation_id,
                event.encounter_id or event.key,
                event.subject_id,
                one.duty_id,
                one.outcome,
                one.revision,
                one.recipient_role,
                one.recipient_id,
                one.owner,
                one.clock,
                one.due_at,
                one.target_at,
                one.review_at,
                event.time,
            )
            for one in data.obligations
        ],
    )


async def _issued(tx: Transaction, event: Event, data: NoticeIssued) -> None:
    await tx.driver.execute(
        """
        INSERT INTO notice_view (id, encounter_id, obligation_id, recipient_id, kind, revision, state, issued_at)
        VALUES ($1, $2, $3, $4, $5, $6, 'issued', $7)
        ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, revision = excluded.revision
        """,
        data.notice_id,
        event.encounter_id or event.key,
        data.obligation_id,
        data.recipient_id,
        data.kind,
        data.revision,
        event.time,
    )


async def _acknowledged(tx: Transaction, data: NoticeAcknowledged) -> None:
    await tx.driver.execute(
        """
        UPDATE notice_view SET acknowledgement = $2, acknowledged_at = $3,
            state = CASE WHEN state IN ('superseded_unsent', 'corrected', 'withdrawn') THEN state
                         ELSE 'acknowledged' END
        WHERE id = $1
        """,
        data.notice_id,
        data.status,
        data.acknowledged_at,
    )
    await tx.driver.execute(
        "UPDATE obligation_view SET acknowledgement = $2, acknowledged_at = $3 WHERE id = $1",
        data.obligation_id,
        data.status,
        data.acknowledged_at,
    )
