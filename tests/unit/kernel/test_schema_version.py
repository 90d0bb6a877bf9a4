"""Which databases a release starts on: its own, a newer release's, and never an older one's."""

from pathlib import Path

import pytest

from kernel.migrations import Schema
from kernel.migrations.version import is_ahead, is_behind, revisions

KNOWN = ("intake_0001", "intake_0002")


@pytest.mark.parametrize(
    ("found", "behind", "ahead"),
    [
        (None, True, False),
        ("intake_0001", True, False),
        ("intake_0002", False, False),
        ("intake_0003", False, True),
    ],
)
def test_a_database_may_be_ahead_of_the_code_and_never_behind_it(found: str | None, behind: bool, ahead: bool) -> None:
    assert (is_behind(found, KNOWN), is_ahead(found, KNOWN)) == (behind, ahead)


def test_revisions_are_read_from_the_names_of_the_files_in_order(tmp_path: Path) -> None:
    for name in ("0010_later.py", "0002_second.py", "0001_first.py", "__init__.py", "notes.txt", "0003_draft.py.orig"):
        (tmp_path / name).touch()
    (tmp_path / "__pycache__").mkdir()
    assert revisions(Schema("bus", tmp_path)) == ("bus_0001", "bus_0002", "bus_0010")
