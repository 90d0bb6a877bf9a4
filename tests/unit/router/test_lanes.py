"""Lanes: urgent notices always find a slot, a dead endpoint rests, and memory stays bounded."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.courier.job import Job
from services.router.courier.lanes import MOST_QUEUED, Breaker, BreakerPolicy, Lane
from services.router.domain.origin import Origin

ORIGIN = Origin(
    encounter_id=uuid4(),
    subject_id=uuid4(),
    obligation_id=uuid4(),
    duty_id="D",
    jurisdiction="MO",
    correlation_id=uuid4(),
)
FIRST, CORRECTION, DETERMINATION, REPLAY = range(4)


def a_job(priority: int = FIRST) -> Job:
    return Job(
        notice_id=uuid4(),
        recipient_id="r",
        priority=priority,
        attempt=1,
        origin=ORIGIN,
        body=b"",
        issued_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        lease_ends=1e9,
    )


def a_lane(concurrency: int = 4, rate: float | None = None) -> Lane:
    return Lane(
        "r", concurrency, Breaker(BreakerPolicy(failures=3, rest=1.0, longest=8.0), lambda low, high: high), rate
    )


def started(lane: Lane, now: float = 0.0) -> list[Job]:
    jobs = []
    while (job := lane.start(now)) is not None:
        jobs.append(job)
    return jobs


def test_a_backlog_of_replays_leaves_slots_for_first_notices() -> None:
    lane = a_lane(4)
    for _ in range(50):
        lane.put(a_job(REPLAY))
    assert len(started(lane)) == 1
    for _ in range(3):
        lane.put(a_job(FIRST))
    assert [job.priority for job in started(lane)] == [FIRST] * 3


def test_more_urgent_ones_start_first_and_equals_in_their_order() -> None:
    lane = a_lane(8)
    jobs = [a_job(CORRECTION), a_job(FIRST), a_job(CORRECTION), a_job(FIRST)]
    for job in jobs:
        lane.put(job)
    assert started(lane) == [jobs[1], jobs[3], jobs[0], jobs[2]]


@given(st.integers(1, 20), st.lists(st.integers(0, 3), max_size=80))
def test_no_class_takes_more_than_its_part_and_none_starves(concurrency: int, priorities: list[int]) -> None:
    lane = a_lane(concurrency)
    for priority in priorities:
        lane.put(a_job(priority))
    done = 0
    while batch := started(lane):
        for priority in range(4):
            assert sum(lane.running[priority:]) <= lane.limit(priority)
        for job in batch:
            lane.finish(job, failed=False, seconds=0.01, now=0.0)
        done += len(batch)
    assert done == len(priorities)


def test_failures_in_a_row_open_the_breaker_and_one_probe_decides() -> None:
    lane = a_lane(4)
    for number in range(3):
        lane.put(a_job())
        (job,) = started(lane)
        assert lane.finish(job, failed=True, seconds=0.1, now=0.0) is (number == 2)
    assert lane.room(FIRST, 0.5) == 0
    lane.put(a_job())
    assert started(lane, 0.5) == []
    lane.put(a_job())
    (probe,) = started(lane, 1.0)
    assert lane.finish(probe, failed=True, seconds=0.1, now=1.0)
    assert started(lane, 2.5) == [], "each failed probe doubles the rest"
    (probe,) = started(lane, 3.0)
    lane.finish(probe, failed=False, seconds=0.1, now=3.0)
    assert lane.breaker.state(3.0) == "closed"


def test_a_half_open_lane_takes_exactly_one() -> None:
    lane = a_lane(4)
    lane.breaker.trips, lane.breaker.rests_until = 1, 1.0
    assert lane.room(FIRST, 1.0) == 1
    lane.put(a_job())
    assert lane.room(FIRST, 1.0) == 0


def test_a_single_success_between_failures_keeps_it_closed() -> None:
    lane = a_lane(4)
    for number in range(30):
        lane.put(a_job())
        (job,) = started(lane)
        assert not lane.finish(job, failed=number % 3 != 2, seconds=0.1, now=0.0)


@pytest.mark.parametrize("seconds", [0.0001, 0.05, 15.0])
def test_what_waits_in_memory_is_bounded_by_what_can_be_sent_soon(seconds: float) -> None:
    lane = a_lane(4)
    for _ in range(200):
        lane.put(a_job())
        (job,) = started(lane)
        lane.finish(job, failed=False, seconds=seconds, now=0.0)
    taken = 0
    while lane.room(FIRST, 0.0):
        lane.put(a_job())
        taken += 1
    assert 4 <= taken <= min(MOST_QUEUED, 4 + 4 / seconds * 1.1)


def test_a_rate_limit_spaces_the_starts() -> None:
    lane = a_lane(10, rate=2.0)
    for _ in range(5):
        lane.put(a_job())
    assert len(started(lane, 0.0)) == 1
    assert lane.pause(0.1) == pytest.approx(0.4)
    assert len(started(lane, 0.5)) == 1
    assert started(lane, 0.9) == []


def test_draining_takes_everything_out() -> None:
    lane = a_lane(2)
    for priority in range(4):
        lane.put(a_job(priority))
    assert len(lane.drain()) == 4
    assert lane.queued == 0
