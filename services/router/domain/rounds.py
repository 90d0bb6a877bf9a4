"""Cuts a batch of events so that it can be decided as a whole, and still in order for each subject."""

from collections.abc import Sequence
from uuid import UUID

from contracts.envelope import Event


def rounds(events: Sequence[Event]) -> list[list[Event]]:
    """The events, in order, cut so that no subject is met twice in one round: each sees what the one before left.

    An event about a whole encounter meets all of its subjects.
    """
    cut: list[list[Event]] = []
    last_of_subject: dict[UUID, int] = {}
    last_of_whole: dict[UUID, int] = {}
    last_of_any: dict[UUID, int] = {}
    for event in events:
        if event.subject_id is None:
            number = last_of_any.get(event.key, -1) + 1
            last_of_whole[event.key] = number
        else:
            number = max(last_of_subject.get(event.subject_id, -1), last_of_whole.get(event.key, -1)) + 1
            last_of_subject[event.subject_id] = number
        last_of_any[event.key] = max(number, last_of_any.get(event.key, -1))
        if number == len(cut):
            cut.append([])
        cut[number].append(event)
    return cut
