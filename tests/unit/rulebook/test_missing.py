"""What to ask for: equal to trying every value of every set of missing facts, on rules small enough for that."""

from datetime import date, timedelta
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulebook import crux
from rulebook.cells import Cells, boundary_values
from rulebook.generated import generate
from rulebook.kleene import Truth
from rulebook.leaves import TableLeaf
from rulebook.missing import MOST, Explanation, Gaps, Missing
from rulebook.trees import Evaluation, Tree
from rulebook.values import Among, FactMap, Interval, Value
from rulebook.ways import LARGEST
from tests.support.properties import tried
from tests.unit.rulebook.conditions import (
    ANY,
    CONTRADICTED,
    DAY,
    FACTS,
    KNOWN,
    KNOWN_OR_CONTRADICTED,
    SINGLE,
    compiled,
    conditions,
)

SMALL = conditions([leaf for leaf in SINGLE if leaf["fact"] in ("age", "pregnant", "status", "letter", "percent")], 6)


def missing(condition: Any, known: FactMap) -> tuple[Missing, Tree]:
    tree = compiled(condition)
    on = Evaluation(known, DAY, generate([tree])(known, DAY))
    return Gaps(tree, FACTS).explain(on).missing, tree


def by_trying(tree: Tree, known: FactMap, answers: set[Truth]) -> set[tuple[str, ...]]:
    """Minimal sets of up to three facts with some values under which the walker gives one of the answers.

    No value is tried of a fact that is contradicted: told once more, it stays so.
    """
    leaves = list({leaf.index: leaf for leaf in tree.leaves()}.values())
    open_facts = sorted(
        {
            leaf.fact
            for leaf in leaves
            if isinstance(value := known.get(leaf.fact), (Interval, Among, type(None)))
            and (value is None or value != CONTRADICTED.get(leaf.fact))
        }
    )
    grid = {
        fact: boundary_values([leaf for leaf in leaves if leaf.fact == fact], known.get(fact), DAY)
        for fact in open_facts
    }
    found: set[tuple[str, ...]] = set()
    for size in range(1, LARGEST + 1):
        for chosen in combinations(open_facts, size):
            if any(set(smaller) <= set(chosen) for smaller in found):
                continue
            for values in product(*(grid[fact] for fact in chosen)):
                facts = {**known, **dict(zip(chosen, values, strict=True))}
                if tree.truth(Evaluation(facts, DAY)) in answers:
                    found.add(chosen)
                    break
    return found


def in_order(sets: set[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple(sorted(sets, key=lambda one: (len(one), one))[:MOST])


@given(SMALL, KNOWN_OR_CONTRADICTED)
@tried(300)
def test_the_minimal_sets_are_those_that_trying_everything_finds(condition: Any, known: FactMap) -> None:
    found, tree = missing(condition, known)
    if tree.truth(Evaluation(known, DAY)) is not Truth.UNKNOWN:
        assert found == Missing()
        return
    assert found.to_settle == in_order(by_trying(tree, known, {Truth.TRUE, Truth.FALSE}))
    assert found.to_qualify == in_order(by_trying(tree, known, {Truth.TRUE}))


@given(SMALL, KNOWN_OR_CONTRADICTED)
@tried(200)
def test_without_a_needed_fact_there_is_no_yes(condition: Any, known: FactMap) -> None:
    found, tree = missing(condition, known)
    for needed in found.needed:
        assert all(needed in one for one in found.to_qualify)
        assert not any(needed not in chosen for chosen in by_trying(tree, known, {Truth.TRUE}))


@given(conditions(SINGLE, 8), st.lists(KNOWN_OR_CONTRADICTED, min_size=2, max_size=6))
@tried(120)
def test_what_was_found_out_for_one_person_is_right_for_the_next(condition: Any, persons: list[FactMap]) -> None:
    tree = compiled(condition)
    shared, evaluate = Gaps(tree, FACTS), generate([tree])
    for known in persons:
        on = Evaluation(known, DAY, evaluate(known, DAY))
        found, alone = shared.explain(on), Gaps(tree, FACTS).explain(on)
        assert found.deciding == alone.deciding
        assert found.cites == alone.cites
        assert (found.missing, found.lacking) == (alone.missing, alone.lacking)
        assert found.contradicted == alone.contradicted
        assert found.would_change == alone.would_change


@given(ANY, KNOWN)
@tried(200)
def test_the_deciding_comparisons_are_those_that_the_walker_finds(condition: Any, known: FactMap) -> None:
    tree = compiled(condition)
    on = Evaluation(known, DAY)
    found = Gaps(tree, FACTS).explain(on).deciding
    assert {leaf for leaf, _ in found} == set(tree.deciding(on))
    assert all(holds is leaf.truth(on) for leaf, holds in found)


@given(SMALL, KNOWN)
@tried(300)
def test_what_would_change_a_no_are_the_smallest_sets_of_facts_to_forget(condition: Any, known: FactMap) -> None:
    tree = compiled(condition)
    on = Evaluation(known, DAY)
    if tree.truth(on) is not Truth.FALSE:
        return
    facts = sorted({leaf.fact for leaf in tree.leaves()} & known.keys())
    found: set[tuple[str, ...]] = set()
    for size in range(1, LARGEST + 1):
        for chosen in combinations(facts, size):
            rest = {fact: value for fact, value in known.items() if fact not in chosen}
            covered = any(set(smaller) <= set(chosen) for smaller in found)
            if not covered and tree.truth(Evaluation(rest, DAY)) is not Truth.FALSE:
                found.add(chosen)
    assert Gaps(tree, FACTS).explain(on).would_change == in_order(found)


def test_persons_of_whom_only_what_explains_nothing_differs_share_an_explanation() -> None:
    pregnant, letter = {"fact": "pregnant", "is": True}, {"fact": "letter", "within_months": 4}
    adult, listed = {"fact": "age", "gte": 18}, {"fact": "status", "in": ["a", "b"]}
    gaps = Gaps(compiled({"all": [{"any": [pregnant, letter]}, adult, {"not": listed}]}), FACTS)

    def of(**known: Value) -> Explanation:
        return gaps.explain(Evaluation(known, DAY))

    assert of(age=30) is of(age=40)
    assert of(age=30, pregnant=True) is of(age=40, letter=DAY)
    assert of(status="a") is of(status="b", age=30, letter=DAY)
    assert of(status="a") is not of(status="a", age=3)
    assert of(age=Interval(14, 20)) is not of(age=Interval(14, 30))
    assert of(age=Interval(14, 20), status="a") is of(status="a")


@given(conditions(SINGLE, 8), st.lists(KNOWN, min_size=2, max_size=8))
@tried(60)
def test_what_went_for_want_of_room_is_found_out_again(condition: Any, persons: list[FactMap]) -> None:
    tree = compiled(condition)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crux, "_KEPT", 2)
        patch.setattr(crux, "_CRUXES", 2)
        small = Gaps(tree, FACTS)
        for known in persons * 2:
            on = Evaluation(known, DAY)
            assert small.explain(on).missing == Gaps(tree, FACTS).explain(on).missing


@given(st.data(), st.dates(date(2020, 1, 1), date(2028, 12, 31)))
@tried(200)
def test_what_is_known_of_a_day_leaves_only_cells_that_it_could_be_in_anyway(data: Any, as_of: date) -> None:
    fact = data.draw(st.sampled_from(["letter", "born"]))
    leaves = [leaf for one in SINGLE if one["fact"] == fact for leaf in compiled(one).leaves()]
    near = st.integers(-400, 12_000).map(lambda days: as_of - timedelta(days=days))
    low, high = sorted([data.draw(near), data.draw(near)])
    cells = Cells(leaves, as_of, 3)
    for known in (Interval(low, high), Interval(low, None), Interval(None, high)):
        assert cells.within(known)
        assert cells.within(known) & ~cells.all == 0


TABLE_LEAF = {"fact": "income", "lte": {"table": "guideline", "of": "size", "percent": "50", "round": "cent_up"}}
INCOMES = (0, 499, 500, 501, 800, 801, 3800, 3801, 9999)
SIZES = tuple(range(1, 13))


@pytest.mark.parametrize("operator", ["lt", "lte", "gt", "gte"])
@pytest.mark.parametrize(
    ("income", "size"),
    [
        (None, None),
        (None, 2),
        (501, None),
        (9999, None),
        (Interval(400, 600), 1),
        (Interval(0, 9999), Interval(2, 3)),
        (Interval(600, 700), Interval(1, 4)),
        (Interval(1000, None), Interval(2, 3)),
        (700, Interval(1, 3)),
    ],
)
def test_of_an_amount_and_a_household_the_one_that_could_settle_it_alone_is_found(
    operator: str, income: Value | None, size: Value | None
) -> None:
    known = {fact: value for fact, value in (("income", income), ("size", size)) if value is not None}
    tree = compiled({"fact": "income", operator: TABLE_LEAF["lte"]})
    on = Evaluation(known, DAY)
    assert tree.truth(on) is Truth.UNKNOWN
    tried = {"income": _within(income, INCOMES), "size": _within(size, SIZES)}
    for wanted, found in ((Truth.TRUE, 0), (Truth.FALSE, 1)):
        leaf = next(tree.leaves())
        assert isinstance(leaf, TableLeaf)
        for fact, outcomes in zip(("income", "size"), leaf.alone(known, DAY), strict=True):
            if not isinstance(known.get(fact), (Interval, type(None))):
                continue
            by_trying = any(tree.truth(Evaluation({**known, fact: one}, DAY)) is wanted for one in tried[fact])
            assert outcomes[found] == by_trying, (fact, wanted)


def _within(value: Value | None, values: tuple[int, ...]) -> list[int]:
    if not isinstance(value, Interval):
        return list(values)
    low: Any = value.low
    high: Any = value.high
    return [one for one in values if (low is None or low <= one) and (high is None or one <= high)]
