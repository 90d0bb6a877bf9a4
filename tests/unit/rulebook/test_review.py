"""A duty that is for review says which fact would settle it; with that fact, it is settled."""

from typing import Any

import pytest

from rulebook.duties import DutyFacts, decide
from rulebook.loader import Law
from rulebook.review import ReviewGaps, review_gaps
from tests.unit.rulebook.builders import ENCOUNTER, person


def facts(age: dict[str, Any] | None = None, county: str | None = "29095", **more: Any) -> DutyFacts:
    return DutyFacts(
        subject=person(age, county, **more),
        encounter_at=ENCOUNTER,
        discovered_at=ENCOUNTER,
        as_of=ENCOUNTER,
        jurisdiction="MO",
    )


def gaps(law: Law, case: DutyFacts) -> dict[str, ReviewGaps]:
    return {found.duty_id: found for found in review_gaps(case, law)}


def test_exactly_the_duties_that_are_for_review_say_what_would_settle_them(law: Law) -> None:
    for case in (facts(), facts(county=None), facts({"apparent_minor": True}), facts({"years": 30})):
        wanted = {one.duty_id for one in decide(case, law, all_duties=True) if one.outcome == "review"}
        assert set(gaps(law, case)) == wanted
        assert all(one.missing.to_settle or one.county for one in gaps(law, case).values())


@pytest.mark.parametrize(("born", "outcome"), [("2010-01-01", "due"), ("1990-01-01", "not_due")])
def test_an_age_settles_the_juvenile_duty(law: Law, born: str, outcome: str) -> None:
    found = gaps(law, facts())["MO.566_223.JJ"]
    assert ("age_years",) in found.missing.to_settle
    assert ("age_years",) in found.missing.to_qualify
    told = {"birth_date": born, "verified_by": "document"}
    settled = {one.duty_id: one.outcome for one in decide(facts(told), law)}
    # An adult is still asked for conduct and custody, which make it due whatever the age.
    assert settled["MO.566_223.JJ"] == outcome


def test_a_county_that_is_missing_is_told_apart(law: Law) -> None:
    child = {"birth_date": "2012-01-01", "verified_by": "document"}
    found = gaps(law, facts(child, county=None))["MO.566_223.JJ"]
    assert found.county
    assert found.missing.to_settle == ()
    assert "MO.566_223.JJ" not in gaps(law, facts(child))


def test_what_was_refused_and_what_nobody_asked_are_kept_apart(law: Law) -> None:
    child = {"birth_date": "2012-01-01", "verified_by": "document"}
    asked: list[tuple[dict[str, Any], str]] = [
        ({}, "not_asked"),
        ({"child_abuse_suspected": "refused"}, "refused"),
        ({"child_abuse_suspected": "unknown"}, "not_known"),
    ]
    for more, standing in asked:
        found = gaps(law, facts(child, appears_victim=False, facts=more))["MO.210_115.ORAL"]
        assert found.missing.to_settle == (("child_abuse_suspected",),)
        assert found.standings == {"child_abuse_suspected": standing}
