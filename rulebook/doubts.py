"""Duties that are not due only because one of several facts that exclude each other is taken at its word.

A form that contradicts itself must cancel nothing: a duty that is not due as the facts stand, and would be due or for
review if another one of the excluding facts were the wrong one, goes to a review, which only a correction ends.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING

from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.person import all_facts, contradictions
from rulebook.values import Exact, FactMap, corrections

if TYPE_CHECKING:
    from rulebook.loader import Law

Doubts = Mapping[str, tuple[str, ...]]
"""By duty: the contradicted facts whose correction might make it due, or a matter for review."""

_Reading = frozenset[tuple[str, Exact | None]]
"""Facts with what they may be instead of what was told; None for not known."""
_MOST_READINGS = 100
"""Of one person. Where facts exclude each other in more ways than that, every duty is in doubt."""


def doubts(told: FactMap, law: "Law", jurisdiction: str, encounter_on: date) -> Doubts:
    """The duties that some reading of contradictory facts takes out of "not due". Pure; empty without contradictions.

    A reading corrects one of the facts that exclude each other, and so on, until nothing is contradicted. `told` is
    what `rulebook.person.told_facts` gives. Raises LawError for a jurisdiction that the law does not hold.
    """
    known = all_facts(told, law, encounter_on)
    of_person = contradictions(told, known, law, encounter_on)
    found: dict[str, set[str]] = {}
    resolved: dict[_Reading, frozenset[str]] = {frozenset(): frozenset()}
    """The contradictions that each reading is about."""
    readings = list(resolved)
    for reading in readings:  # grows while it is read
        facts = _read(told, reading)
        known = all_facts(facts, law, encounter_on)
        exclude = contradictions(facts, known, law, encounter_on)
        further = {one: fact for fact in of_person for one in _further(reading, exclude.get(fact, ()), told, law)}
        for one, fact in further.items():
            if one not in resolved:
                resolved[one] = resolved[reading] | {fact}
                readings.append(one)
        for duty_id in () if further else _owed_or_reviewed(known, law, jurisdiction, encounter_on):
            found.setdefault(duty_id, set()).update(resolved[reading])
        if len(readings) > _MOST_READINGS:
            return {duty.spec.id: tuple(sorted(of_person)) for duty in engine(law).plan(jurisdiction).duties}
    return {duty_id: tuple(sorted(facts)) for duty_id, facts in found.items()}


def _read(told: FactMap, reading: _Reading) -> FactMap:
    facts = dict(told) | dict(reading)
    return {fact: value for fact, value in facts.items() if value is not None}


def _further(reading: _Reading, between: Iterable[str], told: FactMap, law: "Law") -> Iterator[_Reading]:
    """The readings that correct one fact more."""
    corrected = {fact for fact, _ in reading}
    for wrong in between:
        if wrong not in corrected:
            yield from (reading | {(wrong, value)} for value in corrections(told[wrong], law.facts[wrong]))


def _owed_or_reviewed(known: FactMap, law: "Law", jurisdiction: str, encounter_on: date) -> Iterator[str]:
    plan = engine(law).plan(jurisdiction)
    truths = plan.of_duties(known, encounter_on)
    for duty in plan.duties:
        version = duty.version_on(encounter_on)
        if version is not None:
            rule = next(rule for rule in version.rules if truths[rule.when.index] is Truth.TRUE)
            if rule.spec.outcome != "not_due":
                yield duty.spec.id
