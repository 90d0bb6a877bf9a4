"""Matches one person to every program: eligible, potentially eligible (ask X), not eligible (because ...), disputed."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from contracts.facts import SubjectFacts
from rulebook.answers import Answer, Determination, Disputed, Presumed, ProgramAnswer, Supply, digest_of
from rulebook.changes import next_change
from rulebook.compiled import CompiledProgram
from rulebook.crux import make_room
from rulebook.errors import LawError
from rulebook.generated import Plan, engine
from rulebook.knowledge import DERIVED, Provenance
from rulebook.loader import Law
from rulebook.missing import NOTHING_MISSING
from rulebook.person import all_facts, contradictions, not_answered, told_facts
from rulebook.question import next_question
from rulebook.reading import ANSWERS, Reader, readers, verdict
from rulebook.records import FORM, Record, Recorded, fact_names
from rulebook.trees import Evaluation, Reason
from rulebook.values import Among, FactMap, Interval, plain

__all__ = [
    "Answer",
    "Determination",
    "ProgramAnswer",
    "Supply",
    "determine",
    "evaluate",
    "recall",
    "record",
    "records",
    "verdicts",
]

_NOTES = {
    "not_in_force": "no version of this rule was in force on that day",
    "not_known": "no version of this rule was known on that day",
}
_ANYBODYS = (bool, str, Among)
"""Yes, no, and members of lists are said of many; amounts and days are somebody's own."""


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
    plan = engine(law).plan(jurisdiction)
    day = law.local_date(jurisdiction, as_of)
    encounter_on = law.local_date(jurisdiction, encounter_at)
    told = told_facts(facts, law, encounter_on=encounter_on, as_of=day)
    known = all_facts(told, law, day, presume=False)
    unanswered = not_answered(facts)
    answers = evaluate(known, law, jurisdiction=jurisdiction, as_of=day, known_at=known_at, sources=sources)
    return Determination(
        as_of=day,
        law_version=law.version,
        law_digest=law.digest,
        programs=answers,
        not_answered=unanswered,
        next_change_on=next_change(plan, law.derivations, known, day, facts.age, encounter_on),
        next_question=next_question(_open_sets(answers), law.facts, unanswered),
        known_at=known_at,
        facts_digest=None if salt is None else digest_of(known, salt),
        contradictions=contradictions(told, known, law, day, presume=False),
    )


def record(facts: SubjectFacts, law: Law, *, jurisdiction: str, encounter_at: datetime, as_of: datetime) -> Recorded:
    """The same evaluation in the form in which it is kept; `recall` gives the determination back.

    Raises LawError for a jurisdiction that the law does not hold.
    """
    plan = engine(law).plan(jurisdiction)
    day = law.local_date(jurisdiction, as_of)
    encounter_on = law.local_date(jurisdiction, encounter_at)
    told = told_facts(facts, law, encounter_on=encounter_on, as_of=day)
    known = all_facts(told, law, day, presume=False)
    found, presuming = records(known, law, jurisdiction, day)
    cited = frozenset().union(*[one.cites for one in found])
    return Recorded(
        jurisdiction=jurisdiction,
        as_of=day,
        law_version=law.version,
        law_digest=law.digest,
        programs=found,
        known={fact: plain(known[fact]) for fact in sorted(cited) if fact in known},
        presuming=presuming,
        not_answered=not_answered(facts),
        next_change_on=next_change(plan, law.derivations, known, day, facts.age, encounter_on),
        contradictions=contradictions(told, known, law, day, presume=False),
    )


def recall(content: Mapping[str, Any], law: Law, sources: Mapping[str, Provenance] | None = None) -> Determination:
    """The determination of which `content` is the record, in the words of `law`: the release that the record names.

    `sources`: where each reported fact comes from, which no record holds.
    Raises LawError for another release, or for a form that a later version of the program wrote.
    """
    if content["form"] != FORM:
        raise LawError(f"this version reads determinations of form {FORM}; update it")
    if content["law_digest"] != law.digest:
        raise LawError(f"the determination was made under another content of release {content['law_version']}")
    day = date.fromisoformat(content["as_of"])
    known, presuming = content["known"], tuple(content["presuming"])
    by_id, names = readers(law), fact_names(law.facts)
    answers = tuple(
        _told(Record.of(program, one, names), by_id[program], law, known, presuming, None, sources)
        for program, one in sorted(content["programs"].items())
    )
    next_change_on = content["next_change_on"]
    return Determination(
        as_of=day,
        law_version=law.version,
        law_digest=law.digest,
        programs=answers,
        not_answered=content["not_answered"],
        next_change_on=date.fromisoformat(next_change_on) if next_change_on else None,
        next_question=next_question(_open_sets(answers), law.facts, content["not_answered"]),
        contradictions={fact: tuple(between) for fact, between in content.get("contradictions", {}).items()},
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
    known = dict(facts)
    engine(law).derive_certain(known, as_of)
    found, presuming = records(known, law, jurisdiction, as_of, known_at)
    if known_at is None and sources is None:
        return _shared(found, law, known, presuming)
    by_id = readers(law)
    return tuple([_told(one, by_id[one.program_id], law, known, presuming, known_at, sources) for one in found])


def records(
    known: FactMap, law: Law, jurisdiction: str, as_of: date, known_at: date | None = None
) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Of all programs, and the facts that only presumptions add. `known` holds all that certainly follows."""
    rules = engine(law)
    plan = rules.plan(jurisdiction)
    on = Evaluation(known, as_of, plan.of_programs(known, as_of))
    presumed = dict(known)
    rules.derive(presumed, as_of)
    added = tuple(sorted(presumed.keys() - known.keys()))
    others = plan.of_programs(presumed, as_of) if added and known_at is None else None
    partly = {fact: value for fact, value in known.items() if isinstance(value, (Interval, Among))}
    by_id = readers(law)
    found = []
    for program in plan.programs:
        reader = by_id[program.spec.id]
        other = None if others is None else ANSWERS[reader.verdict(others, as_of)]
        found.append(reader.record(on, partly, known_at, other))
    return tuple(found), added


def verdicts(facts: FactMap, plan: Plan, as_of: date) -> dict[str, Answer]:
    """The bare outcomes, by program, for facts with all that follows from them: no reasons, nothing to ask."""
    truths = plan.of_programs(facts, as_of)
    return {program.spec.id: ANSWERS[verdict(program, truths, as_of)] for program in plan.programs}


def _open_sets(answers: tuple[ProgramAnswer, ...]) -> list[Any]:
    return [answer.gaps.to_settle for answer in answers if answer.gaps is not NOTHING_MISSING]


def _shared(
    found: tuple[Record, ...], law: Law, known: FactMap, presuming: tuple[str, ...]
) -> tuple[ProgramAnswer, ...]:
    """Each answer in words; what several persons are told word for word, they share, which is four answers of five.

    No answer that tells an amount or a day is kept.
    """
    by_id = readers(law)
    anybodys = {fact: value for fact, value in known.items() if value.__class__ in _ANYBODYS}
    own = known.keys() - anybodys.keys()
    answers = []
    for record in found:
        reader = by_id[record.program_id]
        if not record.cites.isdisjoint(own):
            answers.append(_told(record, reader, law, known, presuming, None))
            continue
        key = id(record), *map(anybodys.get, record.cites), presuming if record.presumed else None
        kept = reader.told.get(key)
        if kept is None:
            make_room(reader.told)
            # With the record, whose id would otherwise be given to another one once it is gone.
            kept = reader.told[key] = record, _told(record, reader, law, known, presuming, None)
        answers.append(kept[1])
    return tuple(answers)


def _told(
    record: Record,
    reader: Reader,
    law: Law,
    known: Mapping[str, Any],
    presuming: tuple[str, ...],
    known_at: date | None,
    sources: Mapping[str, Provenance] | None = None,
) -> ProgramAnswer:
    """One answer in the words of the law. `known` may hold values as they are, or in plain JSON."""
    program, spec = reader.program, reader.program.spec
    single = None if record.version is None else program.versions[record.version]
    useful = record.outcome != "not_eligible"
    return ProgramAnswer(
        program_id=spec.id,
        outcome=record.outcome,
        supply=record.supply,
        version_from=single.spec.effective.from_ if single else None,
        reasons=_reasons(record, reader, known, sources),
        missing=record.missing,
        citations=single.spec.cite if single else _citations(record, program, law, known_at),
        services=spec.services,
        documents=spec.documents if useful else (),
        next_step_agency=spec.next_step.agency if useful else None,
        next_step_dss=spec.next_step.dss if useful else None,
        confidence=spec.confidence,
        note=_NOTES[record.note] if record.note else None,
        gaps=record.gaps,
        would_change=record.would_change,
        presumed=Presumed(presuming, record.presumed) if record.presumed else None,
        disputed=_disputed(record, program),
        contradicted=record.contradicted,
    )


def _reasons(
    record: Record, reader: Reader, known: Mapping[str, Any], sources: Mapping[str, Provenance] | None
) -> tuple[Reason, ...]:
    if record.note is not None:
        key = reader.program.spec.version_key
        chosen_on = None if key is None or record.note == "not_known" else known.get(key)
        return () if chosen_on is None else (Reason(key or "", "version_in_force", True, str(chosen_on), False),)
    found = []
    held: list[tuple[int, bool | None]] = [(position, True) for position in record.yes]
    held += [(position, False) for position in record.no]
    held += [(position, None) for position in record.open]
    for position, holds in sorted(held):
        leaf = reader.leaves[position]
        shown = leaf.shown_value(known)
        if sources is None and (shown is None or shown is True or shown is False):
            kept = reader.reasons.get((position, holds, shown))
            if kept is None:
                kept = Reason(leaf.fact, leaf.operator, leaf.shown, shown, holds)
                reader.reasons[position, holds, shown] = kept
            found.append(kept)
            continue
        source = None if shown is None or sources is None else sources.get(leaf.fact, DERIVED)
        found.append(Reason(leaf.fact, leaf.operator, leaf.shown, shown, holds, source))
    return tuple(found)


def _citations(record: Record, program: CompiledProgram, law: Law, known_at: date | None) -> tuple[str, ...]:
    if record.note is not None:
        return program.versions[-1].spec.cite
    versions = program.known(known_at, law.release.in_force_from)
    return tuple(dict.fromkeys(line for version in versions for line in version.spec.cite))


def _disputed(record: Record, program: CompiledProgram) -> Disputed | None:
    if record.readings is None or record.version is None:
        return None
    dispute = program.versions[record.version].spec.dispute
    assert dispute is not None, "only a dispute has two readings"
    return Disputed(dispute.issue, dispute.case, *record.readings)
