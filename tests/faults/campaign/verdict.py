"""What must hold after a campaign: nothing accepted is lost, nothing is done twice, and each key keeps its order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import asyncpg

from contracts.events import ENCOUNTERS, NOTICES, TOPICS
from launcher import catalogue
from tests.faults.campaign import trail
from tests.faults.campaign.ground import Ground
from tests.faults.campaign.lives import EVERYONE, Life
from tests.faults.campaign.strangers import Published
from tests.faults.campaign.trail import Entry
from tests.faults.examination import counted, ledgers, pending

READS: Mapping[str, tuple[str, ...]] = {
    "intake": (NOTICES,),
    "router": (ENCOUNTERS,),
    "eligibility": (ENCOUNTERS,),
    "audit": TOPICS,
}
"""Topics by the service that acts on them. Who reads the trail is the kernel's affair."""


@dataclass(frozen=True)
class Findings:
    """What is wrong; empty when every promise was kept."""

    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    out_of_order: tuple[str, ...] = ()
    parked: tuple[str, ...] = ()
    """Parked, though it can be handled; or not parked, though it cannot."""
    unfinished: tuple[str, ...] = ()
    """What has still to happen: to be told, published, acknowledged, shown."""

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))


@dataclass(frozen=True)
class Seen:
    """What was looked at, to be told with the findings."""

    published: int
    handled: int
    parked: int


async def examine(ground: Ground, lives: Sequence[Life]) -> tuple[Findings, Seen]:
    """Compares what was accepted with the trail, the tables and the recipients' ledgers."""
    connection = await asyncpg.connect(ground.world.dsn, timeout=30)
    try:
        rows = await connection.fetch(
            "SELECT index, kind, event_id, topic, content FROM audit.entry ORDER BY index", timeout=120
        )
        entries = [trail.entry(row) for row in rows]
        parked, parked_positions = await _parked(connection, ground.published)
        unhandled, handled = await _unhandled(connection, entries)
        lost_lives, disordered_lives = _lives(lives, trail.versions(entries))
        behind = await _standing(connection, lives, trail.versions(entries))
        untold, unknown = await _told(connection, ground, lives)
        counts = [found for service in catalogue.SERVICES for found in await counted(connection, service)]
        waiting = [(service, await pending(connection, service)) for service in catalogue.SERVICES]
        views = await _views(connection)
    finally:
        await connection.close()
    books = ledgers(ground.world)
    findings = Findings(
        lost=(
            *trail.missing_numbers(entries, [f"/firstnotice/{service}" for service in catalogue.SERVICES]),
            *_lost_strangers(ground.published, entries, parked_positions["audit"]),
            *counts,
            *unhandled,
            *lost_lives,
        ),
        doubled=(
            *trail.doubled(entries),
            *unknown,
            *(f"{name} applied notice {one} twice" for name, book in books.items() for one in book.applied_twice),
            *(f"{name} got notice {one} with other bytes" for name, book in books.items() for one in book.altered),
        ),
        out_of_order=(*trail.out_of_order(entries), *trail.decided_out_of_order(entries), *disordered_lives),
        parked=tuple(parked),
        unfinished=(
            *(f"encounter number {n} is not wholly accepted" for n, life in enumerate(lives) if not life.finished),
            *(f"{service} has {count} events to publish" for service, count in waiting if count),
            *(f"{name} has {len(book.open)} notices to acknowledge" for name, book in books.items() if book.open),
            *behind,
            *untold,
            *views,
        ),
    )
    return findings, Seen(len(entries), handled, sum(map(len, parked_positions.values())))


def _lost_strangers(published: Sequence[Published], entries: Sequence[Entry], parked: Counter[Any]) -> list[str]:
    seen = {one.event_id for one in entries}
    return [
        f"an odd event is not in the trail: {one.topic} {one.partition} at {one.offset}"
        for one in published
        if one.event_id is not None and one.event_id not in seen
        and not (one.verdict == "either" and (one.topic, one.partition, one.offset) in parked)
    ]  # fmt: skip


async def _parked(
    connection: asyncpg.Connection, published: Sequence[Published]
) -> tuple[list[str], dict[str, Counter[tuple[str, int, int]]]]:
    """What is parked and should not be, or the other way round; and all that is parked, by service."""
    places = {(one.topic, one.partition, one.offset): one.verdict for one in published}
    found: list[str] = []
    positions: dict[str, Counter[tuple[str, int, int]]] = {}
    for service in catalogue.SERVICES:
        rows = await connection.fetch(f'SELECT topic, partition, "offset", reason FROM {service}.parked ORDER BY id')
        seen = positions[service] = Counter((row["topic"], row["partition"], row["offset"]) for row in rows)
        for row in rows:
            if places.get((row["topic"], row["partition"], row["offset"]), "handled") == "handled":
                found.append(f"{service} parked {row['topic']} {row['partition']} at {row['offset']}: {row['reason']}")
        expected = {place for place, verdict in places.items() if verdict == "parked" and place[0] in READS[service]}
        found += [f"{service} did not park what is no event: {place}" for place in sorted(expected - set(seen))]
        found += [f"{service} parked the same record {n} times: {place}" for place, n in seen.items() if n > 1]
    return found, positions


async def _unhandled(connection: asyncpg.Connection, entries: Sequence[Entry]) -> tuple[list[str], int]:
    """Events that a service reads and never took in, or that it took in and the trail does not have."""
    found: list[str] = []
    handled = 0
    for service, topics in READS.items():
        seen = {row["event_id"] for row in await connection.fetch(f"SELECT event_id FROM {service}.inbox")}
        handled += len(seen)
        told = {one.event_id: one for one in entries if one.topic in topics}
        found += [f"{service} never handled {told[one].type} {one}" for one in told.keys() - seen]
        everything = {one.event_id for one in entries}
        found += [f"{service} handled {one}, and the trail does not have it" for one in seen - everything]
    return found, handled


def _lives(lives: Sequence[Life], told: Mapping[str, Sequence[Entry]]) -> tuple[list[str], list[str]]:
    """Whether the trail has each accepted version once, and in the order of acceptance."""
    lost, disordered = [], []
    for life in lives:
        if life.encounter_id is None:
            continue
        seen = [one.data["record_version"] for one in told.get(life.encounter_id, ())]
        if sorted(seen) != life.versions:
            lost.append(f"encounter {life.encounter_id}: accepted versions {life.versions}, the trail has {seen}")
        elif seen != life.versions:
            disordered.append(f"encounter {life.encounter_id}: the trail has versions {seen}")
    return lost, disordered


async def _standing(
    connection: asyncpg.Connection, lives: Sequence[Life], told: Mapping[str, Sequence[Entry]]
) -> list[str]:
    """Services whose state is not what the last event about a subject says."""
    routed = {
        str(row["encounter_id"]): row["last_event_id"]
        for row in await connection.fetch("SELECT encounter_id, last_event_id FROM router.subject")
    }
    matched = {
        str(row["encounter_id"]): row
        for row in await connection.fetch("SELECT encounter_id, facts_id, retracted FROM eligibility.subject")
    }
    found = []
    for life in lives:
        name = life.encounter_id
        if name is None or not told.get(name):
            continue
        last = told[name][-1].event_id
        if routed.get(name) != last:
            found.append(f"encounter {name}: the router stands at another version")
        if name not in matched or matched[name]["facts_id"] != last:
            found.append(f"encounter {name}: eligibility stands at another version")
        elif matched[name]["retracted"] != (life.retracted_by is not None):
            found.append(f"encounter {name}: eligibility has it retracted={matched[name]['retracted']}")
    return found


async def _told(connection: asyncpg.Connection, ground: Ground, lives: Sequence[Life]) -> tuple[list[str], list[str]]:
    """Who is not told as the law names them now; and what recipients have that the router never issued."""
    received = {one for book in ledgers(ground.world).values() for one in book.received}
    rows = await connection.fetch(
        "SELECT notice_id, encounter_id, notice.recipient_id, kind, live, state, attempts, reason"
        " FROM router.notice JOIN router.delivery USING (notice_id)"
    )
    live: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        if row["live"]:
            live.setdefault((str(row["encounter_id"]), row["recipient_id"]), []).append(row)
    found = []
    for life in lives:
        if life.encounter_id is None:
            continue
        for recipient in sorted(EVERYONE):
            now = live.get((life.encounter_id, recipient), [])
            name = f"encounter {life.encounter_id}, {recipient}"
            kinds = [row["kind"] for row in now]
            if recipient in life.told and kinds not in (["notice"], ["correction"]):
                found.append(f"{name}: has to be told, and what counts is {kinds}")
            if recipient not in life.told and kinds not in ([], ["withdrawal"]):
                found.append(f"{name}: must not be told, and what counts is {kinds}")
            for row in now:
                if row["state"] != "confirmed" or str(row["notice_id"]) not in received:
                    have = "has it" if str(row["notice_id"]) in received else "does not have it"
                    found.append(f"{name}: the {row['kind']} is {row['state']} ({row['reason']}) and the ledger {have}")
    unknown = received - {str(row["notice_id"]) for row in rows}
    return found, [f"a recipient has notice {one}, which the router never issued" for one in sorted(unknown)]


async def _views(connection: asyncpg.Connection) -> list[str]:
    """Notices and answers that intake does not show yet to the agencies."""
    rows = await connection.fetch(
        """
        SELECT notice_id, view.id IS NULL AS unknown FROM router.notice
        LEFT JOIN intake.notice_view AS view ON view.id = notice_id
        WHERE view.id IS NULL OR (view.acknowledgement IS NULL AND notice_id IN (
            SELECT notice_id FROM router.acknowledgement
        ))
        """
    )
    return [
        f"intake does not show {'' if row['unknown'] else 'the answer to '}notice {row['notice_id']}" for row in rows
    ]
