"""Parts are dealt out evenly, each to one member, whoever takes part."""

from hypothesis import given
from hypothesis import strategies as st

from kernel.events.shares import share


@given(st.integers(0, 70), st.sets(st.integers(1, 99_999), min_size=1, max_size=9))
def test_every_part_has_one_member_and_nobody_has_two_more_than_another(parts: int, members: set[int]) -> None:
    shares = [share(range(parts), sorted(members), member) for member in members]
    assert sorted(part for one in shares for part in one) == list(range(parts))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_who_is_not_seen_yet_counts_himself() -> None:
    assert share([1, 2], [7], 9) == {2}
