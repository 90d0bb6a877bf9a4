"""Records of decisions: one for every duty whatever is known, the same when stored, new only when changed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import SubjectFacts
from rulebook.duties import COUNTY_UNRESOLVED, RECIPIENT_UNRESOLVED, Decision, DutyFacts, decide, reported_duties
from rulebook.generated import engine
from rulebook.lateness import lateness
from rulebook.loader import Law, load_law
from services.router.domain.records import Record, decode, encode, next_record, next_review, retracted, standing

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LAW: Law = load_law()
DUTIES = {duty.spec.id: duty for duty in engine(LAW).plan("MO").duties}

_OPEN = ("protective_custody_taken", "custody_under_prostitution_law", "missing_from_care", "danger_of_serious_harm")
AGES = st.sampled_from(
    [{}, {"years": 15, "verified_by": "document"}, {"years": 34, "verified_by": "document"}, {"stated_years": 19}]
)
FACTS = st.builds(
    lambda age, victim, county, known: SubjectFacts.model_validate(
        {
            "age": age,
            "encounter": {"incident_number": "T-1", "location": {"county_fips": "29095"} if county else {}},
            "circumstances": {"appears_victim": victim, "facts": known},
        }
    ),
    AGES,
    st.booleans(),
    st.booleans(),
    st.dictionaries(st.sampled_from(_OPEN), st.sampled_from([True, False, "unknown"])),
)


def decided(facts: SubjectFacts) -> dict[str, Decision]:
    decisions = decide(
        DutyFacts(subject=facts, encounter_at=NOW, discovered_at=NOW, as_of=NOW, jurisdiction="MO"),
        LAW,
        all_duties=True,
    )
    assert len(decisions) == len({one.duty_id for one in decisions}), "one decision for each duty"
    return {one.duty_id: one for one in decisions}


def recorded(decisions: dict[str, Decision], before: dict[str, Record], now: datetime = NOW) -> dict[str, Record]:
    found = {name: next_record(one, before.get(name), review_expired=False, now=now) for name, one in decisions.items()}
    return {name: record for name, record in found.items() if record is not None}


def stored(records: dict[str, Record]) -> Any:
    """As it comes out of a seal."""
    return orjson.loads(orjson.dumps(encode(records)))


@given(FACTS)
def test_every_duty_has_exactly_one_decision_because_of_something_for_any_facts(facts: SubjectFacts) -> None:
    decisions = decided(facts)
    assert set(decisions) == set(DUTIES)
    for name, one in decisions.items():
        own = {(rule.spec.outcome, rule.spec.basis) for version in DUTIES[name].versions for rule in version.rules}
        unresolved = one.basis[-1] in (COUNTY_UNRESOLVED, RECIPIENT_UNRESOLVED)
        assert unresolved or (one.outcome, one.basis) in own, "a duty is decided by rules of its own"
    assert all(one.basis and one.owner and one.citations for one in decisions.values())
    assert {one.duty_id for one in decisions.values() if one.noticed} == set(reported_duties(LAW, "MO"))


@given(FACTS, FACTS)
def test_a_record_comes_back_as_it_was_and_only_a_changed_decision_makes_a_new_one(
    first: SubjectFacts, second: SubjectFacts
) -> None:
    before = recorded(decided(first), {})
    assert set(before) == set(DUTIES)
    assert decode(stored(before)) == before
    assert recorded(decided(first), before) == {}
    news = recorded(decided(second), before)
    for name, record in news.items():
        assert record["revision"] == before[name]["revision"] + 1
    after = standing([stored(before), stored(news)])
    assert recorded(decided(second), after) == {}
    assert {name: one["outcome"] for name, one in after.items()} == {
        name: one.outcome for name, one in decided(second).items()
    }


@given(FACTS)
def test_a_retraction_leaves_nothing_due_and_is_told_once(facts: SubjectFacts) -> None:
    before = recorded(decided(facts), {})
    after = {name: record for name, one in before.items() if (record := retracted(one)) is not None}
    assert set(after) == set(DUTIES)
    assert {one["outcome"] for one in after.values()} == {"not_due"}
    assert next_review(after) is None
    assert all(retracted(one) is None for one in after.values())


def test_an_amendment_does_not_buy_time_for_the_review_of_a_task() -> None:
    unknown = SubjectFacts.model_validate({"age": {}, "circumstances": {"appears_victim": True}})
    before = recorded(decided(unknown), {})
    ends = NOW + LAW.duration("juvenile_review_after")
    assert next_review(before) == ends
    later = NOW + timedelta(minutes=40)
    assert recorded(decided(unknown), before, later) == {}
    changed = SubjectFacts.model_validate({"age": {"stated_years": 20}, "circumstances": {"appears_victim": True}})
    again = before | recorded(decided(changed), before, later)
    assert next_review(again) == ends


def test_reasons_that_duties_share_are_written_once() -> None:
    written = encode({name: {"reasons": ["a", "b"]} for name in ("x", "y")})
    assert written == {"duties": {"x": {"reasons": [0, 1]}, "y": {"reasons": [0, 1]}}, "reasons": ["a", "b"]}


@pytest.mark.parametrize(
    ("done", "by", "against"),
    [(9, None, None), (10, None, None), (11, 1, "policy"), (30, 20, "policy"), (31, 1, "law"), (None, 70, "law")],
)
def test_lateness_is_against_the_law_before_it_is_against_policy(
    done: int | None, by: int | None, against: str | None
) -> None:
    def minute(number: int) -> datetime:
        return NOW + timedelta(minutes=number)

    late = lateness(minute(30), minute(10), minute(done) if done is not None else None, minute(100))
    assert (late and (late.by, late.against)) == (by and (timedelta(minutes=by), against))
    assert lateness(None, None, None, NOW) is None
