"""The logic never guesses: whatever the missing facts turn out to be, a settled answer stands."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rulebook.compiler import Compiler, Evaluation, Tree, plus_months, reasons
from rulebook.conditions import Condition
from rulebook.errors import LawError
from rulebook.kleene import Truth, kleene_all, kleene_any, kleene_at_least, kleene_not
from rulebook.schema import FactSpec
from rulebook.values import Among, Interval, Value, holds_for
from tests.support.properties import tried

DAY = date(2026, 11, 22)
PARSE: TypeAdapter[Any] = TypeAdapter(Condition)


def spec(kind: str, **more: Any) -> FactSpec:
    common = {"type": kind, "group": "circumstances", "sensitivity": "low", "question": "?"}
    return FactSpec.model_validate(common | more)


FACTS: Mapping[str, FactSpec] = {
    "age": spec("int"),
    "pregnant": spec("bool"),
    "status": spec("enum", values=["a", "b", "c"]),
    "level": spec("enum", values=["none", "suspected", "presumed", "confirmed"], ordered=True),
    "income": spec("decimal"),
    "letter": spec("date"),
}


def compiled(condition: Any, blocks: Mapping[str, Any] | None = None) -> Tree:
    return Compiler(FACTS, blocks or {}, {"scope": "wide"}).compile(PARSE.validate_python(condition))


def truth_of(condition: Any, **facts: Value) -> Truth:
    return compiled(condition).truth(Evaluation(facts, DAY))


LEAVES = st.sampled_from(
    [
        {"fact": "age", "lt": 18},
        {"fact": "age", "gte": 14},
        {"fact": "age", "in": [16, 17]},
        {"fact": "pregnant", "is": True},
        {"fact": "status", "in": ["a", "b"]},
        {"fact": "status", "ne": "c"},
        {"fact": "level", "gte": "presumed"},
    ]
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda c: {"all": c}),
        st.lists(inner, max_size=3).map(lambda c: {"any": c}),
        inner.map(lambda c: {"not": c}),
        st.tuples(st.integers(1, 3), st.lists(inner, min_size=1, max_size=3)).map(
            lambda c: {"at_least": c[0], "of": c[1]}
        ),
    ),
    max_leaves=8,
)
POSSIBLE: dict[str, list[Value]] = {
    "age": [13, 14, 16, 17, 18],
    "pregnant": [True, False],
    "status": ["a", "b", "c"],
    "level": ["none", "suspected", "presumed", "confirmed"],
}
PARTLY: dict[str, list[Value]] = {
    "age": [Interval(14, 17), Interval(18, None), Interval(None, 16)],
    "pregnant": [],
    "status": [Among(frozenset("ab"))],
    "level": [Among(frozenset({"suspected", "presumed", "confirmed"}))],
}
KNOWN = st.fixed_dictionaries({}, optional={f: st.sampled_from(v + PARTLY[f]) for f, v in POSSIBLE.items()})


def admits(value: Value, exact: Value) -> bool:
    if isinstance(value, Interval):
        assert isinstance(exact, int)
        return (value.low is None or value.low <= exact) and (value.high is None or exact <= value.high)
    return exact in value.values if isinstance(value, Among) else value == exact


@given(CONDITIONS, KNOWN, st.fixed_dictionaries({f: st.sampled_from(v) for f, v in POSSIBLE.items()}))
@tried(300)
def test_a_settled_answer_holds_whatever_the_missing_facts_turn_out_to_be(
    condition: Any, known: dict[str, Value], completion: dict[str, Value]
) -> None:
    settled = truth_of(condition, **known)
    complete = {f: v if f not in known or admits(known[f], v) else None for f, v in completion.items()}
    if settled is not Truth.UNKNOWN and None not in complete.values():
        assert truth_of(condition, **complete) is settled  # type: ignore[arg-type]


@given(CONDITIONS, st.fixed_dictionaries({f: st.sampled_from(v) for f, v in POSSIBLE.items()}))
def test_with_all_facts_there_is_always_an_answer(condition: Any, facts: dict[str, Value]) -> None:
    assert truth_of(condition, **facts) is not Truth.UNKNOWN


@given(st.lists(CONDITIONS, min_size=2, max_size=4), KNOWN, st.randoms())
def test_the_order_of_operands_does_not_matter(operands: list[Any], known: dict[str, Value], random: Any) -> None:
    shuffled = list(operands)
    random.shuffle(shuffled)
    for kind in ("all", "any"):
        one, other = compiled({kind: operands}), compiled({kind: shuffled})
        on = Evaluation(known, DAY)
        also_on = Evaluation(known, DAY)
        assert one.truth(on) is other.truth(also_on)
        assert reasons((one,), on) == reasons((other,), also_on)


@given(CONDITIONS)
def test_an_unknown_names_the_facts_that_would_settle_it(condition: Any) -> None:
    tree, on = compiled(condition), Evaluation({}, DAY)
    if tree.truth(on) is Truth.UNKNOWN:
        assert {reason.fact for reason in reasons((tree,), on)} <= set(POSSIBLE)
        assert reasons((tree,), on)


@given(st.lists(st.sampled_from(Truth)))
def test_the_connectives_are_least_and_greatest(operands: list[Truth]) -> None:
    assert kleene_all(operands) == min(operands, default=Truth.TRUE)
    assert kleene_any(operands) == max(operands, default=Truth.FALSE)
    assert kleene_not(kleene_all(operands)) is kleene_any(kleene_not(operand) for operand in operands)
    assert kleene_at_least(1, operands) is kleene_any(operands)
    assert kleene_at_least(max(len(operands), 1), operands or [Truth.TRUE]) is kleene_all(operands)


@pytest.mark.parametrize(
    ("operator", "threshold", "value", "expected"),
    [
        ("lt", 18, Interval(14, 17), Truth.TRUE),
        ("lt", 18, Interval(14, 18), Truth.UNKNOWN),
        ("lt", 18, Interval(18, None), Truth.FALSE),
        ("lte", 17, Interval(None, 17), Truth.TRUE),
        ("gt", 17, Interval(17, 20), Truth.UNKNOWN),
        ("gte", 17, Interval(17, 20), Truth.TRUE),
        ("eq", 17, Interval(17, 17), Truth.TRUE),
        ("eq", 17, Interval(16, 18), Truth.UNKNOWN),
        ("eq", 17, Interval(18, None), Truth.FALSE),
        ("ne", 17, Interval(18, None), Truth.TRUE),
        ("in", (16, 17), Interval(18, 20), Truth.FALSE),
        ("not_in", (16, 17), Interval(15, 20), Truth.UNKNOWN),
    ],
)
def test_an_interval_is_all_of_its_values(operator: str, threshold: Any, value: Interval, expected: Truth) -> None:
    assert holds_for(value, bool, operator, threshold) is expected


@pytest.mark.parametrize(("as_of", "expected"), [(date(2026, 2, 28), Truth.TRUE), (date(2026, 3, 1), Truth.FALSE)])
def test_months_end_on_the_last_day_of_a_shorter_month(as_of: date, expected: Truth) -> None:
    tree = compiled({"fact": "letter", "within_months": 4})
    assert tree.truth(Evaluation({"letter": date(2025, 10, 31)}, as_of)) is expected
    assert plus_months(date(2023, 2, 28), 12) == date(2024, 2, 28)


def test_decimals_are_exact() -> None:
    assert truth_of({"fact": "income", "lte": "138.1"}, income=Decimal("138.1")) is Truth.TRUE
    assert truth_of({"fact": "income", "lte": "138.1"}, income=Decimal("138.10000001")) is Truth.FALSE
    with pytest.raises(ValidationError):
        PARSE.validate_python({"fact": "income", "lte": 138.1})


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"fact": "height", "lt": 3}, "not in the fact catalogue"),
        ({"fact": "age", "lt": "young"}, "a value of type int"),
        ({"fact": "age", "is": True}, "is: true or is: false for bool"),
        ({"fact": "pregnant", "eq": True}, "is: true or is: false for bool"),
        ({"fact": "status", "gte": "a"}, "has no order"),
        ({"fact": "status", "in": ["a", "d"]}, "one of a, b, c"),
        ({"fact": "age", "within_months": 3}, "needs a date"),
        ({"use": "nowhere"}, "there is no block nowhere"),
        ({"use": "loop"}, "uses itself"),
        ({"policy": "nothing", "eq": "x"}, "there is no policy value"),
    ],
)
def test_a_condition_that_means_nothing_is_refused(condition: Any, message: str) -> None:
    with pytest.raises(LawError, match=message):
        compiled(condition, {"loop": PARSE.validate_python({"not": {"use": "loop"}})})


@pytest.mark.parametrize(
    "condition",
    [{"fact": "age"}, {"fact": "age", "lt": 18, "gt": 3}, {"fact": "age", "default": 40}, {"is_known": "age"}, [], "x"],
)
def test_the_syntax_has_no_default_and_no_question_whether_a_fact_is_known(condition: Any) -> None:
    with pytest.raises(ValidationError):
        PARSE.validate_python(condition)
