"""Bad law files, law that nobody sealed, law of a day to come: the last good release stays in force, and says why."""

import logging
import zipfile
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from rulebook.check import check
from rulebook.errors import LawError
from rulebook.loader import Law, load_law
from rulebook.release import archive, load_law_or_last_good
from tests.unit.rulebook.builders import release_copy

TODAY = date(2026, 11, 22)
last_good = partial(load_law_or_last_good, on=TODAY)


def edit(release: Path, **values: str) -> None:
    """Other values in `release.yaml`."""
    path = release / "release.yaml"
    lines = [line for line in path.read_text("utf-8").splitlines() if line.split(":")[0] not in values]
    path.write_text("\n".join([*lines, *(f"{name}: {value}" for name, value in values.items()), ""]), "utf-8")


def change(release: Path) -> None:
    path = release / "blocks.yaml"
    path.write_text(path.read_text("utf-8").replace("percent: 130,", "percent: 150,"), "utf-8")


def broken(release: Path) -> None:
    path = release / "duties" / "us_mo.yaml"
    path.write_text(path.read_text("utf-8").replace("outcome: due", "outcome: perhaps", 1), "utf-8")


def test_a_good_folder_is_in_force_without_a_word(tmp_path: Path, law: Law, caplog: pytest.LogCaptureFixture) -> None:
    found = last_good(release_copy(tmp_path))
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
        found = last_good(release)
    assert found.law.version == "2099.1.0"
    assert found.fallback_reason is not None
    assert "duties/us_mo.yaml, line" in found.fallback_reason
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "2099.1.0 stays in force" in record.getMessage()
    assert "duties/us_mo.yaml, line" in record.getMessage()


@pytest.mark.parametrize("content", [b"PK nothing", b"", b"altered", b"cut"])
def test_a_damaged_archive_is_passed_over_for_the_one_before(tmp_path: Path, law: Law, content: bytes) -> None:
    release = release_copy(tmp_path)
    broken(release)
    good = (release / "archive" / f"{law.version}.zip").read_bytes()
    damaged = {b"altered": good.replace(b"duties/", b"dutieZ/"), b"cut": good[:3000] + bytes(40) + good[3040:]}
    (release / "archive" / "2099.1.0.zip").write_bytes(damaged.get(content, content))
    (release / "archive" / "draft.zip").write_bytes(good)
    assert last_good(release).law.digest == law.digest


def test_the_operators_policy_stands_under_the_release_that_stays(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    broken(release)
    found = last_good(release, {"hhs24_scope": "all_minors"})
    assert found.law.policy["hhs24_scope"].value == "all_minors"


def test_a_reload_keeps_what_is_held(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    held = load_law(release)
    broken(release)
    assert last_good(release, holding=held).law is held


@pytest.mark.parametrize("how", ["gone", "not utf-8"])
def test_files_that_cannot_be_read_are_no_reason_to_stop(tmp_path: Path, law: Law, how: str) -> None:
    release = release_copy(tmp_path)
    if how == "gone":
        (release / "facts.yaml").unlink()
    else:
        (release / "facts.yaml").write_bytes(b"facts: {caf\xe9: 1}\n")
    found = last_good(release)
    assert found.law.digest == law.digest
    assert found.fallback_reason


def test_with_nothing_good_left_the_error_names_the_folder_first(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    broken(release)
    for kept in (release / "archive").glob("*.zip"):
        with zipfile.ZipFile(kept, "w") as target:
            target.writestr("nothing.txt", "")
    with pytest.raises(LawError, match=r"(?s)^duties/us_mo\.yaml, line .*archived .*no archived release stands in"):
        last_good(release)


def test_a_release_is_not_applied_before_its_day(tmp_path: Path, law: Law, caplog: pytest.LogCaptureFixture) -> None:
    release = release_copy(tmp_path)
    edit(release, version='"2031.1.0"', in_force_from="2031-01-01")
    change(release)
    archive(release)
    before = load_law_or_last_good(release, on=date(2030, 12, 31))
    assert (before.law.digest, before.fallback_reason) == (law.digest, None)
    assert before.shown["law_version"] == law.version
    assert before.shown["law_awaited"] == "2031.1.0 is in force from 2031-01-01; start again on that day"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    after = load_law_or_last_good(release, on=date(2031, 1, 1))
    assert (after.law.version, after.awaited) == ("2031.1.0", None)


def test_no_archived_release_stands_in_before_its_day(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    edit(release, version='"2031.1.0"', in_force_from="2031-01-01")
    archive(release)
    broken(release)
    assert last_good(release).law.digest == law.digest
    with pytest.raises(LawError, match=r"(?s)^duties/us_mo\.yaml.*archived 2031\.1\.0 is in force from 2031-01-01"):
        load_law_or_last_good(release, on=date(2011, 1, 1))


def test_law_that_was_edited_without_a_new_version_is_not_applied(
    tmp_path: Path, law: Law, caplog: pytest.LogCaptureFixture
) -> None:
    release = release_copy(tmp_path)
    change(release)
    found = last_good(release)
    assert found.law.digest == law.digest
    reason = found.shown["law_refused"]
    assert reason.startswith("release.yaml, line 6: ")
    assert "raise `version`" in reason
    assert "run `firstnotice law archive`" in reason
    assert reason in caplog.text


def test_law_that_is_in_no_archive_is_not_applied(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    change(release)
    edit(release, version='"2026.12.0"')
    refused = last_good(release)
    assert refused.law.digest == law.digest
    assert "2026.12.0 is not archived; have it approved, and run `firstnotice law archive`" in str(
        refused.fallback_reason
    )
    archive(release)
    assert last_good(release).law.version == "2026.12.0"


def test_development_may_apply_law_that_is_not_sealed(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    change(release)
    found = last_good(release, allow_unsealed=True)
    assert found.law.digest == load_law(release).digest != law.digest
    broken(release)
    assert last_good(release, allow_unsealed=True).law.digest == law.digest


def test_an_archive_that_was_damaged_is_named_and_the_one_before_applies(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    change(release)
    edit(release, version='"2026.12.0"')
    archive(release).write_bytes(b"PK nothing")
    found = last_good(release)
    assert found.law.digest == law.digest
    assert "2026.12.0.zip, line 1: the archived release is damaged; restore it" in str(found.fallback_reason)
    assert any("2026.12.0.zip" in finding for finding in check(release))


def test_a_file_beside_the_law_that_cannot_be_read_is_no_reason_to_stop(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    (release / "duties" / "draft.yaml").symlink_to(release / "nowhere")
    (release / "notes.yaml").mkdir()
    found = last_good(release)
    assert found.law.digest == law.digest
    assert str(found.fallback_reason).startswith("duties/draft.yaml, line 1: is missing")
    assert len(check(release)) == 1
