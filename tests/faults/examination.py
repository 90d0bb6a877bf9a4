"""What must hold of an installation that has healed: everybody told, once; nothing pending, parked, lost or doubled."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from launcher import catalogue, ledger
from launcher.programs import PROGRAMS
from tests.faults.world import World


@dataclass(frozen=True)
class Findings:
    """What is wrong with an installation; empty when every promise was kept."""

    undelivered: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    applied_twice: Sequence[str] = ()
    unacknowledged: int = 0
    pending: int = 0
    parked: int = 0
    trail: Sequence[str] = ()

    @property
    def nothing(self) -> bool:
        return self == Findings()


def ledgers(world: World) -> dict[str, ledger.Contents]:
    """What each example recipient has written down."""
    return {name: ledger.read(world.home.ledger(name)) for name in PROGRAMS}


def told(world: World) -> dict[str, list[str]]:
    """Encounter id to the recipients who have a first notice of it, as often as they have one."""
    found: dict[str, list[str]] = {}
    for book in ledgers(world).values():
        for one in book.received.values():
            if one.kind == "notice":
                found.setdefault(one.encounter_id, []).append(one.recipient_id)
    return found


async def examine(world: World, accepted: Mapping[str, set[str]]) -> Findings:
    """Compares what was accepted with the recipients' own ledgers, the tables and the trail."""
    books = ledgers(world)
    seen = told(world)
    connection = await asyncpg.connect(world.dsn)
    try:
        undelivered = [
            await _whereabouts(connection, encounter, recipient)
            for encounter, recipients in accepted.items()
            for recipient in sorted(recipients - set(seen.get(encounter, ())))
        ]
        waiting = sum([await pending(connection, service) for service in catalogue.SERVICES])
        parked = sum([await connection.fetchval(f"SELECT count(*) FROM {one}.parked") for one in catalogue.SERVICES])
        trail = [found for service in catalogue.SERVICES for found in await counted(connection, service)]
    finally:
        await connection.close()
    return Findings(
        undelivered=tuple(undelivered),
        unexpected=tuple(
            f"{encounter} {recipient}"
            for encounter, recipients in seen.items()
            for recipient in recipients
            if recipient not in accepted.get(encounter, set()) or recipients.count(recipient) > 1
        ),
        applied_twice=tuple(notice for book in books.values() for notice in book.applied_twice),
        unacknowledged=sum(len(book.open) for book in books.values()),
        pending=waiting,
        parked=parked,
        trail=tuple(trail),
    )


async def pending(connection: asyncpg.Connection, service: str) -> int:
    """Events of a service that the bus does not have yet. Published ones may stay in the outbox, marked as such."""
    marked = await connection.fetchval(
        "SELECT count(*) FROM information_schema.columns"
        " WHERE table_schema = $1 AND table_name = 'outbox' AND column_name = 'published_at'",
        service,
    )
    unpublished = " WHERE published_at IS NULL" if marked else ""
    count: int = await connection.fetchval(f"SELECT count(*) FROM {service}.outbox{unpublished}")
    return count


async def counted(connection: asyncpg.Connection, service: str) -> list[str]:
    """Whether every event that a service ever numbered has exactly one entry in the trail."""
    numbered = await connection.fetchval(f"SELECT sum(next) FROM {service}.outbox_shard")
    row = await connection.fetchrow(
        "SELECT count(*) AS entries, count(DISTINCT event_id) AS events FROM audit.entry"
        " WHERE convert_from(content, 'UTF8')::jsonb->'event'->>'source' = $1",
        f"/firstnotice/{service}",
    )
    if row["entries"] == row["events"] == numbered:
        return []
    return [f"{service}: {numbered} events, {row['events']} in the trail, {row['entries']} entries"]


async def _whereabouts(connection: asyncpg.Connection, encounter_id: str, recipient_id: str) -> str:
    """Where a notice is that its recipient does not have: not decided, for review, or how far its delivery came."""
    decided = await connection.fetch(
        "SELECT duty_id, outcome, review_at - now() AS review_in FROM router.obligation"
        " WHERE encounter_id = $1 AND (recipient_id = $2 OR recipient_id IS NULL)",
        UUID(encounter_id),
        recipient_id,
    )
    sent = await connection.fetch(
        "SELECT kind, live, state, attempts, next_attempt_at - now() AS next_in, lease_owner IS NOT NULL AS leased,"
        " reason FROM router.notice JOIN router.delivery USING (notice_id)"
        " WHERE encounter_id = $1 AND notice.recipient_id = $2",
        UUID(encounter_id),
        recipient_id,
    )
    return f"{encounter_id} {recipient_id}: decided {[*map(dict, decided)]}, sent {[*map(dict, sent)]}"


async def healed(world: World, accepted: Mapping[str, set[str]], *, seconds: float) -> Findings:
    """Waits until nothing is wrong any more, or the time is over; returns the last findings."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        world.heal()
        findings = await examine(world, accepted)
        if findings.nothing or loop.time() > deadline:
            return findings
        await asyncio.sleep(0.5)
