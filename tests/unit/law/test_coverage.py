"""`firstnotice law check` finds a role, a day or a county for which nobody is to be told, by file and line."""

import re
from pathlib import Path

import pytest

from rulebook.coverage import uncovered
from rulebook.errors import LawError
from rulebook.loader import load_law, read_files
from tests.unit.rulebook.builders import release_copy

RECIPIENTS = "directory/recipients.yaml"
CIRCUITS = "directory/mo_circuits.csv"
DSS = "    recipient: mo-dss\n    effective: {from: 2011-08-28"
JO = "    by_unit: mo_circuits\n    effective: {from: 2011-08-28}\n    overrides: []"


def found_after(tmp_path: Path, *changes: tuple[str, str, str]) -> list[str]:
    """What is wrong with the directory after the changes; the release's first day is 2026-11-22."""
    release = release_copy(tmp_path)
    first_day = re.search(r"in_force_from: \S+", (release / "release.yaml").read_text("utf-8"))
    assert first_day is not None
    for file, old, new in (*changes, ("release.yaml", first_day[0], "in_force_from: 2026-11-22")):
        path = release / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
    return [str(finding) for finding in uncovered(read_files(release), load_law(release))]


def test_the_release_that_ships_leaves_nobody_out(tmp_path: Path) -> None:
    assert found_after(tmp_path) == []


def line_of(file: str, text: str) -> int:
    content = (Path(__file__).resolve().parents[3] / "law" / file).read_text("utf-8")
    return content[: content.index(text)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "day"),
    [
        (DSS, DSS + ", until: 2020-01-01", "2026-11-22"),
        (DSS, DSS + ", until: 2026-11-22", "2026-11-22"),
        (DSS, DSS + ", until: 2027-03-01", "2027-03-01"),
        (DSS, DSS.replace("2011-08-28", "2026-11-23"), "2026-11-22"),
    ],
    ids=["ended", "ends", "will have ended", "begins later"],
)
def test_a_role_that_nobody_fills_on_a_day(tmp_path: Path, old: str, new: str, day: str) -> None:
    (finding,) = found_after(tmp_path, (RECIPIENTS, old, new))
    line = line_of(RECIPIENTS, DSS) + 1
    assert finding.startswith(
        f"directory/recipients.yaml, line {line}: nobody fills the role social_services of MO on {day}, and "
    )
    assert "correct the days, or add an entry" in finding


def test_a_role_that_goes_over_to_another_recipient_is_filled(tmp_path: Path) -> None:
    other = """, until: 2027-03-01}
  - role: social_services
    jurisdiction: MO
    name: Another office
    recipient: mo-dss-2
    effective: {from: 2027-03-01"""
    assert found_after(tmp_path, (RECIPIENTS, DSS, DSS + other)) == []


def test_a_county_that_loses_its_recipient_on_a_later_day(tmp_path: Path) -> None:
    head, row = "circuit,county,fips\n", "2,Adair,29001\n"
    ended = row.replace("29001", "29001,2027-01-01")
    found = found_after(
        tmp_path,
        (CIRCUITS, head, "circuit,county,fips,effective_until\n"),
        (CIRCUITS, row, ended),
    )
    message = "county 29001 (Adair) has no recipient in the role juvenile_justice on 2027-01-01"
    where = f"directory/mo_circuits.csv, line {line_of(CIRCUITS, row)}"
    assert found == [f"{where}: {message}; correct its row in directory/mo_circuits.csv"]


def test_a_county_without_a_row_is_named_where_it_is_listed(tmp_path: Path) -> None:
    (finding,) = found_after(tmp_path, (CIRCUITS, "2,Adair,29001\n", ""))
    assert finding.startswith("directory/mo_counties.csv, line 2: county 29001 (Adair) has no recipient")


def test_a_county_in_two_circuits_is_named_on_its_second_row(tmp_path: Path) -> None:
    (finding,) = found_after(tmp_path, (CIRCUITS, "2,Adair,29001\n", "2,Adair,29001\n3,Adair,29001\n"))
    line = line_of(CIRCUITS, "2,Adair,29001") + 1
    assert finding.startswith(f"directory/mo_circuits.csv, line {line}: county 29001 has two units on ")


def test_a_county_that_does_not_exist(tmp_path: Path) -> None:
    own = "[{county: '29999', recipient: mo-jo-x, effective: {from: 2026-01-01}}]"
    (override, row) = found_after(
        tmp_path,
        (CIRCUITS, "2,Adair,29001\n", "2,Adair,29001\n2,Adair,29998\n"),
        (RECIPIENTS, JO, JO.replace("[]", own)),
    )[::-1]
    unknown = "there is no such county in directory/mo_counties.csv; correct the code"
    assert override == f"directory/recipients.yaml, line {line_of(RECIPIENTS, JO) + 2}: county 29999: {unknown}"
    assert row == f"directory/mo_circuits.csv, line {line_of(CIRCUITS, '2,Adair,29001') + 1}: county 29998: {unknown}"


def test_two_recipients_of_one_county_on_a_day(tmp_path: Path) -> None:
    own = "\n".join(
        f"\n      - {{county: '29095', recipient: mo-jo-{name}, effective: {{from: 202{n}-01-01}}}}"
        for n, name in enumerate("ab", start=6)
    )
    (finding,) = found_after(tmp_path, (RECIPIENTS, JO, JO.replace(" []", own)))
    assert "county 29095 has two recipients on 2027-01-01; correct `until`" in finding


def test_overrides_where_no_county_is_asked_for(tmp_path: Path) -> None:
    own = "\n    overrides: [{county: '29095', recipient: mo-dss-x, effective: {from: 2026-01-01}}]"
    with pytest.raises(LawError, match="only a role that goes by_unit has overrides"):
        found_after(tmp_path, (RECIPIENTS, DSS + "}", DSS + "}" + own))
