"""The example encounters are valid reports, and end as `examples/expectations.yaml` says."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.facts import EncounterReport, SubjectFacts
from rulebook.disclosure import disclose
from rulebook.duties import DutyFacts, decide
from rulebook.loader import Law
from rulebook.problems import subject_problems
from rulebook.programs import determine
from tests.unit.law.people import noon

EXAMPLES = Path(__file__).parents[3] / "examples"
EXPECTED: dict[str, Any] = yaml.safe_load((EXAMPLES / "expectations.yaml").read_text(encoding="utf-8"))
FILES = sorted(path for path in (EXAMPLES / "encounters").glob("*.json") if not path.name.endswith(".amendment.json"))


def merged(stored: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(stored) if isinstance(stored, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def report_of(path: Path) -> EncounterReport:
    return EncounterReport.model_validate_json(path.read_bytes())


def final_facts(path: Path) -> dict[int, SubjectFacts]:
    report = report_of(path)
    facts = {subject.subject_number: report.facts_of(subject) for subject in report.subjects}
    amendment = path.with_name(path.stem + ".amendment.json")
    if amendment.exists():
        body = json.loads(amendment.read_bytes())
        assert body["record_version"] > report.record_version
        for change in body["subjects"]:
            number = change.pop("subject_number")
            groups = facts[number].model_dump(mode="json", exclude_none=True)
            facts[number] = SubjectFacts.model_validate(merged(groups, change))
    return facts


def final_decisions(path: Path, facts: SubjectFacts, law: Law) -> Any:
    report = report_of(path)
    duty_facts = DutyFacts(
        subject=facts,
        encounter_at=report.encounter_at,
        discovered_at=report.discovered_at or report.encounter_at,
        as_of=report.encounter_at,
        jurisdiction="MO",
        review_expired=True,
    )
    return decide(duty_facts, law)


def test_every_example_has_its_expectation() -> None:
    assert [path.stem for path in FILES] == sorted(EXPECTED)
    assert len(FILES) >= 14


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_ends_as_expected(path: Path, law: Law) -> None:
    outcomes = {
        number: {
            d.duty_id: {"outcome": d.outcome} | ({"recipient": d.recipient_id} if d.recipient_id else {})
            for d in final_decisions(path, facts, law)
        }
        for number, facts in final_facts(path).items()
    }
    expected = {
        number: {duty: {k: v for k, v in end.items() if k != "withdrawn_from"} for duty, end in duties.items()}
        for number, duties in EXPECTED[path.stem]["subjects"].items()
    }
    assert outcomes == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_holds_only_catalogued_facts_and_matches_programs(path: Path, law: Law) -> None:
    report = report_of(path)
    for facts in final_facts(path).values():
        assert not [*subject_problems(facts, law, encounter_at=report.encounter_at, now=noon("2026-11-22"))]
        found = determine(facts, law, jurisdiction="MO", encounter_at=report.encounter_at, as_of=report.encounter_at)
        assert any(answer.outcome == "eligible" for answer in found.programs)


def test_whoever_is_withdrawn_from_was_due_before_the_amendment(law: Law) -> None:
    for path in FILES:
        report = report_of(path)
        for subject in report.subjects:
            before = {d.duty_id: d.recipient_id for d in final_decisions(path, report.facts_of(subject), law)}
            for duty, end in EXPECTED[path.stem]["subjects"][subject.subject_number].items():
                if "withdrawn_from" in end:
                    assert before[duty] == end["withdrawn_from"]


def test_the_enrolled_address_of_an_example_stays_home(law: Law) -> None:
    (path,) = (p for p in FILES if p.stem.startswith("19-"))
    (facts,) = final_facts(path).values()
    for decision in final_decisions(path, facts, law):
        assert "Larkspur" not in json.dumps(disclose(facts, decision.disclosure, law))
