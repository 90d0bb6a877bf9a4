"""The services by name, and how each is run alone; everything of a service is imported only when it is wanted."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from kernel.clock import Clock, system_clock
from kernel.errors import ConfigurationError
from kernel.memory import settle_memory

if TYPE_CHECKING:
    from kernel.bus import Bus
    from kernel.migrations import Schema
    from kernel.service import Service
    from kernel.settings import ServiceSettings

SERVICES = ("intake", "router", "eligibility", "audit")
PORTS = {"intake": 8470, "router": 8471, "eligibility": 8472, "audit": 8473}
PARTITIONS = 12

Result = TypeVar("Result")


def settings_class(service: str) -> type["ServiceSettings"]:
    module = import_module(f"services.{service}.settings")
    cls: type[ServiceSettings] = getattr(module, f"{service.capitalize()}Settings")
    return cls


async def build(service: str, settings: "ServiceSettings", bus: "Bus", *, clock: Clock = system_clock) -> "Service":
    """The service, wired. Raises ConfigurationError."""
    built: Service = await import_module(f"services.{service}.bootstrap").build(settings, bus, clock=clock)
    return built


def schemas() -> list["Schema"]:
    """Every schema of ours, in the order in which they are migrated."""
    from kernel.migrations import BUS, KEYS

    return [KEYS, BUS, *(import_module(f"services.{service}.migrations").SCHEMA for service in SERVICES)]


async def migrate(dsn: str, kafka: str | None, replication: int = 1) -> None:
    """Brings the database to the newest version and makes topics that are missing. Safe to repeat.

    Raises ConfigurationError, Unavailable.
    """
    from contracts.events import TOPICS
    from kernel.bus.kafka import create_topics
    from kernel.migrations import migrate as migrate_schemas

    await migrate_schemas(dsn, schemas())
    if kafka is not None:
        await create_topics(kafka, TOPICS, partitions=PARTITIONS, replication=replication)


def embedded_bus(dsn: str) -> "Bus":
    """The event log in PostgreSQL: one object per process, so that its doorbells ring for all services in it."""
    from kernel.bus.embedded import EmbeddedBus
    from kernel.database import Database

    return EmbeddedBus(Database(dsn, schema="bus", pool_size=4))


async def run_service(service: str, settings: "ServiceSettings") -> None:
    """One service alone in this process, until SIGINT or SIGTERM."""
    from kernel.bus.kafka import KafkaBus

    stop = asyncio.Event()
    stop_on_signals(stop)
    bus: Bus
    if settings.bus == "kafka":
        bus = KafkaBus(str(settings.kafka_bootstrap_servers), client_id=f"firstnotice-{service}")
    else:
        bus = embedded_bus(settings.database_dsn)
    try:
        built = await build(service, settings, bus)
        settle_memory()
        await built.run(stop)
    finally:
        await bus.close()


def stop_on_signals(stop: asyncio.Event, told: Callable[[], None] = lambda: None) -> None:
    """The first SIGINT or SIGTERM sets `stop`; a second one ends the process as if nobody had asked."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        told()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first)


def run_in_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs the whole life of a process in one event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


__all__ = ["PARTITIONS", "PORTS", "SERVICES", "ConfigurationError", "build", "migrate", "run_service", "schemas"]
