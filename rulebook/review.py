"""Which fact would settle a duty that is for review: what whoever owns the review should find out first."""

from dataclasses import dataclass
from typing import Any

from rulebook.compiled import CompiledDutyVersion
from rulebook.duties import DutyFacts
from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.knowledge import Standing, standing
from rulebook.loader import Law
from rulebook.missing import NOTHING_MISSING, Missing
from rulebook.person import known_facts, not_answered
from rulebook.trees import Evaluation

COUNTY = "county"
"""Of the encounter: no fact of the catalog, and asked for where a recipient goes by county."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewGaps:
    """What is missing for one duty. `missing.to_qualify` makes it due; the rest of `to_settle`, due or not due."""

    duty_id: str
    missing: Missing
    standings: dict[str, Standing]
    """Of each fact in a set, what can be said of it: a refused one is not asked for again."""
    county: bool
    """Whether the county of the encounter is missing, too."""

    def to_json(self) -> dict[str, Any]:
        return {"duty": self.duty_id, **self.missing.to_json(), "standings": self.standings, COUNTY: self.county}


def review_gaps(facts: DutyFacts, law: Law) -> tuple[ReviewGaps, ...]:
    """For each duty that the facts leave to a review, in the order of `rulebook.duties.decide`. Pure.

    Raises LawError for a jurisdiction that the law does not hold.
    """
    plan = engine(law).plan(facts.jurisdiction)
    day = law.local_date(facts.jurisdiction, facts.encounter_at)
    known = known_facts(facts.subject, law, encounter_on=day, as_of=day, review_expired=facts.review_expired)
    on = Evaluation(known, day, plan.of_duties(known, day))
    unanswered = not_answered(facts.subject)
    county = facts.subject.encounter.location.county_fips if facts.subject.encounter else None
    found = []
    for duty in plan.duties:
        version = duty.version_on(day)
        if version is None:
            continue
        outcome, missing = settling(version, on)
        role, where = duty.spec.recipient_role, duty.spec.jurisdiction
        lost = (
            outcome != "not_due"
            and law.directory.by_county(role, where)
            and law.directory.resolve(role, where, county, day) is None
        )
        if outcome == "review" or lost:
            asked = sorted({fact for one in missing.to_settle for fact in one})
            standings = {fact: standing(fact, known, unanswered) for fact in asked}
            found.append(ReviewGaps(duty_id=duty.spec.id, missing=missing, standings=standings, county=lost))
    return tuple(found)


def settling(version: CompiledDutyVersion, on: Evaluation) -> tuple[str, Missing]:
    """The outcome by the rules alone; and for a review the sets of facts with which an earlier rule would decide.

    `on.truths` holds the truths of the duty's comparisons.
    """
    position = next(n for n, rule in enumerate(version.rules) if rule.when.truth(on) is Truth.TRUE)
    gaps = version.gaps[position]
    outcome = version.rules[position].spec.outcome
    return outcome, NOTHING_MISSING if gaps is None else gaps.explain(on).missing
