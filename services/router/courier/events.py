"""What the courier tells of each attempt: the events on topic `notices`."""

from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from contracts.envelope import Event
from contracts.events import EventData, NoticeAttempted, NoticeConfirmed, NoticeHeld
from kernel.clock import Clock, Ids
from services.router.courier.job import Origin, Result

log = structlog.get_logger(__name__)


class Teller:
    """Builds events; `owner` is who has to act when a notice is held."""

    def __init__(self, source: str, owner: str, clock: Clock, ids: Ids) -> None:
        self._source = source
        self._owner = owner
        self._clock = clock
        self._ids = ids

    def ended(self, result: Result) -> list[Event]:
        """The attempt, and what it changed: confirmed, or newly held. The attempt was caused by the issued notice."""
        job, verdict = result.job, result.verdict
        attempted = self.event(
            job.origin,
            NoticeAttempted(
                notice_id=job.notice_id,
                attempt=job.attempt,
                started_at=result.started_at,
                finished_at=result.finished_at,
                outcome=verdict.outcome,
                http_status=result.http_status,
                error=verdict.error,
            ),
            job.notice_id,
            result.finished_at,
        )
        if verdict.outcome == "confirmed":
            confirmed = NoticeConfirmed(
                notice_id=job.notice_id,
                obligation_id=job.origin.obligation_id,
                duty_id=job.origin.duty_id,
                recipient_id=job.recipient_id,
                attempt=job.attempt,
                confirmed_at=result.finished_at,
            )
            return [attempted, self.event(job.origin, confirmed, attempted.id, result.finished_at)]
        if verdict.outcome == "held" and not job.was_held:
            reason = verdict.error or "held"
            log.error("a notice is held", reason=reason, recipient_id=job.recipient_id, owner=self._owner)
            return [attempted, self.held(job.origin, job.notice_id, job.recipient_id, reason, attempted.id)]
        return [attempted]

    def held(self, origin: Origin, notice_id: UUID, recipient_id: str, reason: str, causation_id: UUID) -> Event:
        """Sending waits for its owner."""
        held = NoticeHeld(notice_id=notice_id, recipient_id=recipient_id, reason=reason, owner=self._owner)
        return self.event(origin, held, causation_id)

    def event(self, origin: Origin, data: EventData, causation_id: UUID, at: datetime | None = None) -> Event:
        """An event about one notice; by default it happens now."""
        return Event(
            id=self._ids(),
            time=at or self._clock(),
            source=self._source,
            data=data,
            key=origin.encounter_id,
            jurisdiction=origin.jurisdiction,
            correlation_id=origin.correlation_id,
            causation_id=causation_id,
            encounter_id=origin.encounter_id,
            subject_id=origin.subject_id,
            agency=origin.agency,
            law_version=origin.law_version,
            policy_version=origin.policy_version,
            traceparent=origin.traceparent,
        )


def origin_of(row: Any) -> Origin:
    """From a row of `notice`."""
    return Origin(
        encounter_id=row["encounter_id"],
        subject_id=row["subject_id"],
        obligation_id=row["obligation_id"],
        duty_id=row["duty_id"],
        jurisdiction=row["jurisdiction"],
        correlation_id=row["correlation_id"],
        agency=row["agency"],
        law_version=row["law_version"],
        policy_version=row["policy_version"],
        traceparent=row["traceparent"],
    )
