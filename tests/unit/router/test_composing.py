"""Parts of one statement keep their own parameters."""

import re

from hypothesis import given
from hypothesis import strategies as st

from services.router.adapters.composing import Part, composed

_PARAMETER = re.compile(r"\$(\d+)")


@st.composite
def _parts(draw: st.DrawFn) -> list[Part]:
    """Parts that name their parameters in any order and any number of times; every value is another one."""
    made = []
    for number in range(draw(st.integers(0, 6))):
        values = tuple(f"value {number}.{n}" for n in range(draw(st.integers(0, 60))))
        named = draw(st.lists(st.integers(1, len(values)), max_size=40)) if values else []
        sql = f"INSERT INTO t{number} SELECT " + ", ".join(f"${n}::text[]" for n in named)
        made.append(Part(f"part{number}", sql, values))
    return made


def _read(sql: str, values: list[str]) -> list[str]:
    return [values[int(n) - 1] for n in _PARAMETER.findall(sql)]


@given(_parts())
def test_every_parameter_names_the_value_that_its_part_gave_it(parts: list[Part]) -> None:
    statement, values = composed(parts)
    assert _read(statement, values) == [value for part in parts for value in _read(part.sql, list(part.values))]


@given(_parts())
def test_no_value_is_lost_or_sent_twice(parts: list[Part]) -> None:
    _, values = composed(parts)
    assert values == [value for part in parts for value in part.values]


@given(_parts())
def test_nothing_but_the_numbers_of_parameters_changes(parts: list[Part]) -> None:
    statement, _ = composed(parts)
    expected = "WITH " + ", ".join(f"{part.name} AS ({part.sql})" for part in parts) + " SELECT"
    assert _PARAMETER.sub("$", statement) == _PARAMETER.sub("$", expected)


def test_the_same_kinds_of_parts_give_the_very_same_statement() -> None:
    """So that the driver finds it prepared."""

    def statement(*values: int) -> str:
        return composed([Part("one", "SELECT $1, $2", values), Part("two", "SELECT $2, $1", values)])[0]

    assert statement(1, 2) is statement(3, 4)
    assert statement(1, 2) == "WITH one AS (SELECT $1, $2), two AS (SELECT $4, $3) SELECT"
