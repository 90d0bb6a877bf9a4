"""Turns conditions into evaluable trees: typed by the fact catalogue, blocks resolved, policy values fixed.

Equal parts are shared, so that one evaluation looks at each of them once.
"""

import operator as op
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from rulebook.conditions import All, AnyOf, AtLeast, Compare, Condition, Not, Policy, Use
from rulebook.errors import LawError
from rulebook.kleene import Truth, kleene_all, kleene_any, kleene_at_least, kleene_not
from rulebook.schema import FactSpec
from rulebook.values import FactMap, holds_for, plain

_HOLDS = {Truth.TRUE: True, Truth.FALSE: False, Truth.UNKNOWN: None}
_ORDER = {"lt": op.lt, "lte": op.le, "gt": op.gt, "gte": op.ge}


def plus_months(day: date, months: int) -> date:
    """The same day so many months later, or the last day of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


@dataclass(frozen=True, slots=True)
class Reason:
    """A comparison that decided an answer: the fact, what was compared, and what is known of it."""

    fact: str
    operator: str
    threshold: Any
    value: Any
    holds: bool | None

    def __str__(self) -> str:
        outcome = {True: "holds", False: "does not hold", None: "is not known"}[self.holds]
        return f"{self.fact} {self.operator} {self.threshold}: {outcome} (value: {self.value})"


class Evaluation:
    """One person on one day; remembers what has been evaluated."""

    __slots__ = ("as_of", "facts", "memo", "reasons")

    def __init__(self, facts: FactMap, as_of: date) -> None:
        self.facts = facts
        self.as_of = as_of
        self.memo: dict[int, Truth] = {}
        self.reasons: dict[int, Reason] = {}


class Tree:
    """A compiled condition. Shared and immutable."""

    __slots__ = ("children", "index")

    def __init__(self, index: int, children: tuple["Tree", ...] = ()) -> None:
        self.index = index
        self.children = children

    def truth(self, on: Evaluation) -> Truth:
        known = on.memo.get(self.index)
        if known is None:
            known = on.memo[self.index] = self._truth(on)
        return known

    def _truth(self, on: Evaluation) -> Truth:
        raise NotImplementedError

    def deciding(self, on: Evaluation) -> Iterator["Leaf"]:
        """The leaves that made the answer what it is; for an unknown, those that are not known."""
        wanted = self.truth(on)
        for child in self.children:
            if child.truth(on) is wanted:
                yield from child.deciding(on)

    def leaves(self) -> Iterator["Leaf"]:
        for child in self.children:
            yield from child.leaves()


class AllTree(Tree):
    __slots__ = ()

    def _truth(self, on: Evaluation) -> Truth:
        return kleene_all(child.truth(on) for child in self.children)


class AnyTree(Tree):
    __slots__ = ()

    def _truth(self, on: Evaluation) -> Truth:
        return kleene_any(child.truth(on) for child in self.children)


class NotTree(Tree):
    __slots__ = ()

    def _truth(self, on: Evaluation) -> Truth:
        return kleene_not(self.children[0].truth(on))

    def deciding(self, on: Evaluation) -> Iterator["Leaf"]:
        return self.children[0].deciding(on)


class AtLeastTree(Tree):
    __slots__ = ("count",)

    def __init__(self, index: int, children: tuple[Tree, ...], count: int) -> None:
        super().__init__(index, children)
        self.count = count

    def _truth(self, on: Evaluation) -> Truth:
        return kleene_at_least(self.count, (child.truth(on) for child in self.children))


class Leaf(Tree):
    __slots__ = ("fact", "operator", "shown", "sort_key", "test", "threshold")

    def __init__(self, index: int, fact: str, operator: str, threshold: Any, test: Callable[[Any], bool]) -> None:
        super().__init__(index)
        self.fact = fact
        self.operator = operator
        self.threshold = threshold
        self.shown = [plain(item) for item in threshold] if isinstance(threshold, tuple) else plain(threshold)
        self.sort_key = (fact, operator, str(self.shown))
        self.test = test

    def _truth(self, on: Evaluation) -> Truth:
        value = on.facts.get(self.fact)
        if value is None:
            return Truth.UNKNOWN
        return holds_for(value, self.test, self.operator, self.threshold)

    def deciding(self, on: Evaluation) -> Iterator["Leaf"]:
        yield self

    def leaves(self) -> Iterator["Leaf"]:
        yield self

    def reason(self, on: Evaluation) -> Reason:
        known = on.reasons.get(self.index)
        if known is None:
            value = on.facts.get(self.fact)
            shown = None if value is None else plain(value)
            known = on.reasons[self.index] = Reason(self.fact, self.operator, self.shown, shown, _HOLDS[self.truth(on)])
        return known


class AgeOfDateLeaf(Leaf):
    """`within_months` and `within_days`: the only leaves whose answer changes by itself as days go by."""

    __slots__ = ()

    def last_day(self, day: date) -> date:
        return plus_months(day, self.threshold) if self.operator == "within_months" else _plus_days(day, self.threshold)

    def _truth(self, on: Evaluation) -> Truth:
        value = on.facts.get(self.fact)
        if value is None or not isinstance(value, date):
            return Truth.UNKNOWN
        return Truth.TRUE if on.as_of <= self.last_day(value) else Truth.FALSE


def _plus_days(day: date, days: int) -> date:
    return day + timedelta(days=days)


def reasons(trees: Iterable[Tree], on: Evaluation) -> tuple[Reason, ...]:
    """Why the conditions are what they are, in an order that does not depend on how they were written."""
    found = {leaf.index: leaf for tree in trees for leaf in tree.deciding(on)}
    ordered = sorted(found.values(), key=lambda leaf: leaf.sort_key)
    return tuple(leaf.reason(on) for leaf in ordered)


def read_value(spec: FactSpec, raw: Any) -> Any:
    """The typed value of a fact as a report or a law file writes it. Raises ValueError if it does not fit."""
    match spec.type:
        case "bool" if isinstance(raw, bool):
            return raw
        case "int" if isinstance(raw, int) and not isinstance(raw, bool):
            return raw
        case "decimal" if isinstance(raw, (int, str, Decimal)) and not isinstance(raw, bool):
            try:
                number = Decimal(raw)
            except InvalidOperation:
                raise ValueError("write a decimal number") from None
            if number.is_finite():
                return number
        case "date" if isinstance(raw, date):
            return raw
        case "date" if isinstance(raw, str):
            return date.fromisoformat(raw)
        case "enum" if raw in spec.values:
            return raw
    wanted = f"one of {', '.join(spec.values)}" if spec.type == "enum" else f"a value of type {spec.type}"
    raise ValueError(f"write {wanted}")


class Compiler:
    """Compiles the conditions of one release. Raises LawError for an unknown fact, block, policy, or a wrong type."""

    def __init__(
        self, facts: Mapping[str, FactSpec], blocks: Mapping[str, Condition], policy: Mapping[str, str]
    ) -> None:
        self._facts = facts
        self._blocks = blocks
        self._policy = policy
        self._trees: dict[Any, Tree] = {}
        self._open: list[str] = []

    def compile(self, condition: Condition) -> Tree:
        match condition:
            case All(all=operands):
                return self._node("all", AllTree, operands)
            case AnyOf(any=operands):
                return self._node("any", AnyTree, operands)
            case Not(not_=operand):
                return self._node("not", NotTree, (operand,))
            case AtLeast(at_least=count, of=operands):
                children = tuple(self.compile(operand) for operand in operands)
                return self._shared(
                    ("at_least", count, tuple(c.index for c in children)),
                    lambda index: AtLeastTree(index, children, count),
                )
            case Use(use=name):
                return self._block(name)
            case Policy(policy=name, eq=wanted):
                if name not in self._policy:
                    raise LawError(f"there is no policy value {name}; write one of {', '.join(self._policy)}")
                return self._node(
                    "all" if self._policy[name] == wanted else "any",
                    AllTree if self._policy[name] == wanted else AnyTree,
                    (),
                )
            case Compare():
                return self._leaf(condition)

    def _shared(self, key: Any, make: Callable[[int], Tree]) -> Tree:
        if key not in self._trees:
            self._trees[key] = make(len(self._trees))
        return self._trees[key]

    def _node(self, kind: str, cls: type[Tree], operands: tuple[Condition, ...]) -> Tree:
        children = tuple(self.compile(operand) for operand in operands)
        return self._shared((kind, tuple(c.index for c in children)), lambda index: cls(index, children))

    def _block(self, name: str) -> Tree:
        if name not in self._blocks:
            raise LawError(f"there is no block {name}; write one of {', '.join(sorted(self._blocks))}")
        if name in self._open:
            raise LawError(f"block {name} uses itself: {' -> '.join([*self._open, name])}")
        self._open.append(name)
        try:
            return self.compile(self._blocks[name])
        finally:
            self._open.pop()

    def _leaf(self, condition: Compare) -> Tree:
        fact, operator, raw = condition.fact, condition.operator, condition.threshold
        spec = self._facts.get(fact)
        if spec is None:
            raise LawError(f"fact {fact} is not in the fact catalogue; add it to law/facts.yaml or correct the name")
        if operator in ("within_months", "within_days"):
            if spec.type != "date":
                raise LawError(f"{operator} needs a date; {fact} is of type {spec.type}")
            return self._shared((fact, operator, raw), lambda index: AgeOfDateLeaf(index, fact, operator, raw, bool))
        threshold, test = self._test(fact, spec, operator, raw)
        return self._shared((fact, operator, threshold), lambda index: Leaf(index, fact, operator, threshold, test))

    def _test(self, fact: str, spec: FactSpec, operator: str, raw: Any) -> tuple[Any, Callable[[Any], bool]]:
        if (operator == "is") != (spec.type == "bool"):
            raise LawError(f"{fact} is of type {spec.type}: write is: true or is: false for bool, and only for bool")
        try:
            if operator in ("in", "not_in"):
                listed = tuple(read_value(spec, item) for item in raw)
                return listed, (lambda v: v in listed) if operator == "in" else (lambda v: v not in listed)
            threshold = read_value(spec, raw)
        except ValueError as error:
            raise LawError(f"{fact} {operator}: {error}") from None
        if operator in ("eq", "is"):
            return threshold, lambda v: bool(v == threshold)
        if operator == "ne":
            return threshold, lambda v: bool(v != threshold)
        compare = _ORDER[operator]
        if spec.type == "enum":
            if not spec.ordered:
                raise LawError(f"{fact} has no order: write in: [...] instead of {operator}")
            rank = {value: position for position, value in enumerate(spec.values)}
            return threshold, lambda v: bool(compare(rank[v], rank[threshold]))
        return threshold, lambda v: bool(compare(v, threshold))
