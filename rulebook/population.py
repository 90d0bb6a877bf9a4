"""What many persons could act upon, in columns: only those of whom it changed need an evaluation of their own.

A row of digests holds the bytes that `rulebook.records.Recorded.answers` gives for the same facts; a property test
holds both equal.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rulebook import changes
from rulebook.answers import Answer, Supply
from rulebook.columns import Codes, derive, evaluate
from rulebook.compiled import ByKey, CompiledProgramVersion
from rulebook.encoding import Columns
from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.leaves import AgeLeaf, Leaf, WithinLeaf
from rulebook.reading import ANSWERS, SUPPLY, Reader, readers
from rulebook.records import answer_digest
from rulebook.trees import Tree

if TYPE_CHECKING:
    from rulebook.loader import Law

Digests = NDArray[np.uint64]
Said = NDArray[np.uint64]
"""One program's answer for each person: outcome, supply, and a bit for each fact to ask for."""
Rows = NDArray[np.bool_]

_OUTCOMES: tuple[Answer, ...] = ("not_eligible", "potentially_eligible", "disputed", "eligible")
"""By number: the code of the truth, and between them the number that no truth has."""
_DISPUTED = _OUTCOMES.index("disputed")
_SUPPLIES: tuple[Supply, ...] = ("not_available", "unknown", "not_limited", "available")
_SUPPLY_AT, _MISSING_AT = 2, 4
assert all(_OUTCOMES[truth] == answer for truth, answer in ANSWERS.items())
assert all(_SUPPLIES[truth] == supply for truth, supply in SUPPLY.items())


class Population:
    """The programs of one jurisdiction under one release on one day, for batch after batch of persons."""

    def __init__(self, law: "Law", jurisdiction: str, as_of: date) -> None:
        """Raises LawError for a jurisdiction that the law does not hold."""
        known = readers(law)
        self._law = law
        self._as_of = as_of
        self._certain = [derivation for derivation in law.derivations if not derivation.presumption]
        self._programs = [
            _Program(known[program.spec.id], law, as_of) for program in engine(law).plan(jurisdiction).programs
        ]
        self._trees = [tree for program in self._programs for tree in program.trees]

    def answers(self, columns: Columns) -> Digests:
        """A row for each person, a digest for each program, by id: presumptions apart."""
        found = np.empty((columns.rows, len(self._programs)), "<u8")
        start = 0
        for part in columns.parts():
            derived = derive(part, self._certain, self._law, self._as_of)
            truths = evaluate(self._trees, derived, self._law.facts, self._as_of)
            for number, program in enumerate(self._programs):
                found[start : start + part.rows, number] = program.digests(derived, truths)
            start += part.rows
        return found


def next_common_change(law: "Law", jurisdiction: str, as_of: date) -> date | None:
    """The first later day on which answers may change whoever the person is: see `rulebook.changes`."""
    return changes.next_common_change(engine(law).plan(jurisdiction), law.derivations, as_of)


def personal_changes(law: "Law") -> bytes:
    """What, by the facts of a person, may change answers by itself: time limits and birthdays, as a SHA-256.

    While two releases have the same, the days that were found under one are right under the other.
    """
    trees = [derivation.when for derivation in law.derivations]
    trees += [tree for program in law.programs for tree in program.trees()]
    leaves = {leaf.sort_key for tree in trees for leaf in tree.leaves() if _is_personal(leaf)}
    return hashlib.sha256(repr(sorted(leaves)).encode()).digest()


def _is_personal(leaf: Leaf) -> bool:
    return isinstance(leaf, (AgeLeaf, WithinLeaf)) or leaf.fact == "age_years"


class _Program:
    """One program on one day."""

    def __init__(self, reader: Reader, law: "Law", as_of: date) -> None:
        self._spec = reader.program.spec
        self._versions = reader.program.versions
        self._by_key: ByKey | None = reader.program.by_key
        if self._by_key is None:
            version = reader.program.version_on(as_of)
            self._versions = () if version is None else (version,)
        self.trees: Sequence[Tree] = tuple(self._asked())
        asks = {fact: law.facts[fact].ask or fact for leaf in reader.leaves for fact in leaf.facts}
        if self._spec.version_key is not None:
            asks[self._spec.version_key] = law.facts[self._spec.version_key].ask or self._spec.version_key
        self._names = sorted(set(asks.values()))
        self._bits = {fact: np.uint64(1 << self._names.index(ask) + _MISSING_AT) for fact, ask in asks.items()}
        self._contradictable = sorted(asks.keys() & engine(law).contradictable.keys())
        after = _MISSING_AT + len(self._names)
        self._labels = {fact: np.uint64(1 << after + place) for place, fact in enumerate(self._contradictable)}
        assert after + len(self._labels) <= 64, "a program asks for more facts than fit into one number"
        self._said_before: Said = np.zeros(1, np.uint64)
        self._digests: Digests = np.array([self._digest(0)], np.uint64)
        self._parts: dict[tuple[int, ...], list[Tree]] = {}

    def digests(self, columns: Columns, truths: Mapping[int, Codes]) -> Digests:
        said = self._said(columns, truths)
        where = self._places(said)
        if not (new := self._said_before[where] != said).any():
            return self._digests[where]
        known = dict(zip(self._said_before.tolist(), self._digests.tolist(), strict=True))
        self._said_before = np.union1d(self._said_before, said[new])
        each = [known[one] if one in known else self._digest(one) for one in self._said_before.tolist()]
        self._digests = np.array(each, np.uint64)
        return self._digests[self._places(said)]

    def _places(self, said: Said) -> NDArray[np.intp]:
        """Where each would stand among what was said before: what is said differs little, and sorting costs."""
        return np.minimum(np.searchsorted(self._said_before, said), len(self._said_before) - 1)

    def _digest(self, said: int) -> int:
        missing = [name for bit, name in enumerate(self._names) if said >> bit + _MISSING_AT & 1]
        labels = tuple(fact for fact, bit in self._labels.items() if said & int(bit))
        outcome, supply = _OUTCOMES[said & 3], _SUPPLIES[said >> _SUPPLY_AT & 3]
        return int.from_bytes(answer_digest(self._spec, outcome, supply, tuple(missing), labels), "little")

    def _asked(self) -> Iterator[Tree]:
        for version in self._versions:
            yield from version.trees()
        if self._by_key is not None:
            yield from (self._by_key.yes, self._by_key.no)

    def _said(self, columns: Columns, truths: Mapping[int, Codes]) -> Said:
        if self._by_key is not None:
            return self._by_key_said(self._by_key, columns, truths)
        if not self._versions:
            return np.full(columns.rows, _coded("not_eligible", "unknown"), np.uint64)
        return self._version_said(self._versions[0], columns, truths)

    def _version_said(self, version: CompiledProgramVersion, columns: Columns, truths: Mapping[int, Codes]) -> Said:
        truth = truths[version.when.index]
        outcome, why, is_open = truth, [version.when], truth == Truth.UNKNOWN
        told = is_open
        if version.other_reading is not None and version.spec.dispute is not None:
            outcome = np.where(truths[version.other_reading.index] == truth, truth, np.uint8(_DISPUTED))
            why.append(version.other_reading)
            told = is_open | (outcome == _DISPUTED)
        return outcome | self._supply([version], truths) | self._missing(why, is_open, told, columns, truths)

    def _by_key_said(self, by_key: ByKey, columns: Columns, truths: Mapping[int, Codes]) -> Said:
        yes, no = truths[by_key.yes.index] == Truth.TRUE, truths[by_key.no.index] == Truth.TRUE
        truth = np.where(yes, Truth.TRUE, np.where(no, Truth.FALSE, Truth.UNKNOWN)).astype(np.uint8)
        is_open = truth == Truth.UNKNOWN
        key = self._spec.version_key or ""
        said = truth | self._supply(self._versions, truths)
        said |= self._missing([version.when for version in self._versions], is_open, is_open, columns, truths)
        said |= np.where(is_open, self._bits[key], np.uint64(0))
        bounds = columns.facts.get(key)
        if not isinstance(bounds, tuple):
            return said
        day, last = bounds
        exact = day == last
        # A day for which the law holds no version leaves an open answer open, with nothing to ask.
        held = np.zeros(columns.rows, np.bool_)
        for version in self._versions:
            period = version.spec.effective
            rows = exact & (day >= period.from_.toordinal())
            if period.until is not None:
                rows &= day < period.until.toordinal()
            held |= rows
            said = np.where(rows, self._version_said(version, columns, truths), said)
        without = _coded("potentially_eligible", "unknown") | said & np.uint64(sum(map(int, self._labels.values())))
        return np.where(exact & ~held & is_open, without, said)

    def _supply(self, versions: Sequence[CompiledProgramVersion], truths: Mapping[int, Codes]) -> Said:
        if not any(version.spec.supply for version in versions):
            return np.asarray(_SUPPLIES.index("not_limited") << _SUPPLY_AT, np.uint64)
        codes = [truths[version.supply.index] for version in versions]
        same = reduce(np.logical_and, [code == codes[0] for code in codes])
        return np.where(same, codes[0], np.uint8(Truth.UNKNOWN)).astype(np.uint64) << np.uint64(_SUPPLY_AT)

    def _missing(
        self, why: Sequence[Tree], is_open: Rows, told: Rows, columns: Columns, truths: Mapping[int, Codes]
    ) -> Said:
        """Bits of the facts that comparisons lack which leave an answer open, and of those that are contradicted, as
        `rulebook.missing.Explanation.lacking` and `contradicted`; these also where only the other reading is open."""
        found = np.zeros(len(is_open), np.uint64)
        if not told.any():
            return found
        # From the top down: a part of an open condition counts if it is open itself.
        counts: dict[int, Rows] = {tree.index: told & (truths[tree.index] == Truth.UNKNOWN) for tree in why}
        for part in self._from_the_top(why):
            here = counts.get(part.index)
            if here is None:
                continue
            if isinstance(part, Leaf):
                for fact in part.facts:
                    lacks = here if len(part.facts) == 1 else here & _not_exact(columns, fact)
                    if (of_whom := self._contradicted(columns, fact)) is not None:
                        found |= np.where(here & of_whom, self._labels[fact], np.uint64(0))
                        lacks = lacks & ~of_whom
                    found |= np.where(lacks & is_open, self._bits[fact], np.uint64(0))
            for child in part.children:
                there = here & (truths[child.index] == Truth.UNKNOWN)
                counts[child.index] = counts[child.index] | there if child.index in counts else there
        return found

    def _contradicted(self, columns: Columns, fact: str) -> Rows | None:
        """Of whom a fact is contradicted; None if of nobody."""
        column = columns.facts.get(fact) if fact in self._labels else None
        if column is None or isinstance(column, tuple) or column.all():
            return None
        rows: Rows = column == 0
        return rows

    def _from_the_top(self, why: Sequence[Tree]) -> list[Tree]:
        key = tuple([tree.index for tree in why])
        found = self._parts.get(key)
        if found is None:
            parts = {part.index: part for tree in why for part in tree.parts()}
            found = self._parts[key] = [parts[index] for index in sorted(parts, reverse=True)]
        return found


def _not_exact(columns: Columns, fact: str) -> Rows:
    """Of whom nothing, or not all, is known of a number or a day."""
    column = columns.facts.get(fact)
    if column is None:
        return np.ones(columns.rows, np.bool_)
    assert isinstance(column, tuple), "a comparison of two facts is of numbers or days"
    differs: Rows = column[0] != column[1]
    return differs


def _coded(outcome: Answer, supply: Supply) -> np.uint64:
    return np.uint64(_OUTCOMES.index(outcome) | _SUPPLIES.index(supply) << _SUPPLY_AT)
