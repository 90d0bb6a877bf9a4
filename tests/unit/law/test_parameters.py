"""Amounts by date and household size: exact, in whole cents, and not known rather than guessed."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulebook.check import check
from rulebook.conditions import Compare, TableAmount, walk
from rulebook.loader import LAW, Law
from rulebook.parameters import NotKnown
from rulebook.programs import evaluate
from rulebook.schema import BlocksFile
from rulebook.values import FactMap, Interval
from tests.unit.rulebook.builders import release_copy

GUIDELINE = "us.poverty_guideline"
TODAY = date(2026, 11, 22)
UNVERIFIED = "        note: The notice and its first day were seen; its amounts are from memory.\n"


@pytest.mark.parametrize(
    ("on", "size", "cents"),
    [
        ("2026-01-13", 1, 1_596_000),
        ("2026-11-22", 2, 1_596_000 + 568_000),
        ("2026-11-22", 8, 1_596_000 + 7 * 568_000),
        ("2026-01-12", 1, 1_565_000),
        ("2025-01-14", 3, 1_506_000 + 2 * 538_000),
        ("2026-01-12", 4, 1_565_000 + 3 * 550_000),
    ],
)
def test_the_guideline_of_a_day_and_household(law: Law, on: str, size: int, cents: int) -> None:
    assert law.parameters.value(GUIDELINE, date.fromisoformat(on), size) == cents


@pytest.mark.parametrize(
    ("name", "on", "size"),
    [
        (GUIDELINE, "2024-01-10", 1),  # the year before is not held
        (GUIDELINE, "2026-11-22", 0),
        ("mo.smi", "2027-10-01", 1),  # ends with the fiscal year until the next one is published
        ("us.snap.resource_limit_elderly_or_disabled", "2024-09-30", 1),
        ("us.gold_price", "2026-11-22", 1),
    ],
)
def test_what_is_not_held_is_not_known_and_not_guessed(law: Law, name: str, on: str, size: int) -> None:
    with pytest.raises(NotKnown):
        law.parameters.value(name, date.fromisoformat(on), size)


def test_a_program_that_takes_the_guideline_later_has_the_older_one_until_then(law: Law) -> None:
    table = law.parameters.tables[GUIDELINE]
    days = {"mohealthnet_kids": date(2026, 4, 1), "wic": date(2026, 7, 1), "snap": date(2026, 10, 1)}
    for program, day in days.items():
        taken = table.taken_by(program)
        assert taken is not None
        assert taken.amount(1, day - timedelta(days=1)) == 1_565_000
        assert taken.amount(1, day) == 1_596_000
        assert taken.changes_after(date(2026, 1, 13)) == day
        assert taken.changes_after(day) is None
    assert table.taken_by("mo_child_care_subsidy") is None


def test_the_next_change_of_a_table_is_known(law: Law) -> None:
    assert law.parameters.tables[GUIDELINE].changes_after(date(2025, 6, 1)) == date(2026, 1, 13)
    assert law.parameters.tables[GUIDELINE].changes_after(date(2026, 6, 1)) is None


def test_no_parameter_stands_there_unread(law: Law) -> None:
    """What no condition applies would look like law, and change nothing."""
    blocks = yaml.safe_load((LAW / "blocks.yaml").read_text("utf-8"))["blocks"]
    conditions = [version.when for program in law.programs for version in program.spec.versions]
    conditions += [BlocksFile.model_validate({"blocks": blocks}).blocks[name] for name in blocks]
    read = {
        limit.table
        for condition in conditions
        for _, node in walk(condition)
        if isinstance(node, Compare) and isinstance(limit := node.threshold, TableAmount)
    }
    assert read == set(law.parameters.tables)
    assert not law.parameters.percentages


def test_no_condition_compares_money_with_a_number_of_its_own(law: Law) -> None:
    """So that whoever reads an answer learns by which table, and whether it was verified."""
    for program in law.programs:
        for version in program.spec.versions:
            for _, node in walk(version.when):
                if isinstance(node, Compare) and node.fact.endswith("_cents"):
                    assert isinstance(node.threshold, TableAmount), program.spec.id


def test_a_limit_that_was_not_verified_says_so_in_the_answer(law: Law) -> None:
    facts = {"state_of_residence": "MO", "household_size": 1, "household_income_monthly_cents": 500_000}
    facts |= {"household_with_elderly_or_disabled": False, "household_all_on_cash_aid": False}
    answers = {
        answer.program_id: answer for answer in evaluate(facts, law, jurisdiction="MO", as_of=date(2026, 11, 22))
    }
    (reason,) = (reason for reason in answers["snap"].reasons if reason.fact == "household_income_monthly_cents")
    assert reason.threshold == {
        "table": GUIDELINE,
        "of": "household_size",
        "percent": "130",
        "per": "month",
        "round": "dollar_up",
        "taken_by": "snap",
        "verified": False,
    }
    assert reason.value == {"household_income_monthly_cents": 500_000, "household_size": 1}


def test_a_limit_of_a_day_that_is_not_held_leaves_the_answer_open_and_asks_for_nothing(law: Law) -> None:
    known = {"state_of_residence": "MO", "household_size": 1, "household_income_monthly_cents": 50_000_000}
    known |= {"household_net_income_monthly_cents": 10_000, "citizenship_status": "us_citizen"}
    known |= {
        "countable_resources_cents": 10_000,
        "household_with_elderly_or_disabled": False,
        "household_all_on_cash_aid": False,
    }
    found = evaluate(known, law, jurisdiction="MO", as_of=date(2024, 9, 30))
    (snap,) = (answer for answer in found if answer.program_id == "snap")
    assert (snap.outcome, snap.missing) == ("potentially_eligible", ())
    assert {(reason.threshold["table"], reason.holds) for reason in snap.reasons if reason.holds is None} == {
        (GUIDELINE, None),
        ("us.snap.resource_limit", None),
    }


def test_income_and_household_are_asked_for_together_and_apart(law: Law) -> None:
    known: FactMap = {
        "state_of_residence": "MO",
        "countable_resources_cents": 10_000,
        "citizenship_status": "us_citizen",
        "household_net_income_monthly_cents": 10_000,
        "household_with_elderly_or_disabled": False,
        "household_all_on_cash_aid": False,
    }
    some: list[tuple[FactMap, set[str]]] = [
        ({}, {"household_income_monthly_cents", "household_size"}),
        ({"household_income_monthly_cents": 300_000}, {"household_size"}),
        ({"household_size": 2}, {"household_income_monthly_cents"}),
        ({"household_size": Interval(1, 4), "household_income_monthly_cents": 300_000}, {"household_size"}),
    ]
    for more, missing in some:
        found = evaluate({**known, **more}, law, jurisdiction="MO", as_of=date(2026, 11, 22))
        (snap,) = (answer for answer in found if answer.program_id == "snap")
        assert snap.outcome == "potentially_eligible"
        assert set(snap.missing) == missing


@pytest.mark.parametrize("program", ["snap", "ssi", "mo_temporary_assistance", "liheap"])
def test_a_limit_of_resources_that_was_not_verified_says_so_in_the_answer(law: Law, program: str) -> None:
    known: FactMap = {"countable_resources_cents": 1_000_000, "household_size": 1, "household_all_on_cash_aid": False}
    answers = {answer.program_id: answer for answer in evaluate(known, law, jurisdiction="MO", as_of=TODAY)}
    assert answers[program].outcome == "not_eligible"
    reasons = [reason for reason in answers[program].reasons if reason.fact == "countable_resources_cents"]
    assert reasons
    assert all(reason.threshold["verified"] is False for reason in reasons)


def test_what_was_not_verified_says_so(law: Law) -> None:
    for table in law.parameters.tables.values():
        assert all(version.verified or version.note for version in table.spec.versions)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("until: 2026-01-13", "until: 2026-01-12", "gap or overlap"),
        ("cents: [1565000]", "cents: [1565000, 1000]", "must not be less"),
        ("cents: [1565000]", "cents: [15650.00]", "valid integer"),
        ('cite: ["90 FR 5917 (17 January 2025)"]', "cite: []", "at least 1"),
        ("program: snap, month", "program: stamps, month", "us.poverty_guideline names no day on which snap takes it"),
        ("month: 10, day: 1", "month: 10, day: 31", "less than or equal to 28"),
        (
            "        note: The notice and its first day were seen; its amounts are from memory.\n",
            "",
            "says so in a note",
        ),
    ],
)
def test_a_wrong_parameter_is_found(tmp_path: Path, old: str, new: str, message: str) -> None:
    release = release_copy(tmp_path)
    path = release / "parameters" / "us.yaml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    found: Any = check(release)
    where = "blocks.yaml" if "takes it" in message else "parameters/us.yaml"
    assert any(message in finding and finding.startswith(f"{where}, line ") for finding in found), found
