"""The history of one encounter in causal order: no event before the one that caused it."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Step:
    """One event of the history. `index` is its place in the trail, the order of arrival."""

    index: int
    event_id: UUID
    causation_id: UUID | None
    time: datetime
    told: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Steps in causal order, each with its depth, and parents that are named but not in the trail."""

    steps: tuple[tuple[Step, int], ...]
    missing_parents: tuple[UUID, ...]


def lineage_of(steps: Sequence[Step]) -> Lineage:
    """Orders by causation; what is not related keeps the order of time, then of arrival.

    A step whose parent is missing stands as a root. A circle of causes, which no honest source makes, is kept too:
    its steps come last.
    """
    known = {step.event_id for step in steps}
    children: dict[UUID | None, list[Step]] = {}
    for step in steps:
        parent = step.causation_id if step.causation_id in known else None
        children.setdefault(parent, []).append(step)
    ready = [(step.time, step.index, 0, step) for step in children.get(None, ())]
    heapq.heapify(ready)
    ordered: list[tuple[Step, int]] = []
    while ready:
        _, _, depth, step = heapq.heappop(ready)
        ordered.append((step, depth))
        for child in children.get(step.event_id, ()):
            heapq.heappush(ready, (child.time, child.index, depth + 1, child))
    placed = {step.index for step, _ in ordered}
    ordered += [(step, 0) for step in steps if step.index not in placed]
    missing = {step.causation_id for step in steps if step.causation_id is not None} - known
    return Lineage(tuple(ordered), tuple(sorted(missing)))
