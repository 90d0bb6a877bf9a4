"""`firstnotice law check` finds a parameter that no condition reads: whoever changed it would change nothing."""

from pathlib import Path

import pytest

from rulebook.loader import load_law, read_files
from rulebook.unread import unread
from tests.unit.rulebook.builders import release_copy

MO, US = "parameters/mo.yaml", "parameters/us.yaml"
TABLE = """  mo.rent:
    title: Rent
    jurisdiction: MO
    per: month
    rounding: dollar_down
    versions: [{effective: {from: 2026-01-01}, cite: [x], cents: [100], verified: true}]
"""


PERCENTAGE = """percentages:
  adults:
    title: Adult expansion group
    program: {}
    fact: household_income_monthly_cents
    of: us.poverty_guideline
    versions: [{{effective: {{from: 2021-07-01}}, percent: "{}", cite: [x]}}]
tables:
"""
ADULTS = "mohealthnet_adult_expansion"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            MO,
            "tables:\n",
            "tables:\n" + TABLE,
            "parameters/mo.yaml, line 3: mo.rent: no condition reads this table; compare",
        ),
        (
            MO,
            "tables:\n",
            PERCENTAGE.format(ADULTS, 139),
            f"parameters/mo.yaml, line 8: adults: no condition of {ADULTS} compares household_income_monthly_cents "
            "with 139 % of us.poverty_guideline; correct one, or remove this",
        ),
        (MO, "tables:\n", PERCENTAGE.format("lifeline", 135), "there is no program lifeline; correct the name"),
        (
            US,
            "adopted:\n",
            "adopted:\n      - {program: liheap, month: 10, day: 1, cite: [x], verified: false}\n",
            "parameters/us.yaml, line 10: us.poverty_guideline: no condition has taken_by: liheap; write it there",
        ),
    ],
)
def test_what_nothing_reads_is_found(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    release = release_copy(tmp_path)
    before = {str(finding) for finding in unread(read_files(release), load_law(release))}
    path = release / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    after = {str(finding) for finding in unread(read_files(release), load_law(release))}
    assert any(message in finding for finding in after - before), after - before


def test_a_percentage_that_a_condition_of_its_program_repeats_is_read(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    path = release / MO
    path.write_text(path.read_text("utf-8").replace("tables:\n", PERCENTAGE.format(ADULTS, 138), 1), "utf-8")
    assert not list(unread(read_files(release), load_law(release)))


def test_the_release_that_ships_holds_no_parameter_that_nothing_reads() -> None:
    assert [str(finding) for finding in unread(read_files(), load_law())] == []
