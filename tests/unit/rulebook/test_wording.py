"""What a lawyer reads of a comparison and of a value: words, dollars and ranges, and no code."""

from typing import Any

import pytest

from rulebook.wording import compared, said

GUIDELINE = {"table": "us.poverty_guideline", "of": "household_size", "percent": "130", "per": "month", "round": "cent"}


@pytest.mark.parametrize(
    ("fact", "operator", "threshold", "words"),
    [
        ("age_years", "gte", 18, "age_years at least 18"),
        ("runaway", "is", False, "runaway is no"),
        ("le_cooperation", "in", ["willing"], "le_cooperation is willing"),
        ("citizenship_status", "not_in", ["lpr", "us_citizen"], "citizenship_status is none of lpr, us_citizen"),
        ("age_years", "between", [14, 24], "age_years between 14 and 24"),
        ("hhs_letter_date", "within_months", 4, "hhs_letter_date at most 4 months ago"),
        ("birth_date", "lt", {"age_on": "as_of", "lt": 18}, "age on the day asked about by birth_date less than 18"),
        ("income_cents", "lte", 5_000, "income_cents at most $50.00"),
        (
            "income_cents",
            "lte",
            GUIDELINE | {"verified": False},
            "income_cents at most 130 % of us.poverty_guideline for household_size, by the month, amounts not verified",
        ),
        (
            "means_cents",
            "lte",
            {"table": "us.limit", "of": "household_size", "percent": "100", "round": "cent_down", "verified": True},
            "means_cents at most us.limit for household_size",
        ),
        (
            "hhs_letter_date",
            "version_in_force",
            True,
            "hhs_letter_date on a day on which a version of the rule was in force",
        ),
    ],
)
def test_a_comparison_is_said_in_words(fact: str, operator: str, threshold: Any, words: str) -> None:
    assert compared(fact, operator, threshold) == words


@pytest.mark.parametrize(
    ("fact", "value", "words"),
    [
        ("runaway", True, "yes"),
        ("age_years", {"from": 14, "to": 17}, "14 to 17"),
        ("age_years", {"from": 14, "to": None}, "14 or more"),
        ("income_cents", {"from": None, "to": 150_000}, "at most $1,500.00"),
        ("victim_status", {"one_of": ["presumed", "suspected"]}, "presumed or suspected"),
        ("income_cents", {"income_cents": 119_700, "household_size": 1}, "income_cents $1,197.00, household_size 1"),
    ],
)
def test_a_value_is_said_in_words(fact: str, value: Any, words: str) -> None:
    assert said(fact, value) == words
