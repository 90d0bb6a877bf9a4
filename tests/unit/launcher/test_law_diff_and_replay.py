"""`law diff` and `law replay`: status as of `diff`, readable or JSON, and bad input named by file and line."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from launcher.cli import main
from launcher.law_cases import read_case
from launcher.law_commands import app
from rulebook.knowledge import Provenance
from rulebook.loader import LAW, load_law
from rulebook.programs import determine
from services.eligibility.api.answers import present
from services.eligibility.api.screen import ScreeningAnswers
from tests.unit.law.people import noon

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "encounters"
MINOR = EXAMPLES / "11-citizen-minor.json"
VERSION = load_law().version


@pytest.fixture
def changed(tmp_path: Path) -> str:
    """A release in which the U visa begins later than today."""
    root = Path(shutil.copytree(LAW, tmp_path / "law"))
    path = root / "programs" / "status_and_immigration.yaml"
    path.write_text(path.read_text("utf-8").replace("{from: 2007-10-17}", "{from: 2027-08-28}"), "utf-8")
    return str(root)


def diff(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["diff", *arguments, "--as-of", "2026-11-22"])
    return result.exit_code, result.output


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["firstnotice", "law", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr()
    assert left.value.code == 2
    assert "Traceback" not in told.out + told.err
    return told.out + told.err


def test_the_same_release_changes_nothing_and_ends_with_0() -> None:
    code, told = diff(VERSION, str(LAW), "--on", str(EXAMPLES))
    assert code == 0
    assert "no answer of" in told


def test_changes_are_told_by_rule_and_person_and_end_with_1(changed: str, tmp_path: Path) -> None:
    code, told = diff(VERSION, changed, "--on", str(EXAMPLES))
    assert code == 1
    assert "u_visa" in told
    assert "potentially eligible -> not" in told
    assert "12-labor-trafficked-minor" in told
    code, told = diff(VERSION, changed, "--on", str(EXAMPLES), "--json")
    found = json.loads(told)
    assert code == 1
    assert {change["rule"] for change in found["programs"]} == {"u_visa"}
    assert found["duties"] == []


def test_many_persons_come_line_by_line(changed: str, tmp_path: Path) -> None:
    report = json.dumps(json.loads((EXAMPLES / "12-labor-trafficked-minor.json").read_text("utf-8")))
    many = tmp_path / "many.jsonl"
    many.write_text("\n".join([report] * 30) + "\n", "utf-8")
    code, told = diff(VERSION, changed, "--on", str(many), "--json", "--tell", "2")
    found = json.loads(told)
    assert (code, found["persons"], found["changed"], found["told"]) == (1, 30, 30, 2)
    assert [change["case"] for change in found["programs"]] == ["many:1", "many:2"]


def test_yaml_is_read_like_json(tmp_path: Path) -> None:
    path = tmp_path / "person.yaml"
    path.write_text(
        "encounter_at: 2026-11-20T09:00:00-06:00\nsubject:\n  subject_number: 1\n"
        "  age: {birth_date: 2012-01-01, verified_by: document}\n  circumstances: {appears_victim: true}\n",
        "utf-8",
    )
    assert diff(VERSION, VERSION, "--on", str(path))[0] == 0


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("bad.jsonl", '{"subject": 1\n', "bad.jsonl, line 1: this is not JSON"),
        ("bad.yaml", "encounter_at: x\nsubject: {a: 1, a: 2}\n", "bad.yaml, line 2"),
        ("bad.json", "[]", "bad.json, line 1: neither `subject` nor `subjects`"),
        (
            "bad.yaml",
            "encounter_at: 2026-11-20T09:00:00-06:00\nsubject:\n  subject_number: 1\n  age: unknown\n"
            "  circumstances:\n    appears_victim: true\n    facts:\n      pregnant: Zq-canary\n",
            "bad.yaml, line 8: circumstances.facts.pregnant: write a value of type bool, unknown, or refused",
        ),
        ("bad.txt", "", "bad.txt is of no kind that is read"),
    ],
)
def test_facts_that_cannot_be_used_are_named_by_file_and_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    content: str,
    what: str,
) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    told = refused(monkeypatch, capsys, "diff", VERSION, VERSION, "--on", str(tmp_path / name))
    assert what in told
    assert "Zq-canary" not in told


def test_a_release_that_is_none_is_named_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changed: str
) -> None:
    told = refused(monkeypatch, capsys, "diff", "1999.1.0", VERSION, "--on", str(MINOR))
    assert "1999.1.0 is neither a folder of law nor an archived release; write a folder that holds" in told
    assert VERSION in told
    (Path(changed) / "blocks.yaml").write_text("blocks: 3\n", "utf-8")
    told = refused(monkeypatch, capsys, "diff", VERSION, changed, "--on", str(MINOR))
    assert "blocks.yaml, line 1, at blocks" in told


SALT = bytes(range(32))


def determination(tmp_path: Path, *, as_api: bool) -> tuple[Path, dict[str, Any]]:
    law = load_law()
    case = read_case(MINOR, 1, law)
    event = {"event": "5b8f7a7e-0000-4000-8000-000000000001", "at": "2026-11-22T12:00:00Z"}
    found = determine(
        case.facts,
        law,
        jurisdiction="MO",
        encounter_at=case.encounter_at,
        as_of=noon("2026-11-22"),
        salt=SALT if as_api else None,
        sources={"appears_victim": Provenance("reported", event["event"], noon("2026-11-22"))} if as_api else None,
    )
    stored = found.to_json()
    if as_api:
        told = present(found, law) | {"facts_salt": SALT.hex()}
        stored = ScreeningAnswers.model_validate(told).model_dump(mode="json")
        stored |= {"determination_id": "5b8f7a7e-0000-4000-8000-000000000000", "made_from": event}
    path = tmp_path / "determination.json"
    path.write_text(json.dumps(stored), "utf-8")
    return path, stored


@pytest.mark.parametrize("as_api", [False, True])
def test_a_determination_is_replayed_to_the_same_bytes(tmp_path: Path, as_api: bool) -> None:
    path, _ = determination(tmp_path, as_api=as_api)
    result = CliRunner().invoke(app, ["replay", str(path), "--facts", str(MINOR)])
    assert result.exit_code == 0, result.output
    assert f"under law {VERSION}" in result.output


def test_a_screening_of_other_facts_is_noticed_by_their_digest_where_answers_agree(tmp_path: Path) -> None:
    path, stored = determination(tmp_path, as_api=True)
    report = json.loads(MINOR.read_text("utf-8"))
    report["subjects"][0]["circumstances"]["facts"] = {
        **report["subjects"][0]["circumstances"].get("facts", {}),
        "limited_english": True,
    }
    other = tmp_path / "other.json"
    other.write_text(json.dumps(report), "utf-8")
    result = CliRunner().invoke(app, ["replay", str(path), "--facts", str(other)])
    assert result.output.startswith("facts_digest differs\n1 differences")
    path.write_text(json.dumps(stored | {"facts_salt": "Zq-canary"}), "utf-8")
    result = CliRunner().invoke(app, ["replay", str(path), "--facts", str(MINOR)])
    assert result.exit_code != 0
    assert "Zq-canary" not in result.output


def test_what_was_altered_is_named_without_its_value(tmp_path: Path) -> None:
    path, stored = determination(tmp_path, as_api=True)
    (snap,) = (answer for answer in stored["programs"] if answer["program"] == "snap")
    snap["outcome"] = "Zq-canary"
    path.write_text(json.dumps(stored), "utf-8")
    result = CliRunner().invoke(app, ["replay", str(path), "--facts", str(MINOR)])
    assert result.exit_code == 1
    assert "snap: outcome differs" in result.output
    assert "Zq-canary" not in result.output


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"law_version": "1999.1.0"}, "no archived release 1999.1.0; write one of"),
        ({"law_digest": "0" * 64}, "digest 000000000000"),
        ({"programs": None}, "`programs` is missing"),
        ({"as_of": "yesterday"}, "write YYYY-MM-DD"),
    ],
)
def test_a_determination_that_cannot_be_replayed_says_why(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    change: dict[str, Any],
    what: str,
) -> None:
    path, stored = determination(tmp_path, as_api=False)
    path.write_text(json.dumps(stored | change), "utf-8")
    told = refused(monkeypatch, capsys, "replay", str(path), "--facts", str(MINOR))
    assert what in told
