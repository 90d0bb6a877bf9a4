"""What is missing can be named, in whatever order events arrive."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.continuity import Continuity

numbers = st.lists(st.integers(0, 60), max_size=40)


@given(numbers, numbers)
def test_continuity_equals_plain_sets_whatever_the_order_and_the_repeats(first: list[int], second: list[int]) -> None:
    state = Continuity().with_arrived(first).with_arrived(second)
    arrived = {*first, *second}
    highest = max(arrived, default=-1)
    missing = {number for low, high in state.missing for number in range(low, high + 1)}
    assert state.highest == highest
    assert missing == set(range(highest + 1)) - arrived
    assert state.through == min(missing, default=highest + 1) - 1


@given(numbers)
def test_missing_ranges_are_ascending_and_apart(sequences: list[int]) -> None:
    missing = Continuity().with_arrived(sequences).missing
    assert all(low <= high for low, high in missing)
    assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(missing))
