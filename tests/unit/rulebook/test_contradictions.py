"""In Belnap's order of information: what is known may only grow, from unknown to settled to contradictory.

Whatever is told besides, a settled answer stays; or that same answer is labelled with a contradiction that it rests on.
"""

from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.facts import SubjectFacts
from rulebook import columns
from rulebook.answers import ProgramAnswer
from rulebook.compiled import CompiledDerivation
from rulebook.contradictions import contradictable, contradicted, follow, open_by
from rulebook.encoding import encode
from rulebook.generated import engine, generate_derivations
from rulebook.kleene import Truth
from rulebook.loader import LAW, Law, load_law
from rulebook.missing import Gaps
from rulebook.programs import determine, evaluate, recall, record
from rulebook.records import answer_digest
from rulebook.replay import replay
from rulebook.trees import Evaluation
from rulebook.values import Among, FactMap
from tests.support.properties import tried
from tests.unit.rulebook.conditions import (
    DAY,
    EXACT,
    FACTS,
    KNOWN,
    KNOWN_OR_CONTRADICTED,
    SINGLE,
    admits,
    compiler,
    conditions,
)
from tests.unit.rulebook.conditions import PARSE as CONDITION
from tests.unit.rulebook.people import DAYS, GRID, PEOPLE, REPORTED, REPORTS

_LAW = load_law(LAW)
NOON = datetime.fromisoformat("2026-11-22T12:00:00-06:00")
OPEN = "potentially_eligible"
CONTRADICTORY = {"circumstances": {"appears_victim": False, "trafficking": {"victim_status": "confirmed"}}}
CONCLUSIONS: list[tuple[str, Any]] = [
    ("pregnant", True),
    ("pregnant", False),
    ("status", "a"),
    ("status", "c"),
    ("status", Among(frozenset("bc"))),
    ("level", "none"),
    ("level", Among(frozenset({"presumed", "confirmed"}))),
]
RULES = st.lists(st.tuples(conditions(SINGLE, 4), st.sampled_from(CONCLUSIONS)), max_size=5)


def rules_of(written: Any, law: Any) -> list[CompiledDerivation]:
    return [CompiledDerivation(law.compile(CONDITION.validate_python(when)), (then,)) for when, then in written]


# -- of any rules and any condition --


@given(RULES, conditions(SINGLE, 8), KNOWN, KNOWN)
@tried(400)
def test_what_is_told_besides_settles_or_contradicts_and_never_turns(
    written: Any, condition: Any, known: FactMap, more: FactMap
) -> None:
    law = compiler()
    derivations, tree = rules_of(written, law), law.compile(CONDITION.validate_python(condition))
    may_be = contradictable(derivations, FACTS)
    before, after = (Evaluation(follow(told, derivations, FACTS, DAY)[0], DAY) for told in (known, {**more, **known}))
    contradictory = contradicted(after.facts, may_be)
    if tree.truth(before) not in (Truth.UNKNOWN, tree.truth(after)):
        assert tree.truth(after) is Truth.UNKNOWN, "it turned"
        assert open_by((tree,), after, contradictory), "it opened, and does not say why"
    # A fact stays contradicted, unless a rule concludes it whichever side of another contradiction is right.
    gone = set(contradicted(before.facts, may_be)).difference(contradictory)
    assert all(fact in after.facts and fact not in known for fact in gone)
    # A condition stays labelled, unless the fact makes no difference to it any more.
    labels = open_by((tree,), before, contradicted(before.facts, may_be))
    for fact in labels.difference(open_by((tree,), after, contradictory)).intersection(contradictory):
        corrected = ({**after.facts, fact: value} for value in EXACT[fact])
        assert {tree.truth(Evaluation(facts, DAY)) for facts in corrected} == {tree.truth(after)}


@given(RULES, st.lists(KNOWN_OR_CONTRADICTED, min_size=1, max_size=4))
@tried(300)
def test_three_evaluators_follow_contradictions_alike(written: Any, everybody: list[FactMap]) -> None:
    derivations = rules_of(written, compiler())
    generated, law = generate_derivations(derivations, FACTS), SimpleNamespace(facts=FACTS)
    in_columns = columns.derive(encode(everybody, FACTS), derivations, law, DAY)  # type: ignore[arg-type]
    walked = [follow(one, derivations, FACTS, DAY)[0] for one in everybody]
    for one, expected in zip(everybody, walked, strict=True):
        facts = dict(one)
        generated(facts, DAY)
        assert facts == expected
    for fact, column in encode(walked, FACTS).facts.items():
        assert np_equal(in_columns.facts[fact], column), fact


def np_equal(one: Any, other: Any) -> bool:
    pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
    return all((left == right).all() for left, right in pairs)


@given(conditions(SINGLE, 8), KNOWN_OR_CONTRADICTED)
@tried(200)
def test_an_explanation_names_the_contradicted_facts_that_leave_it_open(condition: Any, known: FactMap) -> None:
    tree = compiler().compile(CONDITION.validate_python(condition))
    on = Evaluation(known, DAY)
    found = Gaps(tree, FACTS).explain(on)
    of_person = [
        fact for fact, spec in FACTS.items() if known.get(fact) == Among(frozenset(spec.values or (False, True)))
    ]
    assert set(found.contradicted) == open_by((tree,), on, of_person)
    asked = {fact for one in found.missing.to_settle + found.missing.to_qualify for fact in one}
    assert asked.union(found.missing.needed, found.lacking).isdisjoint(of_person)


# -- of the law: programs --


def followed(facts: FactMap, on: date) -> tuple[dict[str, Any], set[str]]:
    """With all that certainly follows, and which of it is contradicted."""
    known = dict(facts)
    engine(_LAW).derive_certain(known, on)
    return known, set(contradicted(known, engine(_LAW).contradictable))


def answers(facts: FactMap, on: date) -> dict[str, ProgramAnswer]:
    return {answer.program_id: answer for answer in evaluate(facts, _LAW, jurisdiction="MO", as_of=on)}


def readings(answer: ProgramAnswer) -> tuple[str, str]:
    """As applied, and by the other reading, if a court has yet to choose."""
    if answer.disputed is None:
        return answer.outcome, answer.outcome
    return answer.disputed.as_applied, answer.disputed.other_reading


def assert_nothing_turns(known: FactMap, later: FactMap, on: date) -> None:
    """What is settled by `known` stays; or that same answer opens again, and says on which contradiction it rests."""
    of_person = followed(later, on)[1]
    first, last = answers(known, on), answers(later, on)
    for program, before in first.items():
        after = last[program]
        assert set(after.contradicted) <= of_person, program
        for one, other in zip(readings(before), readings(after), strict=True):
            if one not in (OPEN, other):
                assert other == OPEN, (program, "turned")
                assert after.contradicted, (program, "opened, and does not say why")


@given(REPORTS, st.randoms(), DAYS)
@tried(60)
def test_every_settled_answer_of_the_law_holds_under_every_completion(known: FactMap, dice: Any, on: date) -> None:
    possible = followed(known, on)[0]
    whole: dict[str, Any] = {}
    for fact in REPORTED:
        values = [one for one in GRID[fact] if fact not in possible or admits(possible[fact], one)]
        if values or fact in possible:
            whole[fact] = dice.choice(values) if values else possible[fact]
    assert_nothing_turns(known, whole, on)


@given(PEOPLE, PEOPLE, DAYS)
@example({"appears_victim": False}, {"victim_status": "confirmed"}, DAY)
@example({"severe_form_excluded": True, "trafficking_type": "labor"}, {"severe_form": True}, DAY)
@example({"citizenship_status": "us_citizen"}, {"child_eligibility_letter": True}, DAY)
@example({"victim_status": "none", "hhs_letter_date": date(2022, 3, 26)}, {"appears_victim": True}, date(2021, 1, 27))
@example({"age_years": 15, "trafficking_type": "sex", "le_cooperation": "willing"}, {"is_minor": False}, DAY)
@tried(60)
def test_adding_facts_never_turns_a_settled_answer_of_the_law(known: FactMap, more: FactMap, on: date) -> None:
    assert_nothing_turns(known, {**more, **known}, on)


@given(REPORTS, REPORTS, DAYS)
@tried(60)
def test_what_is_contradicted_stays_so_whatever_is_told_besides(known: FactMap, more: FactMap, on: date) -> None:
    assert followed(known, on)[1] <= followed({**more, **known}, on)[1]


@given(PEOPLE, DAYS)
@tried(40)
def test_the_label_names_what_leaves_an_answer_open_and_nothing_asks_for_it(person: FactMap, on: date) -> None:
    known, of_person = followed(person, on)
    for answer in answers(known, on).values():
        is_open = answer.outcome == OPEN or OPEN in readings(answer)
        lacking = {reason.fact for reason in answer.reasons if reason.holds is None}
        if answer.note is None:
            assert set(answer.contradicted) == (lacking & of_person if is_open else set())
        sets = answer.gaps.to_settle + answer.gaps.to_qualify
        assert {fact for one in sets for fact in one}.union(answer.gaps.needed).isdisjoint(of_person)


# -- what is told --


def told(law: Law, facts: dict[str, Any]) -> Any:
    subject = SubjectFacts.model_validate(facts)
    return determine(subject, law, jurisdiction="MO", encounter_at=NOON, as_of=NOON)


@pytest.mark.parametrize(
    ("facts", "fact", "between"),
    [
        (
            {"circumstances": {"appears_victim": False, "trafficking": {"victim_status": "confirmed"}}},
            "victim_status",
            ["appears_victim", "victim_status"],
        ),
        (
            {"status": {"citizenship": "us_citizen", "facts": {"child_eligibility_letter": True}}},
            "child_eligibility_letter",
            ["child_eligibility_letter", "citizenship_status"],
        ),
        (
            {
                "age": {"birth_date": "2012-01-01", "verified_by": "document"},
                "circumstances": {
                    "appears_victim": True,
                    "trafficking": {"type": "sex"},
                    "facts": {"severe_form": False},
                },
            },
            "severe_form",
            ["age_years", "severe_form", "trafficking_type"],
        ),
    ],
)
def test_the_officer_is_told_which_facts_exclude_each_other(
    law: Law, facts: dict[str, Any], fact: str, between: list[str]
) -> None:
    found = told(law, facts)
    content = found.to_json()
    assert content["contradictions"] == [{"fact": fact, "between": between}]
    labelled = [one for one in content["programs"] if "contradicted" in one]
    assert labelled
    for one in labelled:
        assert one["contradicted"] == [fact]
        assert fact not in one["missing"]
    assert found.next_question is None or found.next_question.fact != fact


def test_without_a_contradiction_nothing_is_labelled(law: Law) -> None:
    content = told(law, {"circumstances": {"appears_victim": True}}).to_json()
    assert "contradictions" not in content
    assert not any("contradicted" in one for one in content["programs"])


def test_a_contradiction_that_changes_nothing_is_told_and_labels_no_answer(law: Law) -> None:
    status = {"citizenship": "us_citizen", "facts": {"derivative_t_status": True}}
    answer = told(law, {"circumstances": {"appears_victim": True}, "status": status})
    assert answer.contradictions == {"derivative_t_status": ("citizenship_status", "derivative_t_status")}
    settled = [one for one in answer.programs if one.outcome == "not_eligible"]
    assert settled
    assert not any(one.contradicted for one in settled)


def test_what_would_follow_from_a_contradicted_fact_is_contradicted_unless_it_is_known_anyway() -> None:
    sex: FactMap = {"trafficking_type": "sex", "age_years": 15, "is_minor": False}
    assert followed(sex, DAY)[1] == {"is_minor", "severe_form"}
    assert followed({**sex, "severe_form": True}, DAY)[1] == {"is_minor"}
    assert followed({**sex, "age_at_exploitation_under_18": True}, DAY)[1] == {"is_minor"}
    assert followed({**sex, "trafficking_type": "labor"}, DAY)[1] == {"is_minor"}
    _, contradictions = follow(sex, _LAW.derivations, _LAW.facts, DAY)
    assert contradictions["severe_form"] == ("age_years", "is_minor")


def test_what_was_kept_before_there_was_a_label_is_read_as_without_one_and_replayed(law: Law) -> None:
    kept = record(SubjectFacts.model_validate(CONTRADICTORY), law, jurisdiction="MO", encounter_at=NOON, as_of=NOON)
    content = orjson.loads(orjson.dumps(kept.content()))
    assert recall(content, law).contradictions
    del content["contradictions"]
    for one in content["programs"].values():
        one.pop("contradicted", None)
    old = recall(content, law)
    assert old.contradictions == {}
    assert not any(answer.contradicted for answer in old.programs)
    facts = SubjectFacts.model_validate({"circumstances": {"appears_victim": True}})
    unlabelled = determine(facts, law, jurisdiction="MO", encounter_at=NOON, as_of=NOON).to_json()
    assert "contradictions" not in unlabelled
    api = unlabelled | {
        "contradictions": [],
        "programs": [one | {"contradicted": []} for one in unlabelled["programs"]],
    }
    for document in (unlabelled, api):
        assert replay(document, facts, law, jurisdiction="MO", encounter_at=NOON).same


def test_a_determination_with_contradictions_gives_the_same_bytes_again(law: Law) -> None:
    facts = SubjectFacts.model_validate(CONTRADICTORY)
    document = determine(facts, law, jurisdiction="MO", encounter_at=NOON, as_of=NOON).to_json()
    assert replay(document, facts, law, jurisdiction="MO", encounter_at=NOON).same
    corrected = SubjectFacts.model_validate({"circumstances": {"appears_victim": True}})
    found = replay(document, corrected, law, jurisdiction="MO", encounter_at=NOON)
    assert not found.same
    assert "contradictions differs" in found.differences


def test_an_answer_that_comes_to_rest_on_a_contradiction_is_another_one_to_act_upon(law: Law) -> None:
    program = law.programs[0].spec
    plain = answer_digest(program, "potentially_eligible", "unknown", ("pregnant",))
    assert plain == answer_digest(program, "potentially_eligible", "unknown", ("pregnant",), ())
    assert plain != answer_digest(program, "potentially_eligible", "unknown", ("pregnant",), ("severe_form",))
