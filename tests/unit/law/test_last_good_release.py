"""Bad law files: the last good release stays in force, loudly."""

import logging
import zipfile
from pathlib import Path

import pytest

from rulebook.errors import LawError
from rulebook.loader import Law, load_law
from rulebook.release import archive, load_law_or_last_good
from tests.unit.rulebook.builders import release_copy


def broken(release: Path) -> None:
    path = release / "duties" / "us_mo.yaml"
    path.write_text(path.read_text("utf-8").replace("outcome: due", "outcome: perhaps", 1), "utf-8")


def test_a_good_folder_is_in_force_without_a_word(tmp_path: Path, law: Law, caplog: pytest.LogCaptureFixture) -> None:
    found = load_law_or_last_good(release_copy(tmp_path))
    assert (found.law.digest, found.fallback_reason) == (law.digest, None)
    assert not caplog.records


def test_a_broken_folder_leaves_the_newest_archived_release_in_force_and_says_so(
    tmp_path: Path, law: Law, caplog: pytest.LogCaptureFixture
) -> None:
    release = release_copy(tmp_path)
    path = release / "release.yaml"
    path.write_text(path.read_text("utf-8").replace(law.version, "2099.1.0"), "utf-8")
    archive(release)
    broken(release)
    with caplog.at_level(logging.ERROR):
        found = load_law_or_last_good(release)
    assert found.law.version == "2099.1.0"
    assert found.fallback_reason is not None
    assert "us_mo.yaml, line" in found.fallback_reason
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "2099.1.0 stays in force" in record.getMessage()
    assert "us_mo.yaml, line" in record.getMessage()


def test_a_damaged_archive_is_passed_over_for_the_one_before(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    broken(release)
    (release / "archive" / "2099.1.0.zip").write_bytes(b"PK nothing")
    (release / "archive" / "2099.2.0.zip").write_bytes(
        (release / "archive" / f"{law.version}.zip").read_bytes().replace(b"duties/", b"dutieZ/")
    )
    assert load_law_or_last_good(release).law.digest == law.digest


def test_the_operators_policy_stands_under_the_release_that_stays(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    broken(release)
    found = load_law_or_last_good(release, {"hhs24_scope": "all_minors"})
    assert found.law.policy["hhs24_scope"].value == "all_minors"


def test_a_reload_keeps_what_is_held(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    held = load_law(release)
    broken(release)
    assert load_law_or_last_good(release, holding=held).law is held


@pytest.mark.parametrize("how", ["gone", "not utf-8"])
def test_files_that_cannot_be_read_are_no_reason_to_stop(tmp_path: Path, law: Law, how: str) -> None:
    release = release_copy(tmp_path)
    if how == "gone":
        (release / "facts.yaml").unlink()
    else:
        (release / "facts.yaml").write_bytes(b"facts: {caf\xe9: 1}\n")
    found = load_law_or_last_good(release)
    assert found.law.digest == law.digest
    assert found.fallback_reason


def test_with_nothing_good_left_the_error_names_the_folder_first(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    broken(release)
    for kept in (release / "archive").glob("*.zip"):
        with zipfile.ZipFile(kept, "w") as target:
            target.writestr("nothing.txt", "")
    with pytest.raises(LawError, match=r"(?s)^us_mo\.yaml, line .*archived .*no archived release stands in"):
        load_law_or_last_good(release)
