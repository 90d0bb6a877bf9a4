"""Amounts by household: whole cents, rounded as the rule says, and bounded where the household is partly known."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from rulebook.columns import evaluate
from rulebook.encoding import encode
from rulebook.errors import LawError
from rulebook.kleene import Truth
from rulebook.tables import Lookup, Rounding
from rulebook.trees import Evaluation
from rulebook.values import Interval, Value
from tests.unit.rulebook.conditions import DAY, FACTS, FLAT, PARSE, Guideline, compiled

THIRD = {"table": "guideline", "of": "size", "percent": "33.3", "round": "cent_down"}


@pytest.mark.parametrize(
    ("rounding", "cents"),
    [
        # 33.3 % of 16.00 dollars is 5.328 dollars.
        ("cent_down", 532),
        ("cent_up", 533),
        ("cent_half_up", 533),
        ("dollar_down", 500),
        ("dollar_up", 600),
        ("dollar_half_up", 500),
    ],
)
def test_a_lookup_is_rounded_as_the_rule_says(rounding: Rounding, cents: int) -> None:
    assert Lookup("guideline", Guideline(), "size", Decimal("33.3"), rounding).cents(2, DAY) == cents


def test_a_half_is_rounded_up_and_never_to_even() -> None:
    assert Lookup("guideline", Guideline(), "size", Decimal("0.25"), "cent_half_up").cents(1, DAY) == 3


@pytest.mark.parametrize(
    ("income", "size", "expected"),
    [
        (532, 2, Truth.TRUE),
        (533, 2, Truth.FALSE),
        (0, None, Truth.TRUE),
        (333, None, Truth.TRUE),
        (334, None, Truth.UNKNOWN),
        (None, 2, Truth.UNKNOWN),
        (Interval(0, 532), 2, Truth.TRUE),
        (Interval(500, 600), 2, Truth.UNKNOWN),
        (732, Interval(2, 3), Truth.UNKNOWN),
        (733, Interval(2, 3), Truth.FALSE),
        (333, 0, Truth.TRUE),
    ],
)
def test_an_amount_is_compared_with_all_that_the_household_may_be(
    income: Value | None, size: Value | None, expected: Truth
) -> None:
    known = {name: value for name, value in (("income", income), ("size", size)) if value is not None}
    assert compiled({"fact": "income", "lte": THIRD}).truth(Evaluation(known, DAY)) is expected


def test_an_amount_for_every_household_needs_no_size() -> None:
    tree = compiled({"fact": "income", "lte": FLAT})
    people: list[dict[str, Value]] = [{"income": 3000}, {"income": 3001}, {"income": 3001, "size": 9}]
    assert [tree.truth(Evaluation(person, DAY)) for person in people] == [Truth.TRUE, Truth.FALSE, Truth.FALSE]
    assert evaluate([tree], encode(people, FACTS), FACTS, DAY)[tree.index].tolist() == [3, 0, 0]


@pytest.mark.parametrize("sizes", [(1, 2, 24, None), (1, 24, 25, None, 200_000)])
def test_columns_find_the_amount_of_every_household_as_the_walker_does(sizes: tuple[int | None, ...]) -> None:
    tree = compiled({"fact": "income", "lte": THIRD})
    amounts = (0, 333, 334, 532, 533, 4929, 4930, 5129, 5130, 39_999_999, 50_000_000)
    people: list[dict[str, Value]] = [
        {"income": income} | ({} if size is None else {"size": size}) for income in amounts for size in sizes
    ]
    found = evaluate([tree], encode(people, FACTS), FACTS, DAY)[tree.index]
    assert found.tolist() == [tree.truth(Evaluation(person, DAY)) for person in people]
    assert set(found.tolist()) == set(Truth)


def test_another_version_of_the_table_comes_with_its_day() -> None:
    tree = compiled({"fact": "income", "lte": THIRD})
    facts: dict[str, Value] = {"income": 532, "size": 2}
    assert tree.truth(Evaluation(facts, date(2026, 12, 31))) is Truth.TRUE
    assert tree.truth(Evaluation(facts, date(2027, 1, 1))) is Truth.FALSE
    assert [list(leaf.changes(facts, DAY)) for leaf in tree.leaves()] == [[date(2027, 1, 1)]]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"fact": "income", "lte": THIRD | {"table": "nowhere"}}, "there is no table nowhere"),
        ({"fact": "percent", "lte": THIRD}, "a table needs an int; percent is of type decimal"),
        ({"fact": "income", "lte": THIRD | {"of": "letter"}}, "a table needs an int; letter is of type date"),
        ({"fact": "income", "lte": THIRD | {"percent": "much"}}, "write percent as a whole number"),
        ({"fact": "age", "age_on": "as_of", "lt": 3}, "age_on needs a date; age is of type int"),
        ({"fact": "born", "age_on": "age", "lt": 3}, "age_on needs a date; age is of type int"),
    ],
)
def test_a_comparison_that_means_nothing_is_refused(condition: Any, message: str) -> None:
    with pytest.raises(LawError, match=message):
        compiled(condition)


@pytest.mark.parametrize("left_out", ["table", "of", "round"])
def test_nothing_about_a_lookup_is_left_to_a_default_that_nobody_wrote(left_out: str) -> None:
    with pytest.raises(ValidationError):
        PARSE.validate_python({"fact": "income", "lte": {k: v for k, v in THIRD.items() if k != left_out}})


@pytest.mark.parametrize(
    ("born", "on", "expected"), [("2008-02-29", "2026-02-28", 17), ("2008-02-29", "2026-03-01", 18)]
)
def test_an_age_on_a_day_counts_completed_years(born: str, on: str, expected: int) -> None:
    known: dict[str, Value] = {"born": date.fromisoformat(born), "letter": date.fromisoformat(on)}
    for day in ("letter", date.fromisoformat(on)):
        tree = compiled({"fact": "born", "age_on": day, "eq": expected})
        assert tree.truth(Evaluation(known, DAY)) is Truth.TRUE


def test_between_takes_in_both_ends() -> None:
    tree = compiled({"fact": "percent", "between": [100, "138.5"]})
    found = [tree.truth(Evaluation({"percent": Decimal(v)}, DAY)) for v in ("99.99", "100", "138.5", "138.51")]
    assert found == [Truth.FALSE, Truth.TRUE, Truth.TRUE, Truth.FALSE]
