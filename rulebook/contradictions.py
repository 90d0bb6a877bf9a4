"""Facts that contradict each other: a label of their own beside unknown and settled, which no further fact takes away.

A fact is contradicted where what a rule of the law concludes of it excludes what was told of it, or what another rule
concludes. Its value is then `rulebook.values.anything`: no comparison with it is settled, and only a correction of one
of the facts that exclude each other settles it. What a rule would conclude from a contradicted fact is contradicted,
too, unless it is known anyway.
"""

from collections.abc import Iterable, Mapping, Set
from datetime import date
from typing import TYPE_CHECKING, Any

from rulebook.kleene import Truth
from rulebook.leaves import Leaf
from rulebook.schema import FactSpec
from rulebook.trees import AllTree, AnyTree, AtLeastTree, Evaluation, NotTree, Tree
from rulebook.values import Among, FactMap, Value, anything, concluded, contested

if TYPE_CHECKING:
    from rulebook.compiled import CompiledDerivation
    from rulebook.loader import Law

Contradictions = Mapping[str, tuple[str, ...]]
"""By contradicted fact: the facts that were told which exclude each other, of which one has to be corrected."""


def listed(found: Contradictions) -> list[dict[str, Any]]:
    """Plain JSON, always in the same order."""
    return [{"fact": fact, "between": list(between)} for fact, between in sorted(found.items())]


def contradictable(
    derivations: Iterable["CompiledDerivation"], catalogue: Mapping[str, FactSpec]
) -> Mapping[str, Among]:
    """The facts that can be contradicted, those that rules conclude, each with the value that says so."""
    facts = sorted({fact for one in derivations if not one.presumption for fact, _ in one.then})
    return {fact: value for fact in facts if (value := anything(catalogue[fact])) is not None}


def contradicted(known: FactMap, may_be: Mapping[str, Among]) -> tuple[str, ...]:
    """The facts of a person that are contradicted. `known` holds all that follows, `may_be` is `contradictable`."""
    found = [fact for fact, value in may_be.items() if (one := known.get(fact)).__class__ is Among and one == value]
    return tuple(found)


def exclusions(told: FactMap, law: "Law", as_of: date, *, presume: bool) -> Contradictions:
    """All contradictions of a person by a release, its presumptions included if wanted."""
    steps = (step for step in law.derivations if presume or not step.presumption)
    return follow(told, steps, law.facts, as_of)[1]


def hangs_on(tree: Tree, known: FactMap, as_of: date, may_be: Mapping[str, Among]) -> bool:
    """Whether a condition that is open would hold by one side of the contradictions, with nothing else to be known.

    In Belnap's four values: whether it is told to be true, where a comparison with a contradicted fact is told to be
    true and to be false.
    """
    return _told(tree, Evaluation(known, as_of), set(contradicted(known, may_be)))[0]


def _told(tree: Tree, on: Evaluation, both: Set[str]) -> tuple[bool, bool]:
    """Whether a condition is told to be true, and whether to be false."""
    if isinstance(tree, Leaf):
        truth = tree.truth(on)
        contradictory = not both.isdisjoint(tree.facts)
        return contradictory or truth is Truth.TRUE, contradictory or truth is Truth.FALSE
    each = [_told(child, on, both) for child in tree.children]
    yes, no = [one for one, _ in each], [other for _, other in each]
    match tree:
        case AllTree():
            return all(yes), any(no)
        case AnyTree():
            return any(yes), all(no)
        case NotTree():
            return no[0], yes[0]
        case AtLeastTree(count=count):
            return sum(yes) >= count, sum(not one for one in no) < count
    raise AssertionError(type(tree))


def open_by(trees: Iterable[Tree], on: Evaluation, facts: Iterable[str]) -> set[str]:
    """Those of the facts that leave one of the conditions open: whatever else is known, it is not settled by them."""
    among = frozenset(facts)
    undecided = (tree for tree in trees if tree.truth(on) is Truth.UNKNOWN)
    return {fact for tree in undecided for leaf in tree.deciding(on) for fact in leaf.facts if fact in among}


def follow(
    told: FactMap, derivations: Iterable["CompiledDerivation"], catalogue: Mapping[str, FactSpec], as_of: date
) -> tuple[dict[str, Value], Contradictions]:
    """What follows from the facts, step by step and by the walker, and which of them exclude each other.

    The plain form of `rulebook.generated.Derive`, which gives the same facts: slower, and it remembers where each
    conclusion comes from. A property test holds both equal.
    """
    known = dict(told)
    origin = {fact: {fact} for fact in told}
    steps = tuple(derivations)
    may_be = contradictable(steps, catalogue)
    found: dict[str, set[str]] = {fact: {fact} for fact in contradicted(known, may_be)}
    for step in steps:
        on = Evaluation(known, as_of)
        truth = step.when.truth(on)
        contests = truth is Truth.UNKNOWN and found and not step.presumption and _told(step.when, on, found.keys())[0]
        if truth is not Truth.TRUE and not contests:
            continue
        because = set().union(
            *[origin[fact] for leaf in step.when.deciding(on) for fact in leaf.facts if fact in known]
        )
        for fact, value in step.then:
            everything = None if step.presumption else may_be.get(fact)
            before = known.get(fact)
            after = contested(before, value, everything) if contests else concluded(before, value, everything)
            if after is None or after == before:
                continue
            known[fact] = after
            origin[fact] = origin.get(fact, set()) | because
            if after == everything:
                found[fact] = origin[fact]
    return known, {fact: tuple(sorted(between)) for fact, between in sorted(found.items())}
