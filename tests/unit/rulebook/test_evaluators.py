"""One syntax, three evaluators: the walker, the generated Python and the columns never differ."""

from datetime import date
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rulebook import columns
from rulebook.contradictions import follow
from rulebook.encoding import encode
from rulebook.generated import engine, generate
from rulebook.kleene import Truth
from rulebook.loader import LAW, Law, load_law
from rulebook.trees import Evaluation
from rulebook.values import FactMap
from tests.support.properties import tried
from tests.unit.rulebook.conditions import ANY, COMPLETE, DAY, FACTS, KNOWN, compiler, completed
from tests.unit.rulebook.conditions import PARSE as CONDITION
from tests.unit.rulebook.people import PEOPLE

_LAW = load_law(LAW)
ON = st.dates(date(2021, 1, 1), date(2028, 1, 1))


@given(
    st.lists(ANY, min_size=1, max_size=3),
    st.lists(KNOWN, min_size=1, max_size=5),
    st.sampled_from([DAY, date(2027, 3, 1)]),
)
@tried(400)
def test_three_evaluators_agree_on_any_condition(conditions: list[Any], persons: list[FactMap], on: date) -> None:
    one = compiler()
    trees = [one.compile(CONDITION.validate_python(condition)) for condition in conditions]
    generated = generate(trees)
    in_columns = columns.evaluate(trees, encode(persons, FACTS), FACTS, on)
    for row, person in enumerate(persons):
        walker = Evaluation(person, on)
        fast = generated(person, on)
        for tree in trees:
            for part in tree.parts():
                expected = part.truth(walker)
                assert fast[part.index] is expected
                assert in_columns[part.index][row] == expected


@given(ANY, KNOWN, COMPLETE)
@tried(400)
def test_a_settled_answer_holds_under_every_completion(condition: Any, known: FactMap, completion: FactMap) -> None:
    tree = compiler().compile(CONDITION.validate_python(condition))
    settled = tree.truth(Evaluation(known, DAY))
    whole = completed(known, completion)
    if whole is not None:
        answer = tree.truth(Evaluation(whole, DAY))
        # A table that holds nothing for a household leaves an answer open even when every fact is known.
        assert answer is not Truth.UNKNOWN or "capped" in str(condition)
        assert settled in (Truth.UNKNOWN, answer)


@given(ANY, KNOWN, KNOWN)
@tried(300)
def test_one_more_fact_never_turns_a_settled_answer(condition: Any, known: FactMap, more: FactMap) -> None:
    tree = compiler().compile(CONDITION.validate_python(condition))
    settled = tree.truth(Evaluation(known, DAY))
    if settled is not Truth.UNKNOWN:
        assert tree.truth(Evaluation({**more, **known}, DAY)) is settled


@given(st.lists(PEOPLE, min_size=1, max_size=4), ON)
@tried(60)
def test_three_evaluators_agree_on_the_law(persons: list[FactMap], on: date) -> None:
    plan = engine(_LAW).plan("MO")
    trees = [tree for program in plan.programs for tree in program.trees()]
    trees += [rule.when for duty in plan.duties for version in duty.versions for rule in version.rules]
    derived = columns.derive(encode(persons, _LAW.facts), _LAW.derivations, _LAW, on)
    in_columns = columns.evaluate(trees, derived, _LAW.facts, on)
    for row, person in enumerate(persons):
        facts = walked(_LAW, person, on)
        fast_facts = dict(person)
        engine(_LAW).derive(fast_facts, on)
        assert fast_facts == facts
        walker = Evaluation(facts, on)
        fast = plan.of_programs(facts, on) | plan.of_duties(facts, on)
        for tree in trees:
            expected = tree.truth(walker)
            assert fast[tree.index] is expected
            assert in_columns[tree.index][row] == expected


@given(st.lists(PEOPLE, min_size=1, max_size=3), ON)
@tried(40)
def test_the_rule_that_decides_a_duty_is_the_same_in_columns(persons: list[FactMap], on: date) -> None:
    found = columns.rules(encode(persons, _LAW.facts), _LAW, "MO", on)
    for row, person in enumerate(persons):
        walker = Evaluation(walked(_LAW, person, on), on)
        for duty in engine(_LAW).plan("MO").duties:
            version = duty.version_on(on)
            rules = version.rules if version else ()
            expected = next((n for n, rule in enumerate(rules) if rule.when.truth(walker) is Truth.TRUE), -1)
            assert found[duty.spec.id][row] == expected


def walked(law: Law, person: FactMap, on: date) -> FactMap:
    """Derivations by the walker, one after the other."""
    return follow(person, law.derivations, law.facts, on)[0]


def test_the_size_of_the_parts_does_not_show(law: Law) -> None:
    persons: list[FactMap] = [{"age_years": years} for years in range(40)] * 2
    whole = encode(persons, law.facts)
    in_one = columns.outcomes(whole, law, "MO", DAY)
    parts = [columns.outcomes(part, law, "MO", DAY) for part in whole.parts(7)]
    for program, codes in in_one.items():
        assert np.array_equal(codes, np.concatenate([part[program] for part in parts]))


def test_nobody_is_no_rows(law: Law) -> None:
    assert all(codes.size == 0 for codes in columns.outcomes(encode([], law.facts), law, "MO", DAY).values())
