"""Batches are cut so that every subject's events take effect one after the other."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import Event
from contracts.events import EncounterRetracted
from services.router.domain.rounds import rounds


def an_event(number: int, encounter: int, subject: int | None) -> Event:
    return Event(
        id=UUID(int=number),
        time=datetime(2026, 11, 22, tzinfo=UTC),
        source="/firstnotice/intake",
        data=EncounterRetracted(record_version=1, reason_code="error"),
        key=UUID(int=encounter),
        jurisdiction="MO",
        correlation_id=UUID(int=number),
        subject_id=None if subject is None else UUID(int=encounter * 10 + subject),
    )


@given(st.lists(st.tuples(st.integers(1, 3), st.none() | st.integers(0, 2)), max_size=30))
def test_nobody_is_met_twice_in_a_round_and_order_is_kept(shape: list[tuple[int, int | None]]) -> None:
    events = [an_event(number, encounter, subject) for number, (encounter, subject) in enumerate(shape)]
    cut = rounds(events)
    assert sorted(event.id for batch in cut for event in batch) == [event.id for event in events]
    place = {event.id: number for number, batch in enumerate(cut) for event in batch}
    for position, one in enumerate(events):
        for other in events[position + 1 :]:
            meet = one.key == other.key and (
                one.subject_id == other.subject_id or one.subject_id is None or other.subject_id is None
            )
            assert not meet or place[one.id] < place[other.id]


def test_different_subjects_share_a_round() -> None:
    assert len(rounds([an_event(n, n % 3 + 1, n) for n in range(9)])) == 1
