"""The candidates for the courier's way out, side by side in one run: signed 1 KB POSTs, 64 at once, over 50 endpoints.

`python -m benchmarks.http_clients [requests]` prints JSON. Each candidate reads answers with a cap, follows nothing,
uses no proxy, has an absolute deadline and connects only to addresses that were given; the sink has its own process.
"""

import asyncio
import json
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import httpx
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult

from benchmarks.sink import start_sink
from services.router.adapters.endpoints import Endpoint, Endpoints
from services.router.courier.addresses import Addresses
from services.router.courier.transport import RESPONSE_CAP, PyreqwestTransport
from tests.integration.router.house import endpoint

AT_ONCE = 64
ENDPOINTS = 50
DEADLINE = 15.0
BODY = b'{"specversion":"1.0","data":"' + b"x" * 970 + b'"}'

Post = Callable[[Endpoint, dict[str, str]], Awaitable[int]]
Close = Callable[[], Awaitable[None]]


async def loopback(host: str, port: int) -> tuple[str, ...]:
    return ("127.0.0.1",)


def pyreqwest() -> tuple[Post, Close]:
    transport = PyreqwestTransport(Addresses(loopback), monotonic=time.monotonic, deadline=DEADLINE)

    async def post(target: Endpoint, headers: dict[str, str]) -> int:
        answer = await transport.post(target, headers, BODY, DEADLINE)
        return getattr(answer, "status", 0)

    return post, transport.aclose


class Loopback(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return


def with_aiohttp() -> tuple[Post, Close]:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=AT_ONCE, resolver=Loopback(), use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=DEADLINE),
    )

    async def post(target: Endpoint, headers: dict[str, str]) -> int:
        async with session.post(target.url, data=BODY, headers=headers, allow_redirects=False) as response:
            await response.content.read(RESPONSE_CAP)
            return response.status

    return post, session.close


def with_httpx() -> tuple[Post, Close]:
    client = httpx.AsyncClient(
        follow_redirects=False, trust_env=False, timeout=DEADLINE, limits=httpx.Limits(max_connections=None)
    )

    async def post(target: Endpoint, headers: dict[str, str]) -> int:
        async with asyncio.timeout(DEADLINE):
            url = target.url.replace(target.host, "127.0.0.1")
            async with client.stream("POST", url, content=BODY, headers=headers) as response:
                async for _ in response.aiter_bytes(RESPONSE_CAP):
                    break
                return response.status_code

    return post, client.aclose


CANDIDATES = {"pyreqwest": (pyreqwest, 1.0), "aiohttp": (with_aiohttp, 0.5), "httpx": (with_httpx, 0.05)}
"""And the share of the requests that each gets, so that the slow ones do not take the whole day."""


async def measure(make: Callable[[], tuple[Post, Close]], targets: list[Endpoint], requests: int) -> dict[str, float]:
    post, close = make()
    left = requests
    seconds: list[float] = []

    async def worker(number: int) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            target = targets[(left + number) % len(targets)]
            began = time.perf_counter()
            headers = target.signer.headers(str(uuid4()), int(time.time()), BODY)
            assert await post(target, headers | {"content-type": "application/cloudevents+json"}) == 200
            seconds.append(time.perf_counter() - began)

    # Connections first: what is measured is the steady state.
    left = ENDPOINTS * 4
    await asyncio.gather(*[worker(number) for number in range(AT_ONCE)])
    left = requests
    seconds.clear()
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[worker(number) for number in range(AT_ONCE)])
    elapsed, used = time.perf_counter() - began, time.process_time() - cpu
    await close()
    seconds.sort()
    return {
        "requests_per_second": round(requests / elapsed),
        "cpu_s_per_1000": round(used / requests * 1000, 4),
        "p99_ms": round(seconds[int(len(seconds) * 0.99)] * 1000, 1),
    }


async def compare(requests: int) -> dict[str, Any]:
    sink, port = await start_sink()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "endpoints.json"
        file.touch(mode=0o600)
        names = [f"endpoint-{number}" for number in range(ENDPOINTS)]
        entries = {name: endpoint(port) | {"url": f"http://{name}.test:{port}/hook"} for name in names}
        file.write_text(json.dumps({"endpoints": entries}))
        endpoints = Endpoints.load(file)
        targets = [found for name in names if (found := endpoints.get(name)) is not None]
        found: dict[str, Any] = {}
        for name, (make, share) in CANDIDATES.items():
            found[name] = await measure(make, targets, int(requests * share))
    await sink.communicate(b"")
    best = found["pyreqwest"]
    for figures in found.values():
        figures["times_the_cpu_of_pyreqwest"] = round(figures["cpu_s_per_1000"] / best["cpu_s_per_1000"], 1)
    return found


if __name__ == "__main__":
    print(json.dumps(uvloop.run(compare(int(sys.argv[1]) if len(sys.argv) > 1 else 40_000)), indent=2))
