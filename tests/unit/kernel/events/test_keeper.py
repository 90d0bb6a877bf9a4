"""What becomes of published rows: gone when all have handled them, sent again when the log lost them, else kept."""

from hypothesis import given
from hypothesis import strategies as st

from kernel.bus import Extent, Handled
from kernel.events.keeper import fate

NOW, BEFORE = "cluster/topic", "cluster/the topic of that name before"


def covered(offset: int, *ranges: tuple[int, int]) -> bool:
    return any(first <= offset < end for first, end in ranges)


def test_what_all_groups_have_handled_goes() -> None:
    found = fate(NOW, NOW, Extent(0, 100), [Handled(NOW, 0, 80), Handled(NOW, 0, 60)])
    assert (found.gone, found.lost) == ((0, 60), ((100, 2**63 - 1),))


def test_one_group_that_has_shown_nothing_keeps_everything() -> None:
    found = fate(NOW, NOW, Extent(0, 100), [Handled(NOW, 0, 80), None])
    assert not covered(0, found.gone)


def test_a_topic_made_anew_has_lost_everything() -> None:
    found = fate(BEFORE, NOW, Extent(0, 3), [Handled(NOW, 0, 3)])
    assert all(covered(offset, *found.lost) for offset in (0, 2, 99))


def test_what_groups_said_of_another_log_counts_for_nothing() -> None:
    found = fate(NOW, NOW, Extent(0, 100), [Handled(BEFORE, 0, 80)])
    assert not covered(0, found.gone)


def test_what_expired_unread_is_sent_again_although_a_group_went_on_after_it() -> None:
    found = fate(NOW, NOW, Extent(50, 100), [Handled(NOW, 50, 100)])
    assert covered(49, *found.lost)
    assert not covered(49, found.gone)
    assert covered(50, found.gone)


def test_what_was_cut_off_is_sent_again() -> None:
    found = fate(NOW, NOW, Extent(0, 40), [Handled(NOW, 0, 40)])
    assert covered(40, *found.lost)


def test_a_log_that_does_not_answer_changes_nothing() -> None:
    assert fate(NOW, None, None, [Handled(NOW, 0, 9)]).lost == ()


handled = st.builds(
    lambda generation, since, count: Handled(generation, since, since + count),
    st.sampled_from([NOW, BEFORE]),
    st.integers(0, 20),
    st.integers(0, 20),
)


@given(
    generation=st.sampled_from([NOW, BEFORE]),
    first=st.integers(0, 20),
    length=st.integers(0, 20),
    groups=st.lists(handled | st.none(), max_size=3),
    offset=st.integers(0, 45),
)
def test_a_row_goes_only_when_handled_by_all_and_is_kept_only_when_the_log_has_it(
    generation: str, first: int, length: int, groups: list[Handled | None], offset: int
) -> None:
    found = fate(generation, NOW, Extent(first, first + length), groups)
    by_all = generation == NOW and all(group is not None and group.covers(NOW, offset) for group in groups) and groups
    there = generation == NOW and first <= offset < first + length
    if covered(offset, found.gone):
        assert by_all
    if by_all:
        assert covered(offset, found.gone)
    assert covered(offset, *found.lost) == (not there and not by_all)
