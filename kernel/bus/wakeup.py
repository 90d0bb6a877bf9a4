"""Wakes the readers of the embedded log: those of this process at once, those of others by NOTIFY.

NOTIFY inside the appending transaction would make all commits of the server wait for each other (it takes an
instance-wide lock until its commit is durable). So it is sent after the commit, on a connection of its own that waits
for no disk, and at most every few milliseconds. A ring that is lost costs a poll, never a record.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from kernel.database import NOT_CONNECTED, Database
from kernel.telemetry import logger

CHANNEL = "firstnotice_bus"
GATHER_SECONDS = 0.004
"""Rings that come this close together are one."""

log = logger(__name__)


class Wakeup:
    """Doorbells of all topics; one object per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._me = uuid4().hex
        self._bells: dict[asyncio.Event, frozenset[str]] = {}
        self._rung: set[str] = set()
        self._ringing = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    def ring(self, topics: Collection[str]) -> None:
        """There is something new in these topics."""
        self._wake(topics)
        self._rung.update(topics)
        self._ringing.set()
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())

    @asynccontextmanager
    async def waiting(self, connection: Any, topics: Collection[str]) -> AsyncIterator[asyncio.Event]:
        """An event that every ring for these topics sets, whichever process rang; `connection` listens."""
        bell = asyncio.Event()
        self._bells[bell] = frozenset(topics)
        try:
            await connection.add_listener(CHANNEL, self._heard)
            yield bell
        finally:
            del self._bells[bell]

    async def close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
            self._sender = None

    def _heard(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        sender, *topics = payload.split()
        if sender != self._me:
            self._wake(topics)

    def _wake(self, topics: Collection[str]) -> None:
        for bell, its_topics in self._bells.items():
            if not its_topics.isdisjoint(topics):
                bell.set()

    async def _send(self) -> None:
        connection: Any = None
        while True:
            try:
                if connection is None or connection.is_closed():
                    connection = await self._database.session(synchronous_commit="off", idle_session_timeout="0")
                await self._ringing.wait()
                self._ringing.clear()
                await asyncio.sleep(GATHER_SECONDS)
                topics, self._rung = self._rung, set()
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, " ".join([self._me, *sorted(topics)]))
            except asyncio.CancelledError:
                if connection is not None:
                    connection.terminate()
                raise
            except (*NOT_CONNECTED,) as error:
                log.warning("readers in other processes are woken by their polls only", error=error)
                if connection is not None:
                    connection.terminate()
                await asyncio.sleep(1.0)
