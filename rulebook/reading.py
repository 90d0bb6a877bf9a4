"""From the truths of comparisons to the record of one program; persons of whom the same is known share it."""

from collections.abc import Mapping, Sequence
from datetime import date
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from rulebook.answers import Answer, ProgramAnswer, Supply
from rulebook.compiled import CompiledProgram, CompiledProgramVersion
from rulebook.crux import make_room
from rulebook.kleene import Truth
from rulebook.leaves import Leaf
from rulebook.missing import Explanation, Gaps
from rulebook.records import Note, Record, fact_names
from rulebook.schema import FactSpec
from rulebook.trees import Evaluation, Reason, Tree
from rulebook.values import Among, Interval

if TYPE_CHECKING:
    from rulebook.loader import Law

ANSWERS: dict[Truth, Answer] = {
    Truth.TRUE: "eligible",
    Truth.UNKNOWN: "potentially_eligible",
    Truth.FALSE: "not_eligible",
}
SUPPLY: dict[Truth, Supply] = {Truth.TRUE: "available", Truth.UNKNOWN: "unknown", Truth.FALSE: "not_available"}
_DAYS = 64
"""Days for which it is kept which version is in force."""
_RELEASES = 8
"""Releases whose readers are kept; more than one is in use only while the law changes."""

Partly = Mapping[str, Interval | Among]


def verdict(program: CompiledProgram, truths: Mapping[int, Truth], as_of: date) -> Truth:
    """The bare truth of a program, whichever version applies."""
    if program.by_key is None:
        version = program.version_on(as_of)
        return Truth.FALSE if version is None else truths[version.when.index]
    if truths[program.by_key.yes.index] == Truth.TRUE:
        return Truth.TRUE
    return Truth.FALSE if truths[program.by_key.no.index] == Truth.TRUE else Truth.UNKNOWN


class Reader:
    """One program of one release."""

    def __init__(self, program: CompiledProgram, law: "Law", numbers: Mapping[str, int]) -> None:
        self.program = program
        every = {leaf.index: leaf for tree in program.trees() for leaf in tree.leaves()}
        self.leaves: Sequence[Leaf] = sorted(every.values(), key=lambda leaf: leaf.sort_key)
        """All comparisons of the program: a record names them by their position here."""
        self.positions = {leaf.index: position for position, leaf in enumerate(self.leaves)}
        self._catalogue = law.facts
        self.numbers = numbers
        self._released = law.release.in_force_from
        self._readings: dict[tuple[bool, tuple[int, ...]], _Reading] = {}
        self._days: dict[date, _Reading | None] = {}
        self._not_in_force: dict[tuple[Answer, Note, Answer | None, tuple[str, ...]], Record] = {}
        self.told: dict[Any, tuple[Record, ProgramAnswer]] = {}
        """Answers in the words of the law, kept by `rulebook.programs`, like `reasons`."""
        self.reasons: dict[tuple[int, bool | None, bool | None], Reason] = {}
        """By the position of a comparison, whether it holds, and a value that says nothing about anybody."""

    def record(self, on: Evaluation, partly: Partly, known_at: date | None, presumed: Answer | None) -> Record:
        """`on` holds the truths of the whole plan; `presumed` is the outcome with the law's presumptions, if any."""
        program = self.program
        if known_at is None and program.by_key is None:
            reading = self._on(on.as_of)
            if reading is None:
                return self.without_version("not_eligible", "not_in_force", presumed)
            return reading.record(on, partly, presumed)
        known = program.known(known_at, self._released)
        if not known:
            return self.without_version("potentially_eligible", "not_known", presumed)
        key = program.spec.version_key
        day = on.as_of if key is None else on.facts.get(key)
        if not isinstance(day, date):
            return self._reading(known, by_key=True).record(on, partly, presumed)
        version = program.version_on(day, known)
        if version is None and key is not None:
            # The law of a day that a fact names is not held here: our ignorance, and not the person's fault.
            of_all = self._reading(known, by_key=True).record(on, partly, presumed)
            if verdict(program, on.truths, on.as_of) != Truth.UNKNOWN:
                return of_all
            return self.without_version("potentially_eligible", "not_in_force", presumed, of_all.contradicted)
        if version is None:
            return self.without_version("not_eligible", "not_in_force", presumed)
        return self._reading((version,)).record(on, partly, presumed)

    def verdict(self, truths: Mapping[int, Truth], as_of: date) -> Truth:
        """As `verdict`, for a program that is asked on the same day again and again."""
        if self.program.by_key is not None:
            return verdict(self.program, truths, as_of)
        reading = self._on(as_of)
        return Truth.FALSE if reading is None else truths[reading.when]

    def _on(self, day: date) -> "_Reading | None":
        """The version in force, of a program whose version no fact chooses."""
        if day not in self._days:
            make_room(self._days, _DAYS)
            version = self.program.version_on(day)
            self._days[day] = None if version is None else self._reading((version,))
        return self._days[day]

    def _reading(self, versions: tuple[CompiledProgramVersion, ...], *, by_key: bool = False) -> "_Reading":
        asked = by_key, tuple([id(version) for version in versions])
        found = self._readings.get(asked)
        if found is None:
            found = self._readings[asked] = _Reading(self, versions, self._catalogue, by_key=by_key)
        return found

    def without_version(
        self, outcome: Answer, note: Note, presumed: Answer | None, contradicted: tuple[str, ...] = ()
    ) -> Record:
        other = presumed if presumed != outcome else None
        found = self._not_in_force.get((outcome, note, other, contradicted))
        if found is None:
            key = self.program.spec.version_key
            cites = frozenset({key} if key is not None and note == "not_in_force" else ())
            found = self._not_in_force[outcome, note, other, contradicted] = Record(
                program_id=self.program.spec.id,
                outcome=outcome,
                supply="unknown",
                version=None,
                presumed=other,
                note=note,
                contradicted=contradicted,
                cites=cites,
                program=self.program.spec,
                numbers=self.numbers,
            )
        return found


class _Reading:
    """One version of a program; or all of them, while it is not known which one applies."""

    def __init__(
        self,
        reader: Reader,
        versions: tuple[CompiledProgramVersion, ...],
        catalogue: Mapping[str, FactSpec],
        *,
        by_key: bool,
    ) -> None:
        self._reader = reader
        self._versions = versions
        self._catalogue = catalogue
        self._by_key = reader.program.by_key if by_key else None
        assert not by_key or self._by_key is not None, "only a version key leaves the version open"
        self._gaps: Gaps = versions[0].gaps if self._by_key is None else self._by_key.gaps
        leaves = {leaf.index: leaf for tree in self._trees() for leaf in tree.leaves()}
        single = versions[0] if len(versions) == 1 else None
        self._position = next((n for n, version in enumerate(reader.program.versions) if version is single), None)
        self.when = versions[0].when.index
        """Of the version, if it is one."""
        other = None if by_key else versions[0].other_reading
        self._other = None if other is None else other.index
        self._supply = tuple(version.supply for version in versions if version.spec.supply)
        indices = sorted({*leaves, *(tree.index for tree in self._supply)})
        self._pattern = itemgetter(*indices) if indices else _nothing_asked
        self._by_day = any(type(leaf) is not Leaf for leaf in leaves.values())
        self._kept: dict[Any, Record] = {}
        self._by_explanation: dict[tuple[Explanation, Supply, Answer | None], Record] = {}

    def _trees(self) -> list[Tree]:
        trees = [tree for version in self._versions for tree in (version.when, version.other_reading) if tree]
        return trees if self._by_key is None else [*trees, self._by_key.yes, self._by_key.no]

    def record(self, on: Evaluation, partly: Partly, presumed: Answer | None) -> Record:
        truth = on.truths[self.when] if self._by_key is None else verdict(self._reader.program, on.truths, on.as_of)
        key: Any = self._pattern(on.truths), presumed
        is_open = truth is Truth.UNKNOWN or (self._other is not None and on.truths[self._other] is Truth.UNKNOWN)
        if is_open and (partly or self._by_day):
            key = key, self._gaps.beyond(on, partly)
        found = self._kept.get(key)
        if found is None:
            found = self._explained(on, truth, presumed)
            make_room(self._kept)
            self._kept[key] = found
        return found

    def _explained(self, on: Evaluation, truth: Truth, presumed: Answer | None) -> Record:
        """Most patterns that were not seen before differ from others in what explains nothing."""
        explanation, supply = self._gaps.explain(on), self._supply_of(on)
        key = explanation, supply, presumed
        found = self._by_explanation.get(key)
        if found is None:
            found = self._record(on, explanation, supply, truth, presumed)
            make_room(self._by_explanation)
            self._by_explanation[key] = found
        return found

    def _record(
        self, on: Evaluation, explanation: Explanation, supply: Supply, truth: Truth, presumed: Answer | None
    ) -> Record:
        program = self._reader.program
        by_truth: dict[Truth, list[int]] = {Truth.TRUE: [], Truth.FALSE: [], Truth.UNKNOWN: []}
        for leaf, holds in explanation.deciding:
            by_truth[holds].append(self._reader.positions[leaf.index])
        is_open = truth == Truth.UNKNOWN
        wanted: set[str] = set()
        if is_open:
            wanted.update(explanation.lacking)
            key = program.spec.version_key
            if self._by_key is not None and key is not None:
                wanted.add(self._catalogue[key].ask or key)
        readings = self._readings(on, truth)
        outcome: Answer = "disputed" if readings else ANSWERS[truth]
        told_apart = presumed is not None and presumed != outcome and readings is None
        return Record(
            program_id=program.spec.id,
            outcome=outcome,
            supply=supply,
            version=self._position,
            yes=tuple(by_truth[Truth.TRUE]),
            no=tuple(by_truth[Truth.FALSE]),
            open=tuple(by_truth[Truth.UNKNOWN]),
            missing=tuple(sorted(wanted)),
            gaps=explanation.missing,
            would_change=explanation.would_change,
            presumed=presumed if told_apart else None,
            readings=readings,
            contradicted=explanation.contradicted if is_open or readings else (),
            cites=explanation.cites,
            program=program.spec,
            numbers=self._reader.numbers,
        )

    def _readings(self, on: Evaluation, truth: Truth) -> tuple[Answer, Answer] | None:
        version = self._versions[0]
        if self._by_key is not None or version.other_reading is None or version.spec.dispute is None:
            return None
        other = version.other_reading.truth(on)
        return None if other == truth else (ANSWERS[truth], ANSWERS[other])

    def _supply_of(self, on: Evaluation) -> Supply:
        if not self._supply:
            return "not_limited"
        truths = {version.supply.truth(on) for version in self._versions}
        return SUPPLY[truths.pop()] if len(truths) == 1 else "unknown"


def _nothing_asked(_: Mapping[int, Truth]) -> None:
    """The pattern of a condition that asks for nothing."""


_READERS: dict[str, tuple["Law", dict[str, Reader]]] = {}


def readers(law: "Law") -> Mapping[str, Reader]:
    """The readers of all programs of a release, by id: made when first asked for, then kept."""
    found = _READERS.get(law.digest)
    if found is None or found[0] is not law:
        while len(_READERS) >= _RELEASES:
            _READERS.pop(next(iter(_READERS)))
        numbers = {fact: number for number, fact in enumerate(fact_names(law.facts))}
        made = {program.spec.id: Reader(program, law, numbers) for program in law.programs}
        found = _READERS[law.digest] = (law, made)
    return found[1]
