"""A release runs on the schema of the next one: a column that it does not know must not reach its code."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FILES = sorted(path for room in ("kernel", "services", "launcher") for path in (ROOT / room).rglob("*.py"))
EVERYTHING = re.compile(r"SELECT (?:[\w.]+ AS \w+, )?(?:\w+\.)?\*\s+FROM (?!unnest)", re.IGNORECASE)
UNPACKED = re.compile(r"\w\(\*\*(?:dict\()?(?:row|record|subject)\b")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rows_that_are_unpacked_are_read_by_the_names_of_their_columns(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not (EVERYTHING.search(text) and UNPACKED.search(text)), "name the columns: a new one would be an argument"
