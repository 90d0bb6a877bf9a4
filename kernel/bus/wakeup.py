"""Wakes the readers of the embedded log: those of this process at once, those of others by NOTIFY.

NOTIFY inside the appending transaction would make all commits of the server wait for each other (it takes an
instance-wide lock until its commit is durable). So it is sent after the commit, at most every few milliseconds, on a
connection of its own that waits for no disk. It also listens; a connection that holds locks must not, because the
server cannot end a session that waits for its client to read. A ring that is lost costs a poll, never a record.
"""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from kernel.database import NOT_CONNECTED, Database
from kernel.telemetry import logger

CHANNEL = "firstnotice_bus"
GATHER_SECONDS = 0.004
"""Rings that come this close together are one."""
AGAIN_SECONDS = 1.0

log = logger(__name__)


class Wakeup:
    """Doorbells of all topics; one object per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._me = uuid4().hex
        self._bells: dict[asyncio.Event, frozenset[str]] = {}
        self._rung: set[str] = set()
        self._ringing = asyncio.Event()
        self._carrying: asyncio.Task[None] | None = None

    def ring(self, topics: Collection[str]) -> None:
        """There is something new in these topics."""
        self._wake(topics)
        self._rung.update(topics)
        self._ringing.set()
        self._start()

    @contextmanager
    def waiting(self, topics: Collection[str]) -> Iterator[asyncio.Event]:
        """An event that every ring for these topics sets, whichever process rang."""
        bell = asyncio.Event()
        self._bells[bell] = frozenset(topics)
        self._start()
        try:
            yield bell
        finally:
            del self._bells[bell]

    async def close(self) -> None:
        if self._carrying is not None:
            self._carrying.cancel()
            await asyncio.gather(self._carrying, return_exceptions=True)
            self._carrying = None

    def _start(self) -> None:
        if self._carrying is None:
            self._carrying = asyncio.create_task(self._carry())

    def _heard(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        sender, *topics = payload.split()
        if sender != self._me:
            self._wake(topics)

    def _wake(self, topics: Collection[str]) -> None:
        for bell, its_topics in self._bells.items():
            if not its_topics.isdisjoint(topics):
                bell.set()

    async def _carry(self) -> None:
        """Tells other processes of our rings, and hears of theirs; for ever."""
        while True:
            connection: Any = None
            try:
                connection = await self._database.session(synchronous_commit="off", idle_session_timeout="0")
                await connection.add_listener(CHANNEL, self._heard)
                connection.add_termination_listener(lambda _: self._ringing.set())
                while True:
                    await self._ringing.wait()
                    self._ringing.clear()
                    await asyncio.sleep(GATHER_SECONDS)
                    topics, self._rung = self._rung, set()
                    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, " ".join([self._me, *sorted(topics)]))
            except NOT_CONNECTED as error:
                log.warning("readers in other processes are woken by their polls only", error=error)
                await asyncio.sleep(AGAIN_SECONDS)
            finally:
                if connection is not None:
                    connection.terminate()
