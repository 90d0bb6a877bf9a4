"""What a campaign is fought on: a world, its private servers, the ways to them, and what was written from outside."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import httpx

from launcher.broker import LocalBroker
from launcher.postgres import EmbeddedPostgres
from tests.faults.campaign.log import Log
from tests.faults.world import Process, World
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from tests.faults.campaign.strangers import Published

PERSISTENT_SECONDS = 180.0
"""For how long something is tried that has to work in the end."""
JOIN_SECONDS = 30.0

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when a statement did not come through or was refused."""


@dataclass
class Ground:
    """Faults strike it; whoever wants something of it that lasts asks here."""

    world: World
    postgres: EmbeddedPostgres
    broker: LocalBroker | None
    ways_to_postgres: Mapping[str, Proxy]
    """By process."""
    ways_to_kafka: Mapping[str, Proxy]
    log: Log
    random: Random
    published: "list[Published]" = field(default_factory=list)
    sequences: Counter[int] = field(default_factory=Counter)
    """Next sequence number of each shard of what the campaign itself tells."""
    outage: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a server is away, and by who needs all of them."""
    _alone: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def random_id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def alone(self, what: str) -> asyncio.Lock:
        """Held by the one fault that may strike this at a time."""
        return self._alone[what]

    async def execute(self, statement: str) -> None:
        """As administrator, again and again until it works. Gives way to the services rather than to queue them up."""
        deadline = asyncio.get_running_loop().time() + PERSISTENT_SECONDS
        while True:
            try:
                connection = await asyncpg.connect(self.world.dsn, server_settings={"lock_timeout": "500"})
                try:
                    await connection.execute(statement)
                    return
                finally:
                    connection.terminate()
            except AWAY:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.2)

    @asynccontextmanager
    async def replica(self, service: str, *, killed: bool) -> AsyncIterator[Process]:
        """A second replica that works during the block, if it comes to that in time; then it is gone."""
        async with self.alone(f"replica of {service}"):
            process = self.world.join(service)
            try:
                await self._until_ready(f"http://127.0.0.1:{process.ports[service]}/readyz")
                yield process
            finally:
                self.world.leave(process)
                if killed:
                    process.kill()
                else:
                    await asyncio.to_thread(process.leave)

    async def _until_ready(self, url: str) -> None:
        deadline = asyncio.get_running_loop().time() + JOIN_SECONDS
        async with httpx.AsyncClient(timeout=2) as http:
            while asyncio.get_running_loop().time() < deadline:
                try:
                    if (await http.get(url)).is_success:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.2)
