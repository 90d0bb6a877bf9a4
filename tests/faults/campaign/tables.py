"""Faults in the database: what a deploy or an administrator does beside replicas that run."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Self

from tests.faults.campaign.ground import Ground
from tests.faults.campaign.plan import Scope


@dataclass(frozen=True)
class Column:
    """A column more, as the next release's migration adds it: plans that were prepared before are stale."""

    table: str
    number: int

    @classmethod
    def draw(cls, random: Random, scope: Scope) -> Self:
        return cls(random.choice(scope.tables), random.randrange(10**6))

    async def inject(self, ground: Ground) -> None:
        await ground.execute(f"ALTER TABLE {self.table} ADD COLUMN IF NOT EXISTS campaign_{self.number} int")


@dataclass(frozen=True)
class Away:
    """A table is not there for a moment."""

    table: str
    seconds: float

    @classmethod
    def draw(cls, random: Random, scope: Scope) -> Self:
        return cls(random.choice(scope.tables), round(random.uniform(1.0, 3.0), 1))

    async def inject(self, ground: Ground) -> None:
        schema, name = self.table.split(".")
        # `IF EXISTS`, because whether a statement took effect is not known when its answer was lost.
        async with ground.alone(self.table):
            try:
                await ground.execute(f"ALTER TABLE IF EXISTS {self.table} RENAME TO {name}_away")
                await asyncio.sleep(self.seconds)
            finally:
                await ground.execute(f"ALTER TABLE IF EXISTS {schema}.{name}_away RENAME TO {name}")


@dataclass(frozen=True)
class Rights:
    """A service may not use one of its tables for a moment."""

    table: str
    seconds: float

    @classmethod
    def draw(cls, random: Random, scope: Scope) -> Self:
        return cls(random.choice(scope.owned), round(random.uniform(1.0, 3.0), 1))

    async def inject(self, ground: Ground) -> None:
        owner = f"fn_{self.table.split('.')[0]}"
        async with ground.alone(self.table):
            try:
                await ground.execute(f"REVOKE ALL ON {self.table} FROM {owner}")
                await asyncio.sleep(self.seconds)
            finally:
                await ground.execute(f"GRANT ALL ON {self.table} TO {owner}")
