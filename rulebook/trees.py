"""Compiled conditions and the walker, the plain evaluator that the generated one and the one in columns must equal."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from rulebook.kleene import Truth, kleene_all, kleene_any, kleene_at_least, kleene_not
from rulebook.knowledge import DERIVED, Provenance
from rulebook.values import FactMap

if TYPE_CHECKING:
    from rulebook.leaves import Leaf

_HOLDS = {Truth.TRUE: True, Truth.FALSE: False, Truth.UNKNOWN: None}


@dataclass(frozen=True, slots=True)
class Reason:
    """A comparison that decided an answer: the fact, what was compared, and what is known of it."""

    fact: str
    operator: str
    threshold: Any
    value: Any
    holds: bool | None
    source: Provenance | None = None

    def __str__(self) -> str:
        outcome = {True: "holds", False: "does not hold", None: "is not known"}[self.holds]
        return f"{self.fact} {self.operator} {self.threshold}: {outcome} (value: {self.value})"


class Evaluation:
    """One person on one day; remembers what has been evaluated, by the index of its tree.

    `truths` may come evaluated from `rulebook.generated`; the walker fills what is absent.
    """

    __slots__ = ("as_of", "facts", "reasons", "sources", "truths")

    def __init__(self, facts: FactMap, as_of: date, truths: dict[int, Truth] | None = None) -> None:
        self.facts = facts
        self.as_of = as_of
        self.truths: dict[int, Truth] = {} if truths is None else truths
        self.reasons: dict[int, Reason] = {}
        self.sources: Mapping[str, Provenance] | None = None
        """Where each reported fact comes from, if anybody kept it: one that is not there was derived."""


class Tree:
    """A compiled condition. Shared and immutable; the index of a tree is greater than those of its parts."""

    # Not an `abc.ABC`: with its metaclass each `isinstance` costs three times as much, and explaining asks many.

    __slots__ = ("children", "index", "simplest", "size")

    def __init__(self, index: int, children: tuple["Tree", ...] = ()) -> None:
        self.index = index
        self.children = children
        self.size: int = sum(child.size for child in children) or 1
        """How many comparisons are in it; what is shared counts more than once."""
        self.simplest = tuple(sorted(children, key=lambda child: child.size))
        """The children, those with few comparisons first: what they rule out need not be looked for in the others."""

    def truth(self, on: Evaluation) -> Truth:
        known = on.truths.get(self.index)
        if known is None:
            known = on.truths[self.index] = self._truth(on)
        return known

    def _truth(self, on: Evaluation) -> Truth:
        raise NotImplementedError

    def demand(self, wanted: Truth) -> tuple[Truth, int]:
        """What is wanted of how many children, so that it becomes what is wanted of it."""
        raise NotImplementedError

    def deciding(self, on: Evaluation) -> Iterator["Leaf"]:
        """The leaves that made the answer what it is; for an unknown, those that are not known."""
        wanted = self.truth(on)
        for child in self.children:
            if child.truth(on) == wanted:
                yield from child.deciding(on)

    def leaves(self) -> Iterator["Leaf"]:
        for child in self.children:
            yield from child.leaves()

    def parts(self) -> Iterator["Tree"]:
        """This tree and everything in it; what is shared comes more than once."""
        for child in self.children:
            yield from child.parts()
        yield self


class AllTree(Tree):
    __slots__ = ()

    def _truth(self, on: Evaluation) -> Truth:
        return kleene_all(child.truth(on) for child in self.children)

    def demand(self, wanted: Truth) -> tuple[Truth, int]:
        return wanted, len(self.children) if wanted is Truth.TRUE else 1


class AnyTree(Tree):
    __slots__ = ()

    def _truth(self, on: Evaluation) -> Truth:
        return kleene_any(child.truth(on) for child in self.children)

    def demand(self, wanted: Truth) -> tuple[Truth, int]:
        return wanted, 1 if wanted is Truth.TRUE else len(self.children)


class NotTree(Tree):
    __slots__ = ()

    def _truth(self, on: Evaluation) -> Truth:
        return kleene_not(self.children[0].truth(on))

    def demand(self, wanted: Truth) -> tuple[Truth, int]:
        return kleene_not(wanted), 1

    def deciding(self, on: Evaluation) -> Iterator["Leaf"]:
        return self.children[0].deciding(on)


class AtLeastTree(Tree):
    __slots__ = ("count",)

    def __init__(self, index: int, children: tuple[Tree, ...], count: int) -> None:
        super().__init__(index, children)
        self.count = count

    def _truth(self, on: Evaluation) -> Truth:
        return kleene_at_least(self.count, (child.truth(on) for child in self.children))

    def demand(self, wanted: Truth) -> tuple[Truth, int]:
        return wanted, self.count if wanted is Truth.TRUE else len(self.children) - self.count + 1


def reasons(trees: Iterable[Tree], on: Evaluation) -> tuple[Reason, ...]:
    """Why the conditions are what they are, in an order that does not depend on how they were written."""
    found = {leaf.index: leaf for tree in trees for leaf in tree.deciding(on)}
    return tuple(reason(leaf, on) for leaf in sorted(found.values(), key=lambda leaf: leaf.sort_key))


def reason(leaf: "Leaf", on: Evaluation) -> Reason:
    """What a comparison came to."""
    known = on.reasons.get(leaf.index)
    if known is None:
        shown = leaf.shown_value(on.facts)
        source = None
        if shown is not None and on.sources is not None:
            source = on.sources.get(leaf.fact, DERIVED)
        known = Reason(leaf.fact, leaf.operator, leaf.shown, shown, _HOLDS[leaf.truth(on)], source)
        on.reasons[leaf.index] = known
    return known
