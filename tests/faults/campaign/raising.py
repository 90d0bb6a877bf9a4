"""Sets up the ground of a campaign: private servers, a way to each of them for every process, and the world."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from random import Random

from launcher import catalogue
from launcher.postgres import EmbeddedPostgres
from launcher.processes import reserve_loopback_ports
from tests.faults.campaign.ground import Ground
from tests.faults.campaign.log import EmbeddedLog, KafkaLog, Log
from tests.faults.listening_broker import ListeningBroker
from tests.faults.ways import through, way_to_postgres
from tests.faults.world import Servers, World, processes_of
from tests.support.proxy import Proxy, Upstream

SETTINGS = {"router_retry_cap_seconds": "5"}
"""A recipient that was away often would be tried again so late that nobody wants to wait for it here."""


@asynccontextmanager
async def raised(directory: Path, postgres: EmbeddedPostgres, *, kafka: bool, seed: int) -> AsyncIterator[Ground]:
    """`postgres` is the campaign's own; who made it stops it."""
    names = ["+".join(services) for services in processes_of(kafka)]
    with ExitStack() as exits:
        dsn = postgres.start()
        broker: ListeningBroker | None = None
        to_kafka: dict[str, Proxy] = {}
        if kafka:
            ports = dict(zip(names, reserve_loopback_ports(len(names)), strict=True))
            to_kafka = {name: exits.enter_context(Proxy(Upstream(port=port))) for name, port in ports.items()}
            broker = ListeningBroker(
                directory / "kafka", {name: (port, to_kafka[name].port) for name, port in ports.items()}
            )
            exits.enter_context(broker)
        await catalogue.migrate(dsn, broker.bootstrap_servers if broker else None)
        to_postgres = {name: exits.enter_context(way_to_postgres(dsn)) for name in names}
        world = World(
            directory,
            dsn,
            kafka=broker.bootstrap_servers if broker else None,
            through={
                name: Servers(
                    through(to_postgres[name]), f"127.0.0.1:{to_kafka[name].port}" if name in to_kafka else None
                )
                for name in names
            },
            settings=SETTINGS,
        )
        exits.callback(world.down)
        log: Log = KafkaLog(broker.bootstrap_servers) if broker else EmbeddedLog(dsn)
        yield Ground(world, postgres, broker, to_postgres, to_kafka, log, Random(f"ids of {seed}"))
