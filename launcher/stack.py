"""Everything that runs for a trial on one machine: with the embedded log, or with Kafka."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import orjson

from kernel.errors import Unavailable
from kernel.memory import settle_memory
from kernel.settings import PREFIX, load_settings
from launcher import catalogue
from launcher.broker import LocalBroker
from launcher.home import Home, prepare, program_bases, write_endpoints
from launcher.postgres import EmbeddedPostgres
from launcher.processes import Ownership, reserve_loopback_ports
from launcher.programs import PROGRAMS
from launcher.supervisor import Child, Group, Part, Tell, keep_running

HOST = "127.0.0.1"
KAFKA_ADDRESS = "KAFKA_BOOTSTRAP_SERVERS"
"""Names a broker to use instead of one of our own."""
READY_SECONDS = 120.0
ON_THE_WAY = ("intake", "router")
"""Services that a first notice passes: together in this process when there is no Kafka. The others, which evaluate and
keep, run beside it and behind it, so that their work never makes a first notice wait (decision 6)."""
BEHIND = 5
"""Niceness of those others: a quarter of a processor that others want whole. With more they do not even start then."""


def assign_ports(base: int) -> dict[str, int]:
    """The services from `base` on, the example recipients from `base` + 10 on; with 0, any that are free."""
    names = [*catalogue.PORTS, *PROGRAMS]
    if base == 0:
        return dict(zip(names, reserve_loopback_ports(len(names)), strict=True))
    first = min(catalogue.PORTS.values())
    usual = catalogue.PORTS | {program.name: program.port for program in PROGRAMS.values()}
    return {name: base + port - first for name, port in usual.items()}


@dataclass(frozen=True)
class Plan:
    """What to start. `policy` replaces values of `law/policy.yaml`; `silent` recipients never acknowledge."""

    home: Home
    ports: Mapping[str, int]
    cluster: bool = False
    policy: Mapping[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    say: Tell = lambda line: None
    """What is done now."""
    warn: Tell = lambda line: None
    """What died, and what works again."""

    def url(self, name: str) -> str:
        """Where a service or an example recipient listens."""
        return f"http://{HOST}:{self.ports[name]}"

    def settings_of(self, service: str, dsn: str, kafka: str | None) -> dict[str, Any]:
        """Settings by field name; each service takes those that it has."""
        return {
            "host": HOST,
            "port": self.ports[service],
            "database_dsn": dsn,
            "bus": "kafka" if kafka else "embedded",
            "kafka_bootstrap_servers": kafka,
            "keyset_file": str(self.home.keyset),
            "clients_file": str(self.home.clients),
            "endpoints_file": str(self.home.endpoints),
            "policy_overrides": dict(self.policy),
        }


@dataclass(frozen=True)
class Stack:
    """What runs now."""

    plan: Plan
    dsn: str
    groups: Sequence[Group]

    async def failure(self) -> None:
        """Ends when something has ended that nobody stopped, with its error."""
        tasks = [asyncio.create_task(group.failure()) for group in self.groups]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                task.cancel()

    async def until_ready(self) -> None:
        """Waits until every service does its work. Raises Unavailable."""
        urls = {self.plan.url(service) + "/readyz" for service in catalogue.SERVICES}
        await _until_answered(self.plan, urls, asyncio.Event())


@asynccontextmanager
async def running(plan: Plan, stop: asyncio.Event) -> AsyncIterator[Stack]:
    """Starts everything, and stops it in order: services, bus, Kafka, recipients, PostgreSQL.

    Told to `stop` while it starts, it waits for nothing any more; a server that is not ready is an error.
    Raises DataDirectoryInUse, ProcessesLeft, PostgresUnavailable, BrokerUnavailable, ConfigurationError.
    """
    async with AsyncExitStack() as exits:
        # First of all, so that nothing below touches a live installation, and nothing of a dead one is in our way.
        ownership = Ownership(plan.home.root)
        await asyncio.to_thread(ownership.claim)
        exits.callback(ownership.release)
        http = await exits.enter_async_context(httpx.AsyncClient(timeout=5.0))
        servers, recipients, services = [], Group(), Group()
        postgres = EmbeddedPostgres(plan.home.postgres)
        servers.append(await _serving(postgres, plan, stop, exits))
        dsn = postgres.dsn
        prepare(plan.home)
        write_endpoints(plan.home, program_bases(plan.ports))
        exits.push_async_callback(recipients.stop)
        for child in _recipients(plan, ownership.mark):
            _keep(child, recipients, plan, http, "/healthz")
        kafka = os.environ.get(KAFKA_ADDRESS) or None if plan.cluster else None
        if plan.cluster and kafka is None:
            broker = LocalBroker(plan.home.kafka, progress=plan.say)
            servers.append(await _serving(broker, plan, stop, exits))
            kafka = broker.bootstrap_servers
        plan.say("Bringing the database up to date")
        await catalogue.migrate(dsn, kafka)
        # Before the services, so that the first attempt of a notice does not find a closed door.
        await _until_answered(plan, {plan.url(program) + "/healthz" for program in PROGRAMS}, stop)
        plan.say("Starting the services")
        here = () if kafka else ON_THE_WAY
        await _services_here(plan, here, dsn, services, exits)
        for service in catalogue.SERVICES:
            if service not in here:
                nice = 0 if service in ON_THE_WAY else BEHIND
                child = _child_service(plan, service, dsn, kafka, ownership.mark, nice=nice)
                _keep(child, services, plan, http, "/readyz")
        yield Stack(plan, dsn, [*servers, recipients, services])
        plan.say("Stopping")


async def _serving(server: Part, plan: Plan, stop: asyncio.Event, exits: AsyncExitStack) -> Group:
    """Waits for the first start of a server, whose error is for whoever started us; then it is kept running."""
    plan.say(f"Starting {server.name}")
    await asyncio.to_thread(server.start, stop.is_set)
    group = Group()
    group.start(partial(keep_running, server, tell=plan.warn))
    exits.push_async_callback(group.stop)
    return group


def _keep(child: Child, group: Group, plan: Plan, http: httpx.AsyncClient, path: str) -> None:
    """Has it started, and kept running, as a part of the group; it works when `path` answers."""
    works = partial(_answers, http, plan.url(child.name) + path)
    group.start(partial(keep_running, child, tell=plan.warn, works=works))


async def _services_here(plan: Plan, names: Sequence[str], dsn: str, services: Group, exits: AsyncExitStack) -> None:
    bus = catalogue.embedded_bus(dsn)
    exits.push_async_callback(bus.close)
    exits.push_async_callback(services.stop)
    for service in names:
        settings = load_settings(catalogue.settings_class(service), **plan.settings_of(service, dsn, None))
        services.start((await catalogue.build(service, settings, bus)).run)
    settle_memory()


def _child_service(
    plan: Plan, service: str, dsn: str, kafka: str | None, mark: Mapping[str, str], *, nice: int
) -> Child:
    given = {name: value for name, value in plan.settings_of(service, dsn, kafka).items() if value is not None}
    environment = {PREFIX + name.upper(): _text(value) for name, value in given.items()} | dict(mark)
    return Child(service, [service], log=plan.home.logs / f"{service}.log", environment=environment, nice=nice)


def _text(value: Any) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict) else str(value)


def _recipients(plan: Plan, mark: Mapping[str, str]) -> list[Child]:
    return [
        Child(
            name,
            [
                *("recipients", name, "--port", str(plan.ports[name]), "--router", plan.url("router")),
                *("--secrets", str(plan.home.recipient_secrets(name)), "--ledger", str(plan.home.ledger(name))),
                *(["--silent"] if name in plan.silent else []),
            ],
            log=plan.home.logs / f"recipient-{name}.log",
            environment=mark,
        )
        for name in PROGRAMS
    ]


async def _until_answered(plan: Plan, urls: set[str], stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(timeout=5.0) as http:
            while urls and not stop.is_set():
                urls = {url for url in urls if not await _answers(http, url)}
                await asyncio.sleep(0.05 if urls else 0)
    except TimeoutError:
        raise Unavailable(
            f"not ready after {READY_SECONDS:.0f} s: {', '.join(sorted(urls))}; see {plan.home.logs}"
        ) from None


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).is_success
    except httpx.HTTPError:
        return False
