"""What the shape of a report cannot say: nothing is in the future, and what is cited is held by the law."""

from collections.abc import Iterator
from datetime import datetime

from contracts.facts import SubjectFacts
from kernel.errors import FieldError
from rulebook import problems
from rulebook.loader import Law


def moment_problems(pointer: str, moment: datetime | None, now: datetime) -> Iterator[FieldError]:
    """Of a time that something happened; none when it is absent."""
    return (FieldError(*problem) for problem in problems.moment_problems(pointer, moment, now))


def subject_problems(
    facts: SubjectFacts, pointer: str, encounter_at: datetime, now: datetime, law: Law
) -> Iterator[FieldError]:
    """Of one subject, whose groups stand under `pointer` in the request."""
    for place, detail in problems.subject_problems(facts, law, encounter_at=encounter_at, now=now):
        yield FieldError(pointer + place, detail)
