"""A release is kept for ever: any old one loads by its version and gives the same bytes; an altered one is refused."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from launcher.law_commands import app
from rulebook import schemas
from rulebook.check import check
from rulebook.errors import LawError
from rulebook.loader import LAW, Law
from rulebook.programs import determine
from rulebook.release import archive, archived, load_release, release_digest
from tests.unit.law.people import noon, person
from tests.unit.rulebook.builders import release_copy

LIMIT = "blocks.yaml"
"""Where the gross income limit of food assistance is."""


def answers(law: Law, income: int) -> bytes:
    facts: dict[str, Any] = {"state_of_residence": "MO", "citizenship_status": "us_citizen"}
    facts |= {"household_size": 1, "household_income_monthly_cents": income}
    facts |= {"countable_resources_cents": 10_000, "household_net_income_monthly_cents": 100_000}
    facts |= {"household_with_elderly_or_disabled": False, "household_all_on_cash_aid": False}
    at = noon("2026-11-22")
    return determine(person(facts, law), law, jurisdiction="MO", encounter_at=at, as_of=at).canonical()


def snap(law: Law, income: int) -> str:
    programs = {program["program"]: program for program in json.loads(answers(law, income))["programs"]}
    return str(programs["snap"]["outcome"])


def edit(release: Path, file: str, old: str, new: str) -> None:
    path = release / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_the_release_that_ships_is_archived_and_gives_the_same_bytes(law: Law) -> None:
    again = load_release(law.version)
    assert law.version in archived()
    assert (again.version, again.digest) == (law.version, law.digest)
    assert answers(again, 172_900) == answers(law, 172_900)


def test_an_old_answer_is_replayed_under_its_release_after_the_law_has_changed(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    before = answers(law, 186_200)
    edit(release, LIMIT, "percent: 130,", "percent: 150,")
    edit(release, "release.yaml", f'"{law.version}"', '"2026.12.0"')
    archive(release)
    assert archived(release)[-2:] == (law.version, "2026.12.0")
    assert answers(load_release(law.version, release), 186_200) == before
    assert snap(load_release(law.version, release), 186_200) == "not_eligible"
    assert snap(load_release("2026.12.0", release), 186_200) == "eligible"
    assert check(release) == ()


def test_a_change_without_a_new_version_is_neither_sound_nor_archived(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    edit(release, LIMIT, "percent: 130,", "percent: 150,")
    (finding,) = check(release)
    assert finding.startswith("release.yaml, line ")
    assert "raise `version`" in finding
    with pytest.raises(LawError, match="raise `version`"):
        archive(release)
    bad = CliRunner().invoke(app, ["archive", str(release)])
    assert bad.exit_code == 1


def test_a_change_of_approver_needs_a_new_seal(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    edit(release, "release.yaml", "Reviewing counsel", "Somebody else")
    assert len(check(release)) == 1


def test_a_bad_release_is_not_archived(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    edit(release, LIMIT, "percent: 130,", "percent: 130.5,")
    edit(release, "release.yaml", law.version, "2026.12.0")
    with pytest.raises(LawError, match=r"blocks\.yaml, line"):
        archive(release)
    assert "2026.12.0" not in archived(release)


def test_an_altered_archive_is_refused(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    kept = release / "archive" / f"{law.version}.zip"
    with zipfile.ZipFile(kept) as source:
        content = {name: source.read(name) for name in source.namelist()}
    content[LIMIT] = content[LIMIT].replace(b"percent: 130,", b"percent: 150,")
    with zipfile.ZipFile(kept, "w") as target:
        for name, data in content.items():
            target.writestr(name, data)
    with pytest.raises(LawError, match="altered"):
        load_release(law.version, release)


def test_a_version_that_was_never_archived_is_named(law: Law) -> None:
    with pytest.raises(LawError, match=f"no archived release 1999.1.0; write one of .*{law.version}"):
        load_release("1999.1.0")


def test_the_same_release_is_archived_as_the_same_bytes(tmp_path: Path, law: Law) -> None:
    release = release_copy(tmp_path)
    kept = release / "archive" / f"{law.version}.zip"
    before = kept.read_bytes()
    assert archive(release).read_bytes() == before
    assert release_digest(release) == law.release.digest


@pytest.mark.parametrize("kind", sorted(schemas.MODELS))
def test_the_json_schema_of_each_kind_is_up_to_date_and_fits_the_law(kind: str) -> None:
    text = (schemas.FOLDER / f"{kind}.json").read_text("utf-8")
    assert text == schemas.text(kind), "run `python -m rulebook.schemas`"
    validator = Draft202012Validator(json.loads(text))
    files = [*LAW.glob(f"{kind}.yaml"), *LAW.glob(f"{kind}/*.yaml")]
    assert files or kind == "training_records"
    for file in files:
        content: Any = json.loads(json.dumps(yaml.safe_load(file.read_text("utf-8")), default=str))
        assert not [error.json_path for error in validator.iter_errors(content)], file.name
        assert not validator.is_valid({"nonsense": 1})


def test_no_kind_of_law_file_is_without_a_schema() -> None:
    kinds = {path.stem for path in LAW.glob("*.yaml")} | {path.parent.name for path in LAW.glob("*/*.yaml")}
    assert kinds <= set(schemas.MODELS)
