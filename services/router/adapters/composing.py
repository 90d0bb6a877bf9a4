"""Several statements as one, because a first notice waits for every round trip to the database.

PostgreSQL runs the parts on one snapshot and promises no order: none sees what another wrote, and no row may be written
by two of them. Foreign keys hold when all are done. A part that has to come after another reads what that one returns.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

_PARAMETER = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """A statement that writes, with parameters of its own from `$1`. Others may read what it returns, by its name."""

    name: str
    sql: str
    values: tuple[Any, ...]


def composed(parts: Iterable[Part]) -> tuple[str, list[Any]]:
    """One statement that does what these do, and its values. The same kinds of parts give the same text again, which
    the driver has prepared already."""
    shape: list[tuple[str, str, int]] = []
    values: list[Any] = []
    for part in parts:
        shape.append((part.name, part.sql, len(values)))
        values.extend(part.values)
    return _text(tuple(shape)), values


@cache
def _text(shape: tuple[tuple[str, str, int], ...]) -> str:
    return "WITH " + ", ".join(f"{name} AS ({_renumbered(sql, by)})" for name, sql, by in shape) + " SELECT"


def _renumbered(sql: str, by: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", sql)
