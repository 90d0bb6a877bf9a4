"""The whole way, as an agency and a recipient see it: from accepted to the recipient's first byte, and how many fit.

Starts an installation of its own, embedded and over Kafka, puts one recipient of our own behind every endpoint, and
posts encounters from this process.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import orjson
import psutil

from benchmarks.hops import percentiles_of_hops, read_hops
from benchmarks.measuring import cpu_seconds, percentile, spent
from kernel.clock import system_clock
from kernel.identity import load_key, sign_request
from launcher.home import Home, program_bases, write_endpoints
from launcher.processes import LeashedProcess, last_lines, reserve_loopback_ports
from launcher.programs import PROGRAMS

AGENCY = "MO0390100"
PATH = "/v1/encounters"
DUE_PER_ENCOUNTER = 3
"""DSS, the juvenile officer and HHS: each encounter is about a minor of unknown citizenship."""


@dataclass(frozen=True)
class Installation:
    """A running one. `roots` are its processes, of which CPU time is counted with all below them."""

    intake: str
    arrivals: str
    home: Home
    roots: tuple[int, ...]
    sink: int
    """Process id of the recipient."""
    metrics: tuple[str, ...]
    """Where the services tell of their hops."""


@asynccontextmanager
async def installation(*, cluster: bool) -> AsyncIterator[Installation]:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        base, sink_port = _free_base(), reserve_loopback_ports(1)[0]
        log = Path(folder) / "up.log"
        sink = LeashedProcess(
            [sys.executable, "-m", "benchmarks.arrivals", str(sink_port)], output=Path(folder) / "sink"
        )
        mode = ["--cluster"] if cluster else []
        up = LeashedProcess(
            [sys.executable, "-m", "launcher", "up", *mode, "--data-dir", folder, "--port", str(base)], output=log
        )
        try:
            async with aiohttp.ClientSession() as http:
                for service in range(4):
                    await _ready(http, f"http://127.0.0.1:{base + service}/readyz", up, log)
            write_endpoints(
                home, dict.fromkeys(program_bases(dict.fromkeys(PROGRAMS, 0)), f"http://127.0.0.1:{sink_port}")
            )
            await asyncio.sleep(3)  # the router looks for changed endpoints about once a second
            services = [f"http://127.0.0.1:{base + number}" for number in range(4)]
            yield Installation(
                services[0],
                f"http://127.0.0.1:{sink_port}/",
                home,
                _roots(up, home),
                sink.pid,
                tuple(f"{url}/metrics" for url in services),
            )
        finally:
            await asyncio.to_thread(up.terminate, 40)
            sink.kill()


def _roots(up: LeashedProcess, home: Home) -> tuple[int, ...]:
    postmaster = int((home.postgres / "cluster" / "postmaster.pid").read_text().split("\n")[0])
    return up.pid, postmaster


def _free_base() -> int:
    """The first of sixteen neighbouring ports."""
    return reserve_loopback_ports(1)[0] // 16 * 16 % 20000 + 20000


async def _ready(http: aiohttp.ClientSession, url: str, up: LeashedProcess, log: Path) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                async with http.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            if not up.running:
                raise SystemExit(f"the installation did not start:\n{last_lines(log)}")
            await asyncio.sleep(0.1)


class Agency:
    """Posts encounters and remembers when each was accepted."""

    def __init__(self, there: Installation, http: aiohttp.ClientSession) -> None:
        self._there = there
        self._http = http
        self._client = there.home.client_of(AGENCY)
        self._key = load_key(there.home.key_of(self._client))
        self._posted = 0
        self.accepted: dict[str, float] = {}
        self.arrived: dict[str, dict[str, float]] = {}

    async def post(self) -> None:
        self._posted += 1
        body = _report(self._posted)
        token = sign_request(self._key, self._client, method="POST", path=PATH, body=body, now=system_clock())
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        async with self._http.post(self._there.intake + PATH, data=body, headers=headers) as answer:
            text = await answer.read()
            if answer.status != 202:
                raise SystemExit(f"intake answered {answer.status}: {text.decode()}")
            self.accepted[orjson.loads(text)["encounter_id"]] = time.monotonic()

    def forget(self) -> None:
        """What comes next is measured apart."""
        self.accepted.clear()
        self.arrived.clear()

    async def at_rate(self, per_second: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(max(0.0, start + number / per_second - loop.time()))
                group.create_task(self.post())

    async def at_once(self, count: int, workers: int = 32) -> None:
        numbers = iter(range(count))

        async def work() -> None:
            for _ in numbers:
                await self.post()

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())

    async def all_told(self, seconds: float = 120) -> None:
        """Waits until every recipient of every accepted encounter has been told."""
        async with asyncio.timeout(seconds):
            while True:
                async with self._http.get(self._there.arrivals) as answer:
                    for encounter, recipient, moment in orjson.loads(await answer.read()):
                        self.arrived.setdefault(encounter, {}).setdefault(recipient, moment)
                if all(len(self.arrived.get(one, ())) == DUE_PER_ENCOUNTER for one in self.accepted):
                    return
                await asyncio.sleep(0.1)

    def milliseconds(self) -> list[float]:
        """From accepted to first byte, for every notice. What arrived before we saw the 202 counts as 0."""
        return [
            max(0.0, moment - self.accepted[encounter]) * 1000
            for encounter, moments in self.arrived.items()
            if encounter in self.accepted
            for moment in moments.values()
        ]


RATES = (20, 100)
WINDOWS = 3
"""Each figure is the median of so many runs."""


async def measure(*, cluster: bool, seconds: float = 6, burst: int = 2000) -> dict[str, Any]:
    """Latency and CPU time at 20 and 100 encounters/s, where the time goes, then a burst until everything is told."""
    result: dict[str, Any] = {}
    connector = aiohttp.TCPConnector(limit=0)
    async with installation(cluster=cluster) as there, aiohttp.ClientSession(connector=connector) as http:
        agency = Agency(there, http)
        await agency.at_rate(20, 5)  # warm caches, connections and plans
        await agency.all_told()
        for rate in RATES:
            windows = [await _window(agency, there, http, rate, seconds) for _ in range(WINDOWS)]
            result[f"accept_to_first_byte_ms_at_{rate}_per_s"] = {
                name: median(window[name] for window in windows) for name in ("p50", "p99", "max")
            }
            result[f"cpu_ms_per_encounter_at_{rate}_per_s"] = {
                name: median(window["cpu"].get(name, 0.0) for window in windows) for name in windows[0]["cpu"]
            }
            result[f"hops_ms_at_{rate}_per_s"] = windows[-1]["hops"]
        result["burst"] = await _burst(agency, there, burst)
        if cluster:
            with second_router(there):
                await agency.at_rate(20, 15)  # until both have their share
                await agency.all_told()
                result["burst_with_two_routers"] = await _burst(agency, there, burst)
    return result


@contextmanager
def second_router(there: Installation) -> Iterator[None]:
    """Another replica of the router, as the launcher made the first one, on a port of its own."""
    (first,) = (one for one in psutil.Process(there.roots[0]).children() if one.cmdline()[-1] == "router")
    environment = first.environ() | {"FIRSTNOTICE_PORT": str(reserve_loopback_ports(1)[0])}
    second = LeashedProcess(
        [sys.executable, "-m", "launcher", "router"], output=there.home.logs / "router-2.log", environment=environment
    )
    try:
        yield
    finally:
        second.terminate(20)


async def _window(
    agency: Agency, there: Installation, http: aiohttp.ClientSession, rate: int, seconds: float
) -> dict[str, Any]:
    agency.forget()
    hops, spending = await read_hops(http, there), Spending(there)
    await agency.at_rate(rate, seconds)
    await agency.all_told()
    found, count = agency.milliseconds(), len(agency.accepted)
    return {
        "p50": round(percentile(found, 0.5), 2),
        "p99": round(percentile(found, 0.99), 2),
        "max": round(max(found), 2),
        "cpu": {kind: round(value * 1000 / count, 2) for kind, value in spending.so_far().items()},
        "hops": percentiles_of_hops(hops, await read_hops(http, there)),
    }


async def _burst(agency: Agency, there: Installation, count: int) -> dict[str, Any]:
    agency.forget()
    spending, start = Spending(there), time.monotonic()
    await agency.at_once(count)
    posted = time.monotonic() - start
    await agency.all_told()
    took = time.monotonic() - start
    return {
        "encounters": count,
        "notices": count * DUE_PER_ENCOUNTER,
        "accepted_per_s": round(count / posted),
        "encounters_per_s_until_all_told": round(count / took),
        "cpu_s_per_1000_encounters": {
            kind: round(value * 1000 / count, 2) for kind, value in spending.so_far().items()
        },
    }


class Spending:
    """CPU seconds from now on: of the installation by kind of process, of the load generator, and of the recipient."""

    def __init__(self, there: Installation) -> None:
        self._there = there
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        recipient = psutil.Process(self._there.sink).cpu_times()
        return cpu_seconds(self._there.roots) | {
            "load_generator": time.process_time(),
            "recipient": recipient.user + recipient.system,
        }

    def so_far(self) -> dict[str, float]:
        found = spent(self._before, self._now())
        return {"ours": round(found.get("firstnotice", 0.0) + found.get("postgresql", 0.0), 3), **found}


def _report(number: int) -> bytes:
    return orjson.dumps(
        {
            "agency_ori": AGENCY,
            "encounter_at": "2026-11-01T12:00:00Z",
            "encounter": {"incident_number": f"B-{number:07d}", "location": {"county_fips": "29095"}},
            "subjects": [
                {
                    "subject_number": 1,
                    "age": {"years": 16, "verified_by": "document"},
                    "circumstances": {"appears_victim": True, "trafficking": {"type": "sex"}},
                    "identity": {"given_name": "Avery", "family_name": "Example"},
                }
            ],
        }
    )
