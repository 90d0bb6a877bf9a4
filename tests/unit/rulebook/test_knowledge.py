"""From which report a fact comes: the first that told it as it has been told ever since."""

from datetime import UTC, datetime, timedelta

from rulebook.knowledge import Provenance, sources

FIRST, SECOND, THIRD = (
    Provenance("reported", f"event-{number}", datetime(2026, 11, 20, tzinfo=UTC) + timedelta(days=number))
    for number in range(3)
)


def test_a_fact_comes_from_the_first_report_that_told_it_unchanged() -> None:
    told = sources([(FIRST, {"runaway": True, "age_years": 16}), (SECOND, {"runaway": True, "age_years": 17})])
    assert told == {"runaway": FIRST, "age_years": SECOND}


def test_what_was_taken_back_and_told_again_comes_from_the_later_report() -> None:
    told = sources([(FIRST, {"runaway": True}), (SECOND, {}), (THIRD, {"runaway": True})])
    assert told == {"runaway": THIRD}


def test_what_is_told_no_more_comes_from_nowhere() -> None:
    assert sources([(FIRST, {"runaway": True}), (SECOND, {})]) == {}
