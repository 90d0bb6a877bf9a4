"""Matches one person to every program: eligible, potentially eligible (ask X), or not eligible (because ...)."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from contracts.facts import Age, SubjectFacts
from rulebook.compiled import CompiledProgram, CompiledProgramVersion
from rulebook.dates import age_on, birthday
from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.leaves import Leaf
from rulebook.loader import Law
from rulebook.person import known_facts, not_answered
from rulebook.trees import Evaluation, Reason, reasons

Answer = Literal["eligible", "potentially_eligible", "not_eligible"]
Supply = Literal["available", "unknown", "not_available", "not_limited"]

_ANSWERS: dict[Truth, Answer] = {
    Truth.TRUE: "eligible",
    Truth.UNKNOWN: "potentially_eligible",
    Truth.FALSE: "not_eligible",
}
_SUPPLY: dict[Truth, Supply] = {Truth.TRUE: "available", Truth.UNKNOWN: "unknown", Truth.FALSE: "not_available"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramAnswer:
    """One program for one person. The person's own eligibility, and apart from it whether the service is there."""

    program_id: str
    outcome: Answer
    supply: Supply
    version_from: date | None
    """First day of the version of the rule that was applied; None if none was in force or which one is not known."""
    reasons: tuple[Reason, ...]
    """The comparisons that decided it; none if the answer needs no fact."""
    missing: tuple[str, ...]
    """Facts to ask for. Empty unless potentially eligible."""
    citations: tuple[str, ...]
    services: tuple[str, ...]
    documents: tuple[str, ...]
    next_step_agency: str | None
    next_step_dss: str | None
    confidence: str
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        next_step = {"agency": self.next_step_agency, "dss": self.next_step_dss}
        return {
            "program": self.program_id,
            "outcome": self.outcome,
            "supply": self.supply,
            "version_from": self.version_from.isoformat() if self.version_from else None,
            "reasons": [
                {"fact": r.fact, r.operator: r.threshold, "value": r.value, "holds": r.holds} for r in self.reasons
            ],
            "missing": list(self.missing),
            "citations": list(self.citations),
            "services": list(self.services),
            "documents": list(self.documents),
            "next_step": {who: what for who, what in next_step.items() if what},
            "confidence": self.confidence,
        } | ({"note": self.note} if self.note else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Determination:
    """All programs for one person at one moment. All of it is about the person: for sealed use only."""

    as_of: date
    law_version: str
    law_digest: str
    programs: tuple[ProgramAnswer, ...]
    """In the order of their ids."""
    not_answered: dict[str, str]
    """Facts that were asked for: `unknown` or `refused`."""
    next_change_on: date | None
    """First later day on which an answer may change by itself: a birthday, a time limit, another version of a rule."""

    def answer(self, program_id: str) -> ProgramAnswer:
        """Raises KeyError for a program that does not apply here."""
        for answer in self.programs:
            if answer.program_id == program_id:
                return answer
        raise KeyError(program_id)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, always in the same order."""
        return {
            "as_of": self.as_of.isoformat(),
            "law_version": self.law_version,
            "law_digest": self.law_digest,
            "next_change_on": self.next_change_on.isoformat() if self.next_change_on else None,
            "not_answered": self.not_answered,
            "programs": [answer.to_json() for answer in self.programs],
        }

    def canonical(self) -> bytes:
        """The same bytes for the same facts, law and day."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def determine(
    facts: SubjectFacts, law: Law, *, jurisdiction: str, encounter_at: datetime, as_of: datetime
) -> Determination:
    """Evaluates every program of the jurisdiction and of those it is within, on the day `as_of` there.

    Pure; all times aware. Raises LawError for a jurisdiction that the law does not hold.
    """
    plan = engine(law).plan(jurisdiction)
    day = law.local_date(jurisdiction, as_of)
    encounter_on = law.local_date(jurisdiction, encounter_at)
    known = known_facts(facts, law, encounter_on=encounter_on, as_of=day)
    on = Evaluation(known, day, plan.of_programs(known, day))
    answers = [_answer(program, on, law) for program in plan.programs]
    return Determination(
        as_of=day,
        law_version=law.version,
        law_digest=law.digest,
        programs=tuple(answers),
        not_answered=not_answered(facts),
        next_change_on=_next_change(plan.programs, on, law, facts.age, encounter_on),
    )


def _answer(program: CompiledProgram, on: Evaluation, law: Law) -> ProgramAnswer:
    key = program.spec.version_key
    if key is None:
        version = program.version_on(on.as_of)
        if version is None:
            return _not_in_force(program, on, "not_eligible")
        return _under(program, (version,), on, law)
    chosen_on = on.facts.get(key)
    if not isinstance(chosen_on, date):
        # Which version applies is itself not known: an answer is settled only if all of them give it.
        return _under(program, program.versions, on, law, also_missing=key)
    version = program.version_on(chosen_on)
    if version is None:
        # The law of that day is not held here, which is our ignorance and not the person's fault.
        return _not_in_force(program, on, "potentially_eligible")
    return _under(program, (version,), on, law)


def _under(
    program: CompiledProgram,
    versions: tuple[CompiledProgramVersion, ...],
    on: Evaluation,
    law: Law,
    also_missing: str | None = None,
) -> ProgramAnswer:
    truths = {version.when.truth(on) for version in versions}
    truth = truths.pop() if len(truths) == 1 else Truth.UNKNOWN
    supplies = {version.supply.truth(on) for version in versions}
    why = reasons((version.when for version in versions), on)
    wanted: set[str] = set()
    if truth is Truth.UNKNOWN:
        unknown = {reason.fact for reason in why if reason.holds is None} | ({also_missing} if also_missing else set())
        wanted = {law.facts[fact].ask or fact for fact in unknown}
    single = versions[0] if len(versions) == 1 else None
    return _program_answer(
        program,
        outcome=_ANSWERS[truth],
        supply=_supply(versions, supplies),
        version=single,
        reasons=why,
        missing=tuple(sorted(wanted)),
        citations=tuple(dict.fromkeys(line for version in versions for line in version.spec.cite)),
    )


def _supply(versions: tuple[CompiledProgramVersion, ...], truths: set[Truth]) -> Supply:
    if not any(version.spec.supply for version in versions):
        return "not_limited"
    return _SUPPLY[truths.pop()] if len(truths) == 1 else "unknown"


def _not_in_force(program: CompiledProgram, on: Evaluation, outcome: Answer) -> ProgramAnswer:
    key = program.spec.version_key
    asked = (Reason(key, "version_in_force", True, str(on.facts[key]), False),) if key else ()
    return _program_answer(
        program,
        outcome=outcome,
        supply="unknown",
        version=None,
        reasons=asked,
        missing=(),
        citations=program.versions[-1].spec.cite,
        note="no version of this rule was in force on that day",
    )


def _program_answer(
    program: CompiledProgram,
    *,
    outcome: Answer,
    supply: Supply,
    version: CompiledProgramVersion | None,
    reasons: tuple[Reason, ...],
    missing: tuple[str, ...],
    citations: tuple[str, ...],
    note: str | None = None,
) -> ProgramAnswer:
    spec = program.spec
    useful = outcome != "not_eligible"
    return ProgramAnswer(
        program_id=spec.id,
        outcome=outcome,
        supply=supply,
        version_from=version.spec.effective.from_ if version else None,
        reasons=reasons,
        missing=missing,
        citations=citations,
        services=spec.services,
        documents=spec.documents if useful else (),
        next_step_agency=spec.next_step.agency if useful else None,
        next_step_dss=spec.next_step.dss if useful else None,
        confidence=spec.confidence,
        note=note,
    )


def _next_change(
    programs: tuple[CompiledProgram, ...], on: Evaluation, law: Law, age: Age | None, encounter_on: date
) -> date | None:
    """The first later day that may change an answer. May be early, and then the answers stay; is never late."""
    leaves: dict[int, Leaf] = {leaf.index: leaf for item in law.derivations for leaf in item.when.leaves()}
    days: set[date] = set()
    for program in programs:
        for version in program.versions:
            effective = version.spec.effective
            if program.spec.version_key is None:
                days |= {effective.from_, effective.until or effective.from_}
                if not effective.holds(on.as_of):
                    continue
            leaves.update((leaf.index, leaf) for leaf in version.leaves)
    for leaf in leaves.values():
        days.update(leaf.changes(on.facts, on.as_of))
    if "age_years" in on.facts and age is not None:
        days |= set(_age_changes(age, on, encounter_on, leaves.values()))
    return min((day for day in days if day > on.as_of), default=None)


def _age_changes(age: Age, on: Evaluation, encounter_on: date, leaves: Iterable[Leaf]) -> Iterator[date]:
    if age.birth_date is None or age.birth_date > encounter_on:
        # Years without a birthday: exact on the day of the encounter, and each year later one more is possible.
        yield encounter_on + timedelta(days=1)
        yield birthday(encounter_on, age_on(on.as_of, encounter_on) + 1)
        return
    for leaf in leaves:
        if leaf.fact == "age_years" and isinstance(leaf.threshold, int):
            yield birthday(age.birth_date, leaf.threshold + (1 if leaf.operator in ("gt", "lte") else 0))
