"""`firstnotice law check` finds what is wrong with a release, by file and line, and the release in force stays."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from launcher.law_commands import app
from rulebook.check import check
from rulebook.errors import LawError
from rulebook.loader import LAW, Law, load_law
from tests.unit.rulebook.builders import release_copy

MO = "duties/us_mo.yaml"
HEALTH = "programs/health.yaml"
CIRCUITS = "directory/mo_circuits.csv"
CITATION = 'cite: ["s. 566.223 RSMo (notification paragraph, believed subsection 4)"]'
LAST = "          - outcome: due\n"
DSS_RULES = (
    "          - when: {fact: appears_victim, is: false}\n            outcome: not_due\n"
    "            basis: [does_not_appear_a_victim]\n" + LAST
)
NEVER = (
    "          - when: {all: [{fact: appears_victim, is: false}, {use: verified_minor}]}\n"
    "            outcome: due\n            basis: [minor]\n"
)
SECOND = """  - role: social_services
    jurisdiction: NY
    name: Another office
    recipient: ny-other
    effective: {from: 2008-01-01}
  - role: criminal_justice
"""
NEVER_TRUE, BRANCH = "the condition can never be true", "this branch can never be true"
NOBODY = "{all: [{fact: pregnant, is: true}, {fact: pregnant, is: false}]}"
SAME_PERSON = "approver: law  Editor, firstnotice"


def share(operator: str, percent: int) -> str:
    """A comparison of the income with a part of the poverty guideline."""
    amount = f"{{table: us.poverty_guideline, of: household_size, percent: {percent}, per: month, round: dollar_up}}"
    return f"{{fact: household_income_monthly_cents, {operator}: {amount}}}"


def broken(tmp_path: Path, file: str, old: str, new: str) -> tuple[Path, int]:
    """A copy of the law with one change, and the line of that change."""
    release = release_copy(tmp_path)
    path = release / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return release, text[: text.index(old)].count("\n") + 1


def test_the_release_that_ships_is_sound() -> None:
    assert check(LAW) == ()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        # A missing citation.
        (
            MO,
            'cite: ["s. 566.223 RSMo (notification paragraph, believed subsection 4)"]',
            "cite: []",
            "at least 1 item",
        ),
        # An unknown fact, block, policy value; each named where it stands.
        (MO, "{fact: protective_custody_taken, is: true}", "{fact: custody, is: true}", "add it to law/facts.yaml"),
        (
            HEALTH,
            "{use: mo_resident}",
            "{use: mo_citizen}",
            "adult_expansion: there is no block mo_citizen",
        ),
        (HEALTH, "{fact: pregnant, is: false}", "{fact: pregnnt, is: false}", "fact pregnnt is not in the fact"),
        ("duties/us.yaml", "{policy: hhs24_scope,", "{policy: hhs_scope,", "there is no policy value hhs_scope"),
        # A name that nothing stands behind.
        (MO, "recipient_role: juvenile_justice", "recipient_role: sheriff", "nobody fills the role sheriff"),
        ("duties/ca.yaml", "calendar: us_federal", "calendar: mayan", "no calendar mayan"),
        ("duties/us.yaml", "target: notice_target", "target: soon", "soon is not a duration"),
        # A rule that can never apply: the one before it takes every case.
        (
            MO,
            DSS_RULES,
            DSS_RULES.replace(LAST, NEVER + LAST),
            "MO.566_223.DSS from 2011-08-28, rule 2: the condition can never be true",
        ),
        # A condition and a branch that nobody can meet.
        (HEALTH, "{fact: age_years, lt: 65}", "{fact: age_years, lt: 19}", "the condition can never be true"),
        (HEALTH, "{fact: age_years, lt: 1}", "{fact: age_years, gte: 19}", "this branch can never"),
        # Two percentages of one table, two ages on one day, two days.
        (
            HEALTH,
            "{use: mo_resident}",
            f"{{all: [{share('gt', 306)}, {share('lte', 305)}]}}",
            NEVER_TRUE,
        ),
        (HEALTH, "{use: mo_resident}", "{fact: age_years, between: [30, 20]}", NEVER_TRUE),
        (
            HEALTH,
            "{use: mo_resident}",
            "{all: [{fact: hhs_letter_date, age_on: as_of, lt: 18}, {fact: hhs_letter_date, age_on: as_of, gte: 18}]}",
            NEVER_TRUE,
        ),
        (
            HEALTH,
            "{use: mo_resident}",
            "{all: [{fact: hhs_letter_date, lt: 2020-01-01}, {fact: hhs_letter_date, gt: 2020-01-01}]}",
            NEVER_TRUE,
        ),
        # In a block, a derivation, a rule after others, a flag.
        ("blocks.yaml", "{fact: age_years, gte: 18}", f"{{any: [{{fact: age_years, gte: 18}}, {NOBODY}]}}", BRANCH),
        ("blocks.yaml", "{fact: age_years, gte: 18}", f"{{not: {NOBODY}}}", BRANCH),
        (
            "facts.yaml",
            "  - when: {",
            f"  - when: {NOBODY}\n    then: {{pregnant: false}}\n    cite: [x]\n  - when: {{",
            NEVER_TRUE,
        ),
        (
            MO,
            "when: {fact: appears_victim, is: false}",
            f"when: {{any: [{{fact: appears_victim, is: false}}, {NOBODY}]}}",
            BRANCH,
        ),
        (
            MO,
            "when: {fact: force_or_threat_indicated, is: true}",
            "when: {fact: protective_custody_taken, is: false}",
            "rule 1, flag may_support_defense_566_223_2: the condition can never be true",
        ),
        # The directory.
        (CIRCUITS, "2,Adair,29001\n", "", "county 29001 (Adair) has no recipient in the role juvenile_justice"),
        (CIRCUITS, "2,Adair,29001\n", "2,Adair,29001\n3,Adair,29001\n", "county 29001 has two units"),
        (
            HEALTH,
            "tags: []",
            "tags: [fod]",
            "there is no tag fod; write food, or another of address_confidentiality, c",
        ),
        (HEALTH, "tags: []", "tags: [7]", "there is no tag 7; write "),
        ("directory/recipients.yaml", "  MO:\n    file", "  US:\n    file", "no list of counties"),
        ("directory/ny.yaml", "  - role: criminal_justice\n", SECOND, "two recipients on one day"),
        # Two people.
        (
            "release.yaml",
            "approver: Reviewing counsel, firstnotice",
            "approver: law  Editor, firstnotice",
            "another person",
        ),
    ],
)
def test_what_is_wrong_is_found_with_file_and_line(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    release, line = broken(tmp_path, file, old, new)
    found = check(release)
    assert any(message in finding for finding in found), found
    assert all(re.match(r"^[\w./]+, line \d+", finding) for finding in found)
    if not file.endswith(".csv"):
        near = [int(number) for name, number in re.findall(r"^([\w./]+), line (\d+)", "\n".join(found), re.M)]
        assert any(abs(number - line) <= 16 for number in near), (line, found)


@pytest.mark.parametrize(
    ("until", "wrong"), [("2022-08-27", "gap"), ("2022-08-29", "overlap")], ids=["a gap", "an overlap"]
)
def test_a_gap_and_an_overlap_of_versions_are_found(tmp_path: Path, until: str, wrong: str) -> None:
    release, _ = broken(tmp_path, MO, "until: 2022-08-28", f"until: {until}")
    (finding,) = check(release)
    assert wrong in finding
    assert "write until: 2022-08-28" in finding


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (HEALTH, "{fact: pregnant, is: false}", "{fact: pregnnt, is: false}"),
        (HEALTH, "{fact: pregnant, is: false}", "{fact: pregnant, os: false}"),
        (HEALTH, "{fact: pregnant, is: false}", "{fact: pregnant, is: false"),
        (HEALTH, "percent: 138,", "percent: 138.5,"),
        (CIRCUITS, "2,Adair,29001\n", "2,Adair,2901\n"),
        ("facts.yaml", "  age_years:\n", "  age_years:\n    unit: year\n"),
    ],
)
def test_a_file_is_named_with_its_folder_in_the_release(tmp_path: Path, file: str, old: str, new: str) -> None:
    release, _ = broken(tmp_path, file, old, new)
    found = check(release)
    assert found
    assert all(finding.startswith(f"{file}, line ") for finding in found), found


def test_an_item_that_is_an_alias_is_named_where_it_stands(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    anchored = "blocks:\n  one:\n    any:\n      - &item {use: nobody}\n      - {use: adult}\n"
    (release / "blocks").mkdir()
    (release / "blocks" / "more.yaml").write_text(
        f"{anchored}  two:\n    all:\n      - {{use: adult}}\n      - *item\n", "utf-8"
    )
    assert [line.split(":")[0] for line in check(release)] == [
        "blocks/more.yaml, line 4",
        "blocks/more.yaml, line 9",
    ]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    release, _ = broken(tmp_path, HEALTH, "{fact: pregnant, is: false}", "{fact: pregnnt, is: false}")
    text = (release / MO).read_text(encoding="utf-8")
    (release / MO).write_text(text.replace("use: verified_minor", "use: verified_child"), encoding="utf-8")
    assert len(check(release)) >= 3


def test_the_last_good_release_stays_in_force_on_a_bad_one(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    in_force = load_law(release)
    path = release / HEALTH
    path.write_text(path.read_text(encoding="utf-8").replace("percent: 138,", "percent: 138.5,", 1), encoding="utf-8")
    with pytest.raises(LawError):
        load_law(release)
    assert in_force.digest == law.digest


def test_the_command_says_what_to_correct_and_fails(tmp_path: Path) -> None:
    release, _ = broken(tmp_path, CIRCUITS, "2,Adair,29001\n", "")
    bad = CliRunner().invoke(app, ["check", str(release)])
    assert bad.exit_code == 1
    assert "county 29001 (Adair)" in bad.output
    good = CliRunner().invoke(app, ["check"])
    assert good.exit_code == 0
    version = yaml.safe_load((LAW / "release.yaml").read_text("utf-8"))["version"]
    assert f"Law {version} is sound: 46 duties, 56 programs" in good.output
