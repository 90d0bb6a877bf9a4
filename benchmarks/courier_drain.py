"""How fast the courier alone drains a backlog: deliveries per second, CPU seconds per 1,000, commits per 200 attempts.

`python -m benchmarks.courier_drain [notices] [endpoints]` prints JSON. The backlog is made by the router's own
deciding, with sealed bodies, on a durable PostgreSQL; recipients are one sink on loopback under many names.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import uvloop

from benchmarks.sink import start_sink
from contracts.envelope import Event
from contracts.facts import SubjectFacts
from kernel.sealing import seal
from launcher.postgres import EmbeddedPostgres
from services.router.courier.engine import Policy
from tests.integration.router.house import House, Worker, a_house, endpoint, minor

CONCURRENCY = 64
SIGNATURES = {"v1": {}, "v1a": {"secrets": [], "private_keys": ["whsk_" + "A" * 43 + "="]}}


def cpu_of(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
            total += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total


def server_processes(data: Path) -> list[psutil.Process]:
    pid = next(data.rglob("postmaster.pid")).read_text().split("\n")[0]
    main = psutil.Process(int(pid))
    return [main, *main.children(recursive=True)]


async def reports(house: House, count: int) -> list[Event]:
    """First reports of minors whose bodies come to about 1 KB."""
    facts = minor(identity={"given_name": "Given", "family_name": "Family", "address": "x" * 120})
    template = await house.report(facts)
    groups = SubjectFacts.model_validate(facts).by_group()
    subjects = [uuid4() for _ in range(count)]
    async with house.intake.transaction() as tx:
        keys = await house.intake_keys.create(tx, subjects)
    events = []
    for subject in subjects:
        event_id = uuid4()
        sealed = seal(keys[subject], event_id, groups)
        events.append(
            replace(
                template,
                id=event_id,
                key=uuid4(),
                subject_id=subject,
                key_id=sealed.key_id,
                commitment=sealed.commitment,
                sealed=sealed.groups,
            )
        )
    return events


def counted(worker: Worker, name: str, counts: dict[str, int]) -> None:
    call: Callable[..., Awaitable[Any]] = getattr(worker.store, name)

    async def count(*args: Any) -> Any:
        counts[name] = counts.get(name, 0) + 1
        return await call(*args)

    setattr(worker.store, name, count)


async def measure(notices: int, signature: str) -> dict[str, Any]:
    sink, port = await start_sink()
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "data") as server:
        async with a_house(server.dsn, Path(folder)) as house:
            names = ("mo-dss", "mo-jo-16", "us-hhs-otip")
            settings = SIGNATURES[signature] | {"concurrency": CONCURRENCY}
            endpoints = house.register({name: endpoint(port, **settings) for name in names})
            worker = house.worker(endpoints, policy=Policy())
            left = notices
            began, cpu = time.perf_counter(), time.process_time()
            deciding_cpu = 0.0
            while left > 0:
                batch = await reports(house, min(500, -(-left // 3)))
                at = time.process_time()
                await house.handle(worker, *batch)
                deciding_cpu += time.process_time() - at
                left -= 3 * len(batch)
            made = (await house.rows("SELECT count(*) AS n FROM delivery"))[0]["n"]
            counts: dict[str, int] = {}
            for name in ("claim", "record"):
                counted(worker, name, counts)
            stop = asyncio.Event()
            before = cpu_of(server_processes(server.data_dir))
            began, cpu = time.perf_counter(), time.process_time()
            task = asyncio.create_task(worker.courier.run(stop))
            open_ = made
            while open_:
                await asyncio.sleep(0.05)
                row = await house.rows("SELECT EXISTS (SELECT FROM delivery WHERE state = 'pending') AS some")
                open_ = row[0]["some"]
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            server_cpu = cpu_of(server_processes(server.data_dir)) - before
            stop.set()
            await task
            attempts = (await house.rows("SELECT count(*) AS n FROM attempt"))[0]["n"]
    await sink.communicate(b"")
    return {
        "signature": signature,
        "notices": made,
        "attempts": attempts,
        "seconds": round(seconds, 2),
        "deliveries_per_second": round(made / seconds),
        "courier_cpu_s_per_1000": round(cpu / made * 1000, 4),
        "postgres_cpu_s_per_1000": round(server_cpu / made * 1000, 4),
        "commits_per_200_attempts": round(sum(counts.values()) / attempts * 200, 2),
        "calls": counts,
        "deciding_cpu_s_per_1000_encounters": round(deciding_cpu / (made / 3) * 1000, 3),
    }


def main() -> None:
    notices = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    signature = sys.argv[2] if len(sys.argv) > 2 else "v1"
    print(json.dumps(uvloop.run(measure(notices, signature)), indent=2))


if __name__ == "__main__":
    main()
