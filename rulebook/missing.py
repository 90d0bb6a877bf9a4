"""What to ask for: the smallest sets of missing facts that could settle an answer, and what would change a no.

A set is *sufficient* if there are values for its facts under which the answer is settled whatever all other missing
facts are; here and everywhere settled means that Kleene logic says yes or no. It is *minimal* if no part of it is
sufficient. Facts that follow from others count as the fact that is asked for (`ask` in the catalogue). A contradicted
fact is in no set: nothing that is added settles it (`rulebook.contradictions`).

A comparison of two facts (an age on another fact's day, a table by household) is taken to be able to come out either
way when both are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import or_
from typing import Any

from rulebook.cells import Cells, days_around
from rulebook.crux import Crux, Cruxes, Way, make_room
from rulebook.kleene import Truth
from rulebook.leaves import AgeLeaf, Leaf, TableLeaf
from rulebook.schema import FactSpec
from rulebook.trees import Evaluation, Tree
from rulebook.values import Among, Interval, Value, anything
from rulebook.ways import Alone, needed_to, ways_of_two, ways_to

MOST = 8
"""Sets in an answer."""
_DAYS = 16
"""Days for which is kept what was found out: encounters are of today, and a few are reported late."""

Sets = tuple[tuple[str, ...], ...]
Beyond = tuple[tuple[tuple[str, Interval | Among], ...], tuple[Alone, ...], date | None]
"""The facts that are known in part, what the open comparisons of two facts lack, and the day if one is asked about."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What would settle an answer that is open. All sets are sorted, the smallest first."""

    to_settle: Sets = ()
    """Up to `MOST` minimal sets of up to `LARGEST` facts, each of which could settle the answer, to yes or to no."""
    to_qualify: Sets = ()
    """The same for yes alone."""
    needed: tuple[str, ...] = ()
    """Facts without which the answer never becomes yes, however many others are known."""

    def to_json(self) -> dict[str, Any]:
        return {
            "to_settle": [list(one) for one in self.to_settle],
            "to_qualify": [list(one) for one in self.to_qualify],
            "needed": list(self.needed),
        }


NOTHING_MISSING = Missing()


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What all persons with the same cruxes are told: one object for all of them."""

    deciding: tuple[tuple[Leaf, Truth], ...]
    """The leaves that made the answer what it is, and their truths, in an order that hangs on no file."""
    cites: frozenset[str]
    """All facts of the deciding leaves."""
    lacking: tuple[str, ...] = ()
    """The facts to ask for of which the open ones among the deciding leaves lack something: of two, both."""
    missing: Missing = NOTHING_MISSING
    """What to ask for while the answer is open."""
    would_change: Sets = ()
    """For a no: minimal sets of known facts which, were they otherwise, could make it something else than no."""
    contradicted: tuple[str, ...] = ()
    """The contradicted facts that leave deciding leaves open: only a correction settles these."""


class Gaps:
    """Explains one answer: what decided it, what is missing, what would change it.

    `yes` and `no` are conditions that make the answer so when they are certainly true; without a `no`, what is not yes
    is no. `why` are the conditions in which its reasons are looked for, `yes` unless said otherwise.
    """

    def __init__(
        self, yes: Tree, catalogue: Mapping[str, FactSpec], no: Tree | None = None, why: tuple[Tree, ...] = ()
    ) -> None:
        self._yes = yes
        self._no = no
        self._why = why or (yes,)
        trees = (yes, *self._why) if no is None else (yes, no, *self._why)
        self._trees = tuple(dict.fromkeys(trees))
        leaves = dict(sorted({leaf.index: leaf for tree in trees for leaf in tree.leaves()}.items()))
        facts = sorted({fact for leaf in leaves.values() for fact in leaf.facts})
        asked = {fact: catalogue[fact].ask or fact for fact in facts}
        self._names = sorted(set(asked.values()))
        self._bits = {fact: 1 << self._names.index(name) for fact, name in asked.items()}
        self._contradicted = {fact: value for fact in facts if (value := anything(catalogue[fact])) is not None}
        self._joint = tuple(leaf for leaf in leaves.values() if len(leaf.facts) > 1)
        self._single: dict[str, list[Leaf]] = {}
        for leaf in leaves.values():
            if len(leaf.facts) == 1:
                self._single.setdefault(leaf.fact, []).append(leaf)
        self._by_day = any(type(leaf) is not Leaf for alone in self._single.values() for leaf in alone)
        self._days: dict[date | None, _Day] = {}
        self._of_nothing: dict[tuple[int, date], Alone] = {}

    def is_contradicted(self, fact: str, known: Value) -> bool:
        """Whether what is known of one of the facts says that it is contradicted."""
        return known.__class__ is Among and known == self._contradicted.get(fact)

    def explain(self, on: Evaluation) -> Explanation:
        """One and the same for persons with the same cruxes."""
        day = on.as_of if self._by_day else None
        kept = self._days.get(day)
        if kept is None:
            make_room(self._days, _DAYS)
            kept = self._days[day] = _Day(self, self._single, self._bits, self._names, on.as_of)
        seen: dict[int, Crux] = {}
        cruxes = tuple([kept.cruxes.of(tree, on, seen) for tree in self._trees])
        found = kept.explanations.get(cruxes)
        if found is None:
            make_room(kept.explanations)
            by_tree = dict(zip(self._trees, cruxes, strict=True))
            no = None if self._no is None else by_tree[self._no]
            why = [by_tree[tree] for tree in self._why]
            found = kept.explanations[cruxes] = kept.explain(by_tree[self._yes], no, why)
        return found

    def beyond(self, on: Evaluation, partly: Mapping[str, Interval | Among]) -> Beyond:
        """What, besides the truths of the comparisons, the explanation of an open answer depends on.

        `partly` are the facts of which something, not all, is known.
        """
        in_part = tuple([(fact, value) for fact, value in partly.items() if fact in self._bits])
        joint = tuple([self.alone(leaf, on) for leaf in self._joint if leaf.truth(on) is Truth.UNKNOWN])
        return in_part, joint, on.as_of if self._by_day else None

    def alone(self, leaf: Leaf, on: Evaluation) -> Alone:
        """For each fact of a leaf on two that is not known whole: whether it could settle it alone, and to what."""
        one, other = leaf.facts
        if one in on.facts or other in on.facts:
            return self._alone(leaf, on)
        key = leaf.index, on.as_of
        found = self._of_nothing.get(key)
        if found is None:
            make_room(self._of_nothing)
            found = self._of_nothing[key] = self._alone(leaf, on)
        return found

    def _alone(self, leaf: Leaf, on: Evaluation) -> Alone:
        facts = on.facts
        wanted = [fact for fact in leaf.facts if _lacks(facts.get(fact))]
        if isinstance(leaf, TableLeaf):
            each = dict(zip(leaf.facts, leaf.alone(facts, on.as_of), strict=True))
            return tuple([(self._bits[fact], each[fact]) for fact in wanted])
        assert isinstance(leaf, AgeLeaf), "no other comparison is of two facts"
        found = []
        for fact in wanted:
            outcomes = {leaf.code({**facts, fact: day}, on.as_of) for day in days_around(leaf, fact, facts)}
            found.append((self._bits[fact], (Truth.TRUE in outcomes, Truth.FALSE in outcomes)))
        return tuple(found)


class _Day:
    """What is known of all leaves on a day, and the explanations that follow from it."""

    def __init__(
        self, gaps: Gaps, single: Mapping[str, list[Leaf]], bits: Mapping[str, int], names: list[str], as_of: date
    ) -> None:
        self._gaps = gaps
        self._bits = bits
        self._names = names
        self._cells: dict[str, Cells] = {}
        self._ranges: dict[int, list[int]] = {}
        end = 0
        for fact, leaves in single.items():
            found = self._cells[fact] = Cells(leaves, as_of, end)
            self._ranges.setdefault(bits[fact], []).append(found.all)
            end = found.end
        self.cruxes = Cruxes(self._leaf)
        self.explanations: dict[tuple[Crux, ...], Explanation] = {}
        self._plain: dict[tuple[int, Truth], Crux] = {}
        """Of leaves on one fact of which nothing is known, and of settled ones."""
        self._other: dict[Any, Crux] = {}

    def explain(self, yes: Crux, no: Crux | None, why: list[Crux]) -> Explanation:
        leaves = {leaf.index: crux for of in why for crux in of.leaves if (leaf := crux.leaf) is not None}
        ordered = sorted(leaves.values(), key=_sort_key)
        deciding = tuple([(crux.leaf, crux.truth) for crux in ordered if crux.leaf is not None])
        cites = frozenset([fact for leaf, _ in deciding for fact in leaf.facts])
        contradicted = tuple(dict.fromkeys([crux.leaf.fact for crux in ordered if crux.leaf and crux.contradicted]))
        if yes.truth is Truth.TRUE:
            return Explanation(deciding, cites, contradicted=contradicted)
        if (yes.truth is Truth.FALSE) if no is None else (no.truth is Truth.TRUE):
            ways = ways_to(Truth.TRUE, yes if no is None else no, self._ranges)
            return Explanation(deciding, cites, would_change=self._named(ways), contradicted=contradicted)
        lacking = reduce(or_, [crux.bits for crux in ordered if crux.truth is Truth.UNKNOWN], 0)
        return Explanation(deciding, cites, self._listed(lacking), self._missing(yes, no), contradicted=contradicted)

    def _missing(self, yes: Crux, no: Crux | None) -> Missing:
        ways = self._ways(yes, Truth.TRUE)
        others = self._ways(yes, Truth.FALSE) if no is None else self._ways(no, Truth.TRUE)
        to_qualify = self._named(ways)
        return Missing(
            to_settle=self._named(ways + others) if others else to_qualify,
            to_qualify=to_qualify,
            needed=self._listed(needed_to(Truth.TRUE, yes) or 0) if yes.truth is Truth.UNKNOWN else (),
        )

    def _ways(self, crux: Crux, wanted: Truth) -> list[Way]:
        """Of two conditions one may be settled while the other keeps the answer open."""
        return ways_to(wanted, crux, self._ranges) if crux.truth is Truth.UNKNOWN else []

    def _named(self, ways: list[Way]) -> Sets:
        minimal: list[int] = []
        for facts in sorted({facts for facts, _ in ways}, key=int.bit_count):
            if not any(smaller & facts == smaller for smaller in minimal):
                minimal.append(facts)
        every = sorted([self._listed(facts) for facts in minimal], key=_shortest)
        return tuple(every[:MOST])

    def _listed(self, bits: int) -> tuple[str, ...]:
        listed = []
        while bits:
            bit = bits & -bits
            listed.append(self._names[bit.bit_length() - 1])
            bits ^= bit
        return tuple(listed)

    def _leaf(self, leaf: Leaf, truth: Truth, on: Evaluation) -> Crux:
        key: Any = leaf.index, truth
        if truth is Truth.UNKNOWN:
            known = on.facts.get(leaf.fact) if len(leaf.facts) == 1 else self._gaps.alone(leaf, on)
            if known is not None:
                key = leaf.index, known
                found = self._other.get(key)
                if found is None:
                    make_room(self._other)
                    found = self._other[key] = self._made(leaf, truth, known)
                return found
        found = self._plain.get(key)
        if found is None:
            found = self._plain[key] = self._made(leaf, truth, None)
        return found

    def _made(self, leaf: Leaf, truth: Truth, known: Any) -> Crux:
        contradicted = truth is Truth.UNKNOWN and self._gaps.is_contradicted(leaf.fact, known)
        ways: dict[Truth, list[Way]]
        if contradicted:
            bits, ways = 0, {Truth.TRUE: [], Truth.FALSE: []}
        elif truth is not Truth.UNKNOWN:
            bits = reduce(or_, [self._bits[fact] for fact in leaf.facts])
            ways = {Truth.TRUE: [(bits, -1)]}
        elif len(leaf.facts) > 1:
            bits = reduce(or_, [bit for bit, _ in known], 0)
            ways = ways_of_two(known)
        else:
            bits, cells = self._bits[leaf.fact], self._cells[leaf.fact]
            possible, true = cells.within(known), cells.true[leaf.index]
            where = {Truth.TRUE: possible & true, Truth.FALSE: possible & ~true}
            ways = {wanted: [(bits, ~cells.all | one)] if one else [] for wanted, one in where.items()}
        found = Crux(truth, leaf=leaf, bits=bits)
        found.ways = ways
        found.contradicted = contradicted
        return found


def _sort_key(crux: Crux) -> tuple[str, str, str]:
    assert crux.leaf is not None, "only leaves decide"
    return crux.leaf.sort_key


def _shortest(one: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    return len(one), one


def _lacks(value: Value | None) -> bool:
    """Whether something of a fact is not known."""
    if isinstance(value, Interval):
        return value.low is None or value.low != value.high
    return value is None or isinstance(value, Among)
