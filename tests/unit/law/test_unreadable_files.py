"""A law file that cannot be read is named by file and line, and the last good release stays in force."""

import os
from pathlib import Path

import pytest

from rulebook.check import check
from rulebook.loader import Law
from rulebook.release import load_law_or_last_good
from tests.unit.rulebook.builders import release_copy

FACTS = "facts.yaml"
CIRCUITS = "directory/mo_circuits.csv"
BOMB = "\n".join(
    ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)), "facts: *a11"]
)
LADDER = "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 9000)), ""])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("duties/us_mo.yaml", b"duties:\n- from: 2011-02-30\n", "duties/us_mo.yaml, line 2: there is no such day"),
        (
            "duties/us_mo.yaml",
            b"duties:\n- from: 2011-13-01T10:00:00Z\n",
            "duties/us_mo.yaml, line 2: there is no such day",
        ),
        (FACTS, b"facts:\n  one: 0b_\n", "facts.yaml, line 2: write a number"),
        (FACTS, b"facts:\n  one: " + b"9" * 5000, "facts.yaml, line 2: write a number"),
        (FACTS, b"facts:\n  caf\xe9: 1\n", "facts.yaml, line 2: is not UTF-8; save the file as UTF-8"),
        (FACTS, b"facts:\n  one: \x00\n", "facts.yaml, line 2: a character that YAML has not"),
        (FACTS, b"facts:\n  " + b"[" * 100_000, "facts.yaml, line 2: more than 40 levels"),
        (FACTS, b"facts:\n" + b"- " * 100_000, "facts.yaml, line 2: more than 40 levels"),
        (FACTS, b"facts:\n  " + b"{a: " * 100_000, "facts.yaml, line 2: more than 40 levels"),
        (FACTS, LADDER.encode(), "facts.yaml, line 40: more than 40 levels"),
        (FACTS, BOMB.encode(), "facts.yaml, line 7: more than 40 levels or 200000 items"),
        (FACTS, b"facts: &a\n  one: *a\n", "facts.yaml, line "),
        (FACTS, b"facts:\n  ? [a, b]\n  : 1\n", "facts.yaml, line 2: a key is a list"),
        (FACTS, b"", "facts.yaml, line 1"),
        (FACTS, b"facts:\n  - one\n---\nfacts: {}\n", "facts.yaml, line 3"),
        (FACTS, None, "facts.yaml, line 1: cannot be read"),
        (CIRCUITS, b"circuit,county,fips\n1,Caf\xe9,29045\n", "directory/mo_circuits.csv, line 2: is not UTF-8"),
        (
            CIRCUITS,
            b"circuit,county,code\n1,Clark,29045\n",
            "directory/mo_circuits.csv, line 1: there is no column fips",
        ),
        (CIRCUITS, b"circuit,county,fips\n1,Clark\n", "directory/mo_circuits.csv, line 2: write circuit, fips"),
        (
            CIRCUITS,
            b"circuit,county,fips\n1,Clark,29045,x\n",
            "directory/mo_circuits.csv, line 2: more values than columns",
        ),
        (CIRCUITS, b"circuit,county,fips\n1," + b"C" * 200_000 + b",29045\n", "directory/mo_circuits.csv, line "),
        (CIRCUITS, None, "directory/mo_circuits.csv, line 1: cannot be read"),
    ],
)
def test_it_is_named_and_the_last_good_release_stays(
    tmp_path: Path, law: Law, file: str, content: bytes | None, message: str
) -> None:
    release = release_copy(tmp_path)
    path = release / file
    path.unlink()
    if content is None:
        os.mkdir(path)
    else:
        path.write_bytes(content)
    found = check(release)
    assert any(finding.startswith(message) for finding in found), found
    stays = load_law_or_last_good(release, on=law.release.in_force_from)
    assert stays.law.digest == law.digest
    assert message in (stays.fallback_reason or "")


def test_a_missing_table_of_the_directory_is_named(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    (release / CIRCUITS).unlink()
    (finding,) = check(release)
    assert (
        finding
        == "directory/mo_circuits.csv, line 1: is missing from the law release; restore directory/mo_circuits.csv"
    )
