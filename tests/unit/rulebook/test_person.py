"""Facts are taken as they were reported; nothing is filled in."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from contracts.facts import SubjectFacts
from rulebook.dates import age_on, birthday, plus_days, plus_months
from rulebook.generated import engine
from rulebook.loader import Law
from rulebook.person import known_facts
from rulebook.problems import subject_problems
from rulebook.values import Among, FactMap, Interval, anything

DAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)


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


def test_a_derivation_narrows_what_was_recorded_and_never_overwrites_it(law: Law) -> None:
    status = {"citizenship": "us_citizen", "facts": {"continued_presence": False, "t_visa_status": "none|filed"}}
    facts = known(law, {"status": status})
    assert facts["continued_presence"] is False
    assert facts["t_visa_status"] == "none", "what both leave possible"
    assert facts["hhs_certification_letter"] is False


@pytest.mark.parametrize(
    ("group", "said", "fact"),
    [
        (
            "status",
            {"citizenship": "us_citizen", "facts": {"child_eligibility_letter": True}},
            "child_eligibility_letter",
        ),
        ("circumstances", {"appears_victim": False, "trafficking": {"victim_status": "confirmed"}}, "victim_status"),
        (
            "circumstances",
            {
                "appears_victim": True,
                "trafficking": {"type": "labor", "severe_form_excluded": True},
                "facts": {"severe_form": True},
            },
            "severe_form",
        ),
    ],
)
def test_of_what_contradicts_itself_nobody_knows_which_is_right(
    law: Law, group: str, said: dict[str, Any], fact: str
) -> None:
    facts = known(law, {group: said})
    assert facts[fact] == anything(law.facts[fact])
    again = dict(facts)
    engine(law).derive(again, DAY)
    assert again == facts, "nothing that is concluded later settles it"


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
        ("circumstances", "household_size", -1, "from 1 to 99"),
        ("circumstances", "household_size", "..0", "from 1 to 99"),
        ("circumstances", "household_income_monthly_cents", -100, "from 0 to "),
        ("circumstances", "state_of_residence", "KS", "write one of MO, other"),
        ("circumstances", "household_income_pct_ami", "1e400", "write a value of type decimal from "),
        ("circumstances", "crime_or_discovery_date", "2026-11-23", "in the future"),
        ("circumstances", "crime_or_discovery_date", "2026-01-01..2030-01-01", "in the future"),
        ("status", "hhs_letter_date", "9999-12-31", "to 2200-12-31"),
    ],
)
def test_a_fact_that_the_catalogue_does_not_allow_is_named_without_its_value(
    law: Law, group: str, fact: str, value: Any, message: str
) -> None:
    groups: dict[str, Any] = {"circumstances": {"appears_victim": True}}
    groups.setdefault(group, {})["facts"] = {fact: value}
    facts = SubjectFacts.model_validate(groups)
    ((pointer, what),) = subject_problems(facts, law, encounter_at=NOW, now=NOW)
    assert pointer == f"/{group}/facts/{fact}"
    assert message in what
    assert isinstance(value, bool) or str(value) not in what
    assert known_facts(facts, law, encounter_on=DAY, as_of=DAY)


@pytest.mark.parametrize(
    ("county", "told", "wanted"),
    [
        (None, "MO", "MO"),
        (None, "other", "other"),
        (None, "unknown", None),
        (None, None, None),
        ("29095", "other", "MO"),
        ("20091", "MO", "other"),
    ],
)
def test_the_state_of_residence_may_be_told_alone_and_the_county_wins(
    law: Law, county: str | None, told: str | None, wanted: str | None
) -> None:
    circumstances: dict[str, Any] = {"appears_victim": True, "residence_county_fips": county}
    circumstances["facts"] = {} if told is None else {"state_of_residence": told}
    facts = SubjectFacts.model_validate({"circumstances": circumstances})
    assert not [*subject_problems(facts, law, encounter_at=NOW, now=NOW)]
    assert known(law, {"circumstances": circumstances}).get("state_of_residence") == wanted


@pytest.mark.parametrize(
    ("group", "member", "day"),
    [
        ("age", "birth_date", "0001-01-01"),
        ("age", "birth_date", "9999-12-31"),
        ("custody", "conduct_alleged_on", "1899-12-31"),
        ("custody", "conduct_alleged_on", "2026-11-23"),
    ],
)
def test_what_happened_is_between_1900_and_today(law: Law, group: str, member: str, day: str) -> None:
    said = (
        {"age": {member: day}} if group == "age" else {"circumstances": {"appears_victim": True, group: {member: day}}}
    )
    ((pointer, what),) = subject_problems(SubjectFacts.model_validate(said), law, encounter_at=NOW, now=NOW)
    assert pointer.endswith(f"{group}/{member}")
    assert what in ("must not be in the future", "must not be before 1900")


def test_no_amount_count_or_percentage_that_may_be_reported_is_below_nothing(law: Law) -> None:
    numbers = {fact: spec for fact, spec in law.facts.items() if spec.type in ("int", "decimal") and not spec.computed}
    assert numbers
    assert {fact for fact, spec in numbers.items() if spec.bounds is None or spec.bounds[0] < 0} == set()


def test_an_impossible_household_that_was_stored_makes_nobody_eligible(law: Law) -> None:
    told = {"household_size": -1, "household_income_monthly_cents": -100}
    facts = known(law, {"circumstances": {"appears_victim": True, "facts": told}})
    assert not facts.keys() & told.keys()


def test_a_year_is_completed_on_the_birthday() -> None:
    assert age_on(date(2026, 3, 9), date(2008, 3, 10)) == 17
    assert age_on(date(2026, 3, 10), date(2008, 3, 10)) == 18
    assert age_on(date(2026, 2, 28), date(2008, 2, 29)) == 17
    assert birthday(date(2008, 2, 29), 18) == date(2026, 3, 1)
    assert birthday(date(2008, 2, 29), 20) == date(2028, 2, 29)


@pytest.mark.parametrize(("day", "end", "sign"), [(date.max, date.max, 1), (date.min, date.min, -1)])
def test_time_ends_with_the_calendar(day: date, end: date, sign: int) -> None:
    assert plus_days(day, sign) == end
    assert plus_days(day, sign * 10**9) == end
    assert plus_months(day, sign) == end
    assert plus_months(day, sign * 10**9) == end
    assert birthday(date.max, 1) == date.max
    assert plus_months(date(2024, 2, 29), 12) == date(2025, 2, 28)
    assert plus_days(date(2024, 2, 29), -1) == date(2024, 2, 28)


@pytest.mark.parametrize("day", ["9999-12-31", "9999-01-01..", "..0001-01-01"])
def test_a_day_beyond_all_records_is_not_known(law: Law, day: str) -> None:
    status = {"status": {"facts": {"hhs_letter_date": day}}}
    assert "hhs_letter_date" not in known(law, status)
