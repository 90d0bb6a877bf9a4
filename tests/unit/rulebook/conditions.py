"""Random conditions over a small catalogue, and random partial knowledge of its facts."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from pydantic import TypeAdapter

from rulebook.compiler import Compiler
from rulebook.conditions import Condition
from rulebook.schema import FactSpec
from rulebook.trees import Tree
from rulebook.values import Among, FactMap, Interval, Value, anything

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
    "percent": spec("decimal"),
    "letter": spec("date"),
    "born": spec("date"),
    "income": spec("int"),
    "size": spec("int"),
}


class Guideline:
    """Ten dollars, and six more for each further person; five of 2027."""

    per = "year"
    verified = True

    def amount(self, size: int | None, on: date) -> int | None:
        if size is None:
            return None
        return 1000 + (600 if on.year < 2027 else 500) * (size - 1)

    def changes_after(self, on: date) -> date | None:
        return date(2027, 1, 1) if on.year < 2027 else None

    def taken_by(self, program: str) -> "Guideline | None":
        return None


class Capped(Guideline):
    """Holds nothing for more than two persons."""

    def amount(self, size: int | None, on: date) -> int | None:
        return super().amount(size, on) if size is None or size <= 2 else None


class Flat(Guideline):
    """Thirty dollars, whatever the household."""

    def amount(self, size: int | None, on: date) -> int | None:
        return 3000


def compiler() -> Compiler:
    return Compiler(FACTS, {}, {}, {"guideline": Guideline(), "capped": Capped(), "flat": Flat()})


def compiled(condition: Any) -> Tree:
    return compiler().compile(PARSE.validate_python(condition))


FLAT = {"table": "flat", "of": "size", "percent": "100", "round": "cent_down"}
TABLE = {"table": "guideline", "of": "size", "percent": "133.3", "round": "cent_up"}
SINGLE: list[dict[str, Any]] = [
    {"fact": "age", "lt": 18},
    {"fact": "age", "gte": 14},
    {"fact": "age", "in": [16, 17]},
    {"fact": "age", "between": [14, 17]},
    {"fact": "pregnant", "is": True},
    {"fact": "pregnant", "is": False},
    {"fact": "status", "in": ["a", "b"]},
    {"fact": "status", "ne": "c"},
    {"fact": "level", "gte": "presumed"},
    {"fact": "percent", "lte": "138.5"},
    {"fact": "percent", "gt": "100"},
    {"fact": "letter", "within_months": 4},
    {"fact": "letter", "gte": date(2026, 9, 30)},
    {"fact": "letter", "within_days": 30},
    {"fact": "born", "age_on": "as_of", "lt": 18},
    {"fact": "born", "age_on": date(2026, 2, 28), "gte": 16},
]
JOINT: list[dict[str, Any]] = [
    {"fact": "born", "age_on": "letter", "lt": 18},
    {"fact": "income", "lte": TABLE},
    {"fact": "income", "gt": TABLE | {"percent": 50, "round": "dollar_down"}},
    {"fact": "income", "lt": TABLE | {"table": "capped"}},
    {"fact": "income", "gt": FLAT},
]


def conditions(leaves: list[dict[str, Any]], most: int = 8) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.sampled_from(leaves),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda c: {"all": c}),
            st.lists(inner, max_size=3).map(lambda c: {"any": c}),
            inner.map(lambda c: {"not": c}),
            st.tuples(st.integers(1, 3), st.lists(inner, min_size=1, max_size=3)).map(
                lambda c: {"at_least": c[0], "of": c[1]}
            ),
        ),
        max_leaves=most,
    )


ANY = conditions(SINGLE + JOINT)
DAYS = [date(2026, 2, 28), date(2026, 7, 21), date(2026, 7, 22), date(2026, 9, 30), date(2026, 10, 23), DAY]
BIRTHS = [date(2008, 2, 29), date(2008, 11, 22), date(2008, 11, 23), date(2010, 2, 28), date(2010, 3, 1)]
EXACT: dict[str, list[Value]] = {
    "age": [13, 14, 16, 17, 18],
    "pregnant": [True, False],
    "status": ["a", "b", "c"],
    "level": ["none", "suspected", "presumed", "confirmed"],
    "percent": [Decimal("100"), Decimal("100.01"), Decimal("138.5"), Decimal("138.50000001"), 139],
    "letter": [day + timedelta(days=more) for day in DAYS for more in (0, 1)],
    "born": [*BIRTHS],
    "income": [0, 499, 500, 501, 1333, 1334, 2132, 2133, 2134],
    "size": [1, 2, 3],
}
PARTLY: dict[str, list[Value]] = {
    "age": [Interval(14, 17), Interval(18, None), Interval(None, 16)],
    "status": [Among(frozenset("ab"))],
    "level": [Among(frozenset({"suspected", "presumed", "confirmed"}))],
    "percent": [Interval(Decimal("100"), Decimal("138.5")), Interval(None, 101)],
    "letter": [Interval(DAYS[1], DAYS[3]), Interval(None, DAYS[2])],
    "born": [Interval(BIRTHS[0], BIRTHS[3]), Interval(BIRTHS[1], None)],
    "income": [Interval(500, 1333), Interval(2134, None)],
    "size": [Interval(1, 2), Interval(2, None)],
}
KNOWN: st.SearchStrategy[FactMap] = st.fixed_dictionaries(
    {}, optional={fact: st.sampled_from(exact + PARTLY.get(fact, [])) for fact, exact in EXACT.items()}
)
CONTRADICTED: dict[str, Among] = {fact: one for fact, spec in FACTS.items() if (one := anything(spec)) is not None}
KNOWN_OR_CONTRADICTED: st.SearchStrategy[FactMap] = st.fixed_dictionaries(
    {},
    optional={
        fact: st.sampled_from([*exact, *PARTLY.get(fact, []), *([CONTRADICTED[fact]] if fact in CONTRADICTED else [])])
        for fact, exact in EXACT.items()
    },
)
COMPLETE: st.SearchStrategy[FactMap] = st.fixed_dictionaries(
    {fact: st.sampled_from(exact) for fact, exact in EXACT.items()}
)


def admits(value: Value, exact: Value) -> bool:
    """Whether a partly known value may turn out to be that one."""
    if isinstance(value, Interval):
        low: Any = value.low
        high: Any = value.high
        return (low is None or low <= exact) and (high is None or exact <= high)
    return exact in value.values if isinstance(value, Among) else value == exact


def completed(known: FactMap, completion: FactMap) -> FactMap | None:
    """The completion, if it is one of what is known; else what is known exactly in it, or None if it contradicts."""
    if any(fact in known and not admits(known[fact], exact) for fact, exact in completion.items()):
        merged = {f: (e if f not in known or admits(known[f], e) else known[f]) for f, e in completion.items()}
        return None if any(isinstance(value, (Interval, Among)) for value in merged.values()) else merged
    return completion
