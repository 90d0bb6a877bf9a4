"""Lateness in the trail: counted from discovery to the recipient's confirmation, whatever order events came in."""

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from contracts.events import (
    DecidedObligation,
    EncounterReported,
    EventData,
    NoticeAcknowledged,
    NoticeConfirmed,
    NoticeIssued,
    ObligationDecided,
    encode_data,
)
from services.audit.domain.lineage import Step
from services.audit.domain.timing import Timing, timings_of
from tests.support.messaging import NOON

SUBJECT, OBLIGATION, NOTICE = UUID(int=1), UUID(int=2), UUID(int=3)
DUTY = {"obligation_id": OBLIGATION, "duty_id": "MO.566_223.JJ", "recipient_id": "mo-jo-16"}


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def steps(*told: EventData) -> list[Step]:
    return [
        Step(
            number,
            UUID(int=100 + number),
            None,
            NOON,
            {"type": data.TYPE, "subject_id": str(SUBJECT), "data": encode_data(data)},
        )
        for number, data in enumerate(told)
    ]


REPORT = EncounterReported(
    subject_number=1, record_version=1, encounter_at=NOON, discovered_at=NOON, accepted_at=minute(60)
)


def decided(outcome: Any = "due", revision: int = 1, **changes: Any) -> ObligationDecided:
    given: dict[str, Any] = DUTY | {
        "outcome": outcome,
        "revision": revision,
        "recipient_role": "juvenile_justice",
        "clock": "asap",
        "target_at": minute(15),
    }
    return ObligationDecided(duties=25, obligations=(DecidedObligation(**given | changes),))


def issued(kind: Any = "notice", notice: UUID = NOTICE) -> NoticeIssued:
    return NoticeIssued(notice_id=notice, revision=1, kind=kind, priority="first_notice", **DUTY)


def confirmed(at: datetime, notice: UUID = NOTICE) -> NoticeConfirmed:
    return NoticeConfirmed(notice_id=notice, attempt=1, started_at=at, confirmed_at=at, **DUTY)


ANSWER = NoticeAcknowledged(notice_id=NOTICE, status="accepted", acknowledged_at=minute(90), **DUTY)


def timing(*told: EventData) -> Timing:
    (found,) = timings_of(steps(*told), minute(120))
    return found


def late(found: Timing) -> tuple[timedelta, str] | None:
    return (found.late.by, found.late.against) if found.late is not None else None


def test_a_report_that_came_late_makes_a_late_notice() -> None:
    found = timing(REPORT, decided(), issued(), confirmed(minute(61)), ANSWER)
    assert late(found) == (timedelta(minutes=46), "policy")
    assert (found.discovered_at, found.told_at, found.acknowledged_at) == (NOON, minute(61), minute(90))


def test_the_order_of_arrival_does_not_matter() -> None:
    told = (REPORT, decided("review"), decided(revision=2), issued(), confirmed(minute(61)))
    assert len({str(timing(*order)) for order in permutations(told)}) == 1


@pytest.mark.parametrize(("due", "expected"), [(60, (60, "law")), (180, (105, "policy"))])
def test_what_nobody_confirmed_is_late_by_now(due: int, expected: tuple[int, str]) -> None:
    found = timing(REPORT, decided(due_at=minute(due)), issued())
    assert late(found) == (timedelta(minutes=expected[0]), expected[1])


def test_what_is_in_time_or_not_due_is_not_late() -> None:
    assert late(timing(REPORT, decided(), issued(), confirmed(minute(15)))) is None
    assert late(timing(REPORT, decided(), decided("not_due", 2, recipient_id=None))) is None


def test_a_confirmed_withdrawal_tells_nobody_of_anything() -> None:
    found = timing(REPORT, decided(), issued("withdrawal"), confirmed(minute(1)))
    assert found.told_at is None
