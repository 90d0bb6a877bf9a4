"""The language of conditions in law files: a closed syntax that a lawyer can read and a program can analyse.

    {fact: age_years, gte: 18}          one operator per comparison
    {fact: income_percent, between: [100, 138]}     both included
    {fact: birth_date, age_on: as_of, lt: 18}       the age on the day asked about, a day, or the day of another fact
    {fact: income_cents, lte: {table: us.fpl, of: household_size, percent: 138, per: month, round: dollar_up}}
    {all: [...]}  {any: [...]}  {not: ...}  {at_least: 2, of: [...]}
    {use: us.citizen_or_lpr}            a named block
    {policy: hhs24_scope, eq: all_minors}   a policy value, fixed when the law is loaded

There is no operator that asks whether a fact is known, and none that replaces a missing fact.
"""

from collections.abc import Iterator
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from rulebook.tables import Rounding

Scalar = bool | int | date | str
"""A threshold as a law file writes it; decimals are quoted, never binary floats."""

OPERATORS = (
    *("eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "is"),
    *("between", "within_months", "within_days"),
)


class Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class All(Node):
    """True when every operand is; true for none."""

    all: tuple["Condition", ...] = Field(strict=False)


class AnyOf(Node):
    """True when one operand is; false for none."""

    any: tuple["Condition", ...] = Field(strict=False)


class Not(Node):
    not_: "Condition" = Field(alias="not")


class AtLeast(Node):
    at_least: int = Field(ge=1)
    of: tuple["Condition", ...] = Field(strict=False, min_length=1)


class Use(Node):
    """A named block of `law/blocks.yaml`."""

    use: str


class Policy(Node):
    """A policy value; law files may ask for it, but it is never presented as law."""

    policy: str
    eq: Scalar


class TableAmount(Node):
    """A threshold by household size: a percentage of a table of `law/parameters`, in cents, rounded as it says."""

    table: str
    of: str
    """The fact that holds the household's size."""
    percent: int | str = 100
    """A whole number, or a quoted decimal."""
    per: Literal["month"] | None = None
    """A twelfth of a table by the year; otherwise as the table says."""
    round: Rounding
    """Of the amount that is compared, percentage and month included."""
    taken_by: str | None = None
    """The program, where it takes a new year of the table on another day than that of the table itself."""


Limit = Scalar | TableAmount


class Compare(Node):
    """One comparison. A missing fact makes it unknown."""

    fact: str
    age_on: date | str | None = None
    """The fact is a birth date, and its age is compared: on the day asked about (`as_of`), on a day, or on the day
    that another fact holds."""
    eq: Scalar | None = None
    ne: Scalar | None = None
    lt: Limit | None = None
    lte: Limit | None = None
    gt: Limit | None = None
    gte: Limit | None = None
    in_: tuple[Scalar, ...] | None = Field(default=None, alias="in", strict=False, min_length=1)
    not_in: tuple[Scalar, ...] | None = Field(default=None, strict=False, min_length=1)
    is_: bool | None = Field(default=None, alias="is")
    between: tuple[Scalar, Scalar] | None = Field(default=None, strict=False)
    """From the first to the second, both included."""
    within_months: int | None = Field(default=None, ge=0, le=1200)
    """The fact is a date; true up to and including that many calendar months after it."""
    within_days: int | None = Field(default=None, ge=0, le=36_500)

    @model_validator(mode="after")
    def _one_operator(self) -> "Compare":
        if len(self.given) != 1:
            raise ValueError(f"a comparison needs exactly one operator of {', '.join(OPERATORS)}")
        return self

    @cached_property
    def given(self) -> tuple[tuple[str, Any], ...]:
        """The operators that are written, with what each compares to. Kept: a check of a release asks millions of
        times."""
        pairs = ((name, getattr(self, name + "_" if name in ("in", "is") else name)) for name in OPERATORS)
        return tuple((name, value) for name, value in pairs if value is not None)

    @property
    def operator(self) -> str:
        return self.given[0][0]

    @property
    def threshold(self) -> Any:
        return self.given[0][1]


_KEYS = ("all", "any", "not", "at_least", "use", "policy", "fact")
_CLASSES: dict[type[Node], str] = {
    All: "all",
    AnyOf: "any",
    Not: "not",
    AtLeast: "at_least",
    Use: "use",
    Policy: "policy",
    Compare: "fact",
}


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((key for key in _KEYS if key in value), None)
    return _CLASSES.get(type(value))


Condition = Annotated[
    Annotated[All, Tag("all")]
    | Annotated[AnyOf, Tag("any")]
    | Annotated[Not, Tag("not")]
    | Annotated[AtLeast, Tag("at_least")]
    | Annotated[Use, Tag("use")]
    | Annotated[Policy, Tag("policy")]
    | Annotated[Compare, Tag("fact")],
    Discriminator(
        _kind,
        custom_error_type="condition",
        custom_error_message="a condition is a mapping with one of: all, any, not, at_least, use, policy, fact",
    ),
]

for _node in (All, AnyOf, Not, AtLeast):
    _node.model_rebuild()


def walk(condition: Condition, place: tuple[int | str, ...] = ()) -> Iterator[tuple[tuple[int | str, ...], Condition]]:
    """A condition and all its parts, each with the way to it."""
    yield place, condition
    match condition:
        case All(all=operands):
            key = "all"
        case AnyOf(any=operands):
            key = "any"
        case AtLeast(of=operands):
            key = "of"
        case Not(not_=operand):
            yield from walk(operand, (*place, "not"))
            return
        case _:
            return
    for number, operand in enumerate(operands):
        yield from walk(operand, (*place, key, number))
