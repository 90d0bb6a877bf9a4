"""Faults of the servers and of the ways to them. One server at most is away at a time."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.faults.campaign.ground import Ground
from tests.faults.campaign.plan import Scope
from tests.support.proxy import Direction, Proxy

Server = Literal["postgres", "kafka"]


@dataclass(frozen=True)
class Outage:
    """A server ends, by SIGKILL or in order, and comes again after a while."""

    server: Server
    killed: bool
    seconds: float

    async def inject(self, ground: Ground) -> None:
        server = ground.postgres if self.server == "postgres" else ground.broker
        assert server is not None
        async with ground.outage:
            try:
                await asyncio.to_thread(server.kill if self.killed else server.stop)
                await asyncio.sleep(self.seconds)
            finally:
                await asyncio.to_thread(server.start)


@dataclass(frozen=True)
class Swallow:
    """What goes between a process and a server goes nowhere for a while, and nobody is told."""

    server: Server
    process: str
    direction: Direction
    seconds: float

    async def inject(self, ground: Ground) -> None:
        way = ways(ground, self.server)[self.process]
        async with ground.alone(f"{self.server} of {self.process}"):
            try:
                way.swallow(self.direction)
                await asyncio.sleep(self.seconds)
            finally:
                way.restore()


@dataclass(frozen=True)
class Reset:
    """Every connection between a process and a server is cut."""

    server: Server
    process: str

    async def inject(self, ground: Ground) -> None:
        ways(ground, self.server)[self.process].reset()


def ways(ground: Ground, server: Server) -> Mapping[str, Proxy]:
    return ground.ways_to_postgres if server == "postgres" else ground.ways_to_kafka


@dataclass(frozen=True)
class Drawing:
    """Draws faults of one server."""

    server: Server

    def killed(self, random: Random, scope: Scope) -> Outage:
        return Outage(self.server, True, _away(random))

    def restarted(self, random: Random, scope: Scope) -> Outage:
        return Outage(self.server, False, _away(random))

    def swallowed(self, random: Random, scope: Scope) -> Swallow:
        directions: list[Direction] = ["up", "down", "both"]
        return Swallow(self.server, random.choice(scope.processes), random.choice(directions), scope.seconds(random))

    def reset(self, random: Random, scope: Scope) -> Reset:
        return Reset(self.server, random.choice(scope.processes))


def _away(random: Random) -> float:
    return round(random.uniform(0.0, 3.0), 1)
