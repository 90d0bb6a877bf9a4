"""Duties of who contradicts himself: none is "not due" only because the wrong one of two facts is believed."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.facts import SubjectFacts
from rulebook import doubts
from rulebook.contradictions import contradicted
from rulebook.duties import FACTS_CONTRADICT, Decision, DutyFacts, decide
from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.loader import LAW, load_law
from rulebook.person import contradictions, known_facts, told_facts
from rulebook.review import review_gaps
from rulebook.trees import Evaluation
from rulebook.values import FactMap
from tests.support.properties import tried
from tests.unit.law.people import person
from tests.unit.rulebook.conditions import DAY
from tests.unit.rulebook.people import GRID, REPORTED

_LAW = load_law(LAW)
NOON = datetime.fromisoformat("2026-11-22T12:00:00-06:00")

DUTIES = engine(_LAW).plan("MO").duties
ASKED = {fact for derivation in _LAW.derivations for fact, _ in derivation.then}
ASKED |= {leaf.fact for derivation in _LAW.derivations for leaf in derivation.when.leaves()}
ASKED |= {leaf.fact for d in DUTIES for v in d.versions for rule in v.rules for leaf in rule.when.leaves()}
TELLABLE = sorted(
    fact
    for fact in ASKED.intersection(REPORTED).difference({"appears_victim"})
    if not _LAW.facts[fact].computed and not (_LAW.facts[fact].from_ or "").startswith(("age.", "encounter."))
)
TELLING: st.SearchStrategy[FactMap] = st.fixed_dictionaries(
    {"appears_victim": st.booleans()},
    # That somebody is no victim is told by `appears_victim` alone.
    optional={f: st.sampled_from([v for v in GRID[f] if (f, v) != ("victim_status", "none")]) for f in TELLABLE},
)
AGES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"birth_date": "2010-05-05"}, {"birth_date": "1990-01-01"}, {"stated_years": 16}, {"apparent_minor": True}]
)
"""Told once: a proof takes the place of a claim, and is not told besides it."""


def case(told: FactMap, age: dict[str, Any]) -> DutyFacts:
    subject = person({"county": "29095"} | age | dict(told), _LAW)
    return DutyFacts(subject=subject, encounter_at=NOON, discovered_at=NOON, as_of=NOON, jurisdiction="MO")


def ruled(facts: DutyFacts) -> dict[str, tuple[str, bool, Decision]]:
    """The outcome of every duty; whether it is settled, as no rule before it with another outcome is open."""
    known = known_facts(facts.subject, _LAW, encounter_on=DAY, as_of=DAY) | {"review_expired": False}
    on = Evaluation(known, DAY)
    found = {}
    versions = {duty.spec.id: duty.version_on(DAY) for duty in engine(_LAW).plan("MO").duties}
    for decision in decide(facts, _LAW, all_duties=True):
        version = versions[decision.duty_id]
        if version is not None:
            place = next(n for n, rule in enumerate(version.rules) if rule.when.truth(on) is Truth.TRUE)
            outcome = version.rules[place].spec.outcome
            before = version.rules[:place]
            others = [rule for rule in before if rule.when.truth(on) is Truth.UNKNOWN and rule.spec.outcome != outcome]
            found[decision.duty_id] = (outcome, not others, decision)
    return found


@given(TELLING, TELLING, AGES)
@example({"appears_victim": False}, {"victim_status": "confirmed"}, {})
@example({"appears_victim": True, "trafficking_type": "labor", "severe_form_excluded": True}, {"severe_form": True}, {})
@tried(60)
def test_a_settled_duty_stays_so_or_says_on_which_contradiction_it_rests(
    known: FactMap, more: FactMap, age: dict[str, Any]
) -> None:
    facts = case({**more, **known}, age)
    of_person = contradicted(known_facts(facts.subject, _LAW, encounter_on=DAY, as_of=DAY), engine(_LAW).contradictable)
    last = ruled(facts)
    gaps = {one.duty_id: one for one in review_gaps(facts, _LAW)}
    for duty, (outcome, settled, _) in ruled(case(known, age)).items():
        later, _, decision = last[duty]
        assert set(decision.contradicted) <= set(of_person)
        assert not settled or later == outcome or decision.contradicted, duty
        if duty in gaps:
            assert set(gaps[duty].contradictions) == set(decision.contradicted), duty
            assert {fact for one in gaps[duty].missing.to_settle for fact in one}.isdisjoint(of_person)


def decisions(facts: DutyFacts) -> dict[str, Decision]:
    return {one.duty_id: one for one in decide(facts, _LAW, all_duties=True)}


def excluded(facts: DutyFacts) -> dict[str, tuple[str, ...]]:
    """The contradictions of a person."""
    told = told_facts(facts.subject, _LAW, encounter_on=DAY, as_of=DAY)
    return dict(contradictions(told, known_facts(facts.subject, _LAW, encounter_on=DAY, as_of=DAY), _LAW, DAY))


def corrected(told: FactMap, age: dict[str, Any]) -> Iterator[DutyFacts]:
    """The person with one of the facts that exclude each other told otherwise."""
    between = {fact for one in excluded(case(told, age)).values() for fact in one}
    for wrong in sorted(between.intersection(told)):
        for value in _LAW.facts[wrong].values or (False, True):
            if value != told[wrong] and (wrong, value) != ("victim_status", "none"):
                yield case({**told, wrong: value}, age)


@given(TELLING, AGES)
@example({"appears_victim": False, "victim_status": "confirmed"}, {})
@example({"appears_victim": True, "citizenship_status": "us_citizen", "child_eligibility_letter": True}, {})
@tried(80)
def test_nothing_is_not_due_that_another_reading_makes_due(told: FactMap, age: dict[str, Any]) -> None:
    found = decisions(case(told, age))
    for other in corrected(told, age):
        for duty, decision in ({} if excluded(other) else decisions(other)).items():
            assert decision.outcome == "not_due" or found[duty].outcome != "not_due", duty


@given(TELLING, AGES)
@example({"appears_victim": False, "victim_status": "confirmed"}, {"birth_date": "1990-01-01"})
@tried(80)
def test_a_contradiction_that_changes_nothing_makes_no_review(told: FactMap, age: dict[str, Any]) -> None:
    facts = case(told, age)
    of_person = excluded(facts)
    between = {fact for facts in of_person.values() for fact in facts}
    others = list(corrected(told, age))
    if len(of_person) != 1 or not between.issubset(told) or any(map(excluded, others)):
        return
    readings = [decisions(other) for other in others]
    for duty, decision in decisions(facts).items():
        if FACTS_CONTRADICT in decision.basis:
            assert {reading[duty].outcome for reading in readings} != {"not_due"}, duty
            assert decision.contradicted == tuple(of_person)


def test_somebody_who_does_not_appear_a_victim_and_is_confirmed_as_one_is_looked_at_by_a_person() -> None:
    known = {"victim_status": "confirmed", "citizenship_status": "us_citizen"}
    found = decisions(case({"appears_victim": False} | known, {"birth_date": "1990-01-01"}))
    told = found["MO.566_223.DSS"]
    assert (told.outcome, told.basis) == ("review", ("does_not_appear_a_victim", FACTS_CONTRADICT))
    assert (told.review_after, told.recipient_id, told.contradicted) == (None, "mo-dss", ("victim_status",))
    assert told.target_at is not None
    # For an adult the juvenile officer is not told, whichever of the two is wrong.
    assert (found["MO.566_223.JJ"].outcome, found["MO.566_223.JJ"].contradicted) == ("not_due", ())
    assert decisions(case({"appears_victim": False}, {}))["MO.566_223.DSS"].outcome == "not_due"


def test_who_contradicts_himself_in_too_many_ways_is_in_doubt_altogether(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "_MOST_READINGS", 0)
    found = decisions(case({"appears_victim": False, "victim_status": "confirmed"}, {"birth_date": "1990-01-01"}))
    assert {one.outcome for one in found.values()} == {"review"}


def test_a_duty_says_on_which_contradiction_it_rests_and_a_review_what_to_correct() -> None:
    age = {"birth_date": "2005-06-01", "verified_by": "document"}
    custody = {"conduct_alleged_on": "2022-05-01", "conduct_alleged_under_18": False}
    facts = SubjectFacts.model_validate({"age": age, "circumstances": {"appears_victim": True, "custody": custody}})
    asked = DutyFacts(subject=facts, encounter_at=NOON, discovered_at=NOON, as_of=NOON, jurisdiction="MO")
    found = decisions(asked)
    fact = "age_at_alleged_offence_under_18"
    for duty in ("MO.566_223.JJ", "MO.567_020_5.CD"):
        assert (found[duty].outcome, found[duty].contradicted) == ("review", (fact,))
    assert found["MO.566_223.DSS"].contradicted == ()
    both = review_gaps(asked, _LAW, only={"MO.566_223.JJ", "MO.567_020_5.CD"})
    assert [one.contradictions for one in both] == [{fact: ("age_at_alleged_conduct", fact)}] * 2
    (gaps,) = (one for one in both if one.duty_id == "MO.566_223.JJ")
    assert gaps.missing.to_settle == ()
    assert gaps.to_json()["contradictions"] == [{"fact": fact, "between": ["age_at_alleged_conduct", fact]}]
