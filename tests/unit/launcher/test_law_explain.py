"""`firstnotice law explain` says why, from the file of a report; what it cannot use, it names in one line."""

import json
import sys
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from launcher.cli import main
from launcher.law_cases import read_case
from launcher.law_explain import explain
from rulebook.loader import load_law
from tests.unit.rulebook.builders import release_copy

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "encounters"
MINOR = str(EXAMPLES / "11-citizen-minor.json")
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Run":
    return Run(monkeypatch, capsys)


class Run:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, rule: str, facts: str, *more: str) -> tuple[int, str]:
        """Exit code, and all that was printed."""
        arguments = ["firstnotice", "law", "explain", rule, "--facts", facts, "--as-of", "2026-11-22", *more]
        self._monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as left:
            main()
        printed = self._capsys.readouterr()
        return int(left.value.code or 0), printed.out + printed.err


def screening(tmp_path: Path, **circumstances: object) -> str:
    path = tmp_path / "person.json"
    subject = {"subject_number": 1, "age": "unknown", "circumstances": {"appears_victim": True} | circumstances}
    path.write_text(json.dumps({"encounter_at": "2026-11-20T09:00:00-06:00", "subject": subject}))
    return str(path)


def joined(told: str) -> str:
    """Lines that were broken for width, in one piece."""
    return " ".join(told.replace("│", " ").split())


def test_a_program_with_missing_facts_says_what_to_ask(run: Run, tmp_path: Path) -> None:
    code, told = run("t_visa", screening(tmp_path))
    assert code == 0
    assert "potentially eligible" in told
    assert "version in force from 2024-08-28" in told
    assert "8 USC 1101(a)(15)(T)" in told
    assert "open: severe_form is yes (not asked)  <- decides" in told
    assert "severe_form (not asked): " in told
    assert "each line could settle it by itself" in told
    assert "no yes without" in told


def test_a_program_that_is_a_no_says_what_decided_it(run: Run) -> None:
    code, told = run("t_visa", MINOR)
    assert code == 0
    assert "as of 2026-11-22: not eligible" in told
    assert "not met: citizenship_status" in told


def test_a_duty_that_is_due_names_the_rule_that_applies(run: Run) -> None:
    code, told = run("MO.566_223.JJ", MINOR)
    assert code == 0
    assert "(MO.566_223.JJ): due" in told
    assert "due if: this one applies" in told
    assert "to Juvenile officer, judicial circuit 31 (mo-jo-31), by a notice that is sent" in told
    assert "owed by: law enforcement agency; set off by: First encounter" in told
    assert "as soon as possible, the law gives no number (the operator's own target, which is no law: " in told
    assert "s. 211.031" in told


def test_a_duty_that_is_not_due_says_why(run: Run, tmp_path: Path) -> None:
    code, told = run("MO.566_223.DSS", screening(tmp_path, appears_victim=False))
    assert code == 0
    assert "(MO.566_223.DSS): not due" in told
    assert "met: appears_victim is no (reported: no)  <- decides" in told


def test_an_unknown_id_is_answered_with_near_ones(run: Run) -> None:
    code, told = run("t_vsia", MINOR)
    assert code == 2
    assert "t_visa" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{not json", "line 1: this is not JSON"),
        ("[]", "neither `subject` nor `subjects`"),
        ('{"encounter_at": "Zq-canary", "subject": {"subject_number": 1}}', "/encounter_at"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_write(
    run: Run, tmp_path: Path, content: str, what: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    code, told = run("t_visa", str(path))
    assert code == 2
    assert str(path) in told
    assert what in told
    assert "Zq-canary" not in told


@pytest.mark.parametrize(
    ("circumstances", "where", "what"),
    [
        ({"facts": {"household_income_pct_ami": "1e400"}}, "/facts/household_income_pct_ami", "write a value of type"),
        ({"facts": {"crime_or_discovery_date": "2199-01-01"}}, "/facts/crime_or_discovery_date", "in the future"),
        (
            {"screening": [{"protocol_id": "Zq-canary", "protocol_version": "1", "outcome": "possible"}]},
            "/screening/0/protocol_id",
            "write one of ahtst, cse-it",
        ),
    ],
)
def test_what_intake_would_refuse_is_refused_by_line(
    run: Run, tmp_path: Path, circumstances: dict[str, object], where: str, what: str
) -> None:
    code, told = run("t_visa", screening(tmp_path, **circumstances))
    assert code == 2
    assert f"person.json, line 1: /subject/circumstances{where}: " in told
    assert what in told
    assert "2199" not in told
    assert "Zq-canary" not in told


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2200-12-31", "1900-01-01"])
@pytest.mark.parametrize("rule", ["t_visa", "snap", "MO.566_223.JJ"])
def test_any_day_has_an_answer_or_an_error_that_names_the_days_which_have(run: Run, rule: str, day: str) -> None:
    code, told = run(rule, MINOR, "--as-of", day)
    within = "1900-01-01" <= day <= "2200-12-31"
    assert code == (0 if within else 2)
    assert within or "write --as-of from 1900-01-01 to 2200-12-31" in told


def test_an_encounter_at_the_end_of_time_is_refused(run: Run, tmp_path: Path) -> None:
    path = Path(screening(tmp_path))
    path.write_text(path.read_text().replace("2026-11-20T09", "9999-12-31T23"))
    code, told = run("t_visa", str(path))
    assert code == 2
    assert "/encounter_at: must not be in the future" in told


def test_a_missing_file_or_subject_is_named(run: Run, tmp_path: Path) -> None:
    code, told = run("t_visa", str(tmp_path / "nowhere.json"))
    assert code == 2
    assert "cannot be read" in told
    code, told = run("t_visa", MINOR, "--subject", "7")
    assert code == 2
    assert "no subject 7" in told


def test_refused_not_known_and_not_asked_are_kept_apart(run: Run, tmp_path: Path) -> None:
    path = screening(tmp_path, facts={"severe_form": "refused", "le_cooperation": "unknown"})
    _, told = run("t_visa", path)
    assert "open: severe_form is yes (refused, do not ask again)" in told
    assert "le_cooperation (asked, and not known):" in told
    assert "extreme_hardship_if_removed (not asked):" in told


def test_what_is_only_presumed_is_not_called_known(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "presumed.json"
    subject = {
        "subject_number": 1,
        "age": {"apparent_minor": True},
        "circumstances": {"appears_victim": True, "trafficking": {"type": "sex"}},
        "status": {"citizenship": "undocumented"},
    }
    path.write_text(json.dumps({"encounter_at": "2026-11-20T09:00:00-06:00", "subject": subject}))
    release = release_copy(tmp_path)
    duties = release / "duties" / "us.yaml"
    text = duties.read_text("utf-8")
    assert "when: {use: presumed_minor}" in text
    duties.write_text(text.replace("when: {use: presumed_minor}", "when: {fact: is_minor, is: true}"), "utf-8")
    law = load_law(release)
    shown = explain("US.7105.HHS24", read_case(path, 1, law, NOW), law, jurisdiction="MO", as_of=date(2026, 11, 22))
    console = Console(width=132, record=True, file=StringIO())
    console.print(shown)
    assert "is_minor is yes (presumed: yes)" in console.export_text()
    _, told = run("interim_assistance_letter", str(path))
    assert "presumed, not known" in told


def test_a_review_says_which_fact_would_settle_it(run: Run, tmp_path: Path) -> None:
    _, told = run("MO.566_223.JJ", screening(tmp_path))
    assert "(MO.566_223.JJ): review" in told
    assert "each line could settle it by itself" in told
    assert "age_years" in told
    assert "to ask: the county of the encounter" in told


def test_what_contradicts_itself_is_to_be_corrected_and_never_asked_for(run: Run, tmp_path: Path) -> None:
    path = screening(tmp_path, appears_victim=False, trafficking={"victim_status": "confirmed"})
    _, told = run("child_advocacy_safe_care", path)
    assert "contradicted: victim_status, because appears_victim and victim_status exclude each other" in joined(told)
    assert "no further fact settles this: correct the one that is wrong, by an amendment" in joined(told)
    assert "(contradicted)" in told
    assert "victim_status (partly known)" not in told
    _, told = run("MO.566_223.DSS", path)
    assert "Notify the Department of Social Services (MO.566_223.DSS): review" in joined(told)
    assert "facts contradict" in told
    assert "contradicted: victim_status, because appears_victim and victim_status exclude each other" in joined(told)
    assert "that rule says not due; it would not, were another one of these facts the wrong one" in joined(told)


def test_a_limit_by_household_is_told_in_words_with_what_was_not_verified(run: Run, tmp_path: Path) -> None:
    path = screening(tmp_path, facts={"household_size": "2..3", "household_income_monthly_cents": "0..150000"})
    _, told = run("snap", path)
    words = "household_income_monthly_cents at most 130 % of us.poverty_guideline for household_size, by the month"
    flat = joined(told)
    amounts = "household_income_monthly_cents $0.00 to $1,500.00, household_size 2 to 3"
    assert f"met: {words}, amounts not verified (reported: {amounts})" in flat
    one = screening(tmp_path, facts={"household_size": 1, "household_income_monthly_cents": 150_000})
    _, told = run("snap", one)
    assert ", here $1,729.00 (reported: household_income_monthly_cents $1,500.00, household_size 1)" in joined(told)


def test_time_limits_and_the_note_of_the_version_are_told(run: Run, tmp_path: Path) -> None:
    _, told = run("ssi", screening(tmp_path))
    assert "time limits, beside the conditions: Refugee-type groups" in joined(told)
    assert "LPRs usually need 40 work quarters" in joined(told)
    _, told = run("snap", screening(tmp_path))
    assert "note: Missouri has no broad-based categorical eligibility" in joined(told)


@pytest.mark.parametrize("rule", ["u_visa", "US.41307.NCIC"])
def test_what_was_not_verified_says_so(run: Run, rule: str) -> None:
    _, told = run(rule, MINOR)
    assert "NOT VERIFIED" in told
    _, told = run("t_visa" if rule == "u_visa" else "MO.566_223.JJ", MINOR)
    assert "NOT VERIFIED" not in told


def test_what_was_reported_and_what_follows_from_it_are_kept_apart(run: Run) -> None:
    _, told = run("ssi", MINOR)
    assert "citizenship_status is one of us_citizen, us_national, cofa_citizen (reported: us_citizen)" in told
    assert "hhs_certification_letter is yes (follows: no)" in told


def test_a_clock_says_from_where_it_runs_and_a_rule_that_does_not_apply_decides_nothing(run: Run) -> None:
    _, told = run("US.41307.NCIC", MINOR)
    assert "clock: within 2 hours of discovery, until 2026-10-23 15:15-05:00" in told
    _, told = run("MO.566_223.JJ", str(EXAMPLES / "05-says-19-looks-younger.json"))
    assert "open: protective_custody_taken is yes (not asked)\n" in told
    assert "met: apparent_minor is yes (reported: yes)  <- decides" in told
    assert "not known; once it is, a rule before this one could decide" in told
