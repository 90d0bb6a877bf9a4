"""Records on the bus that no service of ours wrote: odd ones that are events all the same, and such as are none.

An odd event has to take effect like any other. What is no event has to be parked by each service that reads its
topic, once, and to delay nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Literal, Self
from uuid import UUID

from contracts.envelope import Event, encode_headers, encode_value, sequence_headers, shard_of
from contracts.events import (
    ACCESS,
    DETERMINATIONS,
    ENCOUNTERS,
    NOTICES,
    EncounterRetracted,
    EventData,
    RecordRead,
)
from tests.faults.campaign.ground import Ground
from tests.faults.campaign.log import OddHeaders, OddRecord
from tests.faults.campaign.plan import Scope

SOURCE = "/firstnotice/campaign"

Verdict = Literal["handled", "parked", "either"]
"""What has to become of a record. `either`: two releases may differ on it, but one of both it must be."""


@dataclass(frozen=True)
class Shape:
    """A way to be odd. `make` gives a record that takes `record`'s place."""

    verdict: Verdict
    make: Callable[[OddRecord], OddRecord]
    needs_kafka: bool = False


def _with(*more: tuple[str, bytes | None]) -> Callable[[OddRecord], OddRecord]:
    return lambda record: OddRecord(record.topic, record.key, (*record.headers, *more), record.value)


def _type_nobody_knows(record: OddRecord) -> OddRecord:
    headers: OddHeaders = tuple(
        (name, b"org.example.unheard-of.v9" if name == "ce_type" else value) for name, value in record.headers
    )
    return OddRecord(record.topic, record.key, headers, record.value)


def _id_twice(record: OddRecord) -> OddRecord:
    return OddRecord(
        record.topic, record.key, (*record.headers, ("ce_id", dict(record.headers)["ce_id"])), record.value
    )


SHAPES: Mapping[str, Shape] = {
    "header-null": Shape("handled", _with(("x-note", None))),
    "header-not-text": Shape("handled", _with(("x-note", b"\xff\xfe\x00\x80"))),
    "header-long": Shape("handled", _with(("x-note", b"n" * 200_000))),
    "header-twice": Shape("handled", _with(("x-note", b"1"), ("x-note", b"2"))),
    "id-twice": Shape("either", _id_twice),
    "garbage": Shape("parked", lambda one: OddRecord(one.topic, one.key, (("x-note", b""),), b"\x00\xff{no json")),
    "value-null": Shape("parked", lambda one: OddRecord(one.topic, one.key, one.headers, None)),
    "key-null": Shape("parked", lambda one: OddRecord(one.topic, None, (), b"no event"), needs_kafka=True),
    "type-unknown": Shape("parked", _type_nobody_knows),
}


@dataclass(frozen=True)
class Published:
    """Where a record went, and what has to become of it. `event_id` is None for what is no event."""

    topic: str
    partition: int
    offset: int
    verdict: Verdict
    event_id: UUID | None


@dataclass(frozen=True)
class Stranger:
    """One odd record, under a key that nothing else has."""

    shape: str
    topic: str
    key: UUID

    @classmethod
    def draw(cls, shape: str, random: Random, scope: Scope) -> Self:
        # Which event may be sent without harm depends on the topic; what is no event may be sent anywhere.
        topics = [ENCOUNTERS, ACCESS] + ([NOTICES, DETERMINATIONS] if SHAPES[shape].verdict == "parked" else [])
        return cls(shape, random.choice(topics), UUID(int=random.getrandbits(128), version=4))

    async def inject(self, ground: Ground) -> None:
        data: EventData
        if self.topic == ENCOUNTERS:
            data = EncounterRetracted(record_version=1, reason_code="campaign")
        else:
            data = RecordRead(object_kind="campaign", object_id=self.key, reader="campaign")
        await publish(ground, self.key, data, self.shape, topic=self.topic)


async def publish(ground: Ground, key: UUID, data: EventData, shape: str | None, *, topic: str | None = None) -> UUID:
    """Writes an event to the bus as a service would, in this shape; returns its id. Only while all servers are there,
    so that it is known where it went."""
    event = Event(
        id=ground.random_id(),
        time=datetime.now(UTC),
        source=SOURCE,
        data=data,
        key=key,
        jurisdiction="MO",
        correlation_id=ground.random_id(),
        encounter_id=key,
    )
    form = Shape("handled", lambda one: one) if shape is None else SHAPES[shape]
    shard = shard_of(key)
    is_event = form.verdict != "parked"
    async with ground.outage:
        sequence = ground.sequences[shard]
        headers: OddHeaders = (*encode_headers(event), *sequence_headers(shard, sequence))
        record = form.make(OddRecord(topic or event.topic, key, headers, encode_value(event)))
        partition, offset = await ground.log.append(record)
        ground.sequences[shard] += is_event
        ground.published.append(
            Published(record.topic, partition, offset, form.verdict, event.id if is_event else None)
        )
    return event.id
