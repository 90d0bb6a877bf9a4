"""What counts as another answer, what names an evaluation, and how much a table may know of a birthday."""

from datetime import date, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.eligibility.domain.determinations import answers_tag, determination_id, look_again_on

FACTS = UUID(int=1)
days = st.dates(date(2020, 1, 1), date(2060, 1, 1))


ANSWERS = b"eight bytes for each program"


def test_the_tag_of_answers_is_the_same_for_the_same_answers_and_another_for_any_other() -> None:
    secret = bytes(32)
    assert answers_tag(secret, ANSWERS) == answers_tag(secret, ANSWERS)
    assert len({answers_tag(secret, one) for one in (ANSWERS, ANSWERS[::-1], ANSWERS[:-8], b"")}) == 4


def test_the_same_answers_of_two_persons_cannot_be_told_from_their_tags() -> None:
    assert answers_tag(bytes(32), ANSWERS) != answers_tag(bytes(31) + b"1", ANSWERS)


def test_an_evaluation_has_one_id_by_facts_law_and_what_stood_before() -> None:
    assert determination_id(FACTS, "2026.11.0") == determination_id(FACTS, "2026.11.0")
    ids = {
        determination_id(FACTS, "2026.11.0"),
        determination_id(FACTS, "2026.12.0"),
        determination_id(UUID(int=2), "2026.11.0"),
        determination_id(FACTS, "2026.11.0", UUID(int=3)),
        determination_id(FACTS, "2026.11.0", UUID(int=4)),
    }
    assert len(ids) == 5


@given(days, st.integers(1, 5000))
def test_a_change_is_never_missed_and_the_day_always_moves_on(today: date, ahead: int) -> None:
    change = today + timedelta(days=ahead)
    again = look_again_on(change, today)
    assert again is not None
    assert today < again <= change


@given(days)
def test_no_more_than_the_week_of_a_change_is_known(monday: date) -> None:
    monday -= timedelta(days=monday.weekday())
    long_before = monday - timedelta(days=200)
    assert {look_again_on(monday + timedelta(days=n), long_before) for n in range(7)} == {monday}


@given(days, st.integers(1, 5000))
def test_the_day_on_which_the_law_changes_for_everybody_is_no_secret(today: date, ahead: int) -> None:
    change = today + timedelta(days=ahead)
    assert look_again_on(change, today, change) == change
    assert look_again_on(change, today, change + timedelta(days=1)) == look_again_on(change, today)


def test_what_never_changes_by_itself_is_not_looked_at_again() -> None:
    assert look_again_on(None, date(2026, 11, 20)) is None
