"""What an agency sees of its notices follows from the events alone, however they are cut into batches."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import Event
from contracts.events import (
    DecidedObligation,
    EventData,
    NoticeAcknowledged,
    NoticeAttempted,
    NoticeConfirmed,
    NoticeCorrected,
    NoticeEscalated,
    NoticeHeld,
    NoticeIssued,
    ObligationDecided,
)
from services.intake.domain.follow_up import FollowUp, named

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ENCOUNTER = UUID(int=1)


def an_event(number: int, data: EventData) -> Event:
    return Event(
        id=UUID(int=number),
        time=NOON + timedelta(seconds=number),
        source="/firstnotice/router",
        data=data,
        key=ENCOUNTER,
        jurisdiction="MO",
        correlation_id=UUID(int=2),
        encounter_id=ENCOUNTER,
        subject_id=UUID(int=3),
    )


def obligation(number: int) -> UUID:
    return UUID(int=100 + number)


def notice(number: int) -> UUID:
    return UUID(int=200 + number)


def decided(number: int, outcome: str = "due") -> ObligationDecided:
    return ObligationDecided(
        duties=1,
        obligations=(
            DecidedObligation(
                obligation_id=obligation(number),
                duty_id="MO.566_223.DSS",
                outcome=outcome,  # type: ignore[arg-type]
                revision=1,
                recipient_role="dss",
                clock="asap",
            ),
        ),
    )


def issued(number: int) -> NoticeIssued:
    return NoticeIssued(
        notice_id=notice(number),
        obligation_id=obligation(number),
        duty_id="MO.566_223.DSS",
        recipient_id="mo-dss",
        revision=1,
        kind="notice",
        priority="first_notice",
    )


def attempted(number: int, attempt: int) -> NoticeAttempted:
    return NoticeAttempted(
        notice_id=notice(number), attempt=attempt, started_at=NOON, finished_at=NOON, outcome="retry"
    )


def confirmed(number: int, attempt: int) -> NoticeConfirmed:
    return NoticeConfirmed(
        notice_id=notice(number),
        obligation_id=obligation(number),
        duty_id="MO.566_223.DSS",
        recipient_id="mo-dss",
        attempt=attempt,
        started_at=NOON,
        confirmed_at=NOON,
    )


def acknowledged(number: int) -> NoticeAcknowledged:
    return NoticeAcknowledged(
        notice_id=notice(number),
        obligation_id=obligation(number),
        duty_id="MO.566_223.DSS",
        recipient_id="mo-dss",
        status="accepted",
        acknowledged_at=NOON,
    )


_numbers = st.integers(0, 2)
_data = st.one_of(
    st.builds(decided, _numbers, st.sampled_from(["due", "review", "not_due"])),
    st.builds(issued, _numbers),
    st.builds(attempted, _numbers, st.integers(1, 5)),
    st.builds(confirmed, _numbers, st.integers(1, 5)),
    st.builds(acknowledged, _numbers),
    st.builds(lambda n: NoticeHeld(notice_id=notice(n), recipient_id="mo-dss", reason="gone", owner="desk"), _numbers),
    st.builds(lambda n: NoticeEscalated(obligation_id=obligation(n), rung=2, owner="chief", reason="late"), _numbers),
    st.builds(lambda n: NoticeCorrected(notice_id=notice(n), obligation_id=obligation(n), how="withdrawn"), _numbers),
)


@given(st.lists(_data, max_size=12), st.lists(st.integers(0, 12), max_size=3))
def test_the_cut_into_batches_changes_nothing(told: list[EventData], cuts: list[int]) -> None:
    events = [an_event(number, data) for number, data in enumerate(told, start=1)]
    whole = FollowUp()
    whole.follow(events)
    stored = FollowUp()
    bounds = [0, *sorted(cuts), len(events)]
    for first, last in pairwise(bounds):
        batch = events[first:last]
        obligations, notices = named(batch)
        # What a store does: only records that the batch names are read, and all of them are written.
        records = FollowUp(
            {id: stored.obligations[id] for id in obligations & set(stored.obligations)},
            {id: stored.notices[id] for id in notices & set(stored.notices)},
        )
        records.follow(batch)
        stored.obligations |= records.obligations
        stored.notices |= records.notices
    assert stored == whole


def test_a_late_confirmation_does_not_undo_an_answer_or_a_withdrawal() -> None:
    records = FollowUp()
    told = [issued(0), acknowledged(0), confirmed(0, 2), issued(1), attempted(1, 1)]
    told += [NoticeCorrected(notice_id=notice(1), obligation_id=obligation(1), how="withdrawn"), confirmed(1, 1)]
    records.follow([an_event(number, data) for number, data in enumerate(told, start=1)])
    assert (records.notices[notice(0)].state, records.notices[notice(0)].attempts) == ("acknowledged", 2)
    assert records.notices[notice(1)].state == "withdrawn"
    assert records.notices[notice(1)].confirmed_at == NOON
