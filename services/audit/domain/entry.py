"""A trail entry: what is kept of one event for ever, in canonical JSON, with nothing about a person in it.

The format stands in docs/trail.md. Ids, times, versions, the public data and the producer's salted commitment are in
it; sealed parts are not, so an erased subject leaves nothing behind but random ids.
"""

from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import Any, Literal

import orjson

from contracts.envelope import Event
from contracts.events import encode_data
from kernel.bus import Delivery

FORMAT = "firstnotice-trail-entry/v1"
MAX_ENTRY_BYTES = 65_535
"""Largest entry that a bundle of C2SP tlog-tiles can hold."""

EntryKind = Literal["event", "conflict"]
"""`conflict`: an event id that came again with other content; both stay."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry before it has its place. `digest` tells whether two deliveries carried the same event."""

    kind: EntryKind
    event: Event
    delivery: Delivery
    content: bytes
    digest: bytes
    generation: str

    @property
    def leaf_hash(self) -> bytes:
        """SHA-256(0x00 || entry): the leaf of RFC 6962, section 2.1."""
        return sha256(b"\x00" + self.content).digest()


def canonical(value: Any) -> bytes:
    """JSON as RFC 8785 writes it, for values without floats and with ASCII member names."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def entry_of(event: Event, delivery: Delivery, *, bus: str, generation: str, kind: EntryKind = "event") -> Entry:
    """The entry of an event as it was delivered. Raises ValueError when it is larger than an entry may be."""
    told = {name: value for name, value in _told(event).items() if value is not None}
    content = canonical(
        {
            "format": FORMAT,
            "kind": kind,
            "event": told,
            "position": {
                "bus": bus,
                "generation": generation,
                "topic": delivery.position.topic,
                "partition": delivery.position.partition,
                "offset": delivery.offset,
            },
        }
    )
    if len(content) > MAX_ENTRY_BYTES:
        raise ValueError("an entry is larger than 65,535 bytes")
    return Entry(kind, event, delivery, content, sha256(canonical(told)).digest(), generation)


def _told(event: Event) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "type": event.type,
        "time": event.time.astimezone(UTC).isoformat(),
        "source": event.source,
        "shard": event.shard,
        "sequence": event.sequence,
        "key": str(event.key),
        "encounter_id": _text(event.encounter_id),
        "subject_id": _text(event.subject_id),
        "causation_id": _text(event.causation_id),
        "correlation_id": str(event.correlation_id),
        "agency": event.agency,
        "jurisdiction": event.jurisdiction,
        "law_version": event.law_version,
        "policy_version": event.policy_version,
        "key_id": _text(event.key_id),
        "commitment": None if event.commitment is None else event.commitment.hex(),
        "groups": sorted(event.sealed) or None,
        "data": encode_data(event.data),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
