"""Every duty of Missouri, of the United States and of the other states held here, as the law has it."""

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from contracts.facts import SubjectFacts
from rulebook.deadlines import deadline, holidays, is_business_day
from rulebook.duties import DutyFacts, decide
from rulebook.loader import Law
from rulebook.schema import Clock
from tests.unit.law.people import noon, person

CENTRAL = ZoneInfo("America/Chicago")

# id: who owes it, recipient's role, channel, clock. law.md 1.3, 3.1 and 5.
DUTIES = {
    "MO.566_223.DSS": ("reporting_agency", "social_services", "electronic", "asap"),
    "MO.566_223.JJ": ("reporting_agency", "juvenile_justice", "electronic", "asap"),
    "MO.210_1500.HOTLINE": ("reporting_officer", "child_protection_hotline", "task", "immediate"),
    "MO.210_115.ORAL": ("reporting_officer", "child_protection_hotline", "task", "immediate"),
    "MO.567_020_5.CD": ("reporting_officer", "child_protection_hotline", "task", "immediate"),
    "MO.567_020_5.JO": ("reporting_officer", "juvenile_justice", "electronic", "immediate"),
    "MO.210_125.NOTIFY": ("reporting_officer", "juvenile_justice", "task", "immediate"),
    "MO.210_125.NOTIFY_CD": ("reporting_officer", "child_protection_hotline", "task", "immediate"),
    "MO.210_125.NOTIFY_PARENTS": ("reporting_officer", "parents", "task", "immediate"),
    "MO.210_125.STATEMENT": ("reporting_officer", "juvenile_justice", "task", "12 hours"),
    "MO.210_125.HOLD": ("reporting_officer", "custody_watch", "task", "12 hours"),
    "MO.210_125.HOLD_JO": ("juvenile_officer", "custody_watch", "task", "24 hours"),
    "MO.211_061.DELIVER": ("reporting_officer", "juvenile_justice", "task", "immediate"),
    "MO.210_145.CD_LE": ("child_welfare_agency", "local_law_enforcement", "task", "immediate"),
    "MO.210_145.LE_REPLY": ("reporting_agency", "childrens_division", "task", "24 hours"),
    "MO.210_145.BEGIN": ("child_welfare_agency", "the_child", "task", "24 hours"),
    "MO.210_145.SEE_CHILD": ("child_welfare_agency", "the_child", "task", "24 hours"),
    "MO.210_795.MISSING": ("child_welfare_agency", "local_law_enforcement", "task", "2 hours"),
    "MO.210_795.NCMEC": ("child_welfare_agency", "ncmec", "task", "2 hours"),
    "MO.210_795.FURTHER": ("child_welfare_agency", "childrens_division", "task", "24 hours"),
    "MO.595_209.RIGHTS": ("reporting_agency", "victim", "task", "asap"),
    "US.7105.HHS24": ("reporting_agency", "federal_hhs", "electronic", "24 hours"),
    "US.7105.RFA_B": ("reporting_agency", "federal_hhs", "task", "asap"),
    "US.671_34A.LE24": ("child_welfare_agency", "law_enforcement", "task", "24 hours"),
    "US.671_35B.MISSING": ("child_welfare_agency", "law_enforcement", "task", "24 hours"),
    "US.671_35B.NCMEC": ("child_welfare_agency", "ncmec", "task", "24 hours"),
    "US.671_9C.POLICY": ("child_welfare_agency", "public_record", "standing", None),
    "US.CAPTA.ASSESS": ("child_welfare_agency", "public_record", "standing", None),
    "US.CAPTA.DEF": ("state", "public_record", "standing", None),
    "US.41307.NCIC": ("reporting_agency", "ncic", "task", "2 hours"),
    "US.1232.UAC": ("federal_agency", "federal_hhs", "task", "48 hours"),
    "US.1232.TRANSFER": ("federal_agency", "federal_hhs", "task", "72 hours"),
    "NY.483_CC.OTDA": ("reporting_agency", "social_services", "electronic", "asap"),
    "NY.483_CC.DCJS": ("reporting_agency", "criminal_justice", "electronic", "asap"),
    "CA.236_5.VICTIM": ("reporting_agency", "victim", "task", "15 business_days"),
    "CA.236_5.DENIAL": ("reporting_agency", "victim", "task", "15 days"),
    "CA.236_5.RECONSIDER": ("reporting_agency", "victim", "task", "asap"),
    "IN.35_42_3_5_4.VICTIM": ("reporting_agency", "victim", "task", "15 days"),
    "IN.35_42_3_5_4.DENIAL": ("reporting_agency", "victim", "task", "15 days"),
    "OK.21_748_2.DHS": ("reporting_agency", "child_welfare", "electronic", "immediate"),
    "OK.21_748_2.HEARING": ("state", "custody_watch", "task", "2 business_days"),
    "NE.28_801.DHHS": ("reporting_agency", "child_welfare", "electronic", "immediate"),
    "NE.28_801.INVESTIGATE": ("child_welfare_agency", "the_child", "task", "24 hours"),
    "IL.11_14.DCFS": ("reporting_agency", "child_welfare", "task", "immediate"),
    "IL.11_14.INVESTIGATE": ("child_welfare_agency", "the_child", "task", "24 hours"),
    "KY.620_029.CHFS": ("reporting_agency", "child_welfare", "electronic", "immediate"),
}
DELIVERED = {"MO.566_223.DSS", "MO.566_223.JJ", "US.7105.HHS24"}


def facts(law: Law, jurisdiction: str, custody_at: datetime | None = None, **known: object) -> DutyFacts:
    at = noon("2026-11-02")
    return DutyFacts(
        subject=person(known, law) if known else SubjectFacts(),
        encounter_at=at,
        discovered_at=at + timedelta(hours=1),
        as_of=at,
        jurisdiction=jurisdiction,
        custody_at=custody_at,
    )


def test_each_duty_is_held_with_who_owes_it_to_whom_how_and_by_when(law: Law) -> None:
    def clock(spec: Clock | None) -> str | None:
        return None if spec is None else f"{spec.limit} {spec.kind}" if spec.limit else spec.kind

    found = {s.id: (s.owed_by, s.recipient_role, s.channel, clock(s.clock)) for s in (d.spec for d in law.duties)}
    assert found == DUTIES


def test_only_what_the_agency_itself_sends_is_decided_by_default(law: Law) -> None:
    assert {decision.duty_id for decision in decide(facts(law, "MO"), law)} == DELIVERED


@pytest.mark.parametrize("jurisdiction", ["MO", "NY", "CA", "IN", "OK", "NE", "IL", "KY"])
def test_every_duty_that_an_encounter_sets_off_is_decided_when_all_are_asked_for(law: Law, jurisdiction: str) -> None:
    decisions = {decision.duty_id: decision for decision in decide(facts(law, jurisdiction), law, all_duties=True)}
    set_off = {duty for duty, (_, _, channel, _) in DUTIES.items() if channel != "standing"}
    assert set(decisions) == {duty for duty in set_off if duty.split(".")[0] in (jurisdiction, "US")}
    assert {duty: decision.channel for duty, decision in decisions.items()} == {d: DUTIES[d][2] for d in decisions}


def test_nobody_is_sent_a_message_whom_only_a_person_can_tell(law: Law) -> None:
    reachable = {recipient.id for recipient in law.directory.recipients(date(2026, 11, 22))}
    assert {"mo-dss", "us-hhs-otip", "mo-jo-16"} <= reachable
    assert not {"mo-cd-hotline", "the-victim", "the-parents", "ncic-namus"} & reachable


def test_what_was_not_verified_is_marked_in_the_data(law: Law) -> None:
    unverified = {duty.spec.id for duty in law.duties if not duty.spec.citation_verified}
    assert {"US.7105.HHS24", "MO.595_209.RIGHTS", "US.671_35B.MISSING", "US.41307.NCIC", "US.1232.UAC"} <= unverified


def test_a_duty_whose_note_tells_of_memory_or_of_what_was_not_seen_is_marked_unverified(law: Law) -> None:
    told = [d.spec for d in law.duties if re.search("from memory|not verified|not seen", (d.spec.note or "").lower())]
    assert {spec.id for spec in told if spec.citation_verified} == set()
    assert {"MO.210_795.MISSING", "US.671_34A.LE24", "US.671_9C.POLICY"} <= {spec.id for spec in told}
    states = {d.spec.jurisdiction for d in law.duties if not d.spec.citation_verified}
    assert {"CA", "IN", "OK", "NE", "IL", "KY"} <= states


def test_what_comes_after_a_duty_is_a_duty_with_a_clock_of_its_own(law: Law) -> None:
    assert not [d.spec.id for d in law.duties if d.spec.followups or d.spec.side_effects]


def test_the_statement_counts_from_custody_and_from_the_encounter_while_that_is_not_known(law: Law) -> None:
    def due(custody_at: datetime | None) -> datetime | None:
        held = facts(law, "MO", custody_at, birth_date="2012-01-01", protective_custody_taken=True, county="29095")
        (statement,) = (d for d in decide(held, law, all_duties=True) if d.duty_id == "MO.210_125.STATEMENT")
        return statement.due_at

    assert due(None) == noon("2026-11-02") + timedelta(hours=12)
    assert due(noon("2026-11-02") + timedelta(hours=3)) == noon("2026-11-02") + timedelta(hours=15)


@pytest.mark.parametrize(
    ("year", "observed"),
    [
        # opm.gov lists: 2021, where Juneteenth and New Year's Day 2022 moved; 2026.
        (2021, "01-01 01-18 02-15 05-31 06-18 07-05 09-06 10-11 11-11 11-25 12-24 12-31"),
        (2026, "01-01 01-19 02-16 05-25 06-19 07-03 09-07 10-12 11-11 11-26 12-25"),
    ],
)
def test_federal_holidays_fall_on_the_days_on_which_they_are_observed(law: Law, year: int, observed: str) -> None:
    found = holidays(law.calendars["us_federal"], year)
    assert sorted(f"{day:%m-%d}" for day in found) == observed.split()


def test_a_holiday_that_did_not_exist_yet_is_none(law: Law) -> None:
    assert date(2020, 6, 19) not in holidays(law.calendars["us_federal"], 2020)


@pytest.mark.parametrize(
    ("kind", "limit", "started", "ends"),
    [
        ("hours", 24, "2026-11-22T23:30:00-06:00", "2026-11-23T23:30:00-06:00"),
        ("days", 1, "2026-11-22T00:00:00-06:00", "2026-11-24T00:00:00-06:00"),
        ("days", 1, "2026-11-22T23:59:59-06:00", "2026-11-24T00:00:00-06:00"),
        ("days", 15, "2026-02-20T12:00:00-06:00", "2026-03-08T00:00:00-06:00"),
        ("business_days", 1, "2026-11-20T12:00:00-06:00", "2026-11-24T00:00:00-06:00"),  # Friday to Monday
        ("business_days", 1, "2026-11-22T12:00:00-06:00", "2026-11-24T00:00:00-06:00"),  # Sunday to Monday
        ("business_days", 1, "2026-11-25T12:00:00-06:00", "2026-11-28T00:00:00-06:00"),  # over Thanksgiving
        ("business_days", 2, "2026-12-23T12:00:00-06:00", "2026-12-29T00:00:00-06:00"),  # over Christmas and a weekend
        (
            "business_days",
            1,
            "2026-03-06T12:00:00-06:00",
            "2026-03-10T00:00:00-05:00",
        ),  # over the change of time
        ("business_days", 1, "2026-11-23T03:00:00+00:00", "2026-11-24T00:00:00-06:00"),  # still Sunday in Missouri
    ],
)
def test_a_clock_runs_out_when_its_last_day_has_passed(
    law: Law, kind: str, limit: int, started: str, ends: str
) -> None:
    calendar = law.calendars["us_federal"] if kind == "business_days" else None
    clock = Clock.model_validate(
        {"kind": kind, "limit": limit} | ({"calendar": "us_federal"} if calendar else {}), strict=True
    )
    assert deadline(clock, datetime.fromisoformat(started), CENTRAL, calendar) == datetime.fromisoformat(ends)


def test_a_clock_without_a_number_has_no_end(law: Law) -> None:
    assert deadline(Clock(kind="asap"), noon("2026-11-22"), CENTRAL, None) is None


def test_without_a_calendar_only_weekends_are_no_business_days() -> None:
    assert is_business_day(date(2026, 12, 25), None)
    assert not is_business_day(date(2026, 12, 26), None)
