"""Strong Kleene logic: the only logic in which a missing fact never turns into a yes or a no."""

from collections.abc import Iterable
from enum import IntEnum


class Truth(IntEnum):
    """Two bits: the lower says that it can be true, the upper that it must be.

    So ordered, `all` is the least of its operands and `any` the greatest, whatever their order; and for whole columns
    of codes they are bitwise and and or.
    """

    FALSE = 0b00
    UNKNOWN = 0b01
    TRUE = 0b11


NEGATED = (Truth.TRUE, Truth.UNKNOWN, Truth.UNKNOWN, Truth.FALSE)
"""By code; 0b10, that it must be true but cannot be, does not occur."""


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
    return NEGATED[operand]


def kleene_at_least(count: int, operands: Iterable[Truth]) -> Truth:
    """At least `count` operands hold."""
    found = list(operands)
    if found.count(Truth.TRUE) >= count:
        return Truth.TRUE
    return Truth.FALSE if len(found) - found.count(Truth.FALSE) < count else Truth.UNKNOWN
