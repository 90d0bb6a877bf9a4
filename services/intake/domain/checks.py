"""What the shape of a report cannot say: nothing is in the future, and open facts are those of the catalogue."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from contracts.facts import SubjectFacts
from kernel.errors import FieldError
from rulebook.loader import Law
from rulebook.person import fact_problems

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock of a records system may run ahead of ours."""
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LARGEST_NUMBER = 10**15

IN_THE_FUTURE = "must not be in the future"


def moment_problems(pointer: str, moment: datetime | None, now: datetime) -> Iterator[FieldError]:
    """Of a time that something happened; none when it is absent."""
    if moment is not None and moment > now + CLOCK_SKEW:
        yield FieldError(pointer, IN_THE_FUTURE)
    if moment is not None and moment < EARLIEST:
        yield FieldError(pointer, "must not be before 1900")


def subject_problems(facts: SubjectFacts, pointer: str, now: datetime, law: Law) -> Iterator[FieldError]:
    """Of one subject, whose groups stand under `pointer` in the request."""
    today = (now + CLOCK_SKEW).date()
    if facts.age is not None and facts.age.birth_date is not None and facts.age.birth_date > today:
        yield FieldError(f"{pointer}/age/birth_date", IN_THE_FUTURE)
    circumstances = facts.circumstances
    if circumstances is not None:
        conduct_on = circumstances.custody.conduct_alleged_on
        if conduct_on is not None and conduct_on > today:
            yield FieldError(f"{pointer}/circumstances/custody/conduct_alleged_on", IN_THE_FUTURE)
        for number, screening in enumerate(circumstances.screening):
            place = f"{pointer}/circumstances/screening/{number}/administered_at"
            yield from moment_problems(place, screening.administered_at, now)
    for field, detail in fact_problems(facts, law):
        group, _, fact = field.partition(".facts.")
        yield FieldError(_fact_pointer(pointer, group, fact), detail)
    for group, held in (("circumstances", facts.circumstances), ("status", facts.status)):
        for fact, value in (held.facts if held is not None else {}).items():
            if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
                yield FieldError(_fact_pointer(pointer, group, fact), "must be a number of at most 15 digits")


def _fact_pointer(pointer: str, group: str, fact: str) -> str:
    return f"{pointer}/{group}/facts/{fact.replace('~', '~0').replace('/', '~1')}"


__all__ = ["moment_problems", "subject_problems"]
