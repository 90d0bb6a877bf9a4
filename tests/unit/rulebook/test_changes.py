"""The day that is announced for the next change is never too late: before it, no answer changes by itself."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import SubjectFacts
from rulebook.kleene import Truth
from rulebook.leaves import AgeLeaf, TableLeaf, WithinLeaf
from rulebook.loader import LAW, load_law
from rulebook.programs import Determination, determine
from rulebook.trees import Evaluation
from rulebook.values import FactMap
from tests.support.properties import tried
from tests.unit.rulebook.builders import release_copy
from tests.unit.rulebook.conditions import DAY, JOINT, KNOWN, SINGLE, compiled, conditions

_LAW = load_law(LAW)
BY_DAY = conditions([leaf for leaf in SINGLE + JOINT if leaf["fact"] in ("letter", "born", "income", "age")], 6)
STARTS = st.dates(date(2023, 6, 1), date(2027, 6, 1))
AGES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.dates(date(2004, 1, 1), date(2012, 1, 1)).map(lambda d: {"birth_date": str(d), "verified_by": "document"}),
    st.integers(0, 66).map(lambda years: {"years": years, "verified_by": "document"}),
    st.just({"birth_date": "2008-02-29", "verified_by": "document"}),
    st.just({"apparent_minor": True}),
    st.just({}),
)
STATUS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "hhs_letter_date": st.dates(date(2023, 1, 1), date(2027, 1, 1)).map(str),
        "hhs_certification_letter": st.booleans(),
        "child_eligibility_letter": st.booleans(),
    },
)
OPEN: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "crime_or_discovery_date": st.dates(date(2022, 1, 1), date(2027, 1, 1)).map(str),
        "tanf_or_ssi_eligible": st.booleans(),
        "medicaid_or_chip_eligible": st.booleans(),
        "personal_injury": st.just(True),
        "out_of_pocket_loss": st.just(True),
        "crime_in_missouri": st.just(True),
        "crime_reported_or_sworn_statement": st.just(True),
        "household_income_monthly_cents": st.sampled_from([133_000, 200_000, "100000..150000"]),
        "household_size": st.sampled_from([1, 3]),
        "homeless_or_fleeing": st.booleans(),
    },
)


def noon(day: date) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00-06:00")


def on_day(facts: SubjectFacts, encounter: date, day: date) -> Determination:
    return determine(facts, _LAW, jurisdiction="MO", encounter_at=noon(encounter), as_of=noon(day))


@given(AGES, STATUS, OPEN, STARTS, st.integers(0, 400), st.lists(st.integers(0, 1200), min_size=1, max_size=6))
@tried(120)
def test_no_answer_changes_on_any_day_before_the_announced_one(
    age: dict[str, Any], status: dict[str, Any], more: dict[str, Any], encounter: date, after: int, days: list[int]
) -> None:
    facts = SubjectFacts.model_validate(
        {
            "age": age,
            "circumstances": {"appears_victim": True, "residence_county_fips": "29095", "facts": more},
            "status": {"facts": status},
        }
    )
    as_of = encounter + timedelta(days=after)
    first = on_day(facts, encounter, as_of)
    end = first.next_change_on or as_of + timedelta(days=2000)
    assert end > as_of
    # The last day before it is where a day too late would show.
    for day in {end - timedelta(days=1), *(as_of + timedelta(days=n) for n in days)}:
        if as_of < day < end:
            later = on_day(facts, encounter, day)
            assert said(later) == said(first)


def said(determination: Determination) -> list[Any]:
    return [(a.program_id, a.outcome, a.presumed, a.disputed, a.missing) for a in determination.programs]


@given(BY_DAY, KNOWN, st.lists(st.integers(1, 3000), min_size=1, max_size=8))
@tried(300)
def test_each_comparison_announces_when_it_may_change(condition: Any, known: FactMap, days: list[int]) -> None:
    tree = compiled(condition)
    found = [day for leaf in tree.leaves() for day in leaf.changes(known, DAY) if day > DAY]
    end = min(found, default=date(2040, 1, 1))
    truth = tree.truth(Evaluation(known, DAY))
    for day in {end - timedelta(days=1), *(DAY + timedelta(days=n) for n in days)}:
        if DAY < day < end:
            assert tree.truth(Evaluation(known, day)) is truth


def test_the_announced_day_is_the_one_on_which_it_changes() -> None:
    for condition, known, expected in (
        ({"fact": "letter", "within_months": 4}, {"letter": date(2026, 7, 30)}, date(2026, 12, 1)),
        ({"fact": "letter", "within_days": 30}, {"letter": date(2026, 11, 1)}, date(2026, 12, 2)),
        ({"fact": "born", "age_on": "as_of", "lt": 18}, {"born": date(2008, 12, 1)}, date(2026, 12, 1)),
    ):
        tree = compiled(condition)
        assert min(day for leaf in tree.leaves() for day in leaf.changes(known, DAY) if day > DAY) == expected
        before, after = (tree.truth(Evaluation(known, day)) for day in (expected - timedelta(days=1), expected))
        assert (before, after) == (Truth.TRUE, Truth.FALSE)


def test_a_birthday_is_the_same_however_the_law_writes_the_age(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    found = 0
    for file in (release / "programs").iterdir():
        text = file.read_text(encoding="utf-8")
        found += text.count("age_years, lt: 22}")
        file.write_text(text.replace("age_years, lt: 22}", "age_years, lte: 21}"), encoding="utf-8")
    assert found
    facts = SubjectFacts.model_validate({"age": {"birth_date": "2004-12-01", "verified_by": "document"}})
    announced = [
        determine(facts, law, jurisdiction="MO", encounter_at=noon(DAY), as_of=noon(DAY)).next_change_on
        for law in (_LAW, load_law(release))
    ]
    assert announced == [date(2026, 12, 1)] * 2


def test_all_kinds_of_comparisons_that_hang_on_the_day_are_tried() -> None:
    kinds = {type(leaf) for condition in SINGLE + JOINT for leaf in compiled(condition).leaves()}
    assert kinds >= {WithinLeaf, AgeLeaf, TableLeaf}
