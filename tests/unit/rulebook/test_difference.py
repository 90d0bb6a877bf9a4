"""Whose answer changes between two releases is told, with the reason; whose does not, is not."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rulebook import columns
from rulebook.cases import Case
from rulebook.difference import ABSENT, EvaluatorsDisagree, difference
from rulebook.encoding import Columns
from rulebook.loader import Law, load_law
from tests.unit.rulebook.builders import ENCOUNTER, person, release_copy

AS_OF = datetime.fromisoformat("2026-11-22T12:00:00-06:00")
CHILD = {"birth_date": "2012-01-01", "verified_by": "document"}


def case(label: str, age: dict[str, Any] | None = None, county: str | None = "29095", **circumstances: Any) -> Case:
    return Case(label, person(age, county, **circumstances), ENCOUNTER, ENCOUNTER)


CASES = (
    case("child", CHILD, trafficking={"type": "sex"}),
    case("adult", {"birth_date": "1990-01-01", "verified_by": "document"}),
    case("nothing known"),
    case("elsewhere", CHILD, county="29510"),
)


@pytest.fixture
def release(tmp_path: Path) -> "Release":
    return Release(release_copy(tmp_path))


class Release:
    def __init__(self, root: Path) -> None:
        self.root = root

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")

    def law(self) -> Law:
        return load_law(self.root)


def test_nothing_changes_under_the_same_release(law: Law) -> None:
    found = difference(law, law, CASES, jurisdiction="MO", as_of=AS_OF)
    assert (found.changed, found.programs, found.duties) == (0, (), ())
    assert (found.program_totals, found.duty_totals) == ({}, {})


def test_a_program_is_told_with_the_version_and_the_citation_that_changed_it(law: Law, release: Release) -> None:
    release.edit(
        "programs/status_and_immigration.yaml",
        "8 USC 1101(a)(15)(U)",
        "8 USC 1101(a)(15)(U) as amended in a dream",
    )
    release.edit("programs/status_and_immigration.yaml", "{from: 2007-10-17}", "{from: 2027-08-28}")
    found = difference(law, release.law(), CASES, jurisdiction="MO", as_of=AS_OF)
    changes = [change for change in found.programs if change.rule == "u_visa"]
    assert {change.after for change in changes} == {"not_eligible"}
    assert {change.before for change in changes} == {"potentially_eligible"}
    assert all("8 USC 1101(a)(15)(U) as amended in a dream" in change.citations for change in changes)
    assert {str(change.version_before) for change in changes} == {"2007-10-17"}
    assert {change.version_after for change in changes} == {None}
    assert found.program_totals["u_visa"] == {("potentially_eligible", "not_eligible"): len(CASES)}


def test_a_shorter_clock_changes_the_decision_of_those_alone_to_whom_it_applies(law: Law, release: Release) -> None:
    release.edit("duties/us.yaml", "{kind: hours, limit: 24, target", "{kind: hours, limit: 12, target")
    found = difference(law, release.law(), CASES, jurisdiction="MO", as_of=AS_OF)
    changes = [change for change in found.duties if change.rule == "US.7105.HHS24"]
    assert [change.case for change in changes] == ["child", "nothing known", "elsewhere"]
    assert {change.what for change in changes} == {("due_at",)}
    due = (ENCOUNTER + timedelta(hours=24), ENCOUNTER + timedelta(hours=12))
    assert changes[0].because == (f"due_at: {due[0].isoformat()} -> {due[1].isoformat()}",)
    assert found.program_totals == {}


def test_another_recipient_is_told_for_the_county_that_it_is_for(law: Law, release: Release) -> None:
    release.edit("directory/mo_circuits.csv", "16,Jackson,29095", "17,Jackson,29095")
    found = difference(law, release.law(), CASES, jurisdiction="MO", as_of=AS_OF)
    (change,) = (one for one in found.duties if one.rule == "MO.566_223.JJ" and one.case == "child")
    assert change.what == ("recipient_id",)
    assert change.because == ("recipient_id: mo-jo-16 -> mo-jo-17",)
    assert not [one for one in found.duties if one.case == "elsewhere"]


def test_a_new_flag_is_a_change_of_those_of_whom_it_holds(law: Law, release: Release) -> None:
    release.edit("duties/us_mo.yaml", "flag: needs_age_check", "flag: needs_another_check")
    release.edit("duties/us_mo.yaml", "{needs_age_check: ", "{needs_another_check: ")
    guessed = case("guessed", {"apparent_minor": True})
    found = difference(law, release.law(), (*CASES, guessed), jurisdiction="MO", as_of=AS_OF)
    assert {change.case for change in found.duties if "flags" in change.what} == {"guessed"}


def test_a_program_that_a_release_no_longer_holds_is_told(law: Law, release: Release) -> None:
    release.edit("programs/status_and_immigration.yaml", "id: u_visa", "id: u_visa_renamed")
    found = difference(law, release.law(), CASES[:1], jurisdiction="MO", as_of=AS_OF)
    assert {(change.rule, change.before, change.after) for change in found.programs} == {
        ("u_visa", "potentially_eligible", ABSENT),
        ("u_visa_renamed", ABSENT, "potentially_eligible"),
    }


def test_totals_count_those_that_are_not_told(law: Law, release: Release) -> None:
    release.edit("programs/status_and_immigration.yaml", "{from: 2007-10-17}", "{from: 2027-08-28}")
    found = difference(law, release.law(), CASES * 50, jurisdiction="MO", as_of=AS_OF, told=3)
    assert (found.persons, found.changed, found.told) == (200, 200, 3)
    assert sum(found.program_totals["u_visa"].values()) == 200
    assert len({change.case for change in found.programs}) <= 3


def test_evaluators_that_disagree_are_never_smoothed_over(
    law: Law, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = columns.answers

    def wrong(people: Columns, under: Law, *more: Any, **named: Any) -> dict[str, columns.Codes]:
        codes = right(people, under, *more, **named)
        return codes if under is law else codes | {"u_visa": np.zeros_like(codes["u_visa"])}

    monkeypatch.setattr(columns, "answers", wrong)
    with pytest.raises(EvaluatorsDisagree):
        difference(law, release.law(), CASES[:1], jurisdiction="MO", as_of=AS_OF)
