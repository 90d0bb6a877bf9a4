"""The decision rules of Missouri and of the federal 24-hour notice, case by case."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulebook.loader import LAW, Law, LawError, load_law
from tests.unit.rulebook.builders import ENCOUNTER, decided, person

DSS, JJ, HHS = "MO.566_223.DSS", "MO.566_223.JJ", "US.7105.HHS24"
VERIFIED_17 = {"birth_date": "2008-10-11", "verified_by": "document"}
VERIFIED_18 = {"birth_date": "2008-10-10", "verified_by": "document"}
MINIMAL = "mo_juvenile_justice_minimal"


@pytest.mark.parametrize(
    ("age", "more", "outcome", "basis", "flags"),
    [
        (VERIFIED_17, {}, "due", ("211.031",), ()),
        (VERIFIED_18, {}, "not_due", ("adult",), ()),
        (
            {"years": 19, "verified_by": "fingerprint"},
            {"custody": {"custody_for_offense": True, "conduct_alleged_under_18": True}},
            "due",
            ("567.020.5",),
            ("bar_567_020_5_may_apply",),
        ),
        (
            {"years": 20, "verified_by": "child_protection_record"},
            {"juvenile_court": {"in_childrens_division_custody": True}},
            "due",
            ("continuing_jurisdiction",),
            (),
        ),
        (
            {"estimated_min": 16, "estimated_max": 20, "stated_years": 19, "apparent_minor": True},
            {},
            "due",
            ("presumed_minor",),
            ("needs_age_check",),
        ),
        (
            {"estimated_min": 16, "estimated_max": 20, "stated_years": 19, "apparent_minor": False},
            {},
            "due",
            ("presumed_minor",),
            ("needs_age_check",),
        ),
        (
            {"estimated_min": 25, "estimated_max": 35, "apparent_minor": False},
            {},
            "not_due",
            ("adult",),
            ("estimated_adult",),
        ),
        ({"stated_years": 22}, {}, "review", ("age_unknown",), ()),
        ({}, {}, "review", ("age_unknown",), ()),
        ({"years": 34, "verified_by": "document"}, {}, "not_due", ("adult",), ()),
        # Beyond the table: each branch of the rule.
        ({}, {"custody": {"protective_custody": True}}, "due", ("210.125.3",), ()),
        (VERIFIED_18, {"custody": {"protective_custody": True}}, "due", ("210.125.3",), ()),
        ({"stated_years": 17}, {}, "due", ("presumed_minor",), ("needs_age_check",)),
        ({"birth_date": "2010-01-01"}, {}, "due", ("presumed_minor",), ("needs_age_check",)),
        ({"birth_date": "1990-01-01"}, {}, "review", ("age_unknown",), ()),
        ({"apparent_minor": True, "estimated_min": 20}, {}, "due", ("presumed_minor",), ("needs_age_check",)),
        ({"apparent_minor": False}, {}, "not_due", ("adult",), ("estimated_adult",)),
        ({"estimated_min": 18}, {}, "not_due", ("adult",), ("estimated_adult",)),
        ({"estimated_max": 17}, {}, "due", ("presumed_minor",), ("needs_age_check",)),
        ({"estimated_max": 30}, {}, "review", ("age_unknown",), ()),
        (
            {"estimated_min": 19},
            {"juvenile_court": {"committed_to_youth_services": True}},
            "due",
            ("continuing_jurisdiction",),
            ("estimated_adult",),
        ),
        (
            {"years": 21, "verified_by": "document"},
            {"juvenile_court": {"under_jurisdiction": True}},
            "not_due",
            ("adult",),
            (),
        ),
        (
            {"birth_date": "2007-01-15", "verified_by": "ncic"},
            {"custody": {"conduct_alleged_on": "2025-01-14"}},
            "due",
            ("567.020.5",),
            ("bar_567_020_5_may_apply",),
        ),
        (
            {"birth_date": "2007-01-15", "verified_by": "ncic"},
            {"custody": {"conduct_alleged_on": "2025-01-15"}},
            "not_due",
            ("adult",),
            (),
        ),
        (
            {"stated_years": 22},
            {"juvenile_court": {"under_jurisdiction": True}},
            "due",
            ("continuing_jurisdiction",),
            (),
        ),
    ],
)
def test_the_juvenile_officer_is_told_as_the_truth_table_says(
    law: Law, age: dict[str, Any], more: dict[str, Any], outcome: str, basis: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    decision = decided(law, person(age, **more))[JJ]
    assert (decision.outcome, decision.basis, decision.flags) == (outcome, basis, flags)
    assert decision.recipient_id == (None if outcome == "not_due" else "mo-jo-16")
    assert decision.disclosure == (MINIMAL if "needs_age_check" in flags else "mo_juvenile_justice")


CITIZEN = {"citizenship": "us_citizen", "citizenship_verified": True}


@pytest.mark.parametrize(
    ("age", "trafficking", "status", "outcome", "basis"),
    [
        (VERIFIED_17, {"type": "sex"}, None, "due", ("minor",)),
        (VERIFIED_17, {"type": "sex", "force_fraud_coercion": "not_indicated"}, None, "due", ("minor",)),
        (VERIFIED_17, {"type": "labor", "force_fraud_coercion": "indicated"}, None, "due", ("minor",)),
        (VERIFIED_17, {"type": "labor", "force_fraud_coercion": "unknown"}, None, "due", ("minor",)),
        (VERIFIED_17, {"type": "labor"}, {"citizenship": "unknown"}, "due", ("minor",)),
        (
            VERIFIED_17,
            {"type": "labor", "force_fraud_coercion": "not_indicated"},
            None,
            "not_due",
            ("no_severe_form_suspected",),
        ),
        (VERIFIED_17, {"type": "both", "force_fraud_coercion": "not_indicated"}, None, "due", ("minor",)),
        (VERIFIED_17, {"type": "unknown"}, None, "due", ("minor",)),
        (VERIFIED_17, {"type": "labor", "severe_form_excluded": True}, None, "not_due", ("severe_form_excluded",)),
        (VERIFIED_17, {"type": "sex", "severe_form_excluded": True}, None, "due", ("minor",)),
        (VERIFIED_17, {"type": "sex"}, CITIZEN, "not_due", ("citizen_national_or_lpr",)),
        (
            VERIFIED_17,
            {"type": "sex"},
            CITIZEN | {"citizenship": "us_national"},
            "not_due",
            ("citizen_national_or_lpr",),
        ),
        (VERIFIED_17, {"type": "sex"}, CITIZEN | {"citizenship": "lpr"}, "not_due", ("citizen_national_or_lpr",)),
        (VERIFIED_17, {"type": "sex"}, {"citizenship": "us_citizen"}, "due", ("minor",)),
        (VERIFIED_17, {"type": "sex"}, {"citizenship": "refused"}, "due", ("minor",)),
        (VERIFIED_17, {"type": "sex"}, CITIZEN | {"citizenship": "asylee"}, "due", ("minor",)),
        ({"apparent_minor": True}, {"type": "sex"}, None, "due", ("presumed_minor",)),
        (VERIFIED_18, {"type": "sex"}, None, "not_due", ("adult",)),
        ({"estimated_min": 18}, {"type": "sex"}, None, "not_due", ("adult",)),
        ({}, {"type": "sex"}, None, "review", ("age_unknown",)),
        ({}, {"type": "sex"}, CITIZEN, "not_due", ("citizen_national_or_lpr",)),
    ],
)
def test_hhs_is_told_within_24_hours_of_discovery(
    law: Law,
    age: dict[str, Any],
    trafficking: dict[str, Any],
    status: dict[str, Any] | None,
    outcome: str,
    basis: tuple[str, ...],
) -> None:
    discovered = ENCOUNTER - timedelta(hours=3)
    decision = decided(law, person(age, trafficking=trafficking, status=status), discovered_at=discovered)[HHS]
    assert (decision.outcome, decision.basis) == (outcome, basis)
    assert decision.due_at == (None if outcome == "not_due" else discovered + timedelta(hours=24))
    assert decision.clock == "hours"


def test_the_scope_of_the_federal_notice_is_a_policy() -> None:
    wider = load_law(overrides={"hhs24_scope": "all_minors"})
    subject = person(VERIFIED_17, trafficking={"type": "sex"}, status=CITIZEN)
    assert decided(wider, subject)[HHS].outcome == "due"
    assert wider.policy_version != load_law().policy_version


def test_dss_is_always_told_about_an_apparent_victim(law: Law) -> None:
    for county in ("29095", "29999", None):
        decision = decided(law, person({}, county=county))[DSS]
        assert (decision.outcome, decision.recipient_id, decision.due_at) == ("due", "mo-dss", None)
        assert decision.target_at == ENCOUNTER + timedelta(minutes=15)


def test_who_does_not_appear_a_victim_is_decided_too(law: Law) -> None:
    decisions = decided(law, person(VERIFIED_17, appears_victim=False, role="accompanying"))
    assert {d.outcome for d in decisions.values()} == {"not_due"}
    assert {d.basis for d in decisions.values()} == {("does_not_appear_a_victim",)}
    assert all(d.reasons for d in decisions.values())


@pytest.mark.parametrize("county", [None, "29999", "20091"])
def test_without_a_known_county_the_juvenile_duty_waits_for_a_person(law: Law, county: str | None) -> None:
    decision = decided(law, person(VERIFIED_17, county=county))[JJ]
    assert (decision.outcome, decision.basis) == ("review", ("211.031", "county_unresolved"))
    assert decision.recipient_id is None
    assert decision.review_after is None, "no timer finds a county"
    assert decision.owner


def test_an_expired_review_presumes_a_minor(law: Law) -> None:
    subject = person({"stated_years": 22}, trafficking={"type": "sex"})
    first = decided(law, subject)
    assert first[JJ].review_after == first[HHS].review_after == timedelta(hours=1)
    for duty in (JJ, HHS):
        later = decided(law, subject, review_expired=True)[duty]
        assert (later.outcome, later.basis) == ("due", ("review_timer_expired", "presumed_minor"))
        assert (later.flags, later.decided_by) == (("needs_age_check",), "timer")
    assert decided(law, subject, review_expired=True)[JJ].disclosure == MINIMAL


def test_an_expired_timer_changes_nothing_for_a_known_age(law: Law) -> None:
    for age in (VERIFIED_17, VERIFIED_18, {"estimated_min": 30}, {"apparent_minor": True}):
        assert decided(law, person(age), review_expired=True) == decided(law, person(age))


def test_the_review_timer_can_be_replaced() -> None:
    for wanted in ("PT5S", timedelta(seconds=5)):
        short = load_law(overrides={"juvenile_review_after": wanted})
        assert decided(short, person({}))[JJ].review_after == timedelta(seconds=5)


@pytest.mark.parametrize(
    ("at", "age", "outcome", "basis"),
    [
        ("2021-06-30T12:00:00-05:00", 16, "due", ("211.031",)),
        ("2021-06-30T12:00:00-05:00", 17, "due", ("211.031.1(1)_need_of_care",)),
        ("2021-07-01T00:00:00-05:00", 17, "due", ("211.031",)),
        ("2021-06-30T12:00:00-05:00", 18, "not_due", ("adult",)),
        ("2011-08-27T12:00:00-05:00", 17, "not_due", ("not_in_force",)),
    ],
)
def test_the_age_of_the_day_of_the_encounter_applies(
    law: Law, at: str, age: int, outcome: str, basis: tuple[str, ...]
) -> None:
    decision = decided(law, person({"years": age, "verified_by": "document"}), at=datetime.fromisoformat(at))[JJ]
    assert (decision.outcome, decision.basis) == (outcome, basis)


def test_567_020_5_names_the_juvenile_officer_since_28_august_2022(law: Law) -> None:
    subject = person({"years": 19, "verified_by": "document"}, custody={"conduct_alleged_under_18": True})
    before = decided(law, subject, at=datetime.fromisoformat("2022-08-27T12:00:00-05:00"))[JJ]
    after = decided(law, subject, at=datetime.fromisoformat("2022-08-28T12:00:00-05:00"))[JJ]
    assert (before.outcome, after.outcome) == ("not_due", "due")


def test_days_are_counted_where_the_encounter_happened(law: Law) -> None:
    turns_18_on_the_11th = person(VERIFIED_17)
    late_evening = datetime.fromisoformat("2026-10-11T04:59:00+00:00")  # 10 October in Missouri
    assert decided(law, turns_18_on_the_11th, at=late_evening)[JJ].outcome == "due"
    assert decided(law, turns_18_on_the_11th, at=late_evening + timedelta(minutes=1))[JJ].outcome == "not_due"


def test_a_jurisdiction_without_law_is_refused(law: Law) -> None:
    with pytest.raises(LawError, match="jurisdictions"):
        decided(law, person({}), jurisdiction="ZZ")


AGES = st.fixed_dictionaries(
    {},
    optional={
        "stated_years": st.integers(0, 60),
        "apparent_minor": st.booleans(),
        "estimated_min": st.integers(0, 60),
        "years": st.integers(0, 60),
    },
)
CIRCUMSTANCES = st.fixed_dictionaries(
    {},
    optional={
        "custody": st.fixed_dictionaries(
            {}, optional={"protective_custody": st.booleans(), "conduct_alleged_under_18": st.booleans()}
        ),
        "juvenile_court": st.fixed_dictionaries({}, optional={"under_jurisdiction": st.booleans()}),
        "trafficking": st.fixed_dictionaries({}, optional={"type": st.sampled_from(["sex", "labor", "unknown"])}),
        "status": st.fixed_dictionaries({}, optional={"citizenship": st.sampled_from(["lpr", "unknown"])}),
        "county": st.sampled_from([None, "29510", "29999"]),
    },
)


@given(AGES, st.booleans(), CIRCUMSTANCES, st.booleans())
def test_every_duty_has_exactly_one_decision_with_a_basis_and_an_owner(
    age: dict[str, Any], verified: bool, circumstances: dict[str, Any], expired: bool
) -> None:
    if verified and "years" in age:
        age = age | {"verified_by": "document"}
    decisions = decided(_LAW, person(age, **circumstances), review_expired=expired)
    assert set(decisions) == {DSS, JJ, HHS}
    for decision in decisions.values():
        assert decision.basis
        assert decision.owner
        assert decision.citations
        assert (decision.recipient_id is not None) or decision.outcome != "due"


@given(CIRCUMSTANCES, st.booleans())
def test_an_unknown_age_is_never_a_no(circumstances: dict[str, Any], expired: bool) -> None:
    assert decided(_LAW, person({}, **circumstances), review_expired=expired)[JJ].outcome != "not_due"


@given(CIRCUMSTANCES)
def test_a_minor_is_never_missed(circumstances: dict[str, Any]) -> None:
    subject = person(VERIFIED_17, **({"county": "29510"} | circumstances))
    assert decided(_LAW, subject)[JJ].outcome in ("due", "review")


_LAW = load_law(LAW)
