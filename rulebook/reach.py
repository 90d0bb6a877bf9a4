"""Whether conditions can hold together at all: a search over what may be known of each thing that they compare.

Takes things as independent of one another, so that "never" is certain and "perhaps" is not. Percentages of one table
are one thing, for they are in order whatever the amounts are; so is the age on one day.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from rulebook.compiler import read_value
from rulebook.conditions import All, AnyOf, AtLeast, Compare, Condition, Not, Policy, TableAmount, Use
from rulebook.kleene import Truth, kleene_all, kleene_any, kleene_at_least, kleene_not, truth
from rulebook.schema import FactSpec

Truths = frozenset[Truth]
Goal = tuple[Condition, Truths]
"""A condition, and what it shall be."""
_ALL_TRUTHS: Truths = frozenset(Truth)
_TRUE: Truths = frozenset({Truth.TRUE})
_NOT_TRUE: Truths = frozenset({Truth.FALSE, Truth.UNKNOWN})
_STEPS = {"int": 1, "decimal": Decimal("0.001"), "date": 1}
"""From a threshold to its neighbours; days are counted."""
_MOST_WAYS = 300
"""Ways in which one thing may be known; where there are more, anything is taken to be possible."""

_Known = Mapping[int, Truth]
"""What each comparison is, by its `id`."""


class Reach:
    """The names that conditions of one release use."""

    def __init__(
        self, facts: Mapping[str, FactSpec], blocks: Mapping[str, Condition], policy: Mapping[str, str]
    ) -> None:
        self._facts = facts
        self._blocks = blocks
        self._policy = policy
        self._ways_of: dict[tuple[int, ...], tuple[Sequence[Compare], list[_Known]]] = {}
        """By the `id` of each comparison: most sites ask of the same ones. Holds the comparisons too, so that none of
        these ids is given to another."""

    def possible(self, true: Iterable[Condition], not_true: Iterable[Condition] = ()) -> bool:
        """Whether something may be known under which some conditions are certainly true and none of the others is."""
        goals = [part for condition in true for part in self._parts(condition, _TRUE)]
        goals += [part for condition in not_true for part in self._parts(condition, _NOT_TRUE)]
        compared: dict[Any, dict[int, Compare]] = {}
        for condition, _ in sorted(goals, key=lambda goal: not isinstance(goal[0], Compare)):
            for leaf in self._leaves(condition):
                compared.setdefault(_thing(leaf), {})[id(leaf)] = leaf
        ways = [self._ways(list(leaves.values())) for leaves in compared.values()]
        return self._assign(goals, ways, {})

    def _parts(self, condition: Condition, wanted: Truths) -> Iterator[Goal]:
        """Goals that are met exactly when this one is, as small as can be: each prunes the search alone."""
        match condition:
            case Use(use=name):
                yield from self._parts(self._blocks[name], wanted)
            case All(all=operands) if wanted is _TRUE:
                for operand in operands:
                    yield from self._parts(operand, wanted)
            case AnyOf(any=operands) if wanted is _NOT_TRUE:
                for operand in operands:
                    yield from self._parts(operand, wanted)
            case _:
                yield condition, wanted

    def _assign(self, goals: Sequence[Goal], ways: Sequence[list[_Known]], known: _Known) -> bool:
        possible = [(goal, self._truths(goal[0], known)) for goal in goals]
        if any(not truths & wanted for (_, wanted), truths in possible):
            return False
        left = [goal for goal, truths in possible if not truths <= goal[1]]
        if not left or not ways:
            return True
        first, *rest = ways
        return any(self._assign(left, rest, {**known, **way}) for way in first)

    def _leaves(self, condition: Condition) -> Iterator[Compare]:
        match condition:
            case Compare():
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

    def _truths(self, condition: Condition, known: _Known) -> Truths:
        """What the condition may still become."""
        match condition:
            case Compare():
                found = known.get(id(condition))
                return _ALL_TRUTHS if found is None else frozenset({found})
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
                    combinations = {(*done, item) for item in self._truths(operand, known) for done in combinations}
                return frozenset(kleene_at_least(count, combination) for combination in combinations)

    def _folded(self, operands: Iterable[Condition], known: _Known, of: Any, start: Truth) -> Truths:
        found: Truths = frozenset({start})
        for operand in operands:
            found = frozenset(of((one, other)) for other in self._truths(operand, known) for one in found)
        return found

    def _ways(self, leaves: Sequence[Compare]) -> list[_Known]:
        """What the comparisons of one thing may be together."""
        key = tuple(id(leaf) for leaf in leaves)
        if key not in self._ways_of:
            self._ways_of[key] = leaves, self._found_ways(leaves)
        return self._ways_of[key][1]

    def _found_ways(self, leaves: Sequence[Compare]) -> list[_Known]:
        """For each value, for sets of values, and not known."""
        found = {tuple(truth(self._holds(leaf, value)) for leaf in leaves) for value in self._values(leaves)}
        found.add((Truth.UNKNOWN,) * len(leaves))
        waiting = list(found)
        while waiting:
            one = waiting.pop()
            for other in list(found):
                both = tuple(a if a is b else Truth.UNKNOWN for a, b in zip(one, other, strict=True))
                if both not in found:
                    found.add(both)
                    waiting.append(both)
            if len(found) > _MOST_WAYS:
                return [{}]
        settled_first = sorted(found, key=lambda way: (way.count(Truth.UNKNOWN), way))
        ids = [id(leaf) for leaf in leaves]
        return [dict(zip(ids, way, strict=True)) for way in settled_first]

    def _values(self, leaves: Sequence[Compare]) -> Iterable[Any]:
        kind = self._kind(leaves[0])
        if kind == "bool":
            return (True, False)
        if kind == "enum":
            return self._facts[leaves[0].fact].values
        near = {threshold for leaf in leaves for threshold in self._thresholds(leaf)}
        return {value for at in near for value in (at - _STEPS[kind], at, at + _STEPS[kind])}

    def _kind(self, leaf: Compare) -> str:
        if isinstance(leaf.threshold, TableAmount) or leaf.operator.startswith("within"):
            return "decimal"
        return "int" if leaf.age_on is not None else self._facts[leaf.fact].type

    def _thresholds(self, leaf: Compare) -> list[Any]:
        """As values of the thing: percent of a table, years of age, time since a date, a day by its number, or a value
        of the fact."""
        raw = leaf.threshold
        if isinstance(raw, TableAmount):
            return [Decimal(raw.percent)]
        if leaf.operator.startswith("within"):
            return [Decimal(raw)]
        spec = self._facts[leaf.fact].model_copy(update={"type": self._kind(leaf)})
        values = [read_value(spec, item) for item in (raw if isinstance(raw, tuple) else (raw,))]
        return [value.toordinal() if isinstance(value, date) else value for value in values]

    def _holds(self, leaf: Compare, value: Any) -> bool:
        thresholds, operator = self._thresholds(leaf), leaf.operator
        if operator in ("in", "not_in", "eq", "ne", "is"):
            return (value in thresholds) == (operator not in ("not_in", "ne"))
        if self._kind(leaf) == "enum":
            rank = self._facts[leaf.fact].values.index
            value, thresholds = rank(value), [rank(threshold) for threshold in thresholds]
        if operator == "between":
            return bool(thresholds[0] <= value <= thresholds[1])
        less, equal = value < thresholds[0], value == thresholds[0]
        outcomes: dict[str, bool] = {"lt": less, "lte": less or equal, "gt": not (less or equal), "gte": not less}
        return outcomes["lte" if operator.startswith("within") else operator]


def _thing(leaf: Compare) -> tuple[Any, ...]:
    """What a comparison looks at: a fact, its age on a day, the time since it, or its share of a table's amount."""
    if isinstance(leaf.threshold, TableAmount):
        table = leaf.threshold
        return leaf.fact, table.table, table.of, table.per, table.round, table.taken_by
    if leaf.operator.startswith("within"):
        return leaf.fact, leaf.operator  # months have no number of days
    return (leaf.fact,) if leaf.age_on is None else (leaf.fact, "age_on", leaf.age_on)
