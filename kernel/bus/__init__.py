"""The port to the event log: records in, batches out, order kept per key.

Two implementations keep the same promises (`tests/contract/bus/`): Apache Kafka, and a log in PostgreSQL.
Offsets are not the bus's business: `kernel.events.inbox` keeps them in the consumer's database, with the effect.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from contracts.envelope import Headers

LARGEST_RECORD = 900_000
"""Bytes of headers and value together that every bus carries: topics are made for it, and nothing larger is taken."""


@dataclass(frozen=True, slots=True)
class Record:
    """One message; records of one key keep their order."""

    topic: str
    key: UUID
    headers: Headers
    value: bytes


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """One partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Delivery:
    position: Position
    offset: int
    record: Record
    published_at: float | None = None
    """When the log took it, in seconds since 1970, as the log says."""


class Subscription(Protocol):
    """One member of a consumer group. Not for use by several tasks at once."""

    async def fetch(self, max_records: int, seconds: float) -> Sequence[Delivery]:
        """Records after each assigned partition's position; waits up to `seconds` for the first. Raises Unavailable."""

    def assigned(self) -> frozenset[Position]:
        """The partitions that this member owns now; may change at each fetch."""

    def seek(self, position: Position, offset: int) -> None:
        """Continue this partition at `offset`."""

    async def handled(self, through: Mapping[Position, "Handled"]) -> None:
        """Tells the log how far this group is, so that it may forget; never raises for a log that is away."""


@dataclass(frozen=True, slots=True)
class Handled:
    """What a group has handled of a partition without a hole: offsets from `since` to before `next`."""

    generation: str
    since: int
    next: int

    def covers(self, generation: str, offset: int) -> bool:
        return self.generation == generation and self.since <= offset < self.next


@dataclass(frozen=True, slots=True)
class Extent:
    """What is in a partition: the first offset that is still there, and the next one to be written."""

    first: int
    end: int


class Bus(Protocol):
    name: str

    async def start(self) -> None:
        """Raises Unavailable."""

    async def generations(self, topics: Collection[str]) -> Mapping[str, str]:
        """Identity of the log of each topic that there is: another value means other offsets. Raises Unavailable."""

    async def extents(self, topics: Collection[str]) -> Mapping[Position, Extent]:
        """All partitions of these topics. Raises Unavailable."""

    def subscribe(
        self, group: str, topics: Sequence[str], member: str | None
    ) -> AbstractAsyncContextManager[Subscription]:
        """Joins a consumer group; leaving the block leaves the group. `member` names a member that comes back."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it is kept until the log has it."""

    shard: int
    topic: str
    key: UUID
    event_id: UUID
    headers: bytes
    """`kernel.events.outbox.pack_headers`, without shard and sequence."""
    value: bytes


@runtime_checkable
class Log(Protocol):
    """A bus that lives in the producer's own database: what is appended is in the log when the transaction commits."""

    async def append(self, driver: Any, messages: Sequence[Message]) -> None:
        """Numbers the messages and writes the log; the last act of the transaction of `driver`."""

    def announce(self, topics: Collection[str]) -> None:
        """Wakes readers; called after the commit."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a record is now: durable."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The log will never take this record as it is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The record may be there or not: send it again, and those after it."""

    reason: str


Outcome = Placed | Refused | Unconfirmed


@dataclass(frozen=True, slots=True)
class Parcel:
    """Records that go together, because they share a partition: indexes into what was given, and what became of each.

    The task never raises.
    """

    indexes: Sequence[int]
    outcomes: "asyncio.Task[Sequence[Outcome]]"


@runtime_checkable
class Broker(Protocol):
    """A bus apart from the producer's database: the relay takes events to it, and hears of each record."""

    async def publish(self, records: Sequence[tuple[int, Record]]) -> Sequence[Parcel]:
        """Sends records, each with its shard: those of one shard in order, and to one partition."""

    async def handled(
        self, groups: Collection[str], topics: Collection[str]
    ) -> Mapping[str, Mapping[Position, Handled]]:
        """How far each group is, as it said last. Raises Unavailable."""
