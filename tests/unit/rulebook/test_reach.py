"""What is said never to hold never does, also of persons of whom only ranges and alternatives are known."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from rulebook.conditions import Condition
from rulebook.reach import Reach
from rulebook.schema import FactSpec

_READ: TypeAdapter[Condition] = TypeAdapter(Condition)
_ABOUT: dict[str, Any] = {"group": "circumstances", "sensitivity": "low", "question": "?"}
FACTS = {
    "flag": FactSpec(type="bool", **_ABOUT),
    "age": FactSpec(type="int", **_ABOUT),
    "born": FactSpec(type="date", **_ABOUT),
    "status": FactSpec(type="enum", values=("none", "some", "all"), ordered=True, **_ABOUT),
    "cents": FactSpec(type="int", **_ABOUT),
    "size": FactSpec(type="int", **_ABOUT),
}
BLOCKS = {"minor": {"fact": "age", "lt": 18}}


def possible(true: list[Any], not_true: list[Any] | None = None) -> bool:
    blocks = {name: _READ.validate_python(block) for name, block in BLOCKS.items()}
    read = [[_READ.validate_python(item) for item in items] for items in (true, not_true or [])]
    return Reach(FACTS, blocks, {"scope": "wide"}).possible(*read)


def share(operator: str, percent: int, **other: Any) -> dict[str, Any]:
    return {"fact": "cents", operator: {"table": "t", "of": "size", "percent": percent, "round": "cent_up"} | other}


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ({"fact": "age", "lt": 18}, {"fact": "age", "gte": 18}, False),
        ({"fact": "age", "lte": 18}, {"fact": "age", "gte": 18}, True),
        ({"use": "minor"}, {"fact": "age", "between": [18, 20]}, False),
        ({"use": "minor"}, {"fact": "age", "between": [17, 20]}, True),
        ({"fact": "status", "gt": "some"}, {"fact": "status", "in": ["none", "some"]}, False),
        ({"fact": "status", "gt": "none"}, {"fact": "status", "ne": "all"}, True),
        (share("gt", 306), share("lte", 305), False),
        (share("gt", 305), share("lte", 305), False),
        (share("gt", 305), share("lte", 306), True),
        (share("gt", 306), share("lte", 305, per="month"), True),
        ({"fact": "born", "age_on": "as_of", "lt": 18}, {"fact": "born", "age_on": "as_of", "gt": 17}, False),
        ({"fact": "born", "age_on": "as_of", "lt": 18}, {"fact": "born", "within_months": 1}, True),
        ({"fact": "born", "within_months": 1}, {"not": {"fact": "born", "within_months": 2}}, False),
        ({"fact": "born", "within_months": 2}, {"not": {"fact": "born", "within_days": 61}}, True),
        ({"fact": "born", "lt": "2020-01-01"}, {"fact": "born", "eq": "2020-01-01"}, False),
        ({"fact": "born", "lt": "0001-01-02"}, {"fact": "born", "gte": "0001-01-01"}, True),
        ({"at_least": 2, "of": [{"use": "minor"}, {"fact": "flag", "is": True}]}, {"fact": "flag", "is": False}, False),
        ({"policy": "scope", "eq": "narrow"}, {"fact": "flag", "is": True}, False),
    ],
)
def test_two_conditions_hold_together_or_never_do(one: Any, other: Any, together: bool) -> None:
    assert possible([one, other]) is together
    assert possible([{"all": [other, one]}]) is together


def test_a_rule_is_reached_after_those_that_take_every_value_but_not_what_is_known_in_part() -> None:
    either = {"fact": "status", "in": ["none", "some"]}
    assert possible([either], [{"fact": "status", "eq": "none"}, {"fact": "status", "eq": "some"}])
    assert possible([], [{"fact": "age", "lt": 18}, {"fact": "age", "gte": 18}])
    assert not possible([{"fact": "status", "eq": "none"}], [either])
