"""Only what follows without a hole on what was handled is handled, however a reader's position jumps."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from kernel.bus import Delivery, Position, Record
from kernel.events.steps import in_step

A, B, C = (Position("encounters", number) for number in range(3))
RECORD = Record("encounters", UUID(int=1), (), b"")


def came(*places: tuple[Position, int]) -> list[Delivery]:
    return [Delivery(position, offset, RECORD) for position, offset in places]


def test_what_is_expected_is_handled_in_order() -> None:
    deliveries = came((A, 5), (B, 0), (A, 6))
    assert in_step({A: 5, B: 0}, set(), deliveries).batch == tuple(deliveries)


def test_a_partition_that_jumped_is_sought_again_and_others_go_on() -> None:
    step = in_step({A: 5, B: 0}, set(), came((A, 7), (B, 0), (A, 8)))
    assert step.batch == tuple(came((B, 0)))
    assert step.out_of_step == {A}


def test_nothing_after_a_hole_is_handled() -> None:
    step = in_step({A: 5}, set(), came((A, 5), (A, 7)))
    assert step.batch == tuple(came((A, 5)))
    assert step.out_of_step == {A}


def test_what_came_before_is_not_handled_again() -> None:
    assert in_step({A: 5}, set(), came((A, 3), (A, 4), (A, 5))).batch == ()


def test_others_partitions_are_not_ours() -> None:
    step = in_step({A: 5}, set(), came((C, 0)))
    assert (step.batch, step.out_of_step) == ((), frozenset())


def test_what_the_log_gives_right_after_a_seek_is_what_it_has() -> None:
    """A marker or a compacted record takes an offset: waiting for a record there would be for ever."""
    step = in_step({A: 5}, {A}, came((A, 7), (A, 8)))
    assert step.batch == tuple(came((A, 7), (A, 8)))
    assert step.skipped == 2


def test_what_is_too_much_at_once_is_sought_again() -> None:
    step = in_step({A: 5, B: 0}, set(), came((A, 5), (A, 6), (B, 0)), at_most=1)
    assert step.batch == tuple(came((A, 5)))
    assert step.out_of_step == {A, B}


@given(
    st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(0, 8)), max_size=30),
    st.dictionaries(st.sampled_from([A, B, C]), st.integers(0, 8)),
)
def test_a_batch_is_without_holes(places: list[tuple[Position, int]], expected: dict[Position, int]) -> None:
    step = in_step(expected, set(), came(*places))
    for position in (A, B, C):
        offsets = [one.offset for one in step.batch if one.position == position]
        assert offsets == list(range(expected.get(position, 0), expected.get(position, 0) + len(offsets)))
        assert not offsets or position in expected
