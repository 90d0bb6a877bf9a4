"""Law entries with their conditions compiled: what the deciding functions read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from rulebook.compiler import Compiler, read_value
from rulebook.conditions import All, AnyOf, Compare, Condition, Not, Use
from rulebook.errors import LawError
from rulebook.leaves import Leaf
from rulebook.missing import Gaps
from rulebook.schema import Derivation, Duty, DutyRule, DutyVersion, FactSpec, OneOf, Period, Program, ProgramVersion
from rulebook.tables import ParameterTable
from rulebook.trees import Tree
from rulebook.values import Among, Value, anything


@dataclass(frozen=True, slots=True)
class CompiledDerivation:
    when: Tree
    then: tuple[tuple[str, Value], ...]
    presumption: bool = False


@dataclass(frozen=True, slots=True)
class CompiledRule:
    spec: DutyRule
    when: Tree
    flags: tuple[tuple[str, Tree], ...]


@dataclass(frozen=True, slots=True)
class CompiledDutyVersion:
    spec: DutyVersion
    rules: tuple[CompiledRule, ...]
    gaps: tuple[Gaps | None, ...]
    """For each rule that leaves it to a review: what would have one of the rules before it decide."""

    def otherwise(self, position: int) -> tuple[Tree, ...]:
        """Conditions that could make another decision of that of a rule: those of the rules before it, of its flags."""
        return (*(rule.when for rule in self.rules[:position]), *(when for _, when in self.rules[position].flags))


@dataclass(frozen=True, slots=True)
class CompiledDuty:
    spec: Duty
    versions: tuple[CompiledDutyVersion, ...]

    def version_on(self, day: date) -> CompiledDutyVersion | None:
        return next((version for version in self.versions if version.spec.effective.holds(day)), None)


@dataclass(frozen=True, slots=True)
class CompiledProgramVersion:
    spec: ProgramVersion
    when: Tree
    """The person's own conditions, the least victim status among them."""
    supply: Tree
    leaves: tuple[Leaf, ...]
    gaps: Gaps
    other_reading: Tree | None = None
    """The conditions as the other side of a dispute reads them."""

    def trees(self) -> Iterator[Tree]:
        yield self.when
        yield self.supply
        if self.other_reading is not None:
            yield self.other_reading


@dataclass(frozen=True, slots=True)
class ByKey:
    """A program whose version a fact chooses, while that fact is not known."""

    yes: Tree
    """Certainly true when the version that the key chooses says so, or when all of them do."""
    no: Tree
    gaps: Gaps


@dataclass(frozen=True, slots=True)
class CompiledProgram:
    spec: Program
    versions: tuple[CompiledProgramVersion, ...]
    by_key: ByKey | None = None

    def trees(self) -> Iterator[Tree]:
        for version in self.versions:
            yield from version.trees()
        if self.by_key is not None:
            yield self.by_key.yes
            yield self.by_key.no

    def known(self, known_at: date | None, released: date) -> tuple[CompiledProgramVersion, ...]:
        """The versions that were known on a day; one that does not say was known from the release on."""
        if known_at is None:
            return self.versions
        return tuple(version for version in self.versions if (version.spec.known_from or released) <= known_at)

    def version_on(
        self, day: date, among: tuple[CompiledProgramVersion, ...] | None = None
    ) -> CompiledProgramVersion | None:
        """The version in force on a day, among those known: an end that only an unknown successor set is no end."""
        if among is None or len(among) == len(self.versions):
            return next((version for version in self.versions if version.spec.effective.holds(day)), None)
        known = {id(version) for version in among}
        for version, successor in zip(reversed(self.versions), (None, *reversed(self.versions)), strict=False):
            period = version.spec.effective
            if id(version) in known and period.from_ <= day:
                ends = successor is None or id(successor) in known
                return version if period.until is None or day < period.until or not ends else None
        return None


class Link:
    """Compiles the entries of one release against its catalogue, blocks and policy."""

    def __init__(
        self,
        facts: Mapping[str, FactSpec],
        blocks: Mapping[str, Condition],
        policy: Mapping[str, str],
        tables: Mapping[str, ParameterTable] | None = None,
    ) -> None:
        self._facts = facts
        self._compiler = Compiler(facts, blocks, policy, tables)
        for name, block in blocks.items():
            self._tree(block, f"block {name}")

    def derivation(self, spec: Derivation) -> CompiledDerivation:
        where = f"derivation of {', '.join(spec.then)}"
        then = tuple((fact, self._value(fact, raw, where)) for fact, raw in spec.then.items())
        for fact in spec.then:
            # Of a number or a day nothing could say that it is contradicted.
            if not spec.presumption and anything(self._facts[fact]) is None:
                raise LawError(f"{where}: conclude yes, no or members of an enumeration, or make it a presumption")
        return CompiledDerivation(self._tree(spec.when, where), then, spec.presumption)

    def duty(self, spec: Duty, file: str) -> CompiledDuty:
        where = f"{file}, duty {spec.id}"
        return CompiledDuty(
            spec,
            tuple(
                CompiledDutyVersion(
                    version,
                    tuple(self._rule(rule, where) for rule in version.rules),
                    tuple(self._review_gaps(version.rules[:n], rule, where) for n, rule in enumerate(version.rules)),
                )
                for version in spec.versions
            ),
        )

    def _review_gaps(self, before: tuple[DutyRule, ...], rule: DutyRule, where: str) -> Gaps | None:
        if rule.outcome != "review":
            return None
        # What a timer decides is no answer to a question.
        asked = [one for one in before if one.decided_by == "rule"]
        due = tuple(one.when for one in asked if one.outcome == "due" and one.when is not None)
        not_due = tuple(one.when for one in asked if one.outcome == "not_due" and one.when is not None)
        yes, no = self._tree(AnyOf(any=due), where), self._tree(AnyOf(any=not_due), where)
        return Gaps(yes, self._facts, no=no, why=(yes, no))

    def program(self, spec: Program, file: str) -> CompiledProgram:
        where = f"{file}, program {spec.id}"
        if spec.version_key is not None and self._spec(spec.version_key, where).type != "date":
            raise LawError(f"{where}: version_key {spec.version_key} is not a date; name a date fact")
        for fact in spec.common_unknowns:
            self._spec(fact, where)
        versions = tuple(self._program_version(spec, version, where) for version in spec.versions)
        if spec.version_key is None:
            return CompiledProgram(spec, versions)
        return CompiledProgram(spec, versions, self._by_key(spec, spec.version_key, where, versions))

    def _by_key(self, spec: Program, key: str, where: str, versions: tuple[CompiledProgramVersion, ...]) -> ByKey:
        readings = [All(all=self._own(spec, version)) for version in spec.versions]
        chosen = [
            (All(all=tuple(_within(key, version.effective))), reading)
            for version, reading in zip(spec.versions, readings, strict=True)
        ]
        denied = tuple(_not(reading) for reading in readings)
        yes = AnyOf(any=(*(All(all=pair) for pair in chosen), All(all=tuple(readings))))
        no = AnyOf(any=(*(All(all=(of, _not(when))) for of, when in chosen), All(all=denied)))
        yes_tree, no_tree = self._tree(yes, where), self._tree(no, where)
        why = tuple(version.when for version in versions)
        return ByKey(yes_tree, no_tree, Gaps(yes_tree, self._facts, no=no_tree, why=why))

    def _own(self, spec: Program, version: ProgramVersion) -> tuple[Condition, ...]:
        """The person's own conditions, the least victim status among them and the version's `when` last."""
        if spec.victim_status_min == "none":
            return (version.when,)
        return Compare(fact="victim_status", gte=spec.victim_status_min), version.when

    def _program_version(self, spec: Program, version: ProgramVersion, where: str) -> CompiledProgramVersion:
        conditions = self._own(spec, version)
        when = self._tree(All(all=conditions), where)
        for leaf in when.leaves():
            if self._facts[leaf.fact].group == "supply":
                raise LawError(f"{where}: {leaf.fact} is about the service; move it from `when` to `supply`")
        for fact in version.supply:
            if self._spec(fact, where).group != "supply":
                raise LawError(f"{where}: {fact} is about the person; move it from `supply` to `when`")
        supply = All(all=tuple(Compare.model_validate({"fact": fact, "is": True}) for fact in version.supply))
        leaves = {leaf.index: leaf for leaf in when.leaves()}
        other = None
        if version.dispute is not None:
            reading: Condition = Use(use=version.dispute.other_reading)
            other = self._tree(All(all=(*conditions[:-1], reading)), where)
            leaves |= {leaf.index: leaf for leaf in other.leaves()}
        gaps = Gaps(when, self._facts, why=(when,) if other is None else (when, other))
        return CompiledProgramVersion(
            version, when, self._tree(supply, where), tuple(leaves.values()), gaps, other_reading=other
        )

    def _rule(self, spec: DutyRule, where: str) -> CompiledRule:
        always = All(all=())
        flags = tuple((flag.flag, self._tree(flag.when or always, where)) for flag in spec.flags)
        return CompiledRule(spec, self._tree(spec.when or always, where), flags)

    def _tree(self, condition: Condition, where: str) -> Tree:
        try:
            return self._compiler.compile(condition)
        except LawError as error:
            raise LawError(f"{where}: {error}") from None

    def _spec(self, fact: str, where: str) -> FactSpec:
        if fact not in self._facts:
            raise LawError(f"{where}: fact {fact} is not in the fact catalogue; add it to law/facts.yaml")
        return self._facts[fact]

    def _value(self, fact: str, raw: Any, where: str) -> Value:
        spec = self._spec(fact, where)
        try:
            if isinstance(raw, OneOf):
                return Among(frozenset(read_value(spec, item) for item in raw.one_of))
            value: Value = read_value(spec, raw)
        except ValueError as error:
            raise LawError(f"{where}: {fact}: {error}") from None
        return value


def _within(key: str, period: Period) -> Iterator[Condition]:
    yield Compare(fact=key, gte=period.from_)
    if period.until is not None:
        yield Compare(fact=key, lt=period.until)


def _not(condition: Condition) -> Condition:
    return Not.model_validate({"not": condition})
