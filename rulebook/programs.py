"""Matches one person to every program: eligible, potentially eligible (ask X), not eligible (because ...), disputed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime

from contracts.facts import SubjectFacts
from rulebook.answers import Answer, Determination, Disputed, Presumed, ProgramAnswer, Supply, digest_of
from rulebook.changes import next_change
from rulebook.compiled import CompiledProgram, CompiledProgramVersion
from rulebook.generated import Plan, engine
from rulebook.kleene import Truth
from rulebook.knowledge import Provenance
from rulebook.loader import Law
from rulebook.missing import NOTHING_MISSING, Gaps
from rulebook.person import known_facts, not_answered
from rulebook.question import next_question
from rulebook.trees import Evaluation, Reason, reason
from rulebook.values import Among, FactMap, Interval

__all__ = ["Answer", "Determination", "ProgramAnswer", "Supply", "determine", "evaluate", "verdicts"]

_ANSWERS: dict[Truth, Answer] = {
    Truth.TRUE: "eligible",
    Truth.UNKNOWN: "potentially_eligible",
    Truth.FALSE: "not_eligible",
}
_SUPPLY: dict[Truth, Supply] = {Truth.TRUE: "available", Truth.UNKNOWN: "unknown", Truth.FALSE: "not_available"}
_NOT_IN_FORCE = "no version of this rule was in force on that day"


def determine(
    facts: SubjectFacts,
    law: Law,
    *,
    jurisdiction: str,
    encounter_at: datetime,
    as_of: datetime,
    known_at: date | None = None,
    sources: Mapping[str, Provenance] | None = None,
    salt: bytes | None = None,
) -> Determination:
    """Evaluates every program of the jurisdiction and of those it is within, on the day `as_of` there.

    `known_at`: by the versions that were known on that day; `sources`: where each reported fact comes from; `salt`:
    adds a salted digest of the facts. Pure; all times aware. Raises LawError for a jurisdiction that the law does not
    hold.
    """
    rules = engine(law)
    plan = rules.plan(jurisdiction)
    day = law.local_date(jurisdiction, as_of)
    encounter_on = law.local_date(jurisdiction, encounter_at)
    known = known_facts(facts, law, encounter_on=encounter_on, as_of=day, presume=False)
    unanswered = not_answered(facts)
    answers = evaluate(known, law, jurisdiction=jurisdiction, as_of=day, known_at=known_at, sources=sources)
    open_sets = (answer.gaps.to_settle for answer in answers if answer.gaps is not NOTHING_MISSING)
    return Determination(
        as_of=day,
        law_version=law.version,
        law_digest=law.digest,
        programs=answers,
        not_answered=unanswered,
        next_change_on=next_change(plan, law.derivations, known, day, facts.age, encounter_on),
        next_question=next_question(open_sets, law.facts, unanswered),
        known_at=known_at,
        facts_digest=None if salt is None else digest_of(known, salt),
    )


def evaluate(
    facts: FactMap,
    law: Law,
    *,
    jurisdiction: str,
    as_of: date,
    known_at: date | None = None,
    sources: Mapping[str, Provenance] | None = None,
) -> tuple[ProgramAnswer, ...]:
    """The answers of all programs, by id, on facts by catalogue id; what follows from the facts is added here.

    Each answer stands on what is known; where a presumption of the law makes another one, that is told apart.
    """
    rules = engine(law)
    plan = rules.plan(jurisdiction)
    known = dict(facts)
    rules.derive_certain(known, as_of)
    on = Evaluation(known, as_of, plan.of_programs(known, as_of))
    on.sources = sources
    view = _View(law, on, known_at)
    answers = tuple(view.answer(program) for program in plan.programs)
    presumed = dict(known)
    rules.derive(presumed, as_of)
    if len(presumed) == len(known):
        return answers
    others = verdicts(presumed, plan, as_of)
    added = tuple(sorted(presumed.keys() - known.keys()))
    return tuple(
        answer
        if others[answer.program_id] == answer.outcome or answer.disputed or known_at is not None
        else replace(answer, presumed=Presumed(added, others[answer.program_id]))
        for answer in answers
    )


def verdicts(facts: FactMap, plan: Plan, as_of: date) -> dict[str, Answer]:
    """The bare outcomes, by program, for facts with all that follows from them: no reasons, nothing to ask."""
    truths = plan.of_programs(facts, as_of)
    found: dict[str, Answer] = {}
    for program in plan.programs:
        truth = _verdict(program, truths, as_of)
        found[program.spec.id] = _ANSWERS[truth]
    return found


def _verdict(program: CompiledProgram, truths: Mapping[int, Truth], as_of: date) -> Truth:
    if program.by_key is None:
        version = program.version_on(as_of)
        return Truth.FALSE if version is None else truths[version.when.index]
    if truths[program.by_key.yes.index] == Truth.TRUE:
        return Truth.TRUE
    return Truth.FALSE if truths[program.by_key.no.index] == Truth.TRUE else Truth.UNKNOWN


class _View:
    """One person on one day, under the law as it was known on another."""

    def __init__(self, law: Law, on: Evaluation, known_at: date | None) -> None:
        self._law = law
        self._on = on
        self._known_at = known_at
        self._partly = {fact: value for fact, value in on.facts.items() if isinstance(value, (Interval, Among))}

    def answer(self, program: CompiledProgram) -> ProgramAnswer:
        known = program.known(self._known_at, self._law.release.in_force_from)
        if not known:
            note = "no version of this rule was known on that day"
            return self._not_in_force(program, "potentially_eligible", note)
        key = program.spec.version_key
        day = self._on.as_of if key is None else self._on.facts.get(key)
        if not isinstance(day, date):
            return self._by_key(program, known)
        version = program.version_on(day, known)
        if version is None and key is not None:
            # The law of a day that a fact names is not held here: our ignorance, and not the person's fault.
            if _verdict(program, self._on.truths, self._on.as_of) != Truth.UNKNOWN:
                return self._by_key(program, known)
            return self._not_in_force(program, "potentially_eligible", _NOT_IN_FORCE)
        if version is None:
            return self._not_in_force(program, "not_eligible", _NOT_IN_FORCE)
        truth = version.when.truth(self._on)
        disputed = self._disputed(version, truth)
        return self._told(program, (version,), truth, version.gaps, disputed=disputed)

    def _by_key(self, program: CompiledProgram, known: tuple[CompiledProgramVersion, ...]) -> ProgramAnswer:
        # Which version applies is itself not known: an answer is settled only if all of them give it.
        by_key = program.by_key
        assert by_key is not None, "only a version key leaves the version open"
        truth = _verdict(program, self._on.truths, self._on.as_of)
        return self._told(program, known, truth, by_key.gaps, also_missing=program.spec.version_key)

    def _disputed(self, version: CompiledProgramVersion, truth: Truth) -> Disputed | None:
        dispute = version.spec.dispute
        if dispute is None or version.other_reading is None:
            return None
        other = version.other_reading.truth(self._on)
        return None if other == truth else Disputed(dispute.issue, dispute.case, _ANSWERS[truth], _ANSWERS[other])

    def _told(
        self,
        program: CompiledProgram,
        versions: tuple[CompiledProgramVersion, ...],
        truth: Truth,
        gaps: Gaps,
        also_missing: str | None = None,
        disputed: Disputed | None = None,
    ) -> ProgramAnswer:
        on = self._on
        why = tuple([reason(leaf, on) for leaf in gaps.deciding(on)])
        is_open = truth == Truth.UNKNOWN
        wanted: set[str] = set()
        if is_open:
            wanted = gaps.lacking(on) | ({also_missing} if also_missing else set())
        single = versions[0] if len(versions) == 1 else None
        spec = program.spec
        useful = truth != Truth.FALSE or disputed is not None
        return ProgramAnswer(
            program_id=spec.id,
            outcome="disputed" if disputed else _ANSWERS[truth],
            supply=self._supply(versions),
            version_from=single.spec.effective.from_ if single else None,
            reasons=why,
            missing=tuple(sorted(wanted)),
            citations=single.spec.cite if single else _citations(versions),
            services=spec.services,
            documents=spec.documents if useful else (),
            next_step_agency=spec.next_step.agency if useful else None,
            next_step_dss=spec.next_step.dss if useful else None,
            confidence=spec.confidence,
            gaps=gaps.missing(on, self._partly) if is_open else NOTHING_MISSING,
            would_change=gaps.would_change(on) if truth == Truth.FALSE else (),
            disputed=disputed,
        )

    def _supply(self, versions: tuple[CompiledProgramVersion, ...]) -> Supply:
        if not any(version.spec.supply for version in versions):
            return "not_limited"
        truths = {version.supply.truth(self._on) for version in versions}
        return _SUPPLY[truths.pop()] if len(truths) == 1 else "unknown"

    def _not_in_force(self, program: CompiledProgram, outcome: Answer, note: str) -> ProgramAnswer:
        spec = program.spec
        chosen_on = None if spec.version_key is None else self._on.facts.get(spec.version_key)
        asked = (
            ()
            if chosen_on is None
            else (Reason(spec.version_key or "", "version_in_force", True, str(chosen_on), False),)
        )
        useful = outcome != "not_eligible"
        return ProgramAnswer(
            program_id=spec.id,
            outcome=outcome,
            supply="unknown",
            version_from=None,
            reasons=asked,
            missing=(),
            citations=program.versions[-1].spec.cite,
            services=spec.services,
            documents=spec.documents if useful else (),
            next_step_agency=spec.next_step.agency if useful else None,
            next_step_dss=spec.next_step.dss if useful else None,
            confidence=spec.confidence,
            note=note,
        )


def _citations(versions: tuple[CompiledProgramVersion, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for version in versions for line in version.spec.cite))
