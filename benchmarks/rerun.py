"""A release of the law applied to everybody: from sealed rows to stored changes, and what first notices beside it wait.

Prints one JSON object. To reach: 90 s of one core for a million persons. `--full` loads a million; otherwise some
thousands, and `s_per_million` is what was measured, times a million, over the persons. Persons are sealed, evaluated
and stored by the service's own code before (`load`), which is what an encounter costs it.
"""

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import psutil
import uvloop

from benchmarks.measuring import percentile
from benchmarks.pipeline import Agency, installation
from contracts.envelope import Event
from contracts.events import EncounterReported
from contracts.facts import SubjectFacts
from kernel.clock import system_clock, system_ids
from kernel.database import Database, Transaction
from kernel.keyset import Keyset
from kernel.migrations import BUS, KEYS, migrate
from kernel.outbox import Outbox
from kernel.sealing import seal
from kernel.subject_keys import SubjectKeys
from launcher.catalogue import settle_memory
from launcher.postgres import EmbeddedPostgres
from rulebook.loader import LAW, Law, load_law
from rulebook.population import Population
from rulebook.release import archive
from rulebook.rows import RowFormat
from services.eligibility.adapters.rerun_process import RerunProcess
from services.eligibility.adapters.reruns import PostgresReruns
from services.eligibility.adapters.store import PostgresStore
from services.eligibility.application.matching import Matching
from services.eligibility.application.rerunning import Part, Rerunning
from services.eligibility.domain.determinations import answers_tag
from services.eligibility.migrations import SCHEMA
from services.eligibility.rerun import rerun

PERSONS, FULL = 20_000, 1_000_000
CHANGED = 0.03
TARGET_S_PER_MILLION = 90
_LOADED_AT_ONCE = 500
_BESIDE = 6000
_FOOD, _LIMIT, _HIGHER = "blocks.yaml", "percent: 130,", "percent: 150,"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="a million persons")
    arguments.add_argument("--persons", type=int, help="how many instead")
    given = arguments.parse_args()
    count = given.persons or (FULL if given.full else PERSONS)
    with (
        tempfile.TemporaryDirectory(prefix="firstnotice-bench-") as folder,
        EmbeddedPostgres(Path(folder)) as server,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,  # as the child process has it
    ):
        found = runner.run(measure(server, Path(folder), count))
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


async def measure(server: EmbeddedPostgres, folder: Path, count: int) -> dict[str, Any]:
    await migrate(server.dsn, [KEYS, BUS, SCHEMA])
    law, folder_of_next = load_law(), folder / "law"
    following = next_release(law, folder_of_next)
    keyset = Keyset.create(folder / "keyset.json")
    database = Database(server.dsn, schema="eligibility", role="fn_eligibility", pool_size=4)
    try:
        settle_memory()
        loaded = await load(server, database, keyset, law, count)
        split = await stages(database, keyset, following, min(count, 5000))
        applied = await apply(server, database, keyset, following)
    finally:
        await database.close()
    seconds = applied["cpu_s"] + applied["postgresql_cpu_s"]
    return {
        "to_reach": {"s_per_million": TARGET_S_PER_MILLION},
        "persons": count,
        "load": loaded,
        "rerun": applied
        | {
            "us_per_person": round(applied["wall_s"] / count * 1e6, 1),
            "s_per_million": round(applied["wall_s"] / count * 1e6, 1),
            "cpu_s_per_million_with_postgresql": round(seconds / count * 1e6, 1),
        },
        "stages_cpu_us_per_person": split,
        "first_notices": await first_notices(law, folder_of_next),
    }


def next_release(law: Law, folder: Path) -> Law:
    """The law with one income limit raised."""
    shutil.copytree(LAW, folder)
    for file, old, new in ((_FOOD, _LIMIT, _HIGHER), ("release.yaml", f'"{law.version}"', '"2026.12.0"')):
        path = folder / file
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    archive(folder)
    return load_law(folder)


def somebody(law: Law, dice: random.Random) -> SubjectFacts:
    """About twenty facts known; of `CHANGED` of all persons the income is between the old limit and the new one."""
    groups: dict[str, dict[str, Any]] = {"circumstances": {}, "status": {}}
    values: dict[str, list[Any]] = {
        "bool": [True, False],
        "int": [1, 2, 4],
        "decimal": [0, 100],
        "date": ["2026-06-01"],
    }
    for fact, spec in law.facts.items():
        if not spec.computed and spec.from_ is None and dice.random() < 0.12:
            group = groups["status" if spec.group == "status" else "circumstances"]
            group[fact] = dice.choice([*(spec.values or values[spec.type]), "unknown"])
    facts = groups["circumstances"]
    facts["household_size"] = dice.choice([1, 2, 4])
    facts["household_income_monthly_cents"] = dice.choice([0, 100_000, 160_000, 290_000, 530_000])
    if dice.random() < CHANGED:
        facts |= {"household_size": 1, "household_income_monthly_cents": 186_200}
        facts |= {"countable_resources_cents": 10_000, "state_of_residence": "MO"}
        facts |= {"household_with_elderly_or_disabled": False, "household_all_on_cash_aid": False}
        groups["status"] = {}
    born = f"{dice.randint(1960, 2012)}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"
    return SubjectFacts.model_validate(
        {
            "encounter": {"incident_number": "A-1", "location": {"county_fips": "29095"}},
            "age": dice.choice([{"birth_date": born, "verified_by": "document"}, {"apparent_minor": True}]),
            "circumstances": {"appears_victim": True, "residence_county_fips": "29095", "facts": facts},
            "status": {"citizenship": "us_citizen", "citizenship_verified": True, "facts": groups["status"]},
        }
    )


async def load(server: EmbeddedPostgres, database: Database, keyset: Keyset, law: Law, count: int) -> dict[str, Any]:
    """Reports everybody to the service's own handler; what that costs is the service's part of an encounter."""
    dice = random.Random(566223)
    intake = Database(server.dsn, schema="keys", role="fn_intake", pool_size=1)
    intake_keys = SubjectKeys(keyset, service="intake", clock=system_clock)
    keys = SubjectKeys(keyset, service="eligibility", clock=system_clock)
    matching = Matching(law, PostgresStore(), keys, Outbox("eligibility"), system_clock)
    async with database.transaction() as tx:
        await rerunning_of(law, matching).begin(tx)
    spent = wall = sealed = 0.0
    sizes: dict[str, int] = {}
    for start in range(0, count, _LOADED_AT_ONCE):
        people = {system_ids(): somebody(law, dice) for _ in range(min(_LOADED_AT_ONCE, count - start))}
        async with intake.transaction() as tx:
            secrets = await intake_keys.create(tx, list(people))
        events = [_reported(subject, facts, secrets[subject]) for subject, facts in people.items()]
        sealed += sum(len(part.ciphertext) for event in events for part in event.sealed.values())
        cpu, clock = time.process_time(), time.perf_counter()
        async with database.transaction() as tx:
            await matching.encounters(tx, events)
        spent, wall = spent + time.process_time() - cpu, wall + time.perf_counter() - clock
        sizes = sizes or await _event_sizes(database)
        await publish_all(database)
    await intake.close()
    return {
        "handler_cpu_ms_per_person": round(spent / count * 1e3, 3),
        "handler_wall_ms_per_person": round(wall / count * 1e3, 3),
        "sealed_facts_bytes": round(sealed / count),
        **sizes,
    }


def _reported(subject: UUID, facts: SubjectFacts, key: Any) -> Event:
    event_id, encounter = system_ids(), system_ids()
    sealed = seal(key, event_id, facts.by_group())
    now = datetime.now(UTC)
    return Event(
        id=event_id,
        time=now,
        source="/firstnotice/intake",
        data=EncounterReported(
            subject_number=1, record_version=1, encounter_at=now, discovered_at=now, accepted_at=now
        ),
        key=encounter,
        encounter_id=encounter,
        subject_id=subject,
        agency="MO0480000",
        jurisdiction="MO",
        correlation_id=event_id,
        key_id=sealed.key_id,
        commitment=sealed.commitment,
        sealed=sealed.groups,
    )


async def _event_sizes(database: Database) -> dict[str, int]:
    async with database.transaction() as tx:
        row = await tx.driver.fetchrow(
            """
            SELECT avg(length(headers) + length(value))::integer AS mean, max(length(headers) + length(value)) AS most,
                   (SELECT avg(length(sealed))::integer FROM determination) AS stored
            FROM outbox
            """
        )
    return {"event_bytes": row["mean"], "largest_event_bytes": row["most"], "stored_bytes": row["stored"]}


async def publish_all(database: Database) -> None:
    """In the relay's place: with what waits to be published a re-run would wait, too."""
    async with database.transaction() as tx:
        await tx.driver.execute("DELETE FROM outbox")


def rerunning_of(law: Law, matching: Matching) -> Rerunning:
    return Rerunning(law, PostgresStore(), PostgresReruns(), matching, system_clock)


async def apply(server: EmbeddedPostgres, database: Database, keyset: Keyset, law: Law) -> dict[str, Any]:
    """Everybody, in this process: the child does the same and no more."""
    keys = SubjectKeys(keyset, service="eligibility", clock=system_clock)
    rerunning = rerunning_of(law, Matching(law, PostgresStore(), keys, Outbox("eligibility"), system_clock))
    told: list[Any] = []
    today = system_clock().date()
    Population(law, "MO", today).answers(RowFormat(law).columns([], today))
    publishing = asyncio.create_task(_publish(database))
    before, cpu, wall = _server_cpu(server), time.process_time(), time.perf_counter()
    await rerun(database, rerunning, asyncio.Event(), told.append, rest=0)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    publishing.cancel()
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "postgresql_cpu_s": round(_server_cpu(server) - before, 2),
        "changed": told[-1].changed,
        "failed": told[-1].failed,
    }


async def _publish(database: Database) -> None:
    while True:
        await publish_all(database)
        await asyncio.sleep(0.1)


def _server_cpu(server: EmbeddedPostgres) -> float:
    main = psutil.Process(server.pid)
    times = [process.cpu_times() for process in [main, *main.children(recursive=True)]]
    return sum(one.user + one.system for one in times)


async def stages(database: Database, keyset: Keyset, law: Law, count: int) -> dict[str, Any]:
    """Where our CPU time goes, without PostgreSQL's, on the first persons; what is written is undone."""
    keys = SubjectKeys(keyset, service="eligibility", clock=system_clock)
    matching = Matching(law, PostgresStore(), keys, Outbox("eligibility"), system_clock)
    reruns, store, found = PostgresReruns(), PostgresStore(), _Stages()
    connection = await database.connect()
    whole = connection.transaction()
    await whole.start()
    tx = Transaction(connection)
    now = system_clock()
    with found.stage("read rows"):
        batches = [await reruns.batch(tx, Part(number, None), law, count // 16) for number in range(16)]
        persons = [(person, person.row) for batch in batches for person in batch if person.row is not None]
    with found.stage("read and unwrap keys"):
        opened_keys = await matching.open_keys(tx, [row.key_id for person, row in persons])
    with found.stage("unseal"):
        opened = [
            matching.rows.opened(row, opened_keys[row.key_id], person.facts_id, matching.keys.granted)
            for person, row in persons
        ]
    with found.stage("to columns"):
        columns = matching.rows.columns([row for row in opened if row is not None], law.local_date("MO", now))
    with found.stage("evaluate in columns"):
        rows = Population(law, "MO", law.local_date("MO", now)).answers(columns)
    with found.stage("compare tags"):
        changed = [
            person.subject_id
            for (person, sealed), row in zip(persons, rows, strict=True)
            if answers_tag(opened_keys[sealed.key_id].secret, row.tobytes()) != person.answers
        ]
    with found.stage("the changed: evaluate, seal, store"):
        standings = await store.standings(tx, changed)
        await matching.again(tx, list(standings.values()), now)
    await whole.rollback()
    await connection.close()
    return found.per(len(persons)) | {"changed_share": round(len(changed) / len(persons), 4)}


class _Stages:
    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self._seconds[name] = time.process_time() - start

    def per(self, persons: int) -> dict[str, float]:
        return {name: round(seconds / persons * 1e6, 2) for name, seconds in self._seconds.items()}


async def first_notices(law: Law, folder_of_next: Path) -> dict[str, Any]:
    """Accepted to first byte at 20 encounters/s, alone, and while children evaluate everybody who is stored there."""
    async with installation(cluster=False) as there, aiohttp.ClientSession() as http:
        server, keyset = EmbeddedPostgres(there.home.postgres), Keyset.load(there.home.keyset)
        database = Database(server.dsn, schema="eligibility", role="fn_eligibility", pool_size=2)
        await load(server, database, keyset, law, _BESIDE)
        await database.close()
        agency = Agency(there, http)
        await _told(agency, asyncio.sleep(3))  # warm caches, connections and plans
        alone = await _told(agency, asyncio.sleep(6))
        variables = {
            "FIRSTNOTICE_DATABASE_DSN": server.dsn,
            "FIRSTNOTICE_KEYSET_FILE": str(there.home.keyset),
            "FIRSTNOTICE_CLIENTS_FILE": str(there.home.clients),
        }
        beside = await _told(agency, _releases(variables, [folder_of_next, LAW] * 2))
    return {"persons": _BESIDE, "accept_to_first_byte_ms": {"alone": alone, "beside_four_reruns": beside}}


async def _releases(variables: dict[str, str], folders: Sequence[Path]) -> None:
    """One release after the other, each applied to everybody by a child of the service."""
    for folder in folders:
        child = RerunProcess(variables | {"FIRSTNOTICE_LAW_PATH": str(folder)})
        await child.start()
        async for _ in child.progress():
            pass
        if (status := await child.ended()) != 0:
            raise SystemExit(f"the evaluation of everybody ended with status {status}")


async def _told(agency: Agency, work: Coroutine[Any, Any, None]) -> dict[str, float]:
    """Posts until the work is done, and waits until everybody is told; milliseconds."""
    agency.accepted.clear()
    agency.arrived.clear()
    working = asyncio.create_task(work)
    while not working.done():
        await agency.at_rate(20, 0.5)
    await working
    await agency.all_told()
    taken = agency.milliseconds()
    return {"p50": round(percentile(taken, 0.5), 2), "p99": round(percentile(taken, 0.99), 2), "notices": len(taken)}


if __name__ == "__main__":
    main()
