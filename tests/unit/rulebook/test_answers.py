"""What an answer carries: what is missing, the next question, both readings, presumptions apart, time, provenance."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.facts import SubjectFacts
from rulebook.answers import Determination, ProgramAnswer, digest_of
from rulebook.cells import boundary_values
from rulebook.duties import DutyFacts, decide
from rulebook.generated import engine
from rulebook.knowledge import DERIVED, Provenance, standing
from rulebook.loader import LAW, Law, load_law
from rulebook.missing import MOST
from rulebook.programs import determine, evaluate, verdicts
from rulebook.question import next_question
from rulebook.reading import readers
from rulebook.values import Among, FactMap, Interval
from rulebook.ways import LARGEST
from tests.support.properties import tried
from tests.unit.rulebook.builders import release_copy
from tests.unit.rulebook.conditions import DAY, admits
from tests.unit.rulebook.people import DAYS, GRID, PEOPLE, REPORTS

_LAW = load_law(LAW)
NOON = datetime.fromisoformat("2026-11-22T12:00:00-06:00")


def outcomes(law: Law, facts: FactMap, on: date = DAY, **more: Any) -> dict[str, str]:
    return {a.program_id: a.outcome for a in evaluate(facts, law, jurisdiction="MO", as_of=on, **more)}


def told(law: Law, facts: dict[str, Any], **more: Any) -> Determination:
    subject = SubjectFacts.model_validate(facts)
    return determine(subject, law, jurisdiction="MO", encounter_at=NOON, as_of=NOON, **more)


def changed(tmp_path: Path, file: str, old: str, new: str) -> Law:
    release = release_copy(tmp_path)
    text = (release / file).read_text(encoding="utf-8")
    assert text.count(old) == 1, file
    (release / file).write_text(text.replace(old, new), encoding="utf-8")
    return load_law(release)


@given(PEOPLE, DAYS)
@tried(60)
def test_the_bare_verdicts_are_those_of_the_full_answers(person: FactMap, on: date) -> None:
    facts = dict(person)
    engine(_LAW).derive_certain(facts, on)
    answers = evaluate(facts, _LAW, jurisdiction="MO", as_of=on)
    applied = {a.program_id: a.disputed.as_applied if a.disputed else a.outcome for a in answers}
    assert verdicts(facts, engine(_LAW).plan("MO"), on) == applied


@given(DAYS)
@tried(30)
def test_of_an_empty_person_nothing_is_decided_that_needs_a_fact(on: date) -> None:
    for answer in evaluate({}, _LAW, jurisdiction="MO", as_of=on):
        assert answer.outcome == "potentially_eligible" or not answer.reasons, answer.program_id
        if answer.outcome == "potentially_eligible":
            assert answer.missing
            assert answer.gaps.to_settle or answer.gaps.needed, answer.program_id


def test_of_an_empty_person_no_duty_is_denied() -> None:
    facts = DutyFacts(subject=SubjectFacts(), encounter_at=NOON, discovered_at=NOON, as_of=NOON, jurisdiction="MO")
    assert {decision.outcome for decision in decide(facts, _LAW)} <= {"due", "review"}


@given(PEOPLE)
@tried(60)
def test_missing_sets_are_small_few_and_can_be_asked_for(person: FactMap) -> None:
    for answer in evaluate(person, _LAW, jurisdiction="MO", as_of=DAY):
        for sets in (answer.gaps.to_settle, answer.gaps.to_qualify):
            assert len(sets) <= MOST
            assert all(1 <= len(one) <= LARGEST for one in sets)
            assert not any(set(a) < set(b) for a in sets for b in sets)
            assert {fact for one in sets for fact in one} <= set(answer.missing)
        assert answer.gaps.to_settle == () or answer.outcome == "potentially_eligible"


@given(REPORTS)
@example({"victim_status": "suspected", "household_income_monthly_cents": 435_151})  # Lifeline: with six persons
@tried(25)
def test_a_set_that_could_settle_does_so_with_some_values(person: FactMap) -> None:
    on = dict(person)
    engine(_LAW).derive_certain(on, DAY)
    for answer in evaluate(on, _LAW, jurisdiction="MO", as_of=DAY):
        for (fact,) in (one for one in answer.gaps.to_settle if len(one) == 1):
            follows = [f for f, spec in _LAW.facts.items() if (spec.ask or f) == fact and f in GRID and admitted(on, f)]
            tried = ({**on, f: value} for f in follows for value in admitted(on, f))
            assert any(outcomes(_LAW, facts)[answer.program_id] != "potentially_eligible" for facts in tried), fact


MANY = range(1, 31)
"""Sizes of households, up to one whose limits no income of the grid is over."""


def admitted(known: FactMap, fact: str) -> list[Any]:
    values = [*GRID[fact], *(MANY if fact == "household_size" else ())]
    return [value for value in values if fact not in known or admits(known[fact], value)]


def test_a_no_says_what_would_change_it(law: Law) -> None:
    facts = {"state_of_residence": "MO", "countable_resources_cents": 900_000}
    facts |= {"household_income_monthly_cents": 665_000, "household_size": 1}
    facts |= {"household_with_elderly_or_disabled": False, "household_all_on_cash_aid": False}
    answers = {a.program_id: a for a in evaluate(facts, law, jurisdiction="MO", as_of=DAY)}
    snap = answers["snap"]
    assert snap.outcome == "not_eligible"
    assert ("countable_resources_cents", "household_income_monthly_cents", "household_size") in snap.would_change
    assert ("household_all_on_cash_aid",) in snap.would_change
    assert outcomes(law, {"state_of_residence": "MO"})["snap"] == "potentially_eligible"


def test_needed_facts_are_those_without_which_there_is_no_yes(law: Law) -> None:
    answers = {a.program_id: a for a in evaluate({}, law, jurisdiction="MO", as_of=DAY)}
    needed = set(answers["mohealthnet_adult_expansion"].gaps.needed)
    assert {"household_income_monthly_cents", "state_of_residence"} <= needed
    assert "household_income_monthly_cents" not in answers["snap"].gaps.needed
    assert "five_year_bar_exempt" not in answers["snap"].gaps.needed


# -- the next question --


def test_immigration_status_is_never_the_first_question(law: Law) -> None:
    question = told(law, {}).next_question
    assert question is not None
    assert law.facts[question.fact].group != "status"


@given(st.lists(st.sampled_from(sorted(GRID)), max_size=20))
@tried(60)
def test_what_was_refused_is_never_asked_again(refused: list[str]) -> None:
    sets = [a.gaps.to_settle for a in evaluate({}, _LAW, jurisdiction="MO", as_of=DAY)]
    question = next_question(sets, _LAW.facts, dict.fromkeys(refused, "refused"))
    assert question is None or question.fact not in refused


def test_status_is_asked_for_once_nothing_else_is_left(law: Law) -> None:
    sets = [(("citizenship_status",), ("pregnant",))]
    assert getattr(next_question(sets, law.facts, {}), "fact", None) == "pregnant"
    assert getattr(next_question(sets, law.facts, {"pregnant": "refused"}), "fact", None) == "citizenship_status"


def test_what_the_person_did_not_know_is_asked_after_what_was_never_asked(law: Law) -> None:
    sets = [(("pregnant",), ("personal_injury",))] * 3 + [(("limited_english",),)]
    assert getattr(next_question(sets, law.facts, {"limited_english": "unknown"}), "fact", None) == "personal_injury"


def test_a_question_that_costs_less_goes_first_where_both_settle_as_much(law: Law) -> None:
    sets = [(("pregnant",), ("limited_english",))]
    question = next_question(sets, law.facts, {})
    assert question is not None
    assert (question.fact, question.settles) == ("limited_english", 1)
    assert question.text == law.facts["limited_english"].question


# -- presumptions, disputes, the law as it was known --


def test_a_presumption_is_told_apart_from_what_is_known(law: Law) -> None:
    child = {"age": {"apparent_minor": True}, "circumstances": {"appears_victim": True}}
    answer = told(law, child).answer("child_advocacy_safe_care")
    assert answer.outcome == "potentially_eligible"
    assert answer.presumed is not None
    assert answer.presumed.outcome == "eligible"
    assert "is_minor" in answer.presumed.facts
    assert answer.to_json()["presumed"]["outcome"] == "eligible"
    assert told(law, {"circumstances": {"appears_victim": True}}).answer("child_advocacy_safe_care").presumed is None


A_BLOCK = "  citizen_or_lpr: {fact: citizenship_status, in: [us_citizen, us_national, lpr]}\n"


def disputed(tmp_path: Path) -> Law:
    release = release_copy(tmp_path)
    blocks = release / "blocks.yaml"
    text = blocks.read_text(encoding="utf-8").replace(A_BLOCK, A_BLOCK + "  heated: {use: mo_resident}\n")
    blocks.write_text(text, encoding="utf-8")
    food = next(f for f in (release / "programs").iterdir() if "id: liheap\n" in f.read_text(encoding="utf-8"))
    start = "      - effective: {from: 2021-04-23}\n"
    case = "        dispute: {issue: Who may be heated, case: State v. Winter (2026), other_reading: heated}\n"
    text = food.read_text(encoding="utf-8")
    assert text.count(start) == 1
    food.write_text(text.replace(start, start + case), encoding="utf-8")
    return load_law(release)


def test_a_disputed_rule_answers_by_both_readings_where_they_differ(tmp_path: Path) -> None:
    law = disputed(tmp_path)
    answers = {
        a.program_id: a
        for a in evaluate(
            {"state_of_residence": "MO", "pays_home_heating_cost": False}, law, jurisdiction="MO", as_of=DAY
        )
    }
    answer = answers["liheap"]
    assert answer.outcome == "disputed"
    assert answer.disputed is not None
    assert (answer.disputed.as_applied, answer.disputed.other_reading) == ("not_eligible", "eligible")
    assert answer.to_json()["disputed"]["case"] == "State v. Winter (2026)"
    assert {reason.fact for reason in answer.reasons} == {"pays_home_heating_cost", "state_of_residence"}
    agreed = evaluate({"state_of_residence": "other"}, law, jurisdiction="MO", as_of=DAY)
    assert next(a for a in agreed if a.program_id == "liheap").outcome == "not_eligible"


def test_a_version_applies_to_what_was_known_only_from_the_day_it_became_known(tmp_path: Path) -> None:
    law = changed(
        tmp_path,
        "programs/health.yaml",
        "      - effective: {from: 2026-10-01, until: 2027-01-01}\n",
        "      - effective: {from: 2026-10-01, until: 2027-01-01}\n        known_from: 2027-01-01\n",
    )
    facts: FactMap = {
        "age_years": 30,
        "state_of_residence": "MO",
        "household_income_monthly_cents": 133_000,
        "household_size": 1,
        "pregnant": False,
        "medicare_entitled": False,
        "receives_ssi": False,
        "citizenship_status": "asylee",
    }
    released, adults = law.release.in_force_from, "mohealthnet_adult_expansion"
    assert outcomes(law, facts, DAY)[adults] == "not_eligible"
    assert outcomes(law, facts, DAY, known_at=max(released, DAY))[adults] == "eligible"
    assert outcomes(law, facts, DAY, known_at=date(2027, 1, 1))[adults] == "not_eligible"
    before = evaluate(facts, law, jurisdiction="MO", as_of=DAY, known_at=date(2000, 1, 1))
    assert {(a.outcome, a.note) for a in before} == {
        ("potentially_eligible", "no version of this rule was known on that day")
    }


def test_a_day_whose_law_is_not_held_leaves_open_what_its_versions_do_not_agree_on(law: Law) -> None:
    first = min(v.spec.effective.from_ for p in law.programs if p.spec.id == "rca" for v in p.versions)
    later = first + timedelta(days=200)
    early: FactMap = {
        "hhs_letter_date": first - timedelta(days=1),
        "hhs_certification_letter": True,
        "victim_status": "confirmed",
        "tanf_or_ssi_eligible": False,
    }
    answer = next(a for a in evaluate(early, law, jurisdiction="MO", as_of=later) if a.program_id == "rca")
    assert (answer.outcome, answer.version_from) == ("potentially_eligible", None)
    assert answer.note == "no version of this rule was in force on that day"
    assert outcomes(law, {**early, "tanf_or_ssi_eligible": True}, later)["rca"] == "not_eligible"
    assert outcomes(law, {"tanf_or_ssi_eligible": True}, later)["rca"] == "not_eligible"


@given(st.lists(PEOPLE, min_size=1, max_size=4))
@tried(30)
def test_no_answer_is_kept_that_tells_an_amount_or_a_day(persons: list[FactMap]) -> None:
    for person in persons:
        evaluate(person, _LAW, jurisdiction="MO", as_of=DAY)
    for reader in readers(_LAW).values():
        told = [reason for _, answer in reader.told.values() for reason in answer.reasons]
        for reason in [*told, *reader.reasons.values()]:
            members = reason.value["one_of"] if isinstance(reason.value, dict) else [reason.value]
            assert set(members) <= {None, True, False, *_LAW.facts[reason.fact].values}


@given(PEOPLE)
@tried(40)
def test_what_is_shared_in_words_is_what_each_is_told_alone(person: FactMap) -> None:
    shared = evaluate(person, _LAW, jurisdiction="MO", as_of=DAY)
    alone = evaluate(person, _LAW, jurisdiction="MO", as_of=DAY, sources={})
    for one, other in zip(shared, alone, strict=True):
        assert without_sources(one) == without_sources(other)


def without_sources(answer: ProgramAnswer) -> dict[str, Any]:
    found = answer.to_json()
    for reason in found["reasons"]:
        reason.pop("source", None)
    return found


# -- hashes and provenance --


def test_the_digest_of_facts_is_salted(law: Law) -> None:
    facts = {"circumstances": {"appears_victim": True}}
    one, other = (told(law, facts, salt=salt * 16).facts_digest for salt in (b"a", b"b"))
    assert one != other
    assert one == told(law, facts, salt=b"a" * 16).facts_digest
    assert told(law, facts).facts_digest is None
    with pytest.raises(ValueError, match="16 bytes"):
        digest_of({}, b"short")


def test_a_reason_says_where_its_fact_comes_from(law: Law) -> None:
    source = Provenance("reported", "0193", datetime(2026, 11, 22, tzinfo=UTC))
    facts: FactMap = {"age_years": 40, "citizenship_status": "us_citizen"}
    sources = {"age_years": source, "citizenship_status": source}
    found = {
        reason.fact: reason.source
        for answer in evaluate(facts, law, jurisdiction="MO", as_of=DAY, sources=sources)
        for reason in answer.reasons
        if reason.value is not None
    }
    assert found["age_years"] == source
    assert found["is_minor"] == DERIVED
    assert source.to_json() == {"how": "reported", "event": "0193", "at": "2026-11-22T00:00:00+00:00"}


def test_refused_not_known_and_not_asked_are_kept_apart() -> None:
    known: FactMap = {"a": True, "b": Interval(1, 2), "c": Among(frozenset("xy"))}
    not_answered = {"d": "refused", "e": "unknown"}
    found = [standing(fact, known, not_answered) for fact in "abcdef"]
    assert found == ["known", "partly_known", "partly_known", "refused", "not_known", "not_asked"]


def test_boundary_values_stay_within_what_is_known(law: Law) -> None:
    leaves = [leaf for p in law.programs for t in p.trees() for leaf in t.leaves() if leaf.fact == "age_years"]
    assert set(boundary_values(leaves, Interval(17, 18), DAY)) == {17, 18}
