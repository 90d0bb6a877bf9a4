"""Runs a campaign: faults on a working installation, then healing, then the examination."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from random import Random
from time import monotonic
from typing import Any

import asyncpg

from tests.faults.campaign.ground import Ground
from tests.faults.campaign.kinds import kinds
from tests.faults.campaign.lives import Life, Load
from tests.faults.campaign.plan import Planned, Scope, schedule
from tests.faults.campaign.verdict import Findings, Seen, examine

AT_ONCE = 4
"""Faults under way at the same time, at most."""
HEAL_SECONDS = 0.3
"""How soon a dead process is started again."""


@dataclass(frozen=True)
class Plan:
    """`kinds`: the faults that may strike. `settles`: how long healing may take, in seconds."""

    seed: int
    seconds: float
    kinds: frozenset[str]
    longest: float = 25.0
    rate: float = 3.0
    at_once: int = AT_ONCE
    gaps: tuple[float, float] = (0.5, 4.0)
    settles: float = 240.0


@dataclass(frozen=True)
class Struck:
    """A fault that was injected, when, and how long it lasted."""

    at: float
    kind: str
    what: str
    seconds: float


@dataclass(frozen=True)
class Result:
    plan: Plan
    struck: Sequence[Struck]
    findings: Findings
    seen: Seen
    lives: Sequence[Life]
    deaths: int
    answers: dict[int, int]
    settled_after: float

    def shown(self, most: int | None = None) -> dict[str, Any]:
        """As one JSON object, with at most so many findings of each sort."""
        return {
            "seed": self.plan.seed,
            "seconds": self.plan.seconds,
            "faults": dict(sorted(Counter(one.kind for one in self.struck).items())),
            "deaths": self.deaths,
            "encounters_accepted": sum(life.begun for life in self.lives),
            "amendments_accepted": sum(max(0, len(life.versions) - 1) for life in self.lives),
            "retracted": sum(life.retracted_by is not None for life in self.lives),
            "events_published": self.seen.published,
            "events_handled": self.seen.handled,
            "events_parked": self.seen.parked,
            **{one.name: len(getattr(self.findings, one.name)) for one in fields(Findings)},
            "settled_after_seconds": round(self.settled_after, 1),
            "answers": {str(status): count for status, count in sorted(self.answers.items())},
            "findings": {one.name: list(getattr(self.findings, one.name))[:most] for one in fields(Findings)},
            "schedule": [[one.at, one.kind, one.what, one.seconds] for one in self.struck],
        }


async def scope_of(ground: Ground, longest: float) -> Scope:
    """What there is to strike here."""
    connection = await asyncpg.connect(ground.world.dsn)
    try:
        rows = await connection.fetch(
            """
            SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE nspname = ANY($1::text[]) AND relkind IN ('r', 'p') AND NOT relispartition
                AND relname NOT LIKE 'alembic%' ORDER BY 1, 2
            """,
            ["intake", "router", "eligibility", "audit", "keys", *([] if ground.broker else ["bus"])],
        )
    finally:
        await connection.close()
    tables = [f"{row['nspname']}.{row['relname']}" for row in rows]
    named = sorted(ground.world.processes)
    return Scope(
        kafka=ground.broker is not None,
        processes=tuple(name for name in named if name in ground.ways_to_postgres),
        recipients=tuple(name for name in named if name not in ground.ways_to_postgres),
        services=("audit", "eligibility", "intake", "router"),
        tables=tuple(tables),
        owned=tuple(table for table in tables if table.split(".")[0] not in ("keys", "bus")),
        longest=longest,
    )


async def run(ground: Ground, plan: Plan, say: Callable[[str], None] = lambda line: None) -> Result:
    """The whole campaign. Raises only when it could not be carried out; what it found is in the result."""
    scope = await scope_of(ground, plan.longest)
    chosen = {name: draw for name, draw in kinds(kafka=scope.kafka).items() if name in plan.kinds}
    planned = schedule(Random(plan.seed), scope, chosen, plan.gaps)
    await ground.world.up()
    load = Load(ground, plan.seed, plan.rate)
    ends, stop_load = asyncio.Event(), asyncio.Event()
    healing = asyncio.create_task(_heal(ground, ends))
    loading = asyncio.create_task(load.run(stop_load))
    try:
        struck = await _strike(ground, plan, planned, say)
        stop_load.set()
        say("everything is healed; waiting until it has settled")
        healed_at = monotonic()
        findings, seen = await _settled(ground, load, loading, plan.settles)
        settled_after = monotonic() - healed_at
    finally:
        ends.set()
        loading.cancel()
        # What the load ran into is not lost: a refusal that no records system would repeat ends the campaign.
        outcome = await asyncio.gather(loading, healing, return_exceptions=True)
    for error in outcome:
        if isinstance(error, Exception):
            raise error
    return Result(plan, struck, findings, seen, load.lives, ground.world.deaths, dict(load.answers), settled_after)


async def _heal(ground: Ground, ends: asyncio.Event) -> None:
    while not ends.is_set():
        ground.world.heal()
        await asyncio.sleep(HEAL_SECONDS)


async def _strike(ground: Ground, plan: Plan, planned: Iterator[Planned], say: Callable[[str], None]) -> list[Struck]:
    """Returns when the last fault has been taken back."""
    began = monotonic()
    room = asyncio.Semaphore(plan.at_once)
    struck: list[Struck] = []
    async with asyncio.TaskGroup() as group:

        async def inject(number: int, one: Planned) -> None:
            at = monotonic()
            say(f"{at - began:6.1f} s  {number:3}  {one.kind}: {one.fault!r}")
            try:
                await one.fault.inject(ground)
            finally:
                room.release()
            struck.append(Struck(round(at - began, 1), one.kind, repr(one.fault), round(monotonic() - at, 1)))

        for number, one in enumerate(planned):
            await asyncio.sleep(one.gap)
            await room.acquire()
            # On a machine with much else to do, too, every kind strikes once.
            if monotonic() - began > plan.seconds and number >= len(plan.kinds):
                room.release()
                break
            group.create_task(inject(number, one))
    return sorted(struck, key=lambda one: one.at)


async def _settled(ground: Ground, load: Load, loading: asyncio.Task[None], seconds: float) -> tuple[Findings, Seen]:
    """The first examination that finds nothing, or the last before the time is over."""
    deadline = monotonic() + seconds
    await asyncio.wait([loading], timeout=seconds)
    while True:
        findings, seen = await examine(ground, load.lives)
        if not findings or monotonic() > deadline:
            return findings, seen
        await asyncio.sleep(1.0)
