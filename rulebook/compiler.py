"""Turns conditions into evaluable trees: typed by the fact catalogue, blocks resolved, policy values fixed.

Equal parts are shared, so that one evaluation looks at each of them once.
"""

import operator as op
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from rulebook.conditions import All, AnyOf, AtLeast, Compare, Condition, Not, Policy, TableAmount, Use
from rulebook.dates import plus_months
from rulebook.errors import LawError
from rulebook.leaves import AgeLeaf, Leaf, TableLeaf, WithinLeaf
from rulebook.schema import FactSpec
from rulebook.tables import Lookup, ParameterTable
from rulebook.trees import AllTree, AnyTree, AtLeastTree, Evaluation, NotTree, Reason, Tree, reasons

__all__ = ["Compiler", "Evaluation", "Leaf", "Reason", "Tree", "plus_months", "read_value", "reasons"]

_MOST_PERCENT = 10_000
_ORDER = {"lt": op.lt, "lte": op.le, "gt": op.gt, "gte": op.ge}


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


def _percent(wanted: TableAmount) -> Decimal:
    try:
        percent = Decimal(wanted.percent)
    except InvalidOperation:
        percent = Decimal()
    if not (percent.is_finite() and 0 < percent <= _MOST_PERCENT):
        raise LawError(f"table {wanted.table}: write percent as a whole number or a quoted decimal, above 0")
    return percent


class Compiler:
    """Compiles the conditions of one release. Raises LawError for an unknown fact, block, policy, or a wrong type."""

    def __init__(
        self,
        facts: Mapping[str, FactSpec],
        blocks: Mapping[str, Condition],
        policy: Mapping[str, str],
        tables: Mapping[str, ParameterTable] | None = None,
    ) -> None:
        self._facts = facts
        self._blocks = blocks
        self._policy = policy
        self._tables = tables or {}
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
        spec = self._spec(fact)
        if operator == "between":
            low = {"fact": fact, "age_on": condition.age_on, "gte": raw[0]}
            high = {"fact": fact, "age_on": condition.age_on, "lte": raw[1]}
            return self.compile(All(all=(Compare.model_validate(low), Compare.model_validate(high))))
        if isinstance(raw, TableAmount):
            return self._table(fact, spec, operator, raw)
        if operator in ("within_months", "within_days"):
            self._must_be("date", fact, operator)
            return self._shared((fact, operator, raw), lambda i: WithinLeaf(i, fact, spec, operator, raw, bool))
        if condition.age_on is not None:
            return self._age(fact, spec, operator, raw, condition.age_on)
        threshold, test = self._test(fact, spec, operator, raw)
        return self._shared((fact, operator, threshold), lambda i: Leaf(i, fact, spec, operator, threshold, test))

    def _age(self, fact: str, spec: FactSpec, operator: str, raw: Any, on: date | str) -> Tree:
        self._must_be("date", fact, "age_on")
        if isinstance(on, str) and on != "as_of":
            self._must_be("date", on, "age_on")
        years = spec.model_copy(update={"type": "int"})
        threshold, test = self._test(fact, years, operator, raw)
        return self._shared(
            (fact, "age_on", on, operator, threshold), lambda i: AgeLeaf(i, fact, spec, operator, threshold, test, on)
        )

    def _table(self, fact: str, spec: FactSpec, operator: str, wanted: TableAmount) -> Tree:
        self._must_be("int", fact, "a table")
        self._must_be("int", wanted.of, "a table")
        if wanted.table not in self._tables:
            raise LawError(f"there is no table {wanted.table}; add it to law/parameters/ or correct the name")
        percent = _percent(wanted)
        table = self._tables[wanted.table]
        if wanted.per is not None and table.per != "year":
            raise LawError(f"table {wanted.table} is not by the year; leave `per` out")
        taken = table if wanted.taken_by is None else table.taken_by(wanted.taken_by)
        if taken is None:
            raise LawError(
                f"table {wanted.table} names no day on which {wanted.taken_by} takes it; add it to `adopted`"
            )
        part = 1 if wanted.per is None else 12
        lookup = Lookup(wanted.table, taken, wanted.of, percent, wanted.round, part, wanted.taken_by)
        key = (fact, operator, wanted.table, wanted.of, percent, wanted.round, part, wanted.taken_by)
        return self._shared(key, lambda i: TableLeaf(i, fact, spec, operator, lookup))

    def _spec(self, fact: str) -> FactSpec:
        spec = self._facts.get(fact)
        if spec is None:
            raise LawError(f"fact {fact} is not in the fact catalogue; add it to law/facts.yaml or correct the name")
        return spec

    def _must_be(self, kind: str, fact: str, what: str) -> None:
        found = self._spec(fact).type
        if found != kind:
            article = "an" if kind == "int" else "a"
            raise LawError(f"{what} needs {article} {kind}; {fact} is of type {found}")

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
