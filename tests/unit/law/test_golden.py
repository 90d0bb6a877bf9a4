"""Golden cases: facts, day, and the answer that a person derived from the citation; never recorded."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rulebook.duties import DutyFacts, decide
from rulebook.files import read_yaml
from rulebook.loader import Law
from rulebook.programs import determine
from tests.unit.law.people import noon, person, presuming

GOLDEN = Path(__file__).parent / "golden"
GROUPS: dict[Path, Any] = {path: read_yaml(path, path.name) for path in sorted(GOLDEN.glob("*.yaml"))}
TODAY = "2026-11-22"


@dataclass(frozen=True)
class Case:
    name: str
    subject: str
    """A program's or a duty's id."""
    kind: str
    facts: dict[str, Any]
    as_of: str
    expect: Any
    jurisdiction: str
    review_expired: bool


def cases(kind: str) -> list[Case]:
    found = []
    for path, groups in GROUPS.items():
        for group in groups:
            if kind not in group:
                continue
            for number, case in enumerate(group["cases"], start=1):
                assert case["because"], path
                assert case.get("cite") or group["cite"], path
                facts = group.get("given", {}) | case.get("with", {})
                found.append(
                    Case(
                        name=f"{group[kind]}-{number}",
                        subject=group[kind],
                        kind=kind,
                        facts={fact: value for fact, value in facts.items() if value is not None},
                        as_of=str(case.get("as_of", TODAY)),
                        expect=case["expect"],
                        jurisdiction=case.get("jurisdiction", group.get("jurisdiction", "MO")),
                        review_expired=case.get("review_expired", False),
                    )
                )
    return found


PROGRAMS, DUTIES = cases("program"), cases("duty")


def test_there_are_at_least_150_golden_cases() -> None:
    assert len(PROGRAMS) + len(DUTIES) >= 150


def _outcomes(found: list[Case]) -> dict[str, set[str]]:
    outcomes: dict[str, set[str]] = {}
    for case in found:
        expected = case.expect["outcome"] if isinstance(case.expect, dict) else case.expect
        outcomes.setdefault(case.subject, set()).add(expected)
    return outcomes


def test_every_program_has_a_case_that_is_eligible_and_one_that_is_not(law: Law) -> None:
    found = _outcomes(PROGRAMS)
    for program in law.programs:
        outcomes = found.get(program.spec.id, set())
        assert "eligible" in outcomes, program.spec.id
        # Open to everybody: no fact is asked for, and none can deny it.
        assert outcomes - {"eligible"} or program.spec.id == "national_hotline_referral", program.spec.id


def test_every_duty_has_a_case_that_is_due_and_one_that_is_not(law: Law) -> None:
    found = _outcomes(DUTIES)
    for duty in (duty.spec for duty in law.duties if duty.spec.channel != "standing"):
        outcomes = found.get(duty.id, set())
        assert "due" in outcomes, duty.id
        assert outcomes - {"due"}, duty.id


@pytest.mark.parametrize("case", PROGRAMS, ids=lambda case: case.name)
def test_a_program_answers_what_its_citation_says(case: Case, law: Law) -> None:
    subject = person(case.facts, law)
    found = determine(
        subject, law, jurisdiction=case.jurisdiction, encounter_at=noon(case.as_of), as_of=noon(case.as_of)
    )
    answer = found.answer(case.subject)
    assert presuming(answer) == case.expect
    assert bool(answer.missing) == (answer.outcome == "potentially_eligible")


@pytest.mark.parametrize("case", DUTIES, ids=lambda case: case.name)
def test_a_duty_is_decided_as_its_citation_says(case: Case, law: Law) -> None:
    at = noon(case.as_of)
    facts = DutyFacts(
        subject=person(case.facts, law),
        encounter_at=at,
        discovered_at=at,
        as_of=at,
        jurisdiction=case.jurisdiction,
        review_expired=case.review_expired,
    )
    (decision,) = (d for d in decide(facts, law, all_duties=True) if d.duty_id == case.subject)
    expected = case.expect if isinstance(case.expect, dict) else {"outcome": case.expect}
    for name, value in expected.items():
        got = getattr(decision, name)
        if isinstance(got, datetime):
            got = got.isoformat()
        assert (list(got) if isinstance(got, tuple) else got) == value, name
