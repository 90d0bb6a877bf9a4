"""Random persons of whom some facts of the real catalogue are known, exactly or in part, around each threshold."""

from collections.abc import Mapping
from datetime import date

from hypothesis import strategies as st

from rulebook.cells import boundary_values
from rulebook.leaves import Leaf, TableLeaf
from rulebook.loader import LAW, load_law
from rulebook.values import Among, FactMap, Interval, Value
from tests.unit.rulebook.conditions import DAY

SIZES = (1, 2, 5)
"""Of households."""


def grid() -> Mapping[str, list[Value]]:
    """For each fact that a program, a duty or a derivation compares, values around every threshold."""
    law = load_law(LAW)
    leaves: dict[str, dict[int, Leaf]] = {}
    trees = [tree for program in law.programs for tree in program.trees()]
    trees += [derivation.when for derivation in law.derivations]
    trees += [rule.when for duty in law.duties for version in duty.versions for rule in version.rules]
    of_two: dict[str, dict[int, None]] = {}
    for tree in trees:
        for leaf in tree.leaves():
            if isinstance(leaf, TableLeaf):
                amounts = [cents for size in SIZES if (cents := leaf.lookup.cents(size, DAY)) is not None]
                of_two.setdefault(leaf.fact, {0: None}).update(
                    dict.fromkeys(n for one in amounts for n in (one, one + 1))
                )
                of_two[leaf.lookup.of] = dict.fromkeys(SIZES)
            else:
                leaves.setdefault(leaf.fact, {})[leaf.index] = leaf
    alone = {fact: boundary_values(found.values(), None, DAY) for fact, found in sorted(leaves.items())}
    by_size: dict[str, list[Value]] = {fact: [*sorted(found)] for fact, found in sorted(of_two.items())}
    return alone | by_size


GRID = grid()
DAYS = st.dates(date(2020, 1, 1), date(2028, 1, 1))


def partly(exact: list[Value]) -> list[Value]:
    """Some sets of possibilities of a fact with these values."""
    if isinstance(exact[0], str):
        members = [value for value in exact if isinstance(value, str)]
        # All of them at once is no partial knowledge: it says that the fact is contradicted.
        return [Among(frozenset(some)) for some in (members[1:], members[:2]) if len(some) < len(members)]
    if isinstance(exact[0], bool):
        return []
    low, high = exact[len(exact) // 3], exact[-1 - len(exact) // 3]
    assert not isinstance(low, (str, Interval, Among))
    assert not isinstance(high, (str, Interval, Among))
    return [Interval(low, high), Interval(None, high), Interval(low, None)]


PEOPLE: st.SearchStrategy[FactMap] = st.fixed_dictionaries(
    {}, optional={fact: st.sampled_from(exact + partly(exact)) for fact, exact in GRID.items()}
)

_LAW = load_law(LAW)
REPORTED = sorted(GRID.keys() - {f for d in _LAW.derivations for f, _ in d.then if _LAW.facts[f].computed})
"""Without what only ever follows from other facts."""
REPORTS: st.SearchStrategy[FactMap] = st.fixed_dictionaries(
    {}, optional={fact: st.sampled_from(GRID[fact] + partly(GRID[fact])) for fact in REPORTED}
)
