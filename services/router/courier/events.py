"""What the courier tells of each attempt: the events on topic `notices`."""

from datetime import datetime
from uuid import UUID

from contracts.envelope import Event
from contracts.events import EventData, NoticeAttempted, NoticeConfirmed, NoticeHeld
from kernel.clock import Clock, Ids
from kernel.telemetry import logger
from services.router.courier.job import Result
from services.router.domain.origin import Origin, tell

log = logger(__name__)


class Teller:
    """Builds events; `owner` is who has to act when a notice is held."""

    def __init__(self, source: str, owner: str, clock: Clock, ids: Ids) -> None:
        self._source = source
        self._owner = owner
        self._clock = clock
        self._ids = ids

    def ended(self, result: Result) -> list[Event]:
        """That the notice was confirmed; or how the attempt failed, and whether that holds the notice from now on."""
        job, verdict = result.job, result.verdict
        if verdict.outcome == "confirmed":
            confirmed = NoticeConfirmed(
                notice_id=job.notice_id,
                obligation_id=job.origin.obligation_id,
                duty_id=job.origin.duty_id,
                recipient_id=job.recipient_id,
                attempt=job.attempt,
                started_at=result.started_at,
                confirmed_at=result.finished_at,
                http_status=result.http_status,
            )
            return [self.event(job.origin, confirmed, job.notice_id, result.finished_at)]
        failed = NoticeAttempted(
            notice_id=job.notice_id,
            attempt=job.attempt,
            started_at=result.started_at,
            finished_at=result.finished_at,
            outcome=verdict.outcome,
            http_status=result.http_status,
            error=verdict.error,
        )
        attempted = self.event(job.origin, failed, job.notice_id, result.finished_at)
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
        return tell(origin, data, id=self._ids(), source=self._source, time=at or self._clock(), cause=causation_id)
