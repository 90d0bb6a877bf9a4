"""The port to the event log: records in, batches out, order kept per key.

Two implementations keep the same promises (`tests/contract/test_bus.py`): Apache Kafka, and a log in PostgreSQL.
Offsets are not the bus's business: `kernel.inbox` keeps them in the consumer's database, with the effect.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from contracts.envelope import Headers


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


class Subscription(Protocol):
    """One member of a consumer group. Not for use by several tasks at once."""

    async def fetch(self, max_records: int, seconds: float) -> Sequence[Delivery]:
        """Records after each assigned partition's position; waits up to `seconds` for the first. Raises Unavailable."""

    def assigned(self) -> frozenset[Position]:
        """The partitions that this member owns now; may change at each fetch."""

    async def bounds(self, positions: Sequence[Position]) -> Mapping[Position, tuple[int, int]]:
        """First offset that is still there and the next one to be written, per partition. Raises Unavailable."""

    def seek(self, position: Position, offset: int) -> None:
        """Continue this partition at `offset`."""

    async def handled(self, nexts: Mapping[Position, int]) -> None:
        """Tells the broker how far we are, for its own displays only; never raises for a broker that is away."""


class Bus(Protocol):
    name: str
    transactional: bool
    """True when `publish` is part of the given database transaction."""

    async def start(self) -> None:
        """Raises Unavailable."""

    async def publish(self, records: Sequence[Record], driver: Any) -> None:
        """All records are durable in order when this returns. Raises Unavailable: then each may be there or not.

        `driver` is the open transaction's connection, which only a transactional bus uses.
        """

    def announce(self, topics: Collection[str]) -> None:
        """Wakes readers in this process; called after the commit of a transactional publish."""

    async def generation(self) -> str:
        """Identity of this log: another value means other offsets. Raises Unavailable."""

    def subscribe(self, group: str, topics: Sequence[str], member: str) -> AbstractAsyncContextManager[Subscription]:
        """Joins a consumer group; leaving the block leaves the group."""

    async def close(self) -> None: ...
