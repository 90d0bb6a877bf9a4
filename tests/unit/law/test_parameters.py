"""Amounts by date and household size: exact, in whole cents, and not known rather than guessed."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rulebook.check import check
from rulebook.conditions import Compare
from rulebook.loader import Law
from rulebook.parameters import NotKnown
from rulebook.references import walk
from tests.unit.rulebook.builders import release_copy

GUIDELINE = "us.poverty_guideline"
UNVERIFIED = "        note: The notice and its first day were seen; its amounts are from memory.\n"


@pytest.mark.parametrize(
    ("on", "size", "cents"),
    [
        ("2026-01-13", 1, 1_596_000),
        ("2026-11-22", 2, 1_596_000 + 568_000),
        ("2026-11-22", 8, 1_596_000 + 7 * 568_000),
        ("2026-01-12", 1, 1_565_000),
        ("2026-01-12", 4, 1_565_000 + 3 * 550_000),
    ],
)
def test_the_guideline_of_a_day_and_household(law: Law, on: str, size: int, cents: int) -> None:
    assert law.parameters.value(GUIDELINE, date.fromisoformat(on), size) == cents


@pytest.mark.parametrize(
    ("name", "on", "size"),
    [
        (GUIDELINE, "2025-01-14", 1),  # the year before is not held
        (GUIDELINE, "2026-11-22", 0),
        ("us.ssi.federal_benefit_rate", "2027-01-01", 1),  # ends with the year until the next one is published
        ("us.snap.resource_limit_elderly_or_disabled", "2025-10-01", 1),
        ("us.gold_price", "2026-11-22", 1),
    ],
)
def test_what_is_not_held_is_not_known_and_not_guessed(law: Law, name: str, on: str, size: int) -> None:
    with pytest.raises(NotKnown):
        law.parameters.value(name, date.fromisoformat(on), size)


def test_a_program_that_takes_the_guideline_later_has_the_older_one_until_then(law: Law) -> None:
    table = law.parameters.tables[GUIDELINE]
    assert table.adopted_value("mohealthnet_kids", date(2026, 3, 31)) == 1_565_000
    assert table.adopted_value("mohealthnet_kids", date(2026, 4, 1)) == 1_596_000
    assert table.adopted_value("snap", date(2026, 9, 30)) == 1_565_000
    assert table.adopted_value("snap", date(2026, 10, 1)) == 1_596_000
    assert table.adopted_value("wic", date(2026, 1, 13)) == 1_596_000


def test_the_next_change_of_a_table_is_known(law: Law) -> None:
    assert law.parameters.tables[GUIDELINE].changes_after(date(2025, 6, 1)) == date(2026, 1, 13)
    assert law.parameters.tables[GUIDELINE].changes_after(date(2026, 6, 1)) is None


def test_every_percentage_is_the_one_in_the_condition_of_its_program(law: Law) -> None:
    for name, spec in law.parameters.percentages.items():
        (program,) = (p.spec for p in law.programs if p.spec.id == spec.program)
        for version in spec.versions:
            for rule in (r for r in program.versions if version.effective.holds(r.effective.from_)):
                limits = {
                    Decimal(str(node.lte))
                    for _, node in walk(rule.when)
                    if isinstance(node, Compare) and node.fact == spec.fact and node.lte is not None
                }
                assert Decimal(version.percent) in limits, name


@pytest.mark.parametrize(
    ("program", "table", "fact"),
    [
        ("snap", "us.snap.resource_limit", "countable_resources_usd"),
        ("ssi", "us.ssi.resource_limit", "countable_resources_usd"),
        ("mo_temporary_assistance", "mo.ta.resource_limit", "countable_resources_usd"),
        ("liheap", "mo.liheap.resource_limit", "countable_resources_usd"),
    ],
)
def test_every_dollar_limit_is_the_one_in_the_condition_of_its_program(
    law: Law, program: str, table: str, fact: str
) -> None:
    (spec,) = (p.spec for p in law.programs if p.spec.id == program)
    rule = spec.versions[-1]
    (limit,) = {n.lte for _, n in walk(rule.when) if isinstance(n, Compare) and n.fact == fact}
    assert law.parameters.value(table, date(2026, 11, 22)) == Decimal(str(limit)) * 100


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
        ("program: snap, month", "program: stamps, month", "there is no program stamps"),
        ("of: us.poverty_guideline", "of: us.fpl", "there is no table us.fpl"),
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
    assert any(message in finding and finding.startswith("us.yaml, line ") for finding in found), found
