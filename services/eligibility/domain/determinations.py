"""When two evaluations of a person give the same answers, what names an evaluation, and when to look again."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid5

Content = Mapping[str, Any]
"""A determination as plain JSON values (`rulebook.programs.Determination.to_json`). All of it is about the person."""

_ANSWER = ("outcome", "supply", "missing", "services", "documents", "next_step")
"""What somebody can act upon. Reasons, citations and versions explain an answer, and are not the answer."""


def same_answers(before: Content, after: Content) -> bool:
    """Whether a person, and whoever helps them, would do the same after either evaluation."""
    return _answers(before) == _answers(after)


def _answers(content: Content) -> dict[str, tuple[Any, ...]]:
    return {answer["program"]: tuple(answer[part] for part in _ANSWER) for answer in content["programs"]}


def determination_id(facts_id: UUID, law_version: str, day: date | None = None) -> UUID:
    """The same evaluation has the same id however often it is done.

    `facts_id` is the encounter event that brought the facts; `day` is given when the calendar caused the evaluation.
    """
    return uuid5(facts_id, law_version if day is None else f"{law_version}@{day.isoformat()}")


def look_again_on(next_change_on: date | None, today: date) -> date | None:
    """When to evaluate again: the Monday on or before the day on which an answer may change, then daily until it.

    The exact day may be a birthday. It stays sealed; a table, and whoever reads it, knows only the week.
    """
    if next_change_on is None:
        return None
    monday = next_change_on - timedelta(days=next_change_on.weekday())
    return max(monday, today + timedelta(days=1))
