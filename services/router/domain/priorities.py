"""The order of urgency, as code and database number it."""

from contracts.events import PriorityClass

PRIORITIES: tuple[PriorityClass, ...] = ("first_notice", "correction", "determination", "replay")
"""Most urgent first; the position is what the database stores."""


def priority_number(priority: PriorityClass) -> int:
    return PRIORITIES.index(priority)
