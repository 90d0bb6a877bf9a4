"""Whether a condition can hold at all: a search over the values around each threshold, with `not known` among them.

Takes facts as independent of one another, so that "never" is certain and "perhaps" is not.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from rulebook.compiler import read_value
from rulebook.conditions import All, AnyOf, AtLeast, Compare, Condition, Node, Not, Policy, Use
from rulebook.kleene import Truth, kleene_all, kleene_any, kleene_at_least, kleene_not, truth
from rulebook.schema import FactSpec

Truths = frozenset[Truth]
_ALL_TRUTHS: Truths = frozenset(Truth)
_TRUE: Truths = frozenset({Truth.TRUE})
_NOT_TRUE: Truths = frozenset({Truth.FALSE, Truth.UNKNOWN})
_UNKNOWN = object()
_READ = ("eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "is", "within_months", "within_days")
_DAYS_OF_A_MONTH = Decimal("30.44")


class Reach:
    """The names that conditions of one release use."""

    def __init__(
        self, facts: Mapping[str, FactSpec], blocks: Mapping[str, Condition], policy: Mapping[str, str]
    ) -> None:
        self._facts = facts
        self._blocks = blocks
        self._policy = policy

    def can_apply(self, when: Condition | None, before: Sequence[Condition]) -> bool:
        """Whether some facts make `when` certainly true and none of the rules before it."""
        goals = [(condition, _NOT_TRUE) for condition in before]
        return self._search([*goals, (when, _TRUE)] if when is not None else goals)

    def both(self, whole: Condition, part: Condition) -> bool:
        """Whether some facts make both certainly true."""
        return self._search([(part, _TRUE), (whole, _TRUE)])

    def _search(self, goals: Sequence[tuple[Condition, Truths]]) -> bool:
        compared: dict[str, list[Compare]] = {}
        for condition, _ in reversed(goals):
            for leaf in self._leaves(condition):
                compared.setdefault(leaf.fact, []).append(leaf)
        domains = [(fact, self._values(fact, leaves)) for fact, leaves in compared.items()]
        return self._assign(goals, domains, {})

    def _assign(
        self,
        goals: Sequence[tuple[Condition, Truths]],
        domains: Sequence[tuple[str, list[Any]]],
        known: dict[str, Any],
    ) -> bool:
        possible = [(self._truths(condition, known), wanted) for condition, wanted in goals]
        if any(not truths & wanted for truths, wanted in possible):
            return False
        if all(truths <= wanted for truths, wanted in possible):
            return True
        if not domains:
            return True  # what cannot be read here may hold
        (fact, values), *rest = domains
        return any(self._assign(goals, rest, known | {fact: value}) for value in values)

    def _leaves(self, condition: Condition) -> Iterator[Compare]:
        match condition:
            case Compare():
                if _readable(condition):
                    yield condition
            case Use(use=name):
                yield from self._leaves(self._blocks[name])
            case All(all=operands) | AnyOf(any=operands) | AtLeast(of=operands):
                for operand in operands:
                    yield from self._leaves(operand)
            case Not(not_=operand):
                yield from self._leaves(operand)
            case Policy():
                return

    def _truths(self, condition: Condition, known: Mapping[str, Any]) -> Truths:
        """What the condition may still become."""
        match condition:
            case Compare():
                if condition.fact not in known or not _readable(condition):
                    return _ALL_TRUTHS
                value = known[condition.fact]
                return frozenset({Truth.UNKNOWN if value is _UNKNOWN else truth(self._holds(condition, value))})
            case Use(use=name):
                return self._truths(self._blocks[name], known)
            case Policy(policy=name, eq=wanted):
                return frozenset({truth(self._policy[name] == wanted)})
            case Not(not_=operand):
                return frozenset(kleene_not(item) for item in self._truths(operand, known))
            case All(all=operands):
                return self._folded(operands, known, kleene_all, Truth.TRUE)
            case AnyOf(any=operands):
                return self._folded(operands, known, kleene_any, Truth.FALSE)
            case AtLeast(at_least=count, of=operands):
                combinations: set[tuple[Truth, ...]] = {()}
                for operand in operands:
                    combinations = {(*done, item) for done in combinations for item in self._truths(operand, known)}
                return frozenset(kleene_at_least(count, combination) for combination in combinations)

    def _folded(self, operands: Iterable[Condition], known: Mapping[str, Any], of: Any, start: Truth) -> Truths:
        found: Truths = frozenset({start})
        for operand in operands:
            found = frozenset(of((one, other)) for one in found for other in self._truths(operand, known))
        return found

    def _values(self, fact: str, leaves: Iterable[Compare]) -> list[Any]:
        spec = self._facts[fact]
        if spec.type == "bool":
            return [True, False, _UNKNOWN]
        if spec.type == "enum":
            return [*spec.values, _UNKNOWN]
        found: set[Any] = set()
        for leaf in leaves:
            for threshold in leaf.threshold if leaf.operator in ("in", "not_in") else (leaf.threshold,):
                found |= set(_around(spec, leaf.operator, threshold))
        return [*sorted(found), _UNKNOWN]

    def _holds(self, leaf: Compare, value: Any) -> bool:
        spec, operator = self._facts[leaf.fact], leaf.operator
        if operator in ("in", "not_in"):
            listed = [read_value(spec, item) for item in leaf.threshold]
            return (value in listed) == (operator == "in")
        if operator in ("within_months", "within_days"):
            return bool(value <= _days(operator, leaf.threshold))
        threshold = read_value(spec, leaf.threshold)
        if operator in ("eq", "is", "ne"):
            return bool((value == threshold) == (operator != "ne"))
        if spec.type == "enum":
            value, threshold = spec.values.index(value), spec.values.index(threshold)
        less, equal = value < threshold, value == threshold
        outcomes: dict[str, bool] = {"lt": less, "lte": less or equal, "gt": not (less or equal), "gte": not less}
        return outcomes[operator]


def _readable(leaf: Compare) -> bool:
    """A comparison of the fact itself with a value that the file holds: no table, no age on a day."""
    plain = not isinstance(leaf.threshold, Node) and "age_on" not in leaf.model_fields_set
    return plain and leaf.operator in _READ


def _around(spec: FactSpec, operator: str, threshold: Any) -> Iterator[Any]:
    """A threshold and a value on either side. A date that is asked for its age is represented by its age in days."""
    if operator in ("within_months", "within_days"):
        days = _days(operator, threshold)
        yield from (days - 1, days, days + 1)
        return
    value = read_value(spec, threshold)
    step: Any = {"int": 1, "decimal": Decimal("0.001")}.get(spec.type, timedelta(days=1))
    if isinstance(value, date):
        value = Decimal(-value.toordinal())
        step = 1
    yield from (value - step, value, value + step)


def _days(operator: str, threshold: int) -> Decimal:
    return threshold * _DAYS_OF_A_MONTH if operator == "within_months" else Decimal(threshold)
