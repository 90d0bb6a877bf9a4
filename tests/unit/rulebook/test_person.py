"""Facts are taken as they were reported; nothing is filled in."""

from datetime import date
from typing import Any

import pytest

from contracts.facts import SubjectFacts
from rulebook.dates import age_on, birthday
from rulebook.loader import Law
from rulebook.person import fact_problems, known_facts
from rulebook.values import Among, FactMap, Interval

DAY = date(2026, 11, 22)


def known(law: Law, subject: dict[str, Any], as_of: date = DAY) -> FactMap:
    return known_facts(SubjectFacts.model_validate(subject), law, encounter_on=DAY, as_of=as_of)


def test_nothing_is_known_of_nobody(law: Law) -> None:
    assert known(law, {}) == {"age_verified": False, "review_expired": False}


def test_only_a_verified_age_is_an_age(law: Law) -> None:
    claimed = known(law, {"age": {"birth_date": "2000-01-01", "stated_years": 30}})
    assert "age_years" not in claimed
    assert claimed["stated_age_years"] == 26, "the lowest claim"
    proved = known(law, {"age": {"birth_date": "2000-01-01", "verified_by": "document", "stated_years": 30}})
    assert (proved["age_years"], proved["is_minor"]) == (26, False)


def test_a_birth_after_the_encounter_proves_nothing(law: Law) -> None:
    assert "age_years" not in known(law, {"age": {"birth_date": "2026-11-23", "verified_by": "document"}})


def test_years_alone_widen_after_the_encounter(law: Law) -> None:
    age = {"age": {"years": 17, "verified_by": "document"}}
    assert known(law, age)["age_years"] == 17
    assert known(law, age, date(2026, 12, 24))["age_years"] == Interval(17, 18)
    assert known(law, age, date(2027, 11, 22))["age_years"] == Interval(18, 19)


def test_an_apparent_victim_is_at_least_suspected(law: Law) -> None:
    facts = {"circumstances": {"appears_victim": True}}
    assert known(law, facts)["victim_status"] == Among(frozenset({"suspected", "presumed", "confirmed"}))
    facts["circumstances"]["trafficking"] = {"victim_status": "confirmed"}  # type: ignore[assignment]
    assert known(law, facts)["victim_status"] == "confirmed"


def test_a_derivation_never_overwrites_what_was_recorded(law: Law) -> None:
    status = {"citizenship": "us_citizen", "facts": {"continued_presence": True}}
    facts = known(law, {"status": status})
    assert facts["continued_presence"] is True
    assert facts["hhs_certification_letter"] is False


@pytest.mark.parametrize("answer", ["unknown", "refused"])
def test_an_answer_that_was_not_given_is_not_known(law: Law, answer: str) -> None:
    facts = known(
        law,
        {"circumstances": {"appears_victim": True, "facts": {"pregnant": answer}}, "status": {"citizenship": answer}},
    )
    assert "pregnant" not in facts
    assert "citizenship_status" not in facts


def test_immigration_facts_count_only_in_their_own_group(law: Law) -> None:
    facts = {"circumstances": {"appears_victim": True, "facts": {"continued_presence": True, "age_years": 3}}}
    assert "continued_presence" not in known(law, facts)
    assert "age_years" not in known(law, facts)


@pytest.mark.parametrize(
    ("group", "fact", "value", "message"),
    [
        ("circumstances", "shoe_size", 44, "not in the fact catalogue"),
        ("circumstances", "pregnant", "maybe", "a value of type bool"),
        ("circumstances", "hhs_letter_date", "2026-01-01", "belongs into status.facts"),
        ("circumstances", "is_minor", True, "worked out"),
        ("status", "pregnant", True, "belongs into circumstances.facts"),
        ("status", "hhs_letter_date", "01/02/2026", "a value of type date"),
        ("status", "t_visa_status", "lost", "none, filed, bona_fide, approved, denied"),
        ("circumstances", "countable_resources_cents", "1.5", "a value of type int"),
        ("circumstances", "household_size", "3..2", "a value of type int"),
        ("circumstances", "household_size", "two..4", "a value of type int"),
        ("circumstances", "tanf_months_used", True, "a value of type int"),
    ],
)
def test_a_fact_that_the_catalogue_does_not_allow_is_named_without_its_value(
    law: Law, group: str, fact: str, value: Any, message: str
) -> None:
    groups: dict[str, Any] = {"circumstances": {"appears_victim": True}}
    groups.setdefault(group, {})["facts"] = {fact: value}
    facts = SubjectFacts.model_validate(groups)
    ((field, what),) = fact_problems(facts, law)
    assert field == f"{group}.facts.{fact}"
    assert message in what
    assert isinstance(value, bool) or str(value) not in what
    assert known_facts(facts, law, encounter_on=DAY, as_of=DAY)


def test_a_year_is_completed_on_the_birthday() -> None:
    assert age_on(date(2026, 3, 9), date(2008, 3, 10)) == 17
    assert age_on(date(2026, 3, 10), date(2008, 3, 10)) == 18
    assert age_on(date(2026, 2, 28), date(2008, 2, 29)) == 17
    assert birthday(date(2008, 2, 29), 18) == date(2026, 3, 1)
    assert birthday(date(2008, 2, 29), 20) == date(2028, 2, 29)
