"""Duties that are not due only because one of several facts that exclude each other is taken at its word.

A form that contradicts itself must cancel nothing: a duty that is not due as the facts stand, and would be due or for
review if another one of the excluding facts were the wrong one, goes to a review, which only a correction ends.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING

from rulebook.contradictions import Contradictions
from rulebook.generated import Plan, engine
from rulebook.kleene import Truth
from rulebook.person import all_facts, contradictions
from rulebook.values import Exact, FactMap, members

if TYPE_CHECKING:
    from rulebook.loader import Law

Doubts = Mapping[str, tuple[str, ...]]
"""By duty: the contradicted facts whose correction might make it due, or a matter for review."""

_Reading = frozenset[tuple[str, Exact | None]]
"""Facts with what they may be instead of what was told; None for not known."""
_MOST_READINGS = 100
"""Of one person. Where facts exclude each other in more ways than that, every duty is in doubt."""


def doubts(told: FactMap, of_person: Contradictions, law: "Law", jurisdiction: str, encounter_on: date) -> Doubts:
    """The duties that some reading of contradictory facts takes out of "not due". Pure; empty without contradictions.

    A reading corrects one of the facts that exclude each other and that duties hang on, and so on, until nothing of
    them is contradicted. `told` is what `rulebook.person.told_facts` gives, `of_person` what `contradictions` finds in
    it. Raises LawError for a jurisdiction that the law does not hold.
    """
    plan = engine(law).plan(jurisdiction)
    found: dict[str, set[str]] = {}
    readings = list(_further(frozenset(), of_person.values(), told, plan))
    for reading in readings:  # grows while it is read
        facts = _as_read(told, reading)
        known = all_facts(facts, law, encounter_on)
        exclude = contradictions(facts, known, law, encounter_on)
        further = _further(reading, [exclude.get(fact, ()) for fact in of_person], told, plan)
        readings += [one for one in further if one not in readings]
        if len(readings) > _MOST_READINGS:
            return {duty.spec.id: tuple(sorted(of_person)) for duty in plan.duties}
        if not further:
            corrected = {fact for fact, _ in reading}
            about = {fact for fact, between in of_person.items() if not corrected.isdisjoint(between)}
            for duty_id in _owed_or_reviewed(known, plan, encounter_on):
                found.setdefault(duty_id, set()).update(about)
    return {duty_id: tuple(sorted(facts)) for duty_id, facts in found.items()}


def _further(reading: _Reading, exclude: Iterable[Iterable[str]], told: FactMap, plan: Plan) -> dict[_Reading, None]:
    """The readings that correct one fact more, one of each kind that the duties tell apart; an ordered set."""
    corrected = {fact for fact, _ in reading}
    found: dict[_Reading, None] = {}
    for wrong in chain.from_iterable(exclude):
        kinds = plan.duty_facts.get(wrong)
        if kinds is not None and wrong not in corrected:
            others = {kind: member for member, kind in sorted(kinds.items()) if member not in members(told[wrong])}
            found |= dict.fromkeys(reading | {(wrong, value)} for value in (others.values() if kinds else (None,)))
    return found


def _as_read(told: FactMap, reading: _Reading) -> FactMap:
    facts = dict(told) | dict(reading)
    return {fact: value for fact, value in facts.items() if value is not None}


def _owed_or_reviewed(known: FactMap, plan: Plan, encounter_on: date) -> Iterator[str]:
    truths = plan.of_duties(known, encounter_on)
    for duty in plan.duties:
        version = duty.version_on(encounter_on)
        if version is not None:
            rule = next(rule for rule in version.rules if truths[rule.when.index] is Truth.TRUE)
            if rule.spec.outcome != "not_due":
                yield duty.spec.id
