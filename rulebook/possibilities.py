"""Values as a report writes them: exact, or what is known of them, such as an income between two amounts.

"150000"  150000  true            exact, as the catalog types it
"14..17"  "..150000"  "2026-01-01.."    from the first to the second, both included; either end may be open
"lpr|refugee"                     one of these members of an enumeration

Numbers and days lie between the bounds of their fact, so that no value that was accepted is too much for an evaluator.
"""

from decimal import Decimal
from typing import Any

from rulebook.compiler import read_value
from rulebook.schema import FactSpec
from rulebook.values import Among, Interval, Value

_BETWEEN = ".."
_EITHER = "|"
_LONGEST = 64
"""Characters of a number or day."""
_PLACES = 15
"""Digits after the point of a decimal; with those before it, no more than arithmetic keeps."""


def read_reported(spec: FactSpec, raw: Any) -> Value | None:
    """The possibilities that a reported value leaves; None if it leaves all of them.

    Raises ValueError, which says what to write and repeats no value, if it does not fit the fact's type or bounds, or
    leaves nothing.
    """
    try:
        return _read(spec, raw)
    except ValueError:
        raise ValueError(f"write {_wanted(spec)}") from None


def _read(spec: FactSpec, raw: Any) -> Value | None:
    if isinstance(raw, str) and spec.type == "enum" and _EITHER in raw:
        members = frozenset(raw.split(_EITHER))
        if not members <= set(spec.values):
            raise ValueError("another member")
        return None if len(members) == len(spec.values) else Among(members)
    if isinstance(raw, str) and spec.bounds is not None and _BETWEEN in raw:
        low, high = (_end(spec, end) if end else None for end in raw.split(_BETWEEN, 1))
        if low is not None and high is not None and low > high:
            raise ValueError("the wrong way round")
        return Interval(low, high) if low != high else low
    exact: Value = _exact(spec, raw)
    return exact


def _end(spec: FactSpec, text: str) -> Any:
    return _exact(spec, int(text) if spec.type == "int" and len(text) <= _LONGEST else text)


def _exact(spec: FactSpec, raw: Any) -> Any:
    if spec.bounds is None:
        return read_value(spec, raw)
    if isinstance(raw, str) and len(raw) > _LONGEST:
        raise ValueError("too long")
    value = read_value(spec, raw)
    low, high = spec.bounds
    if not low <= value <= high or (isinstance(value, Decimal) and not _is_plain(value)):
        raise ValueError("out of bounds")
    return value


def _is_plain(number: Decimal) -> bool:
    """Without an exponent that makes it longer than it reads, such as 0e999999999."""
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and -_PLACES <= exponent <= _PLACES


def _wanted(spec: FactSpec) -> str:
    if spec.type == "enum":
        return f"one of {', '.join(spec.values)}, or several with {_EITHER} between them"
    if spec.bounds is None:
        return f"a value of type {spec.type}"
    low, high = spec.bounds
    places = f" with at most {_PLACES} digits after the point" if spec.type == "decimal" else ""
    return f"a value of type {spec.type} from {low} to {high}{places}, or a range with the lower end first"
