"""A release of the law applied to everybody: from sealed rows to stored changes, and what first notices beside it wait.

Prints one JSON object. To reach: 90 s of one core for a million persons. `--full` loads a million; otherwise some
thousands, and `s_per_million` is what was measured, times a million, over the persons. `load` is what their encounters
cost the service before.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psutil
import uvloop

from benchmarks.first_notices import first_notices
from benchmarks.stored_persons import load, publish_all, rerunning_of
from kernel.clock import system_clock
from kernel.database import Database, Transaction
from kernel.events.outbox import Outbox
from kernel.keyset import Keyset
from kernel.memory import settle_memory
from kernel.migrations import BUS, KEYS, migrate
from kernel.subject_keys import SubjectKeys
from launcher.postgres import EmbeddedPostgres
from rulebook.loader import LAW, Law, load_law
from rulebook.population import Population
from rulebook.release import archive
from rulebook.rows import RowFormat
from services.eligibility.adapters.reruns import PostgresReruns
from services.eligibility.adapters.store import PostgresStore
from services.eligibility.application.matching import Matching
from services.eligibility.application.rerunning import PARTS, Part, Person
from services.eligibility.domain.determinations import answers_tag
from services.eligibility.migrations import SCHEMA
from services.eligibility.rerun import rerun

PERSONS, FULL = 20_000, 1_000_000
TARGET_S_PER_MILLION = 90
_BLOCKS, _LIMIT, _HIGHER = "blocks.yaml", "percent: 130,", "percent: 150,"


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
    for file, old, new in ((_BLOCKS, _LIMIT, _HIGHER), ("release.yaml", f'"{law.version}"', '"2026.12.0"')):
        path = folder / file
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    archive(folder)
    return load_law(folder)


async def apply(server: EmbeddedPostgres, database: Database, keyset: Keyset, law: Law) -> dict[str, Any]:
    """Everybody, in this process: the child does the same and no more."""
    keys = SubjectKeys(keyset, service="eligibility", clock=system_clock)
    rerunning = rerunning_of(law, Matching(law, PostgresStore(), keys, Outbox("eligibility"), system_clock))
    told: list[Any] = []
    today = system_clock().date()
    Population(law, "MO", today).answers(RowFormat(law).columns([], today))
    publishing = asyncio.create_task(_publish(database))
    before, cpu, wall = _server_cpu(server), time.process_time(), time.perf_counter()
    await rerun(database, rerunning, asyncio.Event(), told.append)
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
    connection = await database.session(idle_session_timeout="0", idle_in_transaction_session_timeout="0")
    whole = connection.transaction()
    await whole.start()
    tx = Transaction(connection)
    now = system_clock()
    with found.stage("read rows"):
        read: list[Person] = []
        for number in range(PARTS):
            read += await reruns.batch(tx, Part(number, None), law, count - len(read))
        persons = [(person, person.row) for person in read if person.row is not None]
    with found.stage("read and unwrap keys"):
        opened_keys = await matching.open_keys(tx, [row.key_id for person, row in persons])
    with found.stage("unseal"):
        opened = [matching.rows.opened(row, opened_keys[row.key_id], person.facts_id) for person, row in persons]
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
        await tx.write_last()
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


if __name__ == "__main__":
    main()
