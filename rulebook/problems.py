"""What is wrong with the facts of a report, whoever takes it: named by JSON Pointer (RFC 6901), with what to write.

No value is repeated. What is missing is never wrong.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from contracts.facts import SubjectFacts
from rulebook.leaves import days_of
from rulebook.person import NOT_ANSWERED, group_of, is_open
from rulebook.possibilities import read_reported
from rulebook.schema import FIRST_DAY, FactSpec
from rulebook.screening import screening_problems

if TYPE_CHECKING:
    from rulebook.loader import Law

Problem = tuple[str, str]
"""The member, and what to write instead."""

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock of whoever reports may run ahead of ours."""

_IN_THE_FUTURE = "must not be in the future"
_TOO_EARLY = f"must not be before {FIRST_DAY.year}"


def moment_problems(pointer: str, moment: datetime | None, now: datetime) -> Iterator[Problem]:
    """Of a time that something happened; none when it is absent. All times aware."""
    if moment is not None and moment > now + CLOCK_SKEW:
        yield pointer, _IN_THE_FUTURE
    if moment is not None and moment < datetime(FIRST_DAY.year, 1, 1, tzinfo=UTC):
        yield pointer, _TOO_EARLY


def subject_problems(facts: SubjectFacts, law: "Law", *, encounter_at: datetime, now: datetime) -> Iterator[Problem]:
    """Of one subject, with pointers that begin at it."""
    today = (now + CLOCK_SKEW).date()
    if facts.age is not None:
        yield from _day_problems("/age/birth_date", facts.age.birth_date, today)
    circumstances = facts.circumstances
    if circumstances is not None:
        alleged_on = circumstances.custody.conduct_alleged_on
        yield from _day_problems("/circumstances/custody/conduct_alleged_on", alleged_on, today)
        for number, screening in enumerate(circumstances.screening):
            place = f"/circumstances/screening/{number}"
            yield from moment_problems(f"{place}/administered_at", screening.administered_at, now)
            for member, detail in screening_problems(screening, law.screening, encounter_at.date()):
                yield f"{place}/{member}", detail
    for group, held in (("circumstances", circumstances), ("status", facts.status)):
        for fact, raw in (held.facts if held is not None else {}).items():
            wrong = _wrong(law.facts.get(fact), group, fact, raw, today)
            if wrong is not None:
                yield f"/{group}/facts/{fact.replace('~', '~0').replace('/', '~1')}", wrong


def _day_problems(pointer: str, day: date | None, today: date) -> Iterator[Problem]:
    if day is not None and day > today:
        yield pointer, _IN_THE_FUTURE
    if day is not None and day < FIRST_DAY:
        yield pointer, _TOO_EARLY


def _wrong(spec: FactSpec | None, group: str, fact: str, raw: Any, today: date) -> str | None:
    """What is wrong with an entry of an open map of facts."""
    if spec is None:
        return "is not in the fact catalogue; see law/facts.yaml"
    if not is_open(fact, spec):
        return "is worked out from other facts; leave it out"
    if group_of(spec) != group:
        return f"belongs into {group_of(spec)}.facts"
    if raw in NOT_ANSWERED:
        return None
    try:
        days = days_of(read_reported(spec, raw))
    except ValueError as error:
        return f"{error}, unknown, or refused"
    return _IN_THE_FUTURE if any(day is not None and day > today for day in days) else None
