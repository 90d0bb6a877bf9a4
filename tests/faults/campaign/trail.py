"""What the trail alone says of a campaign: pure decisions on its entries, in the order of their places."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from contracts.events import ENCOUNTERS, EncounterAmended, EncounterReported, ObligationDecided


@dataclass(frozen=True, slots=True)
class Entry:
    index: int
    kind: str
    event_id: UUID
    type: str
    source: str
    shard: int
    sequence: int
    topic: str
    key: str
    subject_id: str | None
    causation_id: UUID | None
    data: Mapping[str, Any]


def entry(row: Mapping[str, Any]) -> Entry:
    """A row of `audit.entry`."""
    told = orjson.loads(row["content"])["event"]
    cause = told.get("causation_id")
    return Entry(
        index=row["index"],
        kind=row["kind"],
        event_id=row["event_id"],
        type=told["type"],
        source=told["source"],
        shard=told["shard"],
        sequence=told["sequence"],
        topic=row["topic"],
        key=told["key"],
        subject_id=told.get("subject_id"),
        causation_id=UUID(cause) if cause else None,
        data=told["data"],
    )


def missing_numbers(entries: Iterable[Entry], sources: Iterable[str]) -> list[str]:
    """Sequence numbers of these sources that have no entry though a later one has."""
    numbers: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for one in entries:
        numbers[one.source, one.shard].add(one.sequence)
    wanted = set(sources)
    return [
        f"{source} shard {shard}: number {number} is not in the trail"
        for (source, shard), seen in sorted(numbers.items())
        if source in wanted
        for number in sorted(set(range(max(seen) + 1)) - seen)
    ]


def doubled(entries: Sequence[Entry]) -> list[str]:
    """Events with two entries, and numbers that two events share."""
    events = Counter(one.event_id for one in entries)
    numbers = Counter((one.source, one.shard, one.sequence) for one in entries if one.kind == "event")
    return [
        *(f"event {event} has {count} entries" for event, count in events.items() if count > 1),
        *(f"{source} shard {shard}: {count} events have the number {number}"
          for (source, shard, number), count in numbers.items() if count > 1),
        *(f"event {one.event_id} came again with other content" for one in entries if one.kind != "event"),
    ]  # fmt: skip


def out_of_order(entries: Sequence[Entry]) -> list[str]:
    """Events of one key, source and topic that came in another order than they were numbered."""
    last: dict[tuple[str, str, str], int] = {}
    found = []
    for one in entries:
        key = (one.source, one.topic, one.key)
        if one.sequence < last.get(key, -1):
            found.append(f"{one.type} of {one.key}: number {one.sequence} came after {last[key]}")
        last[key] = max(one.sequence, last.get(key, -1))
    return found


def decided_out_of_order(entries: Sequence[Entry]) -> list[str]:
    """Decisions on a subject whose causes came in another order than the decisions."""
    by_id = {one.event_id: one for one in entries}
    last: dict[str | None, int] = {}
    found = []
    for one in entries:
        if one.type != ObligationDecided.TYPE:
            continue
        cause = _root(one, by_id)
        if cause is None:
            continue
        if cause.index < last.get(one.subject_id, -1):
            found.append(f"subject {one.subject_id}: decided on what an earlier event said, after a later one")
        last[one.subject_id] = max(cause.index, last.get(one.subject_id, -1))
    return found


def _root(one: Entry, by_id: Mapping[UUID, Entry]) -> Entry | None:
    """The event about the encounter that a decision goes back to, perhaps by way of earlier decisions."""
    current: Entry | None = one
    for _ in range(100):
        if current is None or current.topic == ENCOUNTERS:
            break
        current = by_id.get(current.causation_id) if current.causation_id else None
    return current


def versions(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """By encounter, its reports and amendments as they came."""
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for one in entries:
        if one.type in (EncounterReported.TYPE, EncounterAmended.TYPE):
            found[one.key].append(one)
    return found
