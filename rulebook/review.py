"""Which fact would settle a duty that is for review: what whoever owns the review should find out first."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rulebook.compiled import CompiledDutyVersion
from rulebook.contradictions import Contradictions, listed, open_by
from rulebook.doubts import doubts
from rulebook.duties import DutyFacts
from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.knowledge import Standing, standing
from rulebook.loader import Law
from rulebook.missing import MOST, NOTHING_MISSING, Missing, Sets
from rulebook.person import all_facts, contradictions, not_answered, told_facts
from rulebook.question import Question, next_question
from rulebook.schema import FactSpec
from rulebook.trees import Evaluation

AGE_VERIFIED = "age_verified"
"""Always known, as yes or as not yet: a proof of the age that nobody has brought can still be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewGaps:
    """What is missing for one duty. `missing.to_qualify` makes it due; the rest of `to_settle`, due or not due."""

    duty_id: str
    missing: Missing
    standings: dict[str, Standing]
    """Of each fact in a set, what can be said of it: a refused one is not asked for again."""
    county_missing: bool
    """Whether the county of the encounter is missing, too: no fact of the catalogue, and it says whom to tell."""
    law_version: str
    policy_version: str
    question: Question | None = None
    """The one to ask next for this duty, and how many of the person's reviews it could settle alone."""
    contradictions: Contradictions = field(default_factory=dict)
    """The contradicted facts that leave it open, with those of which one has to be corrected: nothing that is added
    settles these."""

    def to_json(self) -> dict[str, Any]:
        return {
            "duty": self.duty_id,
            **self.missing.to_json(),
            "standings": self.standings,
            "next_question": self.question.to_json() if self.question else None,
            "county_missing": self.county_missing,
            "contradictions": listed(self.contradictions),
            "law_version": self.law_version,
            "policy_version": self.policy_version,
        }


def review_gaps(facts: DutyFacts, law: Law, *, only: Collection[str] | None = None) -> tuple[ReviewGaps, ...]:
    """For each duty that the facts leave to a review, in the order of `rulebook.duties.decide`. Pure.

    `only`: ids of the duties that are asked about; all of them unless said. Where nobody holds the recipient's role and
    no county would help, nothing is missing. Raises LawError for a jurisdiction that the law does not hold.
    """
    plan = engine(law).plan(facts.jurisdiction)
    day = law.local_date(facts.jurisdiction, facts.encounter_at)
    told = told_facts(facts.subject, law, encounter_on=day, as_of=day, review_expired=facts.review_expired)
    known = all_facts(told, law, day)
    on = Evaluation(known, day, plan.of_duties(known, day))
    proven = _proven(on)
    contradictory = contradictions(told, known, law, day)
    doubted = doubts(told, contradictory, law, facts.jurisdiction, day)
    unanswered = not_answered(facts.subject)
    county = facts.subject.encounter.location.county_fips if facts.subject.encounter else None
    found = []
    for duty in plan.duties:
        version = duty.version_on(day) if only is None or duty.spec.id in only else None
        if version is None:
            continue
        outcome, missing = settling(version, on, proven)
        resting = contradicted_by(version, on, contradictory)
        if outcome == "not_due" and duty.spec.id in doubted:
            outcome = "review"
            resting.update(doubted[duty.spec.id])
        role, where = duty.spec.recipient_role, duty.spec.jurisdiction
        lost = outcome != "not_due" and law.directory.resolve(role, where, county, day) is None
        if outcome == "review" or lost:
            asked = sorted({fact for one in missing.to_settle for fact in one})
            found.append(
                ReviewGaps(
                    duty_id=duty.spec.id,
                    missing=missing,
                    standings={fact: standing(fact, known, unanswered) for fact in asked},
                    county_missing=lost and law.directory.by_county(role, where),
                    law_version=law.version,
                    policy_version=law.policy_version,
                    contradictions={fact: contradictory[fact] for fact in sorted(resting)},
                )
            )
    return _with_questions(found, law.facts, unanswered)


def contradicted_by(version: CompiledDutyVersion, on: Evaluation, facts: Collection[str]) -> set[str]:
    """Which of the contradicted facts leave open a rule before the one that decided, or one of its flags."""
    return open_by(version.otherwise(_position(version, on)), on, facts) if facts else set()


def _position(version: CompiledDutyVersion, on: Evaluation) -> int:
    """Of the rule that decides."""
    return next(n for n, rule in enumerate(version.rules) if rule.when.truth(on) is Truth.TRUE)


def settling(version: CompiledDutyVersion, on: Evaluation, proven: Evaluation | None = None) -> tuple[str, Missing]:
    """The outcome by the rules alone; and for a review the sets of facts with which an earlier rule would decide.

    `on.truths` holds the truths of the duty's comparisons. `proven`: what `on` is once the age is proven, kept by who
    asks about several duties.
    """
    position = _position(version, on)
    gaps = version.gaps[position]
    outcome = version.rules[position].spec.outcome
    if gaps is None:
        return outcome, NOTHING_MISSING
    missing = gaps.explain(on).missing
    proven = proven or _proven(on)
    if proven is not None:
        missing = _either(missing, gaps.explain(proven).missing)
    return outcome, missing


def _proven(on: Evaluation) -> Evaluation | None:
    """The same person, of whom it is open whether the age will be proven; None if it is, already."""
    if on.facts.get(AGE_VERIFIED) is not False:
        return None
    return Evaluation({fact: value for fact, value in on.facts.items() if fact != AGE_VERIFIED}, on.as_of)


def _either(one: Missing, other: Missing) -> Missing:
    """What would settle it in one of two ways to look at the person."""
    if one == other:
        return one
    return Missing(
        to_settle=_smallest(one.to_settle + other.to_settle),
        to_qualify=_smallest(one.to_qualify + other.to_qualify),
        needed=tuple(sorted(set(one.needed) & set(other.needed))),
    )


def _smallest(sets: Sets) -> Sets:
    ordered = sorted(set(sets), key=lambda one: (len(one), one))
    minimal = [one for one in ordered if not any(set(other) < set(one) for other in ordered)]
    return tuple(minimal[:MOST])


def _with_questions(
    found: list[ReviewGaps], catalogue: Mapping[str, FactSpec], unanswered: Mapping[str, str]
) -> tuple[ReviewGaps, ...]:
    """Each with the question, of those that would settle it, that settles most of the person's reviews.

    A set in which something was refused is no reason to ask for the rest of it. Immigration status is asked about when
    no review of the person has another question left.
    """
    askable = [
        tuple(one for one in gaps.missing.to_settle if not any(unanswered.get(fact) == "refused" for fact in one))
        for gaps in found
    ]
    questions: dict[Sets, Question | None] = {}
    for own in askable:
        if own not in questions:
            facts = {fact for one in own for fact in one}
            within = (tuple(one for one in sets if facts.issuperset(one)) for sets in askable)
            questions[own] = next_question(within, catalogue, unanswered)
    asked = [one for one in questions.values() if one is not None]
    first = [one for one in asked if catalogue[one.fact].group != "status"] or asked
    return tuple(
        replace(gaps, question=questions[own] if questions[own] in first else None)
        for gaps, own in zip(found, askable, strict=True)
    )
