"""The envelope of every event: CloudEvents 1.0 with firstnotice's extension attributes.

On Kafka and in the embedded log an event travels in binary mode (CloudEvents Kafka protocol binding 1.0, section
3.2): attributes as `ce_` headers, the value holds `data` (never about a person) and `sealed` (opaque).
"""

from base64 import b64decode, b64encode
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import orjson

from contracts.events import EventData, UnknownEventType, decode_data, encode_data

CONTENT_TYPE = "application/json"
SHARDS = 64
"""Outbox shards of every source; fixed for ever, because sequence numbers are dense per source and shard."""

Headers = tuple[tuple[str, bytes], ...]


class MalformedEvent(ValueError):
    """A record is not one of our events; says which attribute is missing or wrong, never its value."""


class SealedGroup(msgspec.Struct, frozen=True, array_like=True):
    """One sealed field group: AES-256-GCM ciphertext (nonce first) and the salted commitment to its plaintext."""

    ciphertext: bytes
    commitment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened, to at most one subject.

    `sequence` is dense per (`source`, `shard`) and stamped by the relay: a gap that stays is a lost event.
    `commitment` binds the sealed part without revealing it; `key_id` names the subject's data key at random.
    """

    id: UUID
    time: datetime
    source: str
    data: EventData
    key: UUID
    """Orders and partitions: the encounter, or the object of an access or trail event."""
    jurisdiction: str
    correlation_id: UUID
    """The first event of the chain."""
    causation_id: UUID | None = None
    """The event that caused this one; none for the first."""
    encounter_id: UUID | None = None
    subject_id: UUID | None = None
    agency: str | None = None
    law_version: str | None = None
    policy_version: str | None = None
    traceparent: str | None = None
    key_id: UUID | None = None
    commitment: bytes | None = None
    sealed: dict[str, SealedGroup] = field(default_factory=dict)
    shard: int = -1
    sequence: int = -1

    @property
    def type(self) -> str:
        return self.data.TYPE

    @property
    def topic(self) -> str:
        return self.data.TOPIC


def shard_of(key: UUID) -> int:
    """The outbox shard of a key, 0 to 63."""
    return key.int % SHARDS


def stamped(event: Event, shard: int, sequence: int) -> Event:
    """The event as the relay publishes it."""
    return replace(event, shard=shard, sequence=sequence)


# CloudEvents attribute names are lower-case letters and digits only.
_OPTIONAL_UUIDS = {name: "ce_" + name.replace("_", "") for name in ("causation_id", "encounter_id", "key_id")}
_OPTIONAL_TEXTS = {
    name: "ce_" + name.replace("_", "") for name in ("agency", "law_version", "policy_version", "traceparent")
}
_OPTIONAL = _OPTIONAL_UUIDS | _OPTIONAL_TEXTS
_ATTRIBUTES = frozenset(
    (
        *("ce_id", "ce_type", "ce_source", "ce_time", "ce_jurisdiction", "ce_correlationid", "ce_subject"),
        *("ce_commitment", "ce_shard", "ce_sequence", *_OPTIONAL.values()),
    )
)


def sequence_headers(shard: int, sequence: int) -> Headers:
    """The two headers that only the relay knows."""
    return (("ce_shard", b"%d" % shard), ("ce_sequence", b"%d" % sequence))


def encode_headers(event: Event) -> Headers:
    """All headers but shard and sequence, which `sequence_headers` adds at publication."""
    headers: list[tuple[str, bytes]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event.id).encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", event.source.encode()),
        ("ce_time", event.time.astimezone(UTC).isoformat().encode()),
        ("ce_jurisdiction", event.jurisdiction.encode()),
        ("ce_correlationid", str(event.correlation_id).encode()),
    ]
    if event.subject_id is not None:
        headers.append(("ce_subject", str(event.subject_id).encode()))
    for name, header in _OPTIONAL.items():
        value = getattr(event, name)
        if value is not None:
            headers.append((header, str(value).encode()))
    if event.commitment is not None:
        headers.append(("ce_commitment", event.commitment.hex().encode()))
    headers.append(("content-type", CONTENT_TYPE.encode()))
    return tuple(headers)


def encode_value(event: Event) -> bytes:
    """The record's value: `{"data": ..., "sealed": {group: {"c": base64, "h": hex}}}`."""
    body: dict[str, Any] = {"data": encode_data(event.data)}
    if event.sealed:
        body["sealed"] = {
            group: {"c": b64encode(part.ciphertext).decode(), "h": part.commitment.hex()}
            for group, part in event.sealed.items()
        }
    return orjson.dumps(body)


def decode(key: bytes, headers: Headers, value: bytes) -> Event:
    """The event that a record carries.

    Raises MalformedEvent, or UnknownEventType for a type this version does not read: such a record is parked.
    """
    try:
        # Ours alone: brokers, agents and later releases add what they like, in whatever form they like.
        attributes = {name: content.decode() for name, content in headers if name in _ATTRIBUTES}
        body = orjson.loads(value)
        optional: dict[str, Any] = {
            name: UUID(attributes[header]) for name, header in _OPTIONAL_UUIDS.items() if header in attributes
        }
        optional |= {name: attributes[header] for name, header in _OPTIONAL_TEXTS.items() if header in attributes}
        if "ce_subject" in attributes:
            optional["subject_id"] = UUID(attributes["ce_subject"])
        if "ce_commitment" in attributes:
            optional["commitment"] = bytes.fromhex(attributes["ce_commitment"])
        return Event(
            id=UUID(attributes["ce_id"]),
            time=_moment(attributes["ce_time"]),
            source=attributes["ce_source"],
            data=decode_data(attributes["ce_type"], body["data"]),
            key=UUID(key.decode()),
            jurisdiction=attributes["ce_jurisdiction"],
            correlation_id=UUID(attributes["ce_correlationid"]),
            sealed={
                group: SealedGroup(b64decode(part["c"]), bytes.fromhex(part["h"]))
                for group, part in body.get("sealed", {}).items()
            },
            shard=_number(attributes["ce_shard"], SHARDS),
            sequence=_number(attributes["ce_sequence"], 2**63),
            **optional,
        )
    except UnknownEventType:
        raise
    except KeyError as error:
        raise MalformedEvent(f"attribute or member {error} is missing") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise MalformedEvent(f"an attribute or the value does not parse ({type(error).__name__})") from None


def _number(text: str, end: int) -> int:
    number = int(text)
    if not 0 <= number < end:
        raise ValueError("a number is out of its range")
    return number


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment has no offset")
    return moment
