"""Values of facts. A fact that is partly known is a set of possibilities, not a guess."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rulebook.kleene import Truth, truth

if TYPE_CHECKING:
    from rulebook.schema import FactSpec

Exact = bool | int | Decimal | date | str


@dataclass(frozen=True, slots=True)
class Interval:
    """Somewhere from `low` to `high`, both included; None is open. Of numbers, or of days."""

    low: int | Decimal | date | None = None
    high: int | Decimal | date | None = None


@dataclass(frozen=True, slots=True)
class Among:
    """One of these members of an enumeration. All of them: what was said of the fact contradicts itself."""

    values: frozenset[Any]


Value = Exact | Interval | Among
FactMap = Mapping[str, Value]
"""Known facts by their id in the fact catalogue. What is absent is not known: never false, never a default."""


def anything(spec: "FactSpec") -> Among | None:
    """All members of an enumeration, or true and false; None for a number or day.

    As a value it says that what was told of the fact contradicts itself: of whom nothing is known, the fact is absent.
    """
    members = (False, True) if spec.type == "bool" else spec.values
    return Among(frozenset(members)) if members else None


def concluded(known: Value | None, value: Value, everything: Among | None) -> Value:
    """What is known of a fact once a rule has concluded `value`: what both leave possible.

    Where the two exclude each other, one of them is wrong, and nobody knows which: then everything is possible,
    whatever is concluded later (`rulebook.contradictions`). Without `everything`, as for a presumption, what was
    recorded stays.
    """
    if known is None:
        return value
    if everything is None or known == everything:
        return known
    left = members(known) & members(value)
    if not left:
        return everything
    return Among(left) if len(left) > 1 else next(iter(left))


def contested(known: Value | None, value: Value, everything: Among | None) -> Value | None:
    """What is known of a fact where it rests on a contradiction whether a rule concludes `value` of it.

    What says as much by itself stays. All else would be another thing if the rule applies than if it does not.
    """
    fits = known is not None and members(known) <= members(value)
    return known if fits or everything is None else everything


def members(value: Value) -> frozenset[Any]:
    """What a fact may be by a value that is no interval."""
    return value.values if isinstance(value, Among) else frozenset((value,))


Test = Callable[[Any], bool]


def holds_for(value: Value, test: Test, operator: str, threshold: Any) -> Truth:
    """Whether `test` holds for the value: TRUE or FALSE only if it does, or does not, for every possibility."""
    if isinstance(value, Interval):
        return _holds_for_interval(value, operator, threshold)
    if isinstance(value, Among):
        outcomes = {test(member) for member in value.values}
        return truth(outcomes.pop()) if len(outcomes) == 1 else Truth.UNKNOWN
    return truth(test(value))


def _holds_for_interval(value: Interval, operator: str, threshold: Any) -> Truth:
    low: Any = value.low
    high: Any = value.high
    if operator in ("gte", "lt"):
        above = low is not None and low >= threshold
        below = high is not None and high < threshold
        return _of_bounds(above, below, operator == "gte")
    if operator in ("gt", "lte"):
        above = low is not None and low > threshold
        below = high is not None and high <= threshold
        return _of_bounds(above, below, operator == "gt")
    wanted = tuple(threshold) if operator in ("in", "not_in") else (threshold,)
    inside = [t for t in wanted if (low is None or low <= t) and (high is None or t <= high)]
    is_one = bool(inside) and low == high
    return _of_bounds(is_one, not inside, operator in ("eq", "in"))


def _of_bounds(surely: bool, surely_not: bool, positive: bool) -> Truth:
    if surely == surely_not:
        return Truth.UNKNOWN
    return truth(surely is positive)


def plain(value: Value) -> Any:
    """A JSON-ready form of a value; decimals and dates become strings."""
    if isinstance(value, Interval):
        return {
            "from": plain(value.low) if value.low is not None else None,
            "to": plain(value.high) if value.high is not None else None,
        }
    if isinstance(value, Among):
        return {"one_of": sorted(value.values)}
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
