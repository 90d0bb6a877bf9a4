"""Golden cases, worked out by hand from the citation beside each; never recorded from the evaluator."""

import json
import sys
from datetime import date, datetime
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import SubjectFacts
from rulebook.loader import LAW, Law, LawError, load_law
from rulebook.programs import Determination, determine
from tests.unit.rulebook.builders import release_copy

TODAY = "2026-11-22"


def noon(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00-06:00")


def match(law: Law, subject: dict[str, Any], on: str = TODAY, encounter: str | None = None) -> Determination:
    facts = SubjectFacts.model_validate(subject)
    return determine(facts, law, jurisdiction="MO", encounter_at=noon(encounter or on), as_of=noon(on))


def subject(
    born: str | None = "1996-05-05",
    citizenship: str | None = "us_citizen",
    victim: str | None = "presumed",
    residence: str = "29095",
    status: dict[str, Any] | None = None,
    trafficking: dict[str, Any] | None = None,
    **facts: Any,
) -> dict[str, Any]:
    return {
        "age": {"birth_date": born, "verified_by": "document"} if born else {},
        "circumstances": {
            "appears_victim": True,
            "trafficking": {"victim_status": victim} | (trafficking or {}),
            "residence_county_fips": residence,
            "facts": facts,
        },
        "status": {"citizenship": citizenship, "facts": status or {}},
    }


# One person, by the year: 15,060 dollars in 2024, 15,650 in 2025, 15,960 in 2026; each limit is a twelfth, rounded up.
ALONE = {"household_size": 1, "household_with_elderly_or_disabled": False, "household_all_on_cash_aid": False}
INCOME = {"household_income_monthly_cents": 172_900, "household_net_income_monthly_cents": 125_500}
SNAP = ALONE | INCOME | {"countable_resources_cents": 300_000}
SNAP_FY2025 = SNAP | {"household_income_monthly_cents": 163_200}
LETTER = {"hhs_certification_letter": True}
T_VISA = {"physically_present_us_due_to_trafficking": True, "extreme_hardship_if_removed": True}
KID = {"household_size": 1, "household_income_monthly_cents": 203_500, "in_foster_care": False}
CHILD = "2012-01-01"
INFANT = KID | {"household_income_monthly_cents": 267_400}
CVC = {
    "crime_in_missouri": True,
    "personal_injury": True,
    "crime_reported_or_sworn_statement": True,
    "out_of_pocket_loss": True,
}
ADULT = {"household_size": 1, "household_income_monthly_cents": 183_600}
RUNAWAY = {"runaway": True, "can_live_safely_with_relative": False}
OK, MAYBE, NO = "eligible", "potentially_eligible", "not_eligible"


@pytest.mark.parametrize(
    ("program", "facts", "on", "outcome"),
    [
        # snap: 7 USC 2014 (gross income 130 %, resources 3,000); 7 USC 2015(f) as amended by P.L. 119-21 s.10108.
        ("snap", subject(**SNAP), TODAY, OK),
        ("snap", subject(**SNAP | {"household_income_monthly_cents": 172_901}), TODAY, NO),
        ("snap", subject(**SNAP | {"countable_resources_cents": 450_001}), TODAY, NO),
        ("snap", subject(**SNAP | {"countable_resources_cents": 300_001}), TODAY, NO),
        ("snap", subject(residence="17031", **SNAP), TODAY, NO),
        ("snap", subject(citizenship="t_nonimmigrant", status=LETTER, **SNAP_FY2025), "2025-07-03", OK),
        ("snap", subject(citizenship="t_nonimmigrant", status=LETTER, **SNAP_FY2025), "2025-07-04", NO),
        ("snap", subject(citizenship="lpr", status={"lpr_or_qualified_years": 5}, **SNAP), TODAY, OK),
        (
            "snap",
            subject(
                citizenship="lpr", status={"lpr_or_qualified_years": "4.99", "five_year_bar_exempt": False}, **SNAP
            ),
            TODAY,
            NO,
        ),
        ("snap", subject(citizenship="lpr", status={"lpr_or_qualified_years": "4.99"}, **SNAP), TODAY, MAYBE),
        ("snap", subject(citizenship="cofa_citizen", **SNAP), TODAY, OK),
        ("snap", subject(citizenship="refused", **SNAP), TODAY, MAYBE),
        # rca: 90 FR 13370, four months for eligibility dates on or after 2025-05-05, twelve before.
        *[
            (
                "rca",
                subject(
                    citizenship="t_nonimmigrant",
                    status=LETTER | {"hhs_letter_date": letter},
                    tanf_or_ssi_eligible=False,
                ),
                on,
                outcome,
            )
            for letter, on, outcome in [
                ("2025-05-04", "2026-05-04", OK),
                ("2025-05-04", "2026-05-05", NO),
                ("2025-05-05", "2025-09-05", OK),
                ("2025-05-05", "2025-09-06", NO),
                ("2026-07-22", TODAY, OK),
                ("2026-07-21", TODAY, NO),
            ]
        ],
        ("rca", subject(citizenship="t_nonimmigrant", status=LETTER, tanf_or_ssi_eligible=False), TODAY, MAYBE),
        ("rca", subject(citizenship="t_nonimmigrant", status=LETTER, tanf_or_ssi_eligible=True), TODAY, NO),
        ("rca", subject(), TODAY, NO),
        # mohealthnet_kids: s. 208.151 RSMo, 42 USC 1396a(a)(10): under 19, 153 % (201 % under 1); 42 USC 1396b(v).
        ("mohealthnet_kids", subject(born="2007-11-23", **KID), TODAY, OK),
        ("mohealthnet_kids", subject(born="2007-11-22", **KID), TODAY, NO),
        (
            "mohealthnet_kids",
            subject(born="2012-01-01", **KID | {"household_income_monthly_cents": 203_501}),
            TODAY,
            NO,
        ),
        ("mohealthnet_kids", subject(born="2025-11-23", **INFANT), TODAY, OK),
        ("mohealthnet_kids", subject(born="2025-11-22", **INFANT), TODAY, NO),
        ("mohealthnet_kids", subject(born="2012-01-01", citizenship="asylee", **KID), "2026-09-30", OK),
        ("mohealthnet_kids", subject(born="2012-01-01", citizenship="asylee", **KID), "2026-10-01", NO),
        # t_visa: 8 USC 1101(a)(15)(T), 8 CFR 214.200 ff: cooperation excused under 18 at exploitation, or by trauma.
        *[
            ("t_visa", subject(citizenship=c, status=T_VISA, severe_form=True, victim=v, **more), TODAY, outcome)
            for c, v, more, outcome in [
                ("undocumented", "presumed", {"le_cooperation": "willing"}, OK),
                ("undocumented", "presumed", {"le_cooperation": "unable_trauma"}, OK),
                ("undocumented", "presumed", {"le_cooperation": "declined"}, MAYBE),
                ("undocumented", "presumed", {"le_cooperation": "declined", "age_at_exploitation_under_18": False}, NO),
                ("undocumented", "presumed", {"le_cooperation": "declined", "age_at_exploitation_under_18": True}, OK),
                ("undocumented", "suspected", {"le_cooperation": "willing"}, NO),
                ("undocumented", None, {"le_cooperation": "willing"}, MAYBE),
                ("lpr", "presumed", {"le_cooperation": "willing"}, NO),
            ]
        ],
        # child_eligibility_letter: 22 USC 7105(b)(1)(C)(ii)(I); sex trafficking under 18 is severe, 7102(11)(A).
        (
            "child_eligibility_letter",
            subject(born="2008-11-23", citizenship="undocumented", trafficking={"type": "sex"}),
            TODAY,
            OK,
        ),
        (
            "child_eligibility_letter",
            subject(
                born="2008-11-22", citizenship="undocumented", severe_form=True, status={"rfa_filed_before_18": False}
            ),
            TODAY,
            NO,
        ),
        (
            "child_eligibility_letter",
            subject(
                born="2008-11-22", citizenship="undocumented", severe_form=True, status={"rfa_filed_before_18": True}
            ),
            TODAY,
            OK,
        ),
        ("child_eligibility_letter", subject(born="2012-01-01", trafficking={"type": "sex"}), TODAY, NO),
        (
            "child_eligibility_letter",
            subject(born="2012-01-01", citizenship="undocumented", trafficking={"type": "labor"}),
            TODAY,
            MAYBE,
        ),
        # mo_566_223_contracts: s. 566.223 RSMo names confirmed victims.
        ("mo_566_223_contracts", subject(victim="confirmed"), TODAY, OK),
        ("mo_566_223_contracts", subject(victim="presumed"), TODAY, NO),
        ("mo_566_223_contracts", subject(victim=None), TODAY, MAYBE),
        # mo_cvc: ss. 595.010-595.075 RSMo: within two years of the crime or its discovery.
        ("mo_cvc", subject(crime_or_discovery_date="2024-11-22", **CVC), TODAY, OK),
        ("mo_cvc", subject(crime_or_discovery_date="2024-11-21", **CVC), TODAY, NO),
        ("mo_cvc", subject(crime_or_discovery_date="2026-01-01", **CVC | {"out_of_pocket_loss": False}), TODAY, NO),
        ("mo_cvc", subject(crime_or_discovery_date="unknown", **CVC), TODAY, MAYBE),
        # rhy_bcp: 34 USC 11279(3)-(4): under 18, cannot live with a relative, no other safe place.
        ("rhy_bcp", subject(born="2008-11-23", **RUNAWAY), TODAY, OK),
        ("rhy_bcp", subject(born="2008-11-22", **RUNAWAY), TODAY, NO),
        ("rhy_bcp", subject(born="2010-01-01", runaway=True), TODAY, MAYBE),
        ("rhy_bcp", subject(born="2010-01-01", **RUNAWAY | {"can_live_safely_with_relative": True}), TODAY, NO),
        # rma: the same windows as rca (90 FR 13370).
        (
            "rma",
            subject(
                citizenship="t_nonimmigrant",
                status=LETTER | {"hhs_letter_date": "2025-05-04"},
                medicaid_or_chip_eligible=False,
            ),
            "2026-05-04",
            OK,
        ),
        # mohealthnet_adult_expansion: P.L. 119-21 s.71119, work requirement from 2027-01-01.
        *[
            (
                "mohealthnet_adult_expansion",
                subject(**ADULT, pregnant=False, medicare_entitled=False, receives_ssi=False),
                on,
                outcome,
            )
            for on, outcome in [("2026-12-31", OK), ("2027-01-01", MAYBE)]
        ],
    ],
)
def test_the_answer_is_what_the_citation_says(
    law: Law, program: str, facts: dict[str, Any], on: str, outcome: str
) -> None:
    answer = match(law, facts, on).answer(program)
    assert answer.outcome == outcome
    assert answer.citations
    assert bool(answer.missing) == (outcome == MAYBE)
    assert answer.reasons


def test_nobody_known_is_refused_nothing(law: Law) -> None:
    for on in (TODAY, "2025-01-01", "2027-06-01"):
        for answer in match(law, {}, on).programs:
            assert answer.outcome == MAYBE or not answer.reasons, answer.program_id
            assert answer.missing or answer.outcome != MAYBE


def test_all_56_programs_are_answered_in_a_fixed_order(law: Law) -> None:
    ids = [answer.program_id for answer in match(law, {}).programs]
    assert len(ids) == 56
    assert ids == sorted(ids)


def test_what_the_service_has_to_offer_is_told_apart_from_the_person(law: Law) -> None:
    confirmed = subject(victim="confirmed")
    assert match(law, confirmed).answer("mo_566_223_contracts").supply == "unknown"
    for supply, expected in (
        ({"funds_available": True, "provider_in_area": True}, "available"),
        ({"funds_available": False}, "not_available"),
    ):
        answer = match(law, subject(victim="confirmed", **supply)).answer("mo_566_223_contracts")
        assert (answer.outcome, answer.supply) == (OK, expected)
    assert match(law, confirmed).answer("snap").supply == "not_limited"


def test_a_no_says_which_comparison_decided_and_of_which_version(law: Law) -> None:
    answer = match(law, subject(citizenship="t_nonimmigrant", **SNAP)).answer("snap")
    assert answer.version_from == date(2025, 12, 9)
    assert {reason.fact for reason in answer.reasons} == {"citizenship_status"}
    assert all(reason.holds is False and reason.value == "t_nonimmigrant" for reason in answer.reasons)


def test_missing_facts_are_those_that_can_be_asked_for(law: Law) -> None:
    wanted = {fact for answer in match(law, {}).programs for fact in answer.missing}
    assert "is_minor" not in wanted
    assert "age_years" in wanted
    assert all(law.facts[fact].question for fact in wanted)


def test_an_expired_presumption_does_not_reach_programs(law: Law) -> None:
    assert match(law, {}).answer("child_advocacy_safe_care").outcome == MAYBE


def test_refused_and_not_known_are_kept_apart(law: Law) -> None:
    answers = match(law, subject(citizenship="refused", pregnant="unknown")).not_answered
    assert answers == {"citizenship_status": "refused", "pregnant": "unknown"}


@pytest.mark.parametrize(
    ("facts", "on", "expected"),
    [
        (subject(born="2008-12-01"), TODAY, "2026-12-01"),
        (subject(born="2008-02-29"), "2026-02-01", "2026-03-01"),
        (subject(status={"hhs_letter_date": "2026-07-30"}), TODAY, "2026-12-01"),
        (subject(), TODAY, "2027-01-01"),
    ],
)
def test_the_next_change_is_announced(law: Law, facts: dict[str, Any], on: str, expected: str) -> None:
    assert match(law, facts, on).next_change_on == date.fromisoformat(expected)


@given(st.dates(date(2024, 1, 1), date(2027, 6, 1)), st.dates(date(2006, 1, 1), date(2010, 1, 1)), st.integers(0, 60))
def test_no_answer_changes_before_the_announced_day(on: date, born: date, days: int) -> None:
    facts = subject(born=str(born), status={"hhs_letter_date": "2025-06-15"} | LETTER, tanf_or_ssi_eligible=False)
    first = match(_LAW, facts, str(on), encounter="2023-12-31")
    later = date.fromordinal(on.toordinal() + days)
    if first.next_change_on is None or later < first.next_change_on:
        again = match(_LAW, facts, str(later), encounter="2023-12-31")
        assert [(a.program_id, a.outcome) for a in again.programs] == [
            (a.program_id, a.outcome) for a in first.programs
        ]


def test_the_same_facts_give_the_same_bytes(law: Law) -> None:
    facts = subject(**SNAP)
    assert match(law, facts).canonical() == match(load_law(), facts).canonical()
    assert json.loads(match(law, facts).canonical())["law_digest"] == law.digest


def test_years_without_a_birthday_stay_open_once_it_may_have_passed(law: Law) -> None:
    facts = subject() | {"age": {"years": 17, "verified_by": "document"}}
    assert match(law, facts, TODAY).answer("child_advocacy_safe_care").outcome == OK
    assert match(law, facts, "2026-11-23", encounter=TODAY).answer("child_advocacy_safe_care").outcome == MAYBE


def test_no_program_is_known_to_the_code(tmp_path: Any) -> None:
    release = release_copy(tmp_path)
    for file in (release / "programs").iterdir():
        renamed = file.read_text(encoding="utf-8").replace("- id: ", "- id: another_")
        file.write_text(renamed, encoding="utf-8")
    other = match(load_law(release), subject(**SNAP))
    assert other.answer("another_snap").outcome == OK


def test_a_jurisdiction_without_law_is_refused(law: Law) -> None:
    with pytest.raises(LawError):
        determine(SubjectFacts(), law, jurisdiction="ZZ", encounter_at=noon(TODAY), as_of=noon(TODAY))


def test_another_person_takes_few_steps(law: Law) -> None:
    """Calls of functions are counted: seconds depend on what else the machine does, and are for the benchmarks."""
    match(law, {})
    steps = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal steps
        steps += event == "call"

    sys.setprofile(count)
    try:
        match(law, {})
    finally:
        sys.setprofile(None)
    assert 0 < steps < 2000


_LAW = load_law(LAW)
