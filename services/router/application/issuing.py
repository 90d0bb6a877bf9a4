"""Makes what follows from a planned change: the notice with its sealed body, its events, and the first attempt."""

from datetime import datetime
from uuid import UUID

from contracts.envelope import Event
from contracts.events import EventData, NoticeCorrected, NoticeIssued
from contracts.facts import FieldGroup
from kernel.clock import Ids
from kernel.sealing import DataKey, seal
from services.router.application.outcome import Outcome
from services.router.application.ports import Departures, NewNotice
from services.router.application.rulings import Ruled
from services.router.courier.job import Job
from services.router.domain.obligations import Change, Issue
from services.router.domain.origin import Origin, tell
from services.router.domain.priorities import priority_number
from services.router.domain.webhook import notice_body


class Issuing:
    """Adds notices to an outcome. `source` as in the events' CloudEvents source."""

    def __init__(self, *, source: str, departures: Departures, ids: Ids) -> None:
        self._source = source
        self._departures = departures
        self._ids = ids

    def follow(
        self, outcome: Outcome, change: Change, ruled: Ruled, origin: Origin, key: DataKey, now: datetime, cause: UUID
    ) -> None:
        """Everything that the change of one obligation brings about, caused by the event `cause`."""
        for issue in change.issues:
            self._issue(outcome, issue, change, ruled, origin, key, now, cause)
        for one in change.retired:
            outcome.retired.append(one)
            data = NoticeCorrected(
                notice_id=one.notice_id,
                obligation_id=origin.obligation_id,
                how=one.how,
                replaced_by=one.replaced_by,
            )
            outcome.events.append(self.told(origin, data, now, cause))

    def told(self, origin: Origin, data: EventData, now: datetime, cause: UUID) -> Event:
        """An event about an obligation that seals nothing."""
        return tell(origin, data, id=self._ids(), source=self._source, time=now, cause=cause)

    def _issue(
        self,
        outcome: Outcome,
        issue: Issue,
        change: Change,
        ruled: Ruled,
        origin: Origin,
        key: DataKey,
        now: datetime,
        cause: UUID,
    ) -> None:
        obligation = change.obligation
        body = notice_body(
            notice_id=issue.notice_id,
            source=self._source,
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
            purpose=ruled.purpose,
            redisclosure=ruled.redisclosure,
            disclosed=ruled.disclosed,
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
        outcome.events.append(
            tell(origin, data, id=issue.notice_id, source=self._source, time=now, cause=cause, sealed=sealed)
        )
        leased = self._berth(outcome, issue)
        outcome.notices.append(
            NewNotice(
                issue=issue,
                origin=origin,
                sealed=sealed,
                told_tag=ruled.ruling.told_tag if issue.kind != "withdrawal" else b"",
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
                    issued_at=now,
                    lease_ends=self._departures.lease_ends(),
                )
            )

    def _berth(self, outcome: Outcome, issue: Issue) -> bool:
        """Whether the courier takes the notice along at once."""
        berth = (issue.recipient_id, issue.priority)
        if berth not in outcome.berths:
            outcome.berths[berth] = self._departures.room(issue.recipient_id, issue.priority)
        outcome.berths[berth] -= 1
        return outcome.berths[berth] >= 0
