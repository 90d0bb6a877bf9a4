"""An evaluator of its own for the draft catalog's condition language; shares no code with the rulebook.

True, False, or None for not known.
"""

from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

Draft = dict[str, Any]
Answer = bool | None
_LEVELS = ("suspected", "presumed", "confirmed")


def read() -> Draft:
    text = (Path(__file__).parent / "data" / "programs_draft.yaml").read_text("utf-8")
    content: Draft = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return content


def derived(draft: Draft, facts: dict[str, Any], on: date) -> dict[str, Any]:
    """The facts with the draft's derivations, which never overwrite."""
    known = dict(facts)
    for item in draft["derivations"]:
        also = item.get("when_also")
        if condition(item["if"], known, on) and (also is None or condition(also, known, on)):
            for fact, value in item["then"].items():
                known.setdefault(fact, value)
    return known


def answer(program: Draft, facts: dict[str, Any], on: date) -> Answer:
    """Eligible under the rule of the day, the least victim status and the supply included.

    Where the date that chooses the version is not known, only an answer that every version gives is one.
    """
    day = facts.get(program["version_key"]) if "version_key" in program else on
    rules = [r for r in program["rules"] if day is None or in_force(r, day)]
    answers = {condition(rule["when"], facts, on) for rule in rules}
    own = answers.pop() if len(answers) == 1 else None if answers else False
    level = program["victim_status_min"]
    if level == "none":
        return own
    return both([own, _victim(facts.get("victim_status"), level)])


def in_force(rule: Draft, day: date) -> bool:
    until = rule.get("effective_to")
    return date.fromisoformat(rule["effective_from"]) <= day and (until is None or day < date.fromisoformat(until))


def _victim(status: str | None, level: str) -> Answer:
    if status is None:  # somebody who appears a victim is at least suspected to be one
        return True if level == "suspected" else None
    return _LEVELS.index(status) >= _LEVELS.index(level)


def both(answers: list[Answer]) -> Answer:
    if False in answers:
        return False
    return None if None in answers else True


def condition(node: Draft, facts: dict[str, Any], on: date) -> Answer:
    if "all" in node:
        return both([condition(item, facts, on) for item in node["all"]])
    if "any" in node:
        inverted = both([_inverse(condition(item, facts, on)) for item in node["any"]])
        return _inverse(inverted)
    if "not" in node:
        return _inverse(condition(node["not"], facts, on))
    value = facts.get(node["fact"])
    if value is None or value == "unknown":
        return None
    return _OPERATORS[node["op"]](value, node.get("value"), on)


def _inverse(value: Answer) -> Answer:
    return None if value is None else not value


def _months_later(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    last = monthrange(day.year + years, month + 1)[1]
    return date(day.year + years, month + 1, min(day.day, last))


_OPERATORS: dict[str, Callable[[Any, Any, date], bool]] = {
    "eq": lambda v, t, _: bool(v == t),
    "ne": lambda v, t, _: bool(v != t),
    "lt": lambda v, t, _: Decimal(v) < Decimal(t),
    "lte": lambda v, t, _: Decimal(v) <= Decimal(t),
    "gt": lambda v, t, _: Decimal(v) > Decimal(t),
    "gte": lambda v, t, _: Decimal(v) >= Decimal(t),
    "in": lambda v, t, _: v in t,
    "not_in": lambda v, t, _: v not in t,
    "is_true": lambda v, _, __: v is True,
    "is_false": lambda v, _, __: v is False,
    "within_months": lambda v, t, on: on <= _months_later(v, t),
    "within_days": lambda v, t, on: on <= v + timedelta(days=t),
}


def leaves(node: Draft) -> Iterator[Draft]:
    for key in ("all", "any"):
        for item in node.get(key, ()):
            yield from leaves(item)
    if "not" in node:
        yield from leaves(node["not"])
    if "fact" in node:
        yield node
