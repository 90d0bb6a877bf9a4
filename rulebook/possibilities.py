"""Values as a report writes them: exact, or what is known of them, such as an income between two amounts.

"150000"  150000  true            exact, as the catalog types it
"14..17"  "..150000"  "2026-01-01.."    from the first to the second, both included; either end may be open
"lpr|refugee"                     one of these members of an enumeration
"""

from typing import Any

from rulebook.compiler import read_value
from rulebook.schema import FactSpec
from rulebook.values import Among, Interval, Value

_BETWEEN = ".."
_EITHER = "|"


def read_reported(spec: FactSpec, raw: Any) -> Value | None:
    """The possibilities that a reported value leaves; None if it leaves all of them.

    Raises ValueError if it does not fit the fact's type, or leaves nothing.
    """
    if isinstance(raw, str) and spec.type == "enum" and _EITHER in raw:
        members = frozenset(raw.split(_EITHER))
        if not members <= set(spec.values):
            raise ValueError(f"write one of {', '.join(spec.values)}, or several with {_EITHER} between them")
        return None if len(members) == len(spec.values) else Among(members)
    if isinstance(raw, str) and spec.type in ("int", "decimal", "date") and _BETWEEN in raw:
        low, high = (_end(spec, end) if end else None for end in raw.split(_BETWEEN, 1))
        if low is not None and high is not None and low > high:
            raise ValueError("write the lower end first")
        return Interval(low, high) if low != high else low
    exact: Value = read_value(spec, raw)
    return exact


def _end(spec: FactSpec, text: str) -> Any:
    if spec.type != "int":
        return read_value(spec, text)
    try:
        return int(text)
    except ValueError:
        raise ValueError("write whole numbers at both ends") from None
