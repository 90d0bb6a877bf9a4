"""How a fact came to be known, or why it is not: kept apart from the logic, to which unknown is unknown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rulebook.values import Among, FactMap, Interval, Value

How = Literal["reported", "derived", "presumed"]
Standing = Literal["known", "partly_known", "not_known", "refused", "not_asked"]
"""`not_known`: asked for, and the person did not know."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a fact comes from. `at` is aware; both are None for what the caller gave without an event."""

    how: How
    event_id: str | None = None
    at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        found = {"how": self.how, "event": self.event_id, "at": self.at.isoformat() if self.at else None}
        return {name: value for name, value in found.items() if value is not None}


DERIVED = Provenance("derived")


def standing(fact: str, known: Mapping[str, Value], not_answered: Mapping[str, str]) -> Standing:
    """What can be said of a fact: a refused one is never asked for again."""
    value = known.get(fact)
    if value is not None:
        return "partly_known" if isinstance(value, (Interval, Among)) else "known"
    answer = not_answered.get(fact)
    if answer is None:
        return "not_asked"
    return "refused" if answer == "refused" else "not_known"


def sources(reports: Iterable[tuple[Provenance, FactMap]]) -> dict[str, Provenance]:
    """Where each fact of the last report comes from: the first report that told it as it has been told ever since.

    `reports`: what each told of the person, oldest first.
    """
    found: dict[str, Provenance] = {}
    before: FactMap = {}
    for of_report, told in reports:
        found = {fact: found[fact] if before.get(fact) == value else of_report for fact, value in told.items()}
        before = told
    return found
