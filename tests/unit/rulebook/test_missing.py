"""What to ask for: equal to trying every value of every set of missing facts, on rules small enough for that."""

from itertools import combinations, product
from typing import Any

from hypothesis import given, settings

from rulebook.cells import boundary_values
from rulebook.generated import generate
from rulebook.kleene import Truth
from rulebook.missing import MOST, Gaps, Missing
from rulebook.trees import Evaluation, Tree
from rulebook.values import Among, FactMap, Interval
from rulebook.ways import LARGEST
from tests.unit.rulebook.conditions import DAY, FACTS, KNOWN, SINGLE, compiled, conditions

SMALL = conditions([leaf for leaf in SINGLE if leaf["fact"] in ("age", "pregnant", "status", "letter", "percent")], 6)


def missing(condition: Any, known: FactMap) -> tuple[Missing, Tree]:
    tree = compiled(condition)
    on = Evaluation(known, DAY, generate([tree])(known, DAY))
    partly = {fact: value for fact, value in known.items() if isinstance(value, (Interval, Among))}
    return Gaps(tree, FACTS).missing(on, partly), tree


def by_trying(tree: Tree, known: FactMap, answers: set[Truth]) -> set[tuple[str, ...]]:
    """Minimal sets of up to three facts with some values under which the walker gives one of the answers."""
    leaves = list({leaf.index: leaf for leaf in tree.leaves()}.values())
    open_facts = sorted(
        {leaf.fact for leaf in leaves if isinstance(known.get(leaf.fact), (Interval, Among, type(None)))}
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


@given(SMALL, KNOWN)
@settings(max_examples=300, deadline=None)
def test_the_minimal_sets_are_those_that_trying_everything_finds(condition: Any, known: FactMap) -> None:
    found, tree = missing(condition, known)
    if tree.truth(Evaluation(known, DAY)) is not Truth.UNKNOWN:
        assert found == Missing()
        return
    assert found.to_settle == in_order(by_trying(tree, known, {Truth.TRUE, Truth.FALSE}))
    assert found.to_qualify == in_order(by_trying(tree, known, {Truth.TRUE}))


@given(SMALL, KNOWN)
@settings(max_examples=200, deadline=None)
def test_without_a_needed_fact_there_is_no_yes(condition: Any, known: FactMap) -> None:
    found, tree = missing(condition, known)
    for needed in found.needed:
        assert all(needed in one for one in found.to_qualify)
        assert not any(needed not in chosen for chosen in by_trying(tree, known, {Truth.TRUE}))
