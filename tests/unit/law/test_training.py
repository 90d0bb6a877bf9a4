"""Training records name courses of the catalog, and no notice waits for training."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from launcher.law_commands import app
from rulebook.check import check
from rulebook.loader import Law
from rulebook.release import load_release
from rulebook.training import Course, TrainingRecord, check_records, record_problems
from tests.unit.rulebook.builders import release_copy

RECORD: dict[str, Any] = {
    "person_ref": "worker-7",
    "course_id": "mo-cd-human-trafficking",
    "provider": "Children's Division",
    "hours": 4,
    "completed_on": date(2025, 1, 10),
    "expires_on": date(2027, 1, 10),
}


def problems(law: Law, courses: dict[str, Course] | None = None, **changed: Any) -> list[str]:
    record = TrainingRecord.model_validate(RECORD | changed)
    return [field for field, _ in record_problems(record, courses or law.courses, law.screening)]


def test_training_covers_a_protocol_while_it_lasts(law: Law) -> None:
    protocol = law.screening["mo-cd-ht", "1"]
    record = TrainingRecord.model_validate(RECORD)
    days = [date(2025, 1, 9), date(2025, 1, 10), date(2027, 1, 9), date(2027, 1, 10)]
    assert [record.covers(protocol, day) for day in days] == [False, True, True, False]
    assert not record.covers(law.screening["qyit", "1"], days[1])
    with pytest.raises(ValidationError):
        TrainingRecord.model_validate(RECORD | {"expires_on": date(2025, 1, 10)})


def test_a_record_is_held_against_the_catalog(law: Law) -> None:
    assert problems(law) == []
    assert problems(law, course_id="nowhere") == ["course_id"]
    assert problems(law, completed_on=date(2017, 5, 28)) == ["completed_on"]
    assert problems(law, completed_on=date(2017, 5, 29)) == []
    assert problems(law, protocols=["mo-cd-ht@1"]) == []
    assert problems(law, protocols=["mo-cd-ht@2"]) == ["protocols", "protocols"]
    assert problems(law, protocols=["qyit@1"]) == ["protocols"]


def test_hours_and_time_count_where_a_text_sets_them(law: Law) -> None:
    course = law.courses["mo-cd-human-trafficking"]
    strict = {course.id: course.model_copy(update={"hours": 4, "valid_months": 24})}
    assert problems(law, strict) == []
    assert problems(law, strict, hours=3) == ["hours"]
    assert problems(law, strict, expires_on=date(2027, 1, 11)) == ["expires_on"]
    assert problems(law, strict, expires_on=None) == ["expires_on"]


def test_every_course_is_cited_and_what_was_not_verified_says_so(law: Law) -> None:
    assert law.courses
    for course in law.courses.values():
        assert course.cite
        assert course.verified or course.note


@pytest.mark.parametrize(
    ("file", "old", "new", "where"),
    [
        (
            "training/courses.yaml",
            '["mo-cd-ht@1"]',
            '["mo-cd-ht@9"]',
            "training/courses.yaml, line 10: mo-cd-human-trafficking",
        ),
        ("training/courses.yaml", "id: hhs-soar", "id: agency-566-223-3", "agency-566-223-3 is defined twice"),
        (
            "screening/instruments.yaml",
            "training_required: mo-cd-human-trafficking",
            "training_required: mo-cd-lost",
            "there is no course mo-cd-lost; add it to law/training/",
        ),
    ],
)
def test_what_is_wrong_with_the_catalog_is_found(tmp_path: Path, file: str, old: str, new: str, where: str) -> None:
    release = release_copy(tmp_path)
    path = release / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    assert any(where in finding for finding in check(release)), check(release)


def test_a_file_of_records_is_checked_by_line(tmp_path: Path, law: Law) -> None:
    path = tmp_path / "records.yaml"
    path.write_text(
        "records:\n"
        "  - {person_ref: a, course_id: hhs-soar, provider: HHS, hours: 1, completed_on: 2025-01-01}\n"
        "  - person_ref: Zq-canary\n    course_id: lost\n    provider: HHS\n    hours: 1\n"
        "    completed_on: 2025-01-01\n",
        "utf-8",
    )
    (finding,) = check_records(path, law.courses, law.screening)
    assert finding.startswith("records.yaml, line 4: course_id is not a course of law/training/; write one of agency-")
    result = CliRunner().invoke(app, ["training", str(path)])
    assert result.exit_code == 1
    assert "records.yaml, line 4" in result.output
    assert "Zq-canary" not in result.output
    path.write_text("records:\n  - {person_ref: a}\n", "utf-8")
    assert all("records.yaml, line 2" in line for line in check_records(path, law.courses, law.screening))


def test_a_release_from_before_there_were_courses_loads_for_ever() -> None:
    assert load_release("2026.11.0").courses == {}
