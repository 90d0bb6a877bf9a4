"""What counts as another answer, what names an evaluation, and how much a table may know of a birthday."""

import copy
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.eligibility.domain.determinations import determination_id, look_again_on, same_answers

FACTS = UUID(int=1)
days = st.dates(date(2020, 1, 1), date(2060, 1, 1))

CONTENT: dict[str, Any] = {
    "as_of": "2026-11-20",
    "law_version": "2026.11.0",
    "next_change_on": "2027-01-01",
    "programs": [
        {
            "program": "some_program",
            "outcome": "potentially_eligible",
            "supply": "unknown",
            "missing": ["citizenship_status"],
            "services": ["food"],
            "documents": ["identity"],
            "next_step": {"agency": "ask"},
            "reasons": [{"fact": "citizenship_status", "eq": "us_citizen", "value": None, "holds": None}],
            "citations": ["7 USC 2014"],
            "confidence": "high",
        }
    ],
}


def with_answer(**changes: Any) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    content["programs"][0] |= changes
    return content


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "eligible"},
        {"supply": "available"},
        {"missing": []},
        {"services": []},
        {"documents": ["identity", "income"]},
        {"next_step": {}},
    ],
)
def test_what_somebody_would_do_otherwise_is_another_answer(change: dict[str, Any]) -> None:
    assert not same_answers(CONTENT, with_answer(**change))


def test_another_day_another_reason_or_citation_is_the_same_answer() -> None:
    later = with_answer(reasons=[], citations=["7 USC 2015"]) | {"as_of": "2026-12-01", "next_change_on": None}
    assert same_answers(CONTENT, later)


def test_a_program_that_comes_or_goes_is_another_answer() -> None:
    assert not same_answers(CONTENT, CONTENT | {"programs": []})


def test_an_evaluation_has_one_id_by_facts_law_and_day() -> None:
    assert determination_id(FACTS, "2026.11.0") == determination_id(FACTS, "2026.11.0")
    ids = {
        determination_id(FACTS, "2026.11.0"),
        determination_id(FACTS, "2026.12.0"),
        determination_id(UUID(int=2), "2026.11.0"),
        determination_id(FACTS, "2026.11.0", date(2026, 11, 20)),
        determination_id(FACTS, "2026.11.0", date(2026, 11, 21)),
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


def test_what_never_changes_by_itself_is_not_looked_at_again() -> None:
    assert look_again_on(None, date(2026, 11, 20)) is None
