"""`firstnotice law check` finds a parameter that no condition reads: whoever changed it would change nothing."""

from pathlib import Path

import pytest

from rulebook.loader import load_law, read_files
from rulebook.unread import unread
from tests.unit.rulebook.builders import release_copy

MO, US, HEALTH = "parameters/mo.yaml", "parameters/us.yaml", "programs/health.yaml"
TABLE = """  mo.rent:
    title: Rent
    jurisdiction: MO
    per: month
    rounding: dollar_down
    versions: [{effective: {from: 2026-01-01}, cite: [x], cents: [100], verified: true}]
"""


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            MO,
            "tables:\n",
            "tables:\n" + TABLE,
            "mo.yaml, line 3: mo.rent: no condition reads this table; compare with it",
        ),
        (
            MO,
            'percent: "138"',
            'percent: "139"',
            "mohealthnet.adult_expansion: no condition of mohealthnet_adult_expansion compares "
            "household_income_monthly_cents with 139 % of us.poverty_guideline; correct one, or remove this",
        ),
        (HEALTH, "percent: 138,", "percent: 137,", "mohealthnet.adult_expansion: no condition of"),
        (
            US,
            "adopted:\n",
            "adopted:\n      - {program: liheap, month: 10, day: 1, cite: [x], verified: false}\n",
            "us.yaml, line 10: us.poverty_guideline: no condition has taken_by: liheap; write it there",
        ),
        (
            US,
            "program: lifeline_safe_connections",
            "program: lifeline",
            "there is no program lifeline; correct",
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


def test_the_release_that_ships_holds_no_parameter_that_nothing_reads() -> None:
    assert [str(finding) for finding in unread(read_files(), load_law())] == []
