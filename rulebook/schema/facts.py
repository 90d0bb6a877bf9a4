"""The fact catalog, what follows from facts, and conditions that several entries share."""

from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, model_validator

from rulebook.conditions import Condition, Node, Scalar
from rulebook.schema.parts import Cited, FactId, Id, Line, Lines

FactType = Literal["bool", "int", "decimal", "date", "enum"]
FactGroup = Literal["age", "encounter", "circumstances", "status", "supply", "record"]

LARGEST = 10**12 - 1
"""Of any number: whole cents, dollars, percentages and counts are far below, and columns of int64 hold all of them."""
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2200, 12, 31)
"""Between which anything that happens to a person, or is asked about one, may be."""
_WIDEST: dict[str, tuple[Any, Any]] = {
    "int": (-LARGEST, LARGEST),
    "decimal": (Decimal(-LARGEST), Decimal(LARGEST)),
    "date": (FIRST_DAY, LAST_DAY),
}


class FactSpec(Node):
    """One entry of the fact catalogue.

    `group` is the sealed group that holds it; `supply` is about services rather than the person, `record` about the
    record itself. `from` is the field of the report that holds it; facts without it travel in the group's `facts` map.
    """

    type: FactType
    group: FactGroup
    sensitivity: Literal["low", "personal", "high"]
    question: Line
    from_: Line | None = Field(default=None, alias="from")
    computed: bool = False
    """Set by `rulebook.person`, never reported."""
    ask: FactId | None = None
    """The fact to ask for instead, where this one follows from it."""
    values: Lines = ()
    ordered: bool = False
    """The values of the enumeration are listed from least to most."""
    at_least: Scalar | None = None
    at_most: Scalar | None = None
    """Bounds of what a report may say of a number or day, both included, where its type alone allows more."""
    note: Line | None = None

    @model_validator(mode="after")
    def _enumeration(self) -> "FactSpec":
        if (self.type == "enum") != bool(self.values):
            raise ValueError("an enum lists its values, any other type has none")
        return self

    @model_validator(mode="after")
    def _bounded(self) -> "FactSpec":
        if self.bounds is not None and self.bounds[0] > self.bounds[1]:
            raise ValueError("at_least must not exceed at_most")
        return self

    @cached_property
    def bounds(self) -> tuple[Any, Any] | None:
        """The least and the greatest that a report may say; None for a fact without an order.

        Raises ValueError for `at_least` or `at_most` of another type, or beyond what the type allows.
        """
        widest = _WIDEST.get(self.type)
        if widest is None:
            if self.at_least is not None or self.at_most is not None:
                raise ValueError("at_least and at_most are for int, decimal and date")
            return None
        low, high = (
            end if raw is None else _bound(self.type, raw)
            for end, raw in zip(widest, (self.at_least, self.at_most), strict=True)
        )
        if low < widest[0] or high > widest[1]:
            raise ValueError(f"write at_least and at_most between {widest[0]} and {widest[1]}")
        return low, high


def _bound(kind: FactType, raw: Scalar) -> Any:
    match kind, raw:
        case (("int" | "decimal"), bool()):
            pass
        case "int", int():
            return raw
        case "date", date():
            return raw
        case "decimal", int() | str():
            try:
                return Decimal(raw)
            except InvalidOperation:
                pass
    raise ValueError(f"write at_least and at_most as values of type {kind}")


class OneOf(Node):
    one_of: Cited


class Derivation(Node):
    """Adds a fact when the condition is certainly true. Applied in order.

    Of a recorded fact, what both leave possible is known; where the two exclude each other, nothing is.
    """

    when: Condition
    then: dict[FactId, OneOf | Scalar]
    cite: Lines = ()
    presumption: bool = False
    """Not known but presumed: answers that stand on it are reported apart from those that do not."""


class FactsFile(Node):
    facts: dict[FactId, FactSpec]
    derivations: tuple[Derivation, ...] = Field(default=(), strict=False)


class BlocksFile(Node):
    blocks: dict[Id, Condition]
