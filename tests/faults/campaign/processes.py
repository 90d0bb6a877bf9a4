"""Faults of processes: killed, stopped for a while, joined and left by another replica."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Self

from tests.faults.campaign.ground import Ground
from tests.faults.campaign.plan import Scope


@dataclass(frozen=True)
class Kill:
    """SIGKILL; it is started again at once."""

    process: str

    @classmethod
    def draw(cls, random: Random, scope: Scope) -> Self:
        return cls(random.choice(scope.processes + scope.recipients))

    async def inject(self, ground: Ground) -> None:
        ground.world.processes[self.process].kill()


@dataclass(frozen=True)
class Pause:
    """SIGSTOP, and later SIGCONT: it does not know that time has passed, and goes on in the middle of what it did."""

    process: str
    seconds: float

    @classmethod
    def draw(cls, random: Random, scope: Scope) -> Self:
        return cls(random.choice(scope.processes), scope.seconds(random))

    async def inject(self, ground: Ground) -> None:
        go_on = ground.world.processes[self.process].pause()
        try:
            await asyncio.sleep(self.seconds)
        finally:
            go_on()


@dataclass(frozen=True)
class Rebalance:
    """A second replica of a service comes, takes its share of the work, and goes: in order or killed."""

    service: str
    seconds: float
    killed: bool

    @classmethod
    def draw(cls, random: Random, scope: Scope) -> Self:
        return cls(random.choice(scope.services), scope.seconds(random), random.random() < 0.5)

    async def inject(self, ground: Ground) -> None:
        async with ground.replica(self.service, killed=self.killed):
            await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class PauseReplica:
    """A second replica comes, is stopped for a while, goes on, and leaves."""

    service: str
    seconds: float

    @classmethod
    def draw(cls, random: Random, scope: Scope) -> Self:
        return cls(random.choice(scope.services), scope.seconds(random))

    async def inject(self, ground: Ground) -> None:
        async with ground.replica(self.service, killed=False) as replica:
            await asyncio.sleep(1)
            go_on = replica.pause()
            try:
                await asyncio.sleep(self.seconds)
            finally:
                go_on()
            await asyncio.sleep(1)
