"""The crux of a condition for one person: the part of it that makes its truth what it is.

Of an open condition that is what is still open in it; of a settled one, what settled it. Whatever else is in it
explains nothing: persons with the same crux get the same explanation, however different the rest is that is known of
them. The first 300 persons of the benchmark show 2794 patterns of truths in all programs, but 1222 cruxes.
"""

from collections.abc import Callable
from typing import Any

from rulebook.kleene import Truth, kleene_not
from rulebook.leaves import Leaf
from rulebook.trees import Evaluation, NotTree, Tree

Way = tuple[int, int]
"""The facts that are needed, as bits, and the cells that they have to be in: see `rulebook.ways`."""
_KEPT = 512
_CRUXES = 2048
"""Of the conditions of one answer; an explanation has some ten, most of them shared with others."""


def make_room(kept: dict[Any, Any], most: int | None = None) -> None:
    """What was seen first goes first: what is in use comes back at once."""
    if len(kept) >= (most or _KEPT):
        del kept[next(iter(kept))]


class Crux:
    """A leaf; or parts, of which `need` have to become true so that it does, and of a settled one otherwise.

    Equal ones are one object (`Cruxes`), so that each keeps what was found out about it.
    """

    __slots__ = ("bits", "contradicted", "leaf", "leaves", "need", "needed", "parts", "truth", "turned", "ways")

    def __init__(
        self, truth: Truth, parts: tuple["Crux", ...] = (), need: int = 1, leaf: Leaf | None = None, bits: int = 0
    ) -> None:
        self.truth = truth
        self.parts = parts
        self.need = need
        self.turned = False
        """It becomes true where its only part becomes false."""
        self.leaf = leaf
        self.bits = bits
        """Of a leaf: the facts that it lacks something of; if it is settled, those on which it stands."""
        self.contradicted = False
        """Of an open leaf: its fact is contradicted, so that no further fact settles it."""
        self.leaves: tuple[Crux, ...] = (self,) if leaf is not None else _leaves(parts)
        """In the order of the condition, each once."""
        self.ways: dict[Truth, list[Way]] = {}
        """What `rulebook.ways` found, like `needed`; of a leaf given."""
        self.needed: dict[Truth, int | None] = {}

    def demand(self, wanted: Truth) -> tuple[Truth, int]:
        """What is wanted of how many parts, so that it becomes what is wanted of it."""
        if self.turned:
            return kleene_not(wanted), 1
        return wanted, self.need if wanted is Truth.TRUE else len(self.parts) + 1 - self.need


class Cruxes:
    """The cruxes of some conditions, each made once and kept. `of_leaf` makes those of leaves."""

    def __init__(self, of_leaf: Callable[[Leaf, Truth, Evaluation], Crux]) -> None:
        self._of_leaf = of_leaf
        self._kept: dict[Any, Crux] = {}

    def of(self, tree: Tree, on: Evaluation, seen: dict[int, Crux]) -> Crux:
        """For one person, of whom the cruxes `seen` so far are kept by the index of their trees.

        `need` counts only what is not so yet, and a part that alone decides stands for the whole.
        """
        if isinstance(tree, Leaf):
            return self._of_leaf(tree, tree.truth(on), on)
        found = seen.get(tree.index)
        if found is None:
            found = seen[tree.index] = self._of(tree, on, seen)
        return found

    def _of(self, tree: Tree, on: Evaluation, seen: dict[int, Crux]) -> Crux:
        truth = tree.truth(on)
        if isinstance(tree, NotTree):
            return self._once(truth, (self.of(tree.children[0], on, seen),), 1, turned=truth is Truth.UNKNOWN)
        parts, truths, of_leaf = [], on.truths, self._of_leaf
        is_so = 0
        for child in tree.children:
            of_child = truths.get(child.index)
            if of_child is None:
                of_child = child.truth(on)
            if of_child is truth:
                parts.append(of_leaf(child, truth, on) if isinstance(child, Leaf) else self.of(child, on, seen))
            elif of_child is Truth.TRUE or truth is not Truth.UNKNOWN:
                is_so += 1
        need = tree.demand(Truth.FALSE if truth is Truth.TRUE else Truth.TRUE)[1] - is_so
        if need == 1 and len(parts) == 1:
            return parts[0]
        return self._once(truth, tuple(parts), need, turned=False)

    def _once(self, truth: Truth, parts: tuple[Crux, ...], need: int, *, turned: bool) -> Crux:
        key = parts, need, truth, turned
        found = self._kept.get(key)
        if found is None:
            make_room(self._kept, _CRUXES)
            found = self._kept[key] = Crux(truth, parts, need)
            found.turned = turned
        return found


def _leaves(parts: tuple[Crux, ...]) -> tuple[Crux, ...]:
    return tuple(dict.fromkeys([leaf for part in parts for leaf in part.leaves]))
