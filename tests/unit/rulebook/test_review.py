"""A duty that is for review says which facts would settle it; with them it is settled, and with no others."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from rulebook.duties import COUNTY_UNRESOLVED, DutyFacts, decide
from rulebook.loader import Law, load_law
from rulebook.missing import MOST
from rulebook.review import ReviewGaps, review_gaps
from tests.unit.rulebook.builders import ENCOUNTER, person, release_copy

CHILD = {"birth_date": "2012-01-01", "verified_by": "document"}
PROOFS = ("2010-01-01", "2006-01-01", "1990-01-01")
"""Days of birth of a minor, of one over whom a court may keep jurisdiction, and of an adult."""


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


def answers(law: Law, fact: str) -> list[Any]:
    """What could be told of a fact: of each kind of answer that rules tell apart, one."""
    spec = law.facts[fact]
    if fact == "age_years":
        return list(PROOFS)
    if spec.type == "int":
        return [12, 30]
    return list(spec.values) or [True, False]


def settled(law: Law, duty_id: str, told: dict[str, Any], age: dict[str, Any], more: dict[str, Any]) -> str | None:
    """The outcome by the rules once more is told; None while it still is for review."""
    known: dict[str, dict[str, Any]] = {"circumstances": {}, "status": {}}
    age = dict(age)
    for fact, value in told.items():
        if fact == "age_years":
            age |= {"birth_date": value, "verified_by": "document"}
        else:
            known["status" if law.facts[fact].group == "status" else "circumstances"][fact] = value
    case = facts(age, facts=known["circumstances"], status={"facts": known["status"]}, **more)
    decision = next(one for one in decide(case, law, all_duties=True) if one.duty_id == duty_id)
    if decision.basis[-1] == COUNTY_UNRESOLVED:
        return "due"
    return None if decision.outcome == "review" else decision.outcome


PERSONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({}, {"trafficking": {"type": "sex"}}),
    ({}, {"appears_victim": False}),
    ({"stated_years": 19}, {"trafficking": {"type": "labor"}}),
    ({"apparent_minor": True}, {}),
    (CHILD, {}),
    ({"birth_date": "1990-01-01", "verified_by": "document"}, {}),
]


@pytest.mark.parametrize(("age", "more"), PERSONS)
def test_every_set_can_settle_the_duty_and_every_other_fact_cannot_alone(
    law: Law, age: dict[str, Any], more: dict[str, Any]
) -> None:
    found = gaps(law, facts(age, **more))
    everything = {fact for one in found.values() for some in one.missing.to_settle for fact in some}
    for duty_id, one in found.items():
        for some in one.missing.to_settle:
            told = [dict(zip(some, values, strict=True)) for values in product(*(answers(law, fact) for fact in some))]
            assert not any(set(other) < set(some) for other in one.missing.to_settle), (duty_id, some)
            outcomes = {settled(law, duty_id, each, age, more) for each in told}
            assert outcomes & {"due", "not_due"}, (duty_id, some)
            assert ("due" in outcomes) >= (some in one.missing.to_qualify), (duty_id, some)
        if len(one.missing.to_settle) < MOST:
            for fact in everything:
                alone = {settled(law, duty_id, {fact: value}, age, more) for value in answers(law, fact)} != {None}
                assert alone == ((fact,) in one.missing.to_settle), (duty_id, fact)


def test_exactly_the_duties_that_are_for_review_say_what_would_settle_them(law: Law) -> None:
    for case in (facts(), facts(county=None), facts({"apparent_minor": True}), facts({"years": 30})):
        wanted = {one.duty_id for one in decide(case, law, all_duties=True) if one.outcome == "review"}
        assert set(gaps(law, case)) == wanted
        assert all(one.missing.to_settle or one.county_missing for one in gaps(law, case).values())


def test_only_the_duties_that_are_asked_about_answer(law: Law) -> None:
    (one,) = review_gaps(facts(), law, only={"MO.566_223.JJ", "MO.566_223.DSS"})
    assert one.duty_id == "MO.566_223.JJ", "what is due is not for review"


@pytest.mark.parametrize(("born", "outcome"), [("2010-01-01", "due"), ("1990-01-01", "not_due")])
def test_an_age_settles_the_juvenile_duty(law: Law, born: str, outcome: str) -> None:
    found = gaps(law, facts())["MO.566_223.JJ"]
    assert ("age_years",) in found.missing.to_settle
    assert ("age_years",) in found.missing.to_qualify
    told = {"birth_date": born, "verified_by": "document"}
    settled = {one.duty_id: one.outcome for one in decide(facts(told), law)}
    # An adult is still asked for conduct and custody, which make it due whatever the age.
    assert settled["MO.566_223.JJ"] == outcome


def test_a_claim_of_an_age_leaves_its_proof_to_be_asked_for(law: Law) -> None:
    found = gaps(law, facts({"stated_years": 19}, trafficking={"type": "sex"}))
    assert ("apparent_minor",) in found["US.671_34A.LE24"].missing.to_qualify
    assert ("age_years",) in found["US.671_34A.LE24"].missing.to_settle
    assert ("age_years",) in found["MO.210_1500.HOTLINE"].missing.to_settle
    assert ("apparent_minor",) in found["MO.210_1500.HOTLINE"].missing.to_settle


def test_a_county_that_is_missing_is_told_apart(law: Law) -> None:
    found = gaps(law, facts(CHILD, county=None))["MO.566_223.JJ"]
    assert found.county_missing
    assert found.missing.to_settle == ()
    assert found.question is None
    assert "MO.566_223.JJ" not in gaps(law, facts(CHILD))


def test_what_was_refused_and_what_nobody_asked_are_kept_apart(law: Law) -> None:
    asked: list[tuple[dict[str, Any], str]] = [
        ({}, "not_asked"),
        ({"child_abuse_suspected": "refused"}, "refused"),
        ({"child_abuse_suspected": "unknown"}, "not_known"),
    ]
    for more, standing in asked:
        found = gaps(law, facts(CHILD, appears_victim=False, facts=more))["MO.210_115.ORAL"]
        assert found.missing.to_settle == (("child_abuse_suspected",),)
        assert found.standings == {"child_abuse_suspected": standing}
        asks = found.question.fact if found.question else None
        assert asks == (None if standing == "refused" else "child_abuse_suspected")


def test_the_question_is_the_one_that_settles_most_of_the_persons_reviews(law: Law) -> None:
    found = gaps(law, facts())
    question = found["MO.210_125.NOTIFY"].question
    assert question is not None
    assert question.fact == "age_years", "protective custody would settle it as well, and fewer of the others"
    alone = [one for one in found.values() if ("age_years",) in one.missing.to_settle]
    assert question.settles == len(alone) > 6
    for one in found.values():
        assert one.question is None or any(one.question.fact in some for some in one.missing.to_settle)


def with_rule(folder: Path, condition: str) -> Law:
    """A release in which one duty is due on a condition, and for review otherwise."""
    root = release_copy(folder)
    file = root / "duties" / "us_mo_others.yaml"
    before = file.read_text(encoding="utf-8")
    start = before.index("          - {when: {all: [{use: verified_minor}, {fact: danger_of_serious_harm")
    end = before.index("          - {outcome: review, basis: [danger_or_age_unknown], review_after")
    rule = f"          - {{when: {condition}, outcome: due, basis: [danger]}}\n"
    file.write_text(before[:start] + rule + before[end:], encoding="utf-8")
    return load_law(root)


def test_nobody_is_asked_for_half_of_what_would_settle_it_when_the_other_half_was_refused(tmp_path: Path) -> None:
    law = with_rule(tmp_path, "{all: [{fact: danger_of_serious_harm, is: true}, {fact: reported_missing, is: true}]}")
    both = ("danger_of_serious_harm", "reported_missing")
    for answer, asks in ((None, both[0]), ("unknown", both[0]), ("refused", None)):
        told = {"reported_missing": answer} if answer else {}
        (found,) = review_gaps(facts(CHILD, facts=told), law, only={"MO.210_145.SEE_CHILD"})
        assert found.missing.to_settle == (both,)
        assert (found.question.fact if found.question else None) == asks


def test_with_the_proof_of_an_age_nothing_else_is_needed_that_goes_with_a_claim_of_it(tmp_path: Path) -> None:
    claim = "{all: [{use: presumed_minor}, {fact: reported_missing, is: true}]}"
    law = with_rule(tmp_path, f"{{any: [{{use: verified_minor}}, {claim}]}}")
    (found,) = review_gaps(facts(), law, only={"MO.210_145.SEE_CHILD"})
    assert found.missing.to_settle[:2] == (("age_years",), ("age_estimated_max", "reported_missing"))
    assert ("age_years", "reported_missing") not in found.missing.to_settle


def test_immigration_status_is_not_asked_about_before_anything_else_is(law: Law) -> None:
    in_custody = {"in_federal_custody": True, "unaccompanied_no_parent_available": False}
    found = gaps(law, facts(CHILD, facts=in_custody))
    status = found["US.1232.UAC"]
    assert status.missing.to_settle == (("citizenship_status",),)
    assert status.question is None, "other reviews of the person have other questions"
    (alone,) = review_gaps(facts(CHILD, facts=in_custody), law, only={"US.1232.UAC"})
    assert alone.question is not None
    assert alone.question.fact == "citizenship_status"


def test_the_same_facts_are_told_in_the_same_json(law: Law) -> None:
    told = gaps(law, facts(CHILD, appears_victim=False))["MO.210_115.ORAL"].to_json()
    assert told["duty"] == "MO.210_115.ORAL"
    assert told["to_qualify"] == [["child_abuse_suspected"]]
    assert told["next_question"]["fact"] == "child_abuse_suspected"
    assert told["county_missing"] is False
