"""Whether the main job ended as it must: what was expected, what the services decided, what the recipients hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from contracts.events import ENCOUNTERS
from kernel.database import Database
from launcher.catalogue import SERVICES
from launcher.history import History, NoticeState
from launcher.ledger import Contents

Expectations = Mapping[str, Mapping[str, Any]]


def load_expectations(path: Path) -> Expectations:
    loaded: Expectations = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def against_expectations(name: str, history: History, expected: Mapping[str, Any]) -> list[str]:
    """Where the decisions about one example differ from what it must end in."""
    wrong: list[str] = []
    for number, duties in expected["subjects"].items():
        subject_id = history.subjects.get(number)
        if subject_id is None:
            wrong.append(f"{name}: subject {number} is unknown")
            continue
        for duty_id, wanted in duties.items():
            place = f"{name}, subject {number}, {duty_id}"
            wrong += [f"{place}: {what}" for what in _duty(history, subject_id, duty_id, wanted)]
    return wrong


def tasks_against_expectations(
    name: str, duties: Mapping[tuple[int, str], Mapping[str, Any]], expected: Mapping[str, Any]
) -> list[str]:
    """Where tasks are not what an example must end in. Nobody did them: what is due stays open."""
    wrong = []
    for number, tasks in expected.get("tasks", {}).items():
        for duty_id, state in tasks.items():
            answered = duties.get((number, duty_id))
            found = answered["state"] if answered is not None else "not decided"
            if found != state:
                wrong.append(f"{name}, subject {number}, {duty_id}: {found}, expected {state}")
    return wrong


def _duty(history: History, subject_id: str, duty_id: str, wanted: Mapping[str, Any]) -> list[str]:
    decided = history.duties.get((subject_id, duty_id))
    if decided is None:
        return ["not decided"]
    wrong = []
    if decided.outcome != wanted["outcome"]:
        wrong.append(f"decided {decided.outcome}, expected {wanted['outcome']}")
    notices = history.notices_of(subject_id, duty_id)
    standing = {one.recipient_id for one in notices if one.retired is None and one.kind != "withdrawal"}
    expected = {wanted["recipient"]} if "recipient" in wanted else set()
    if standing != expected:
        wrong.append(f"told {_names(standing)}, expected {_names(expected)}")
    retired = {one.recipient_id for one in notices if one.kind == "withdrawal" or one.retired is not None}
    former = {wanted["withdrawn_from"]} if "withdrawn_from" in wanted else set()
    if (others := retired - expected) - former:
        wrong.append(f"told and withdrew from {_names(others)}, expected {_names(former)}")
    return wrong


def _names(recipients: set[str]) -> str:
    return ", ".join(sorted(recipients)) or "nobody"


@dataclass(frozen=True)
class Sent:
    """A notice of the services' records, for comparing with the recipients'."""

    encounter_id: str
    notice: NoticeState


def against_ledgers(histories: Mapping[str, History], ledgers: Mapping[str, Contents]) -> list[str]:
    """Where the recipients' own records differ from the services'."""
    sent = {one.notice_id: Sent(h.encounter_id, one) for h in histories.values() for one in h.notices.values()}
    received = {
        notice_id: (program, entry)
        for program, ledger in ledgers.items()
        for notice_id, entry in ledger.received.items()
    }
    wrong: list[str] = []
    for notice_id, (program, entry) in received.items():
        known = sent.get(notice_id)
        if known is None:
            wrong.append(f"{program} received notice {notice_id}, which nobody issued")
        elif known.notice.recipient_id != entry.recipient_id:
            wrong.append(f"{entry.recipient_id} received notice {notice_id} for {known.notice.recipient_id}")
        elif known.notice.confirmed_at is None and known.notice.retired == "superseded_unsent":
            wrong.append(f"{entry.recipient_id} received notice {notice_id}, which counts as never sent")
    for notice_id, known in sent.items():
        if known.notice.confirmed_at is not None and notice_id not in received:
            wrong.append(f"{known.notice.recipient_id} confirmed notice {notice_id} and has no record of it")
        if known.notice.acknowledged is not None and not any(notice_id in one.acknowledged for one in ledgers.values()):
            wrong.append(f"notice {notice_id} is acknowledged and no recipient says so")
    for program, ledger in ledgers.items():
        wrong += [f"{program} applied notice {notice_id} twice" for notice_id in ledger.applied_twice]
        wrong += [f"{program} got notice {notice_id} again with other bytes" for notice_id in ledger.altered]
        wrong += [f"{program}: notice {notice_id} is not acknowledged" for notice_id in _unanswered(ledger, sent)]
    return wrong


def _unanswered(ledger: Contents, sent: Mapping[str, Sent]) -> list[str]:
    return [
        entry.notice_id
        for entry in ledger.received.values()
        if entry.notice_id not in ledger.acknowledged
        and entry.notice_id in sent
        and sent[entry.notice_id].notice.retired is None
    ]


async def at_rest(database: Database) -> bool:
    """Whether all that was reported has been handled by those who decide on it, and all they told is in the trail."""
    async with database.transaction() as tx:
        unhandled = await tx.driver.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM audit.entry WHERE topic = $1 AND NOT (
                    EXISTS (SELECT FROM router.inbox WHERE inbox.event_id = entry.event_id)
                    AND EXISTS (SELECT FROM eligibility.inbox WHERE inbox.event_id = entry.event_id)
                )
            )
            """,
            ENCOUNTERS,
        )
    return not unhandled and not await against_sequences(database)


async def against_sequences(database: Database) -> list[str]:
    """Whether the trail holds every event of every service exactly once, and nothing waits or is parked anywhere.

    The numbers that the services' relays gave out are the truth: 0 to next - 1 for each source and shard.
    """
    wrong: list[str] = []
    async with database.transaction() as tx:
        for service in SERVICES:
            waiting = await tx.driver.fetchval(f"SELECT count(*) FROM {service}.outbox")
            parked = await tx.driver.fetchval(f"SELECT count(*) FROM {service}.parked")
            if waiting:
                wrong.append(f"{service}: {waiting} events are not published yet")
            if parked:
                wrong.append(f"{service}: {parked} events are parked")
            rows = await tx.driver.fetch(
                f"""
                WITH held AS MATERIALIZED (
                    SELECT event ->> 'shard' AS shard, (event ->> 'sequence')::bigint AS sequence, event ->> 'id' AS id
                    FROM (SELECT convert_from(content, 'UTF8')::jsonb -> 'event' AS event FROM audit.entry) AS entries
                    WHERE event ->> 'source' = $1
                )
                SELECT numbered.shard, next, count(held.sequence) AS entries, count(DISTINCT held.sequence) AS numbers,
                    count(DISTINCT held.id) AS ids, max(held.sequence) AS highest
                FROM {service}.outbox_shard AS numbered LEFT JOIN held ON held.shard = numbered.shard::text
                GROUP BY numbered.shard, next ORDER BY numbered.shard
                """,
                f"/firstnotice/{service}",
            )
            wrong += _shards(service, rows)
        conflicts = await tx.driver.fetchval("SELECT count(*) FROM audit.entry WHERE kind <> 'event'")
        if conflicts:
            wrong.append(f"the trail holds {conflicts} conflicts")
    return wrong


def _shards(service: str, rows: Sequence[Any]) -> list[str]:
    wrong = []
    for row in rows:
        counts = {row["entries"], row["numbers"], row["ids"], row["next"]}
        if len(counts) > 1 or (row["next"] and row["highest"] != row["next"] - 1):
            wrong.append(
                f"{service}, shard {row['shard']}: {row['next']} events were published, the trail has "
                f"{row['entries']} entries of {row['numbers']} numbers"
            )
    return wrong
