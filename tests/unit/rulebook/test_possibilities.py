"""A report may say what it knows of a value: a range, or some members of an enumeration; nonsense is refused."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from contracts.facts import SubjectFacts
from rulebook.loader import Law
from rulebook.person import known_facts
from rulebook.possibilities import read_reported
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
    with pytest.raises(ValueError, match=r"write|isoformat|month"):
        read_reported(FACTS[fact], raw)


def test_a_range_reaches_the_rules_and_an_open_one_is_nothing_known(law: Law) -> None:
    told = {"household_size": "2..3", "household_income_monthly_cents": ".."}
    facts = SubjectFacts.model_validate({"circumstances": {"appears_victim": True, "facts": told}})
    known = known_facts(facts, law, encounter_on=DAY, as_of=DAY)
    assert known["household_size"] == Interval(2, 3)
    assert "household_income_monthly_cents" not in known
