"""Strong Kleene logic: the only logic in which a missing fact never turns into a yes or a no."""

from collections.abc import Iterable
from enum import IntEnum


class Truth(IntEnum):
    """Ordered: `all` is the least of its operands and `any` the greatest, whatever their order."""

    FALSE = 0
    UNKNOWN = 1
    TRUE = 2


_NOT = (Truth.TRUE, Truth.UNKNOWN, Truth.FALSE)


def truth(value: bool) -> Truth:
    return Truth.TRUE if value else Truth.FALSE


def kleene_all(operands: Iterable[Truth]) -> Truth:
    """TRUE for no operands."""
    result = Truth.TRUE
    for operand in operands:
        if operand is Truth.FALSE:
            return operand
        if operand is Truth.UNKNOWN:
            result = operand
    return result


def kleene_any(operands: Iterable[Truth]) -> Truth:
    """FALSE for no operands."""
    result = Truth.FALSE
    for operand in operands:
        if operand is Truth.TRUE:
            return operand
        if operand is Truth.UNKNOWN:
            result = operand
    return result


def kleene_not(operand: Truth) -> Truth:
    return _NOT[operand]


def kleene_at_least(count: int, operands: Iterable[Truth]) -> Truth:
    """At least `count` operands hold."""
    found = list(operands)
    if found.count(Truth.TRUE) >= count:
        return Truth.TRUE
    return Truth.FALSE if len(found) - found.count(Truth.FALSE) < count else Truth.UNKNOWN
