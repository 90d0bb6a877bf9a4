"""A report may say what it knows of a value: a range, or some members of an enumeration; nonsense is refused."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.facts import SubjectFacts
from rulebook.encoding import encode
from rulebook.loader import Law
from rulebook.person import known_facts
from rulebook.possibilities import read_reported
from rulebook.schema import FactSpec
from rulebook.values import Among, Interval
from tests.unit.rulebook.conditions import FACTS

DAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("fact", "raw", "wanted"),
    [
        ("income", 150_000, 150_000),
        ("income", "0..150000", Interval(0, 150_000)),
        ("income", "..150000", Interval(None, 150_000)),
        ("income", "150000..", Interval(150_000, None)),
        ("income", "7..7", 7),
        ("income", "..", None),
        ("percent", "100..138.5", Interval(Decimal(100), Decimal("138.5"))),
        ("letter", "2026-01-01..2026-02-01", Interval(date(2026, 1, 1), date(2026, 2, 1))),
        ("letter", "2026-01-01", date(2026, 1, 1)),
        ("status", "a|b", Among(frozenset("ab"))),
        ("status", "a|b|c", None),
        ("status", "a", "a"),
        ("pregnant", True, True),
    ],
)
def test_a_reported_value_leaves_its_possibilities(fact: str, raw: Any, wanted: Any) -> None:
    assert read_reported(FACTS[fact], raw) == wanted


@pytest.mark.parametrize(
    ("fact", "raw"),
    [
        ("income", "3..2"),
        ("income", "one..two"),
        ("income", "150000"),
        ("income", 1.5),
        ("status", "a|d"),
        ("pregnant", "true..false"),
        ("letter", "2026-02-01..2026-01-01"),
        ("letter", "2026-13-01.."),
    ],
)
def test_what_fits_no_type_is_refused(fact: str, raw: Any) -> None:
    with pytest.raises(ValueError, match=r"^write ") as refused:
        read_reported(FACTS[fact], raw)
    assert str(raw) not in str(refused.value)


TOO_MUCH: list[tuple[str, Any]] = [
    ("income", 10**12),
    ("income", -(10**12)),
    ("income", "0..1000000000000"),
    ("income", f"{'9' * 5000}.."),
    ("percent", "99999999999999999999"),
    ("percent", "1e400"),
    ("percent", "1e999999999"),
    ("percent", "0e999999999"),
    ("percent", "1e-999999999"),
    ("percent", f"0.{'3' * 16}"),
    ("percent", f"{'0' * 5000}1"),
    ("percent", "1..1e400"),
    ("letter", "9999-12-31"),
    ("letter", "9999-01-01.."),
    ("letter", "..0001-01-01"),
    ("letter", "1899-12-31"),
]


@pytest.mark.parametrize(("fact", "raw"), TOO_MUCH)
def test_what_no_evaluator_could_hold_is_refused(fact: str, raw: Any) -> None:
    with pytest.raises(ValueError, match=r"^write a value of type \w+ from "):
        read_reported(FACTS[fact], raw)


@pytest.mark.parametrize(
    ("fact", "raw"),
    [("income", 10**12 - 1), ("percent", f"999999999998.{'9' * 15}"), ("percent", "1e-15"), ("letter", "2200-12-31")],
)
def test_what_is_just_within_the_bounds_is_taken_and_fits_into_columns(fact: str, raw: Any) -> None:
    value = read_reported(FACTS[fact], raw)
    assert value is not None
    assert encode([{fact: value}], FACTS).rows == 1


BOUNDED = FactSpec(
    type="decimal", group="circumstances", sensitivity="low", question="How much?", at_least=0, at_most="99.5"
)


@pytest.mark.parametrize(("raw", "taken"), [("99.5", True), (0, True), ("99.51", False), (-1, False), ("-1..3", False)])
def test_a_fact_may_have_bounds_of_its_own(raw: Any, taken: bool) -> None:
    if taken:
        assert read_reported(BOUNDED, raw) == Decimal(raw)
    else:
        with pytest.raises(ValueError, match=r"^write a value of type decimal from 0 to 99\.5 "):
            read_reported(BOUNDED, raw)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "bool", "at_least": 0},
        {"type": "int", "at_least": "1"},
        {"type": "int", "at_most": True},
        {"type": "int", "at_least": 2, "at_most": 1},
        {"type": "int", "at_most": 10**12},
        {"type": "decimal", "at_most": "much"},
        {"type": "date", "at_least": 1900},
    ],
)
def test_bounds_of_another_type_are_no_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"at_least"):
        FactSpec.model_validate({"group": "circumstances", "sensitivity": "low", "question": "How?"} | wrong)


def test_a_range_reaches_the_rules_and_an_open_one_is_nothing_known(law: Law) -> None:
    told = {"household_size": "2..3", "household_income_monthly_cents": ".."}
    facts = SubjectFacts.model_validate({"circumstances": {"appears_victim": True, "facts": told}})
    known = known_facts(facts, law, encounter_on=DAY, as_of=DAY)
    assert known["household_size"] == Interval(2, 3)
    assert "household_income_monthly_cents" not in known
