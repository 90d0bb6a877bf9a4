"""Causes stand before effects, and a parent that is not there is named."""

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.lineage import Step, lineage_of
from tests.support.messaging import NOON


def step(number: int, cause: int | None = None, *, seconds: int = 0) -> Step:
    parent = None if cause is None else UUID(int=cause)
    return Step(number, UUID(int=number), parent, NOON + timedelta(seconds=seconds), {})


def order(*steps: Step) -> list[int]:
    return [found.index for found, _ in lineage_of(steps).steps]


def test_an_effect_that_arrived_before_its_cause_stands_after_it() -> None:
    assert order(step(1, 2, seconds=1), step(2)) == [2, 1]


def test_even_a_wrong_clock_does_not_turn_cause_and_effect_around() -> None:
    assert order(step(2, 1, seconds=-3600), step(1)) == [1, 2]


def test_depth_counts_the_causes() -> None:
    assert {found.index: depth for found, depth in lineage_of([step(1), step(2, 1), step(3, 2)]).steps} == {
        1: 0,
        2: 1,
        3: 2,
    }


def test_a_missing_parent_is_named_and_its_child_is_shown() -> None:
    found = lineage_of([step(1), step(2, 99)])
    assert found.missing_parents == (UUID(int=99),)
    assert len(found.steps) == 2


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(-5, 5)), max_size=12))
def test_nothing_is_lost_and_no_known_cause_comes_later(causes: list[tuple[int, int]]) -> None:
    """Every step may name an earlier one or one that does not exist."""
    steps = [
        step(number, cause if cause < number else None, seconds=seconds)
        for number, (cause, seconds) in enumerate(causes, start=1)
    ]
    places = {index: place for place, index in enumerate(order(*steps))}
    assert sorted(places) == [one.index for one in steps]
    for one in steps:
        if one.causation_id is not None and one.causation_id.int in places:
            assert places[one.causation_id.int] < places[one.index]


def test_a_circle_of_causes_is_kept() -> None:
    assert sorted(order(step(1, 2), step(2, 1))) == [1, 2]
