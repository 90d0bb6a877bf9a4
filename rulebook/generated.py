"""The fast evaluator for one person: Python source generated from the trees of a release, compiled once, and kept.

It answers what the walker answers (`rulebook.trees`); a property test holds both equal.
"""

import linecache
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from typing import TYPE_CHECKING, Any

from rulebook.compiled import CompiledDerivation, CompiledDuty, CompiledProgram
from rulebook.contradictions import contradictable, hangs_on
from rulebook.kleene import NEGATED, Truth
from rulebook.leaves import AgeLeaf, Leaf, TableLeaf, WithinLeaf
from rulebook.schema import FactSpec
from rulebook.trees import AllTree, AnyTree, AtLeastTree, NotTree, Tree
from rulebook.values import Among, FactMap, Interval, Value, anything, concluded, contested

if TYPE_CHECKING:
    from rulebook.loader import Law

Evaluate = Callable[[FactMap, date], dict[int, Truth]]
"""All truths for what is known on a day, by the index of the tree."""

Derive = Callable[[dict[str, Value], date], None]
"""Adds to known facts what follows from them; where they exclude each other: see `rulebook.contradictions`."""

_MEMBERS = (Truth.FALSE, Truth.UNKNOWN, None, Truth.TRUE)
_SYMBOLS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "eq": "==", "ne": "!=", "in": "in", "not_in": "not in"}
_NUMBER = count(1)
_KEPT = 8
"""Releases whose code is kept; more than one is in use only while the law changes."""


def generate(trees: Iterable[Tree]) -> Evaluate:
    """One function for all of these trees, in which what they share is looked at once."""
    parts = {part.index: part for tree in trees for part in tree.parts()}
    writer = _Writer()
    writer.line(1, "g = facts.get")
    writer.parts([parts[index] for index in sorted(parts)])
    writer.line(1, f"return {{{', '.join(f'{index}: x{index}' for index in sorted(parts))}}}")
    evaluate: Evaluate = writer.function("facts, as_of")
    return evaluate


def generate_derivations(derivations: Iterable[CompiledDerivation], catalogue: Mapping[str, FactSpec]) -> Derive:
    """Applies derivations in their order."""
    writer = _Writer()
    writer.line(1, "g = facts.get")
    steps = tuple(derivations)
    may_be = contradictable(steps, catalogue)
    for derivation in steps:
        parts = {part.index: part for part in derivation.when.parts()}
        writer.parts([parts[index] for index in sorted(parts)])
        writer.line(1, f"if x{derivation.when.index} is T:")
        for fact, value in derivation.then:
            everything = None if derivation.presumption else anything(catalogue[fact])
            told = f"{writer.bind(concluded)}(g({fact!r}), {writer.bind(value)}, {writer.bind(everything)})"
            writer.line(2, f"facts[{fact!r}] = {told}")
        asked = {fact for leaf in derivation.when.leaves() for fact in leaf.facts} & may_be.keys()
        if asked and not derivation.presumption:
            some = " or ".join(f"g({fact!r}) == {writer.bind(may_be[fact])}" for fact in sorted(asked))
            open_by_it = f"{writer.bind(hangs_on)}({writer.bind(derivation.when)}, facts, as_of, {writer.bind(may_be)})"
            writer.line(1, f"elif x{derivation.when.index} is U and ({some}) and {open_by_it}:")
            for fact, value in derivation.then:
                told = f"{writer.bind(contested)}(g({fact!r}), {writer.bind(value)}, {writer.bind(may_be[fact])})"
                writer.line(2, f"facts[{fact!r}] = {told}")
    derive: Derive = writer.function("facts, as_of")
    return derive


class _Codes(dict[Any, Truth]):
    """The code of each member of an enumeration; a set of members is asked of the leaf."""

    def __init__(self, leaf: Leaf) -> None:
        super().__init__((member, leaf.of(member)) for member in leaf.spec.values)
        self._leaf = leaf

    def __missing__(self, value: Any) -> Truth:
        return self._leaf.of(value)


class _Writer:
    def __init__(self) -> None:
        self.depth = 1
        self._lines: list[str] = []
        self._bound: dict[str, Any] = {
            "T": Truth.TRUE,
            "F": Truth.FALSE,
            "U": Truth.UNKNOWN,
            "I": Interval,
            "M": _MEMBERS,
            "N": NEGATED,
        }

    def line(self, depth: int, text: str) -> None:
        self._lines.append("    " * (depth + self.depth - 1) + text)

    def bind(self, value: Any) -> str:
        name = f"k{len(self._bound)}"
        self._bound[name] = value
        return name

    def parts(self, parts: list[Tree]) -> None:
        """Leaves fact by fact, so that one look settles all of a fact that is missing; then what stands on them."""
        by_fact: dict[str, list[Leaf]] = {}
        asked: dict[str, list[Leaf]] = {}
        for part in parts:
            if isinstance(part, AgeLeaf):
                self.line(1, f"x{part.index} = {self.bind(part.code)}(facts, as_of)")
            elif isinstance(part, (WithinLeaf, TableLeaf)):
                asked.setdefault(part.fact, []).append(part)
            elif isinstance(part, Leaf):
                by_fact.setdefault(part.fact, []).append(part)
        for fact, leaves in asked.items():
            self._asked(fact, leaves)
        for fact, leaves in by_fact.items():
            self._fact(fact, leaves)
        for part in parts:
            if not isinstance(part, Leaf):
                self.line(1, f"x{part.index} = {_combined(part)}")

    def _asked(self, fact: str, leaves: list[Leaf]) -> None:
        """Leaves that answer for themselves, once something is known of their fact."""
        self.line(1, f"if {fact!r} in facts:")
        for leaf in leaves:
            self.line(2, f"x{leaf.index} = {self.bind(leaf.code)}(facts, as_of)")
        self.line(1, "else:")
        self.line(2, " = ".join(f"x{leaf.index}" for leaf in leaves) + " = U")

    def _fact(self, fact: str, leaves: list[Leaf]) -> None:
        kind = leaves[0].spec.type
        self.line(1, f"v = g({fact!r})")
        self.line(1, "if v is None:")
        self.line(2, " = ".join(f"x{leaf.index}" for leaf in leaves) + " = U")
        if kind not in ("bool", "enum"):
            self.line(1, "elif v.__class__ is I:")
            for leaf in leaves:
                self.line(2, f"x{leaf.index} = {self.bind(leaf.of)}(v)")
        self.line(1, "else:")
        for leaf in leaves:
            if kind == "enum":
                code = f"{self.bind(_Codes(leaf))}[v]"
            elif kind == "bool":
                code = f"T if v is {leaf.threshold} else F if v is {not leaf.threshold} else U"
            else:
                code = f"T if v {_SYMBOLS[leaf.operator]} {self.bind(leaf.threshold)} else F"
            self.line(2, f"x{leaf.index} = {code}")

    def function(self, parameters: str) -> Any:
        body = "\n".join(self._lines) or "    pass"
        source = f"def generated({parameters}):\n{body}\n"
        name = f"<rulebook.generated {next(_NUMBER)}>"
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        exec(compile(source, name, "exec"), self._bound)
        return self._bound["generated"]


def _combined(part: Tree) -> str:
    names = [f"x{child.index}" for child in part.children]
    match part:
        case AllTree():
            return f"M[{' & '.join(names)}]" if names else "T"
        case AnyTree():
            return f"M[{' | '.join(names)}]" if names else "F"
        case NotTree():
            return f"N[{names[0]}]"
        case AtLeastTree(count=wanted):
            surely = " + ".join(f"({name} >> 1)" for name in names)
            possibly = " + ".join(f"({name} & 1)" for name in names)
            return f"T if {surely} >= {wanted} else U if {possibly} >= {wanted} else F"
    raise AssertionError(type(part))


@dataclass(frozen=True, slots=True)
class Plan:
    """What one jurisdiction asks of a person under one release, with its generated evaluators."""

    programs: tuple[CompiledProgram, ...]
    """By id."""
    duties: tuple[CompiledDuty, ...]
    """The jurisdiction's own first."""
    of_programs: Evaluate
    of_duties: Evaluate
    duty_facts: Mapping[str, Mapping[Any, tuple[Truth, ...]]]
    """All facts that the duties hang on: what they ask, and what that follows from. Of an enumeration, or yes and no,
    with the truths of the comparisons for each member: duties do not tell apart members of whom these are equal."""
    dated: dict[date, Any] = field(default_factory=dict)
    """What may change by itself after a day, kept by `rulebook.changes`."""


@dataclass(slots=True)
class Engine:
    """The generated code of one release."""

    law: "Law"
    derive: Derive
    derive_certain: Derive
    """Without presumptions."""
    contradictable: Mapping[str, Among]
    """By fact, what it is where what was told contradicts itself: see `rulebook.contradictions`."""
    plans: dict[str, Plan] = field(default_factory=dict)

    def plan(self, jurisdiction: str) -> Plan:
        """Raises LawError for a jurisdiction that the law does not hold."""
        if jurisdiction not in self.plans:
            self.plans[jurisdiction] = _plan(self.law, self.law.applies_in(jurisdiction))
        return self.plans[jurisdiction]


_ENGINES: dict[str, Engine] = {}


def engine(law: "Law") -> Engine:
    """Generated when first asked for, then kept."""
    found = _ENGINES.get(law.digest)
    if found is None or found.law is not law:
        while len(_ENGINES) >= _KEPT:
            _ENGINES.pop(next(iter(_ENGINES)))
        certain = (derivation for derivation in law.derivations if not derivation.presumption)
        found = Engine(
            law,
            generate_derivations(law.derivations, law.facts),
            generate_derivations(certain, law.facts),
            contradictable(law.derivations, law.facts),
        )
        _ENGINES[law.digest] = found
    return found


def _plan(law: "Law", applicable: tuple[str, ...]) -> Plan:
    programs = [program for program in law.programs if program.spec.jurisdiction in applicable]
    programs.sort(key=lambda program: program.spec.id)
    # Standing duties have no clock: no encounter sets them off.
    duties = [
        duty
        for code in applicable
        for duty in law.duties
        if duty.spec.jurisdiction == code and duty.spec.clock is not None
    ]
    return Plan(
        programs=tuple(programs),
        duties=tuple(duties),
        of_programs=generate(tree for program in programs for tree in program.trees()),
        of_duties=generate(_duty_trees(duties)),
        duty_facts=_hung_on(_duty_trees(duties), law),
    )


def _hung_on(trees: Iterable[Tree], law: "Law") -> dict[str, dict[Any, tuple[Truth, ...]]]:
    """As `Plan.duty_facts`, of any conditions."""
    leaves = {leaf.index: leaf for tree in trees for leaf in tree.leaves()}
    # A conclusion feeds only derivations after its own: from the last to the first, one look at each is enough.
    for derivation in reversed(law.derivations):
        asked = {fact for leaf in leaves.values() for fact in leaf.facts}
        if any(fact in asked for fact, _ in derivation.then):
            leaves |= {leaf.index: leaf for leaf in derivation.when.leaves()}
    by_fact: dict[str, list[Leaf]] = {}
    for leaf in leaves.values():
        for fact in leaf.facts:
            by_fact.setdefault(fact, []).append(leaf)
    found: dict[str, dict[Any, tuple[Truth, ...]]] = {}
    for fact, asking in by_fact.items():
        everything = anything(law.facts[fact])
        found[fact] = {one: tuple(leaf.of(one) for leaf in asking) for one in everything.values} if everything else {}
    return found


def _duty_trees(duties: Iterable[CompiledDuty]) -> Iterator[Tree]:
    for duty in duties:
        for version in duty.versions:
            for rule in version.rules:
                yield rule.when
                yield from (when for _, when in rule.flags)
